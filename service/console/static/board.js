// The board: the waiting calls in serving order, live; taking, closing and correcting them; and what is wrong, at once.

import { lasted, now, timeOfDay } from "./clock.js";
import { BACK_MS, chosen, close, closing, reopen } from "./closing.js";
import { bind } from "./keys.js";
import { follow } from "./live.js";
import { Mine } from "./mine.js";
import { ask, data, el, pathOf, ROOT, say, signInAgain, storyOf, t } from "./page.js";
import { Rows } from "./rows.js";
import { stopping } from "./stopping.js";

const MOST_TRIES = 50;
const place = (id) => document.getElementById(id);
const takes = data.mode === "board";
const rows = new Rows(place("queue"), takes ? take : null);
const mine = new Mine(place("mine"), { close: closeCall, release });
let live = false;
let total = 0;
let busy = false;
let lastClosed = null;

// What comes by the stream is gathered and written a few times a second. Not by frames: a window that is covered has
// none, and would tell old news for a moment when it is uncovered.
const WRITE_MS = 60;
const waiting = new Map();
let due = false;

function later(call) {
  waiting.set(call.call_id, call);
  if (due) return;
  due = true;
  setTimeout(write, WRITE_MS);
}

function write() {
  due = false;
  for (const call of waiting.values()) {
    rows.put(call);
    mine.put(call);
  }
  waiting.clear();
  count();
}

function count() {
  total = rows.size;
  rows.settled();
  place("empty").hidden = total > 0 || !live;
  say(place("count"), t(total === 1 ? "board.one_waiting" : "board.waiting", { count: total }));
  const oldest = rows.order.reduce((found, call) => (found && found < call.arrived_at ? found : call.arrived_at), null);
  say(place("longest"), oldest && live ? t("board.longest", { time: lasted(now() - Date.parse(oldest)) }) : "");
  const next = place("next");
  if (next) next.disabled = !live || busy || !rows.order.some((call) => call.state === "waiting");
  document.title = `${live ? total : "!"} · ${t("nav.board")} · Saring`;
}

// What is wrong

function line(told) {
  live = told.state === "live";
  document.body.classList.toggle("not-live", !live);
  const chip = place("line");
  chip.dataset.state = told.state;
  say(chip, t(`line_state.${told.state}`));
  if (told.state === "ended") {
    signInAgain();
    return;
  }
  if (live) {
    if (!place("lost").hidden) tell(t("board.regained"));
    place("lost").hidden = true;
  } else {
    const why = told.service === false ? "board.no_service" : "board.no_stream";
    say(place("lost"), t(why, { time: timeOfDay(told.since) }));
    place("lost").hidden = false;
  }
  count();
}

function beat(told) {
  place("degraded").hidden = !told.degraded;
}

async function deferral(told) {
  const order = place("order");
  const why = told.off_because;
  order.dataset.state = told.deferral_on ? "on" : (why ?? "not_proven");
  say(order, told.deferral_on ? t("order.on") : t("order.off"));
  const banner = place("off");
  place("stop").hidden = !told.deferral_on;
  if (told.deferral_on) {
    banner.hidden = true;
    return;
  }
  const known = `off.${why ?? "not_proven"}`;
  say(banner, t(known in data.words ? known : "off.other"));
  banner.dataset.calm = String(why === null || why === "not_proven");
  banner.hidden = false;
  if (why === "switch" || why === "monitor") {
    const { status, document } = await ask("GET", `${ROOT}v1/operations`);
    const put = status === 200 && !document.switch.on ? document.switch : null;
    if (put) say(banner, t("off.told", { what: t(known), who: put.who, reason: put.reason }));
  }
}

// What operators do

/** Says for a moment what was done, or why it was not; `acts` are buttons beside it. */
let fading = 0;
function tell(text, { fault = false, acts = [] } = {}) {
  const said = place("said");
  said.replaceChildren(el("span", {}, text), ...acts);
  said.dataset.fault = String(fault);
  said.hidden = false;
  clearTimeout(fading);
  fading = setTimeout(() => (said.hidden = true), acts.length ? BACK_MS : fault ? 20_000 : 6_000);
}

/** Takes one call; gives the status of the answer. */
async function tried(callId) {
  const { status, document } = await ask("POST", pathOf(callId, "/take"), {});
  if (status === 200) {
    mine.takenAt.set(callId, now());
    rows.put({ ...rows.callOf(callId), ...document, reasons: rows.callOf(callId)?.reasons ?? document.reasons.slice(0, 3) });
    mine.put(rows.callOf(callId) ?? document);
    tell(t("board.took", { who: document.caller ?? t("call.somebody") }));
  } else if (status === 401) signInAgain();
  return { status, detail: document?.detail ?? t("close.no_answer") };
}

async function alone(work) {
  if (busy || !live) return;
  busy = true;
  count();
  try {
    await work();
  } finally {
    busy = false;
    count();
  }
}

function take(callId) {
  return alone(async () => {
    const { status, detail } = await tried(callId);
    if (status === 409) tell(t("board.too_late"), { fault: true });
    else if (status !== 200) tell(detail, { fault: true });
  });
}

