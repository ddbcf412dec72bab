// The one switch: anybody on duty may stop all deferral, with a reason; only an admin starts it again.

import { ask, el, ROOT, t } from "./page.js";

/** Puts the switch; gives null, or what stood against it. */
export async function put(on, reason) {
  const { status, document } = await ask("PUT", `${ROOT}v1/operations`, { switch: { on, reason } });
  return status === 200 ? null : (document?.detail ?? t("stop.fault"));
}

/** Reasons that are at hand at three in the morning, by key. */
const REASONS = [
  ["1", "stop.storm"],
  ["2", "stop.order"],
  ["3", "stop.drill"],
];

/** Asks in a dialog why all deferral is to be stopped, and stops it; gives whether it was. */
export function stopping() {
  return new Promise((resolve) => {
    let stopped = false;
    const fault = el("p", { class: "fault", role: "alert", hidden: true });
    const stop = async (reason) => {
      const why = await put(false, reason);
      stopped = why === null;
      fault.textContent = why ?? "";
      fault.hidden = stopped;
      if (stopped) dialog.close();
    };
    const quick = REASONS.map(([key, name]) =>
      el("button", { type: "button", class: "choice", onclick: () => stop(t(name)) }, el("kbd", {}, key), t(name)),
    );
    const other = el("input", { id: "stop-reason", required: true, minlength: "3", maxlength: "500", autocomplete: "off" });
    const form = el(
      "form",
      {
        class: "stacked",
        onsubmit: (event) => {
          event.preventDefault();
          stop(other.value);
        },
      },
      el("label", { for: "stop-reason" }, t("stop.other")),
      other,
      el("button", { class: "main stop" }, t("stop.go")),
    );
    const back = el("button", { type: "button", onclick: () => dialog.close() }, el("kbd", {}, "Esc"), t("close.back"));
    const dialog = el(
      "dialog",
      { class: "closing", "aria-labelledby": "stop-title" },
      el("h2", { id: "stop-title" }, t("stop.title")),
      el("p", {}, t("stop.what")),
      el("div", { class: "choices" }, ...quick),
      form,
      fault,
      back,
    );
    dialog.addEventListener("keydown", (event) => {
      const found = REASONS.find(([key]) => key === event.key);
      if (!found || event.target === other || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
      event.preventDefault();
      stop(t(found[1]));
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(stopped);
    });
    document.body.append(dialog);
    dialog.showModal();
    quick[0].focus();
  });
}
