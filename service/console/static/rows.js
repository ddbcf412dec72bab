// The waiting calls as rows, in serving order. A change of one call touches the row of that call and no other.

import { badge } from "./badge.js";
import { lasted, now, timeOfDay } from "./clock.js";
import { data, el, say, storyOf, t } from "./page.js";
import { again, guardrails, history, reasons, stale, who } from "./telling.js";

const WAITING = new Set(["waiting", "taken"]);
const placeOf = (call) => [call.queue_key, call.arrived_at, call.call_id];

/** Compares two calls by their place: times are written alike, so their texts compare as they do. */
function before(a, b) {
  const [left, right] = [placeOf(a), placeOf(b)];
  for (let part = 0; part < left.length; part += 1) {
    if (left[part] !== right[part]) return left[part] < right[part];
  }
  return false;
}

export class Rows {
  /**
   * @param {HTMLElement} list an `ol`.
   * @param {(callId: string) => void} take what a row's button does; none in the mode `pbx`.
   */
  constructor(list, take) {
    this.list = list;
    this.take = take;
    this.rows = new Map();
    this.order = []; // calls, the first to be answered first
    this.selected = null;
    this.next = null;
    list.addEventListener("focusin", (event) => this.select(event.target.closest("li.row")?.dataset.id ?? null));
  }

  get size() {
    return this.order.length;
  }

  /** Gives the calls that nobody has taken, in order. */
  free() {
    return this.order.filter((call) => call.state === "waiting");
  }

  callOf(callId) {
    return this.rows.get(callId)?.call ?? null;
  }

  /** Shows exactly these calls; rows that stay are kept as they are. */
  reset(calls) {
    const there = new Set(calls.map((call) => call.call_id));
    for (const callId of [...this.rows.keys()]) if (!there.has(callId)) this.remove(callId);
    for (const call of calls) this.put(call);
  }

  /** Shows a call as it is now; one that waits no longer leaves. */
  put(call) {
    if (!WAITING.has(call.state)) return this.remove(call.call_id);
    const row = this.rows.get(call.call_id);
    if (!row) {
      const made = this.draw(call);
      this.rows.set(call.call_id, made);
      this.place(made);
      return undefined;
    }
    const moved = before(call, row.call) || before(row.call, call);
    if (moved) this.order.splice(this.order.indexOf(row.call), 1);
    else this.order[this.order.indexOf(row.call)] = call;
    row.call = call;
    this.fill(row);
    if (moved) this.place(row);
    return undefined;
  }

  remove(callId) {
    const row = this.rows.get(callId);
    if (!row) return;
    const place = this.order.indexOf(row.call);
    const focused = row.element.contains(document.activeElement);
    this.order.splice(place, 1);
    this.rows.delete(callId);
    row.element.remove();
    if (callId === this.selected) {
      this.select(this.order[Math.min(place, this.order.length - 1)]?.call_id ?? null);
      if (focused) this.focus();
    }
  }