/** Takes the first call that nobody has; one that somebody else has just taken is passed over. */
function takeNext() {
  if (!takes) return undefined;
  return alone(async () => {
    const passed = new Set();
    while (passed.size < MOST_TRIES) {
      const next = rows.free().find((call) => !passed.has(call.call_id));
      if (!next) {
        tell(t("board.nobody"));
        return;
      }
      passed.add(next.call_id);
      const { status, detail } = await tried(next.call_id);
      if (status === 200) return;
      if (status !== 409 && status !== 404) {
        tell(detail, { fault: true });
        return;
      }
    }
  });
}

function release(call) {
  return alone(async () => {
    const { status, document } = await ask("POST", pathOf(call.call_id, "/release"), {});
    if (status === 200) {
      mine.forget(call.call_id);
      tell(t("board.gave_back"));
    } else tell(document?.detail ?? t("close.no_answer"), { fault: true });
  });
}

async function closeCall(call, disposition) {
  const choice = disposition === "genuine" ? await chosen(t("close.category"), "genuine") : { disposition, category: null };
  if (!choice) return;
  // The telephone system has not said so, but whoever closes a call has answered it.
  const at = call.state === "taken" ? new Date(mine.takenAt.get(call.call_id) ?? now()).toISOString() : undefined;
  await alone(() => said(call, choice, at));
}

async function said(call, choice, answeredAt) {
  const { kept, said: why } = await close(call.call_id, { ...choice, answered_at: answeredAt });
  if (!kept) {
    tell(why, { fault: true });
    return;
  }
  mine.forget(call.call_id);
  lastClosed = call;
  const acts = [el("button", { onclick: correct }, el("kbd", {}, "U"), t("board.correct"))];
  if (call.state === "taken") acts.push(el("button", { onclick: bringBack }, el("kbd", {}, "B"), t("board.bring_back")));
  tell(t("board.closed", { who: call.caller ?? t("call.somebody"), how: closing(choice) }), { acts });
}

/** Brings back the call that was closed last, by mistake and while its caller still waited. */
function bringBack() {
  if (!lastClosed) return undefined;
  const call = lastClosed;
  return alone(async () => {
    const why = await reopen(call.call_id);
    tell(why ?? t("board.brought_back", { who: call.caller ?? t("call.somebody") }), { fault: why !== null });
  });
}

async function correct() {
  if (!lastClosed) {
    location.assign(`${ROOT}console/shift`);
    return;
  }
  const call = lastClosed;
  const choice = await chosen(t("close.correct", { who: call.caller ?? t("call.somebody") }));
  if (choice) await alone(() => said(call, choice));
}

/** Stops all deferral: also while the line is lost, when the list may be wrong and the service can still be told. */
async function stop() {
  if (!place("stop").hidden && (await stopping())) tell(t("board.stopped"));
}

function why() {
  const call = rows.selected ?? mine.current?.call_id;
  if (call) location.assign(storyOf(call));
}

const digits = data.dispositions.map(([key, name]) => ({
  keys: [key],
  name: t("keys.close_as", { how: t(`disposition.${name}`) }),
  act: () => mine.current && closeCall(mine.current, name),
}));
const ofBoard = [
  { keys: ["n"], name: t("keys.next"), act: takeNext },
  { keys: ["t"], name: t("keys.take"), act: () => rows.selected && take(rows.selected) },
  { keys: ["g"], name: t("keys.release"), act: () => mine.current?.state === "taken" && release(mine.current) },
];
const help = bind([
  ...(takes ? ofBoard : []),
  { keys: ["ArrowDown", "j"], name: t("keys.down"), act: () => rows.move(1) },
  { keys: ["ArrowUp", "k"], name: t("keys.up"), act: () => rows.move(-1) },
  { keys: ["w", "Enter"], name: t("keys.why"), act: why },
  ...digits,
  { keys: ["u"], name: t("keys.correct"), act: correct },
  { keys: ["b"], name: t("keys.bring_back"), act: bringBack },
  { keys: ["x"], name: t("keys.stop"), act: stop },
  { keys: ["s"], name: t("keys.shift"), act: () => location.assign(`${ROOT}console/shift`) },
]);
place("stop").addEventListener("click", stop);
place("keys").addEventListener("click", help);
place("next")?.addEventListener("click", takeNext);

/** Asks which calls are this operator's; once more when one was taken or closed while the answer was on its way. */
async function whose() {
  const before = mine.changes;
  const { status, document } = await ask("GET", `${ROOT}console/mine`);
  if (mine.changes !== before) whose();
  else if (status === 200) mine.reset(document.calls);
}

follow(`${ROOT}v1/queue/stream?lang=${data.language}&reasons=3`, {
  queue(document) {
    waiting.clear();
    rows.reset(document.calls);
    deferral(document);
    whose();
    count();
  },
  call: later,
  deferral,
  beat,
  line,
});
function tick() {
  say(place("clock"), timeOfDay(now()));
  if (!live) return; // what is shown is as of then
  rows.tick();
  mine.tick();
  count();
}

tick();
setInterval(tick, 1_000);
