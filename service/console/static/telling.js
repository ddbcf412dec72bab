// A call in plain words: its history at a glance, its reasons, the guardrails that held. History, never a verdict.

import { lasted, now } from "./clock.js";
import { data, el, shape, t } from "./page.js";

const UP = "M10 4l7 12H3z";
const DOWN = "M10 16L3 4h14z";

/** Says what became of this number's earlier calls. */
export function history(call) {
  if (call.caller === null) return t("call.no_number");
  if (call.earlier_calls === 0) return t("call.first");
  const closed = call.earlier_genuine + call.earlier_not_genuine;
  const counts = { calls: call.earlier_calls, closed, genuine: call.earlier_genuine, other: call.earlier_not_genuine };
  if (closed === 0) return t(call.earlier_calls === 1 ? "call.one_open" : "call.none_closed", counts);
  if (call.earlier_genuine === 0) return t(closed === 1 ? "call.one_other" : "call.other", counts);
  if (call.earlier_not_genuine === 0) return t(closed === 1 ? "call.one_genuine" : "call.genuine", counts);
  return t("call.both", counts);
}

/** Says who calls: pseudonym, last digits when they are kept, kind of line, and the queue when there are several. */
export function who(call) {
  const line = call.line ? t(`line.${call.line}`) : null;
  const digits = call.last_digits ? `…${call.last_digits}` : null;
  return [call.caller ?? t("call.unnamed"), digits, line, call.queue].filter((part) => part);
}

/** Says when this number rang before, when that is not long ago. */
export function again(call) {
  if (call.last_call_at === null) return null;
  const ago = Date.parse(call.received_at) - Date.parse(call.last_call_at);
  return ago >= 0 && ago < 3_600_000 ? t("call.again", { ago: lasted(ago) }) : null;
}

/** Says why a call has its badge, largest first; or why it has none. */
export function reasons(call) {
  if (call.band === null) return [note(t("call.held_out"))];
  if (call.badge === "not_rated") return [note(t("call.unscored"))];
  if (!call.reasons.length) return [note(t("call.no_reasons"))];
  return call.reasons.map((reason) => {
    const raises = reason.contribution > 0;
    const mark = el("span", { class: raises ? "raises" : "lowers" }, shape(raises ? UP : DOWN));
    const spoken = el("span", { class: "spoken" }, t(raises ? "call.raises" : "call.lowers"));
    return el("li", {}, mark, spoken, reason.text);
  });
}

const note = (text) => el("li", { class: "note" }, text);

/** Names the guardrails that kept a call from waiting, or from some of it. */
export function guardrails(call) {
  return call.guardrails.map((name) => el("li", {}, data.guardrails[name] ?? name));
}

/** Says that nothing was heard of a waiting call for so long that its caller may have gone; null otherwise. */
export function stale(call) {
  const silent = now() - Date.parse(call.heard_at);
  return silent > data.stale_s * 1000 ? t("call.stale", { time: lasted(silent) }) : null;
}
