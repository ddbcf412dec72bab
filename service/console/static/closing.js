// How a call is closed, and corrected: one key for each disposition, and for a genuine call what it was about.

import { now } from "./clock.js";
import { ask, data, el, pathOf, t } from "./page.js";

/** So long a call that was closed while it waited can be brought back; the service decides. */
export const BACK_MS = 60_000;

/** Dispositions and categories by their key. */
export const DISPOSITIONS = data.dispositions;
const CATEGORIES = data.categories;

/** Makes a button for each choice of a list of [key, name] pairs. */
export function choices(pairs, catalogue, chosen) {
  return pairs.map(([key, name]) =>
    el(
      "button",
      { type: "button", class: `choice ${name}`, onclick: () => chosen(name) },
      el("kbd", {}, key),
      t(`${catalogue}.${name}`),
    ),
  );
}

/**
 * Asks in a dialog how a call is to be closed; gives {disposition, category}, or null when nothing was chosen.
 *
 * @param {string} title
 * @param {string | null} disposition when it is known already and only the category is asked for.
 */
export function chosen(title, disposition = null) {
  return new Promise((resolve) => {
    let found = null;
    const grid = el("div", { class: "choices" });
    const heading = el("h2", { id: "closing-title" }, title);
    const back = el("button", { type: "button", onclick: () => dialog.close() }, el("kbd", {}, "Esc"), t("close.back"));
    const dialog = el("dialog", { class: "closing", "aria-labelledby": "closing-title" }, heading, grid, back);
    let pairs = [];
    let pick = () => {};

    const show = (some, catalogue, then) => {
      [pairs, pick] = [some, then];
      grid.replaceChildren(...choices(some, catalogue, then));
      grid.firstElementChild.focus();
    };
    const end = (choice) => {
      found = choice;
      dialog.close();
    };
    const named = (name) => {
      if (name !== "genuine") return end({ disposition: name, category: null });
      heading.textContent = t("close.category");
      return show(CATEGORIES, "category", (category) => end({ disposition: "genuine", category }));
    };
    dialog.addEventListener("keydown", (event) => {
      const pair = pairs.find(([key]) => key === event.key);
      if (!pair || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
      event.preventDefault();
      event.stopPropagation();
      pick(pair[1]);
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(found);
    });
    document.body.append(dialog);
    dialog.showModal();
    if (disposition) named(disposition);
    else show(DISPOSITIONS, "disposition", named);
  });
}

/** Asks whether a call that still waits, and that this operator has not taken, is to be closed all the same. */
function sure() {
  return new Promise((resolve) => {
    let yes = false;
    const end = () => {
      yes = true;
      dialog.close();
    };
    const back = el("button", { type: "button", onclick: () => dialog.close() }, el("kbd", {}, "Esc"), t("close.back"));
    const dialog = el(
      "dialog",
      { class: "closing", "aria-labelledby": "sure-title" },
      el("h2", { id: "sure-title" }, t("close.waits")),
      el("p", {}, t("close.waits_what")),
      el("button", { type: "button", class: "main stop", onclick: end }, el("kbd", {}, "C"), t("close.sure")),
      back,
    );
    dialog.addEventListener("keydown", (event) => {
      if (event.key.toLowerCase() !== "c" || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
      event.preventDefault();
      end();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(yes);
    });
    document.body.append(dialog);
    dialog.showModal();
    back.focus();
  });
}

/**
 * Tells the service how a call was closed; gives whether it was taken note of, and what to say if not.
 *
 * @param {string} callId
 * @param {{disposition: string, category: string | null, answered_at: string | undefined}} choice
 */
export async function close(callId, choice) {
  const body = { ...choice, disposed_at: new Date(now()).toISOString(), operator: data.operator };
  const path = pathOf(callId, "/disposition");
  let answer = await ask("POST", path, body);
  if (answer.status === 409 && answer.document?.errors?.[0]?.field === "confirm") {
    if (!(await sure())) return { kept: false, said: t("close.left_waiting") };
    answer = await ask("POST", path, { ...body, confirm: true });
  }
  const kept = answer.status === 200;
  return { kept, said: kept ? "" : (answer.document?.detail ?? t("close.no_answer")) };
}

/** Brings back a call that was closed by mistake; gives null, or what stood against it. */
export async function reopen(callId) {
  const { status, document } = await ask("POST", pathOf(callId, "/reopen"), {});
  return status === 200 ? null : (document?.detail ?? t("close.no_answer"));
}

/** Says how a call was closed. */
export function closing(choice) {
  const name = t(`disposition.${choice.disposition}`);
  return choice.category ? `${name}, ${t(`category.${choice.category}`)}` : name;
}