  /** Puts a row where it belongs, found by halving. */
  place(row) {
    let [low, high] = [0, this.order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(row.call, this.order[middle])) high = middle;
      else low = middle + 1;
    }
    const next = this.order[low];
    const focused = row.element.contains(document.activeElement) ? document.activeElement : null;
    this.order.splice(low, 0, row.call);
    this.list.insertBefore(row.element, next ? this.rows.get(next.call_id).element : null);
    focused?.focus({ preventScroll: true });
  }

  draw(call) {
    const parts = {
      badge: el("div", { class: "of-badge" }),
      waited: el("strong", { class: "waited" }),
      since: el("span", { class: "soft" }),
      who: el("div", { class: "who" }),
      history: el("div", { class: "history" }),
      again: el("div", { class: "again" }),
      stale: el("div", { class: "stale" }),
      reasons: el("ul", { class: "reasons" }),
      guardrails: el("ul", { class: "guardrails" }),
      act: el("div", { class: "act" }),
    };
    const element = el(
      "li",
      { class: "row", "data-id": call.call_id, tabindex: "-1" },
      el("div", { class: "wait" }, parts.waited, parts.since),
      parts.badge,
      el("div", { class: "caller" }, parts.who, parts.history, parts.again, parts.stale),
      parts.reasons,
      parts.act,
      parts.guardrails,
    );
    const row = { call, element, parts, shown: {} };
    this.fill(row);
    return row;
  }

  /** Writes a call into its row, but for what stands there already. */
  fill(row) {
    const { call, element, parts, shown } = row;
    const changed = (name, ...values) => {
      const value = JSON.stringify(values);
      if (shown[name] === value) return false;
      shown[name] = value;
      return true;
    };
    element.dataset.state = call.state;
    element.dataset.badge = call.badge;
    if (changed("badge", call.badge, call.band, call.one_in)) parts.badge.replaceChildren(badge(call));
    if (changed("since", call.arrived_at)) say(parts.since, timeOfDay(Date.parse(call.arrived_at)));
    if (changed("who", call.caller, call.line, call.queue)) {
      const [name, ...more] = who(call);
      parts.who.replaceChildren(el("span", { class: "name" }, name), ...more.map((part) => el("span", {}, part)));
    }
    say(parts.history, history(call));
    say(parts.again, again(call) ?? "");
    if (changed("reasons", call.band, call.reasons)) parts.reasons.replaceChildren(...reasons(call));
    if (changed("guardrails", call.guardrails)) parts.guardrails.replaceChildren(...guardrails(call));
    if (changed("act", call.state, call.operator)) parts.act.replaceChildren(...this.act(call));
    this.tickRow(row, now());
  }

  act(call) {
    const label = t("board.why_call", { who: who(call).join(", ") });
    const why = el("a", { href: storyOf(call.call_id), tabindex: "-1", "aria-label": label }, t("board.why"));
    if (call.state === "taken") {
      const mine = call.operator === data.operator;
      return [el("span", { class: "taken" }, mine ? t("board.yours") : t("board.taken", { who: call.operator })), why];
    }
    if (!this.take) return [why];
    const act = () => this.take(call.call_id);
    const taking = t("board.take_call", { who: who(call).join(", ") });
    return [el("button", { onclick: act, tabindex: "-1", "aria-label": taking }, t("board.take")), why];
  }

  /** Counts the waits up. */
  tick() {
    const at = now();
    for (const row of this.rows.values()) this.tickRow(row, at);
  }

  tickRow(row, at) {
    say(row.parts.waited, lasted(at - Date.parse(row.call.arrived_at)));
    const silent = stale(row.call);
    say(row.parts.stale, silent ?? "");
    row.element.classList.toggle("is-stale", silent !== null);
  }

  /** Makes one row the one that the arrow keys start from. */
  select(callId) {
    if (this.selected === callId) return;
    this.rows.get(this.selected)?.element.setAttribute("tabindex", "-1");
    this.selected = callId;
    this.rows.get(callId)?.element.setAttribute("tabindex", "0");
  }

  /** Makes sure that the list can be reached with the Tab key, and marks the call that is the next to be answered. */
  settled() {
    if (!this.rows.has(this.selected)) this.select(this.order[0]?.call_id ?? null);
    const next = this.rows.get(this.order.find((call) => call.state === "waiting")?.call_id)?.element ?? null;
    if (next === this.next) return;
    this.next?.classList.remove("is-next");
    next?.classList.add("is-next");
    this.next = next;
  }

  move(by) {
    const place = this.order.findIndex((call) => call.call_id === this.selected);
    const next = this.order[Math.max(0, Math.min(this.order.length - 1, place + by))];
    if (next) this.select(next.call_id);
    this.focus();
  }

  focus() {
    const element = this.rows.get(this.selected)?.element;
    element?.focus({ preventScroll: true });
    element?.scrollIntoView({ block: "nearest" });
  }
}
