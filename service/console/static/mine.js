// The calls that this operator has: taken or being talked to, until each is closed.

import { badge } from "./badge.js";
import { lasted, now, timeOfDay } from "./clock.js";
import { DISPOSITIONS, choices } from "./closing.js";
import { data, el, say, storyOf, t } from "./page.js";
import { again, guardrails, history, reasons, who } from "./telling.js";

const OPEN = new Set(["taken", "answered", "ended"]);

export class Mine {
  /**
   * @param {HTMLElement} place where the calls are shown.
   * @param {{close: (call, disposition) => void, release: (call) => void}} acts
   */
  constructor(place, acts) {
    [this.place, this.acts] = [place, acts];
    this.calls = new Map();
    this.takenAt = new Map();
    this.drawn = "";
    this.changes = 0; // so many times a call became this operator's, or changed, or left
    this.draw();
  }

  /** Gives the call that keys are about: the one that was taken last. */
  get current() {
    return [...this.calls.values()].at(-1) ?? null;
  }

  /** Shows exactly these calls. */
  reset(calls) {
    this.calls.clear();
    for (const call of calls) this.calls.set(call.call_id, call);
    this.draw();
  }

  /** Takes note of what a call has become: it is this operator's, or no longer. */
  put(call) {
    const mine = call.operator === data.operator && OPEN.has(call.state);
    if (!mine && !this.calls.has(call.call_id)) return;
    this.changes += 1;
    if (mine) this.calls.set(call.call_id, call);
    else this.calls.delete(call.call_id);
    this.draw();
  }

  forget(callId) {
    if (!this.calls.delete(callId)) return;
    this.changes += 1;
    this.draw();
  }

  draw() {
    const seen = JSON.stringify([...this.calls.values()]);
    if (seen === this.drawn) return;
    this.drawn = seen;
    this.place.classList.toggle("busy", this.calls.size > 0);
    if (!this.calls.size) {
      this.place.replaceChildren(el("p", { class: "aside" }, t(data.mode === "board" ? "mine.none" : "mine.none_pbx")));
      return;
    }
    const focused = this.place.contains(document.activeElement) ? document.activeElement.textContent : null;
    this.place.replaceChildren(...[...this.calls.values()].reverse().map((call) => this.card(call)));
    this.tick();
    if (focused !== null) [...this.place.querySelectorAll("button, a")].find((one) => one.textContent === focused)?.focus();
  }

  card(call) {
    const [name, ...more] = who(call);
    const current = call === this.current;
    const pairs = current ? DISPOSITIONS : DISPOSITIONS.map(([, disposition]) => ["", disposition]);
    const release =
      call.state === "taken"
        ? el("button", { class: "quiet", onclick: () => this.acts.release(call) }, el("kbd", {}, "G"), t("mine.release"))
        : null;
    return el(
      "article",
      { class: "mine", "data-id": call.call_id },
      el("div", { class: "state" }, t(`mine.${call.state}`), el("strong", { class: "waited", "data-since": call.arrived_at })),
      el("div", { class: "who" }, el("span", { class: "name" }, name), ...more.map((part) => el("span", {}, part))),
      el("div", { class: "soft" }, t("mine.rang", { time: timeOfDay(Date.parse(call.arrived_at)) })),
      badge(call),
      el("div", { class: "history" }, history(call)),
      el("div", { class: "again" }, again(call) ?? ""),
      el("h3", {}, t("mine.close")),
      el("div", { class: "choices" }, ...choices(pairs, "disposition", (disposition) => this.acts.close(call, disposition))),
      el("ul", { class: "reasons" }, ...reasons(call)),
      el("ul", { class: "guardrails" }, ...guardrails(call)),
      el("div", { class: "others" }, release, el("a", { href: storyOf(call.call_id) }, t("mine.why"))),
    );
  }

  tick() {
    for (const waited of this.place.querySelectorAll("[data-since]")) {
      say(waited, lasted(now() - Date.parse(waited.dataset.since)));
    }
  }
}
