// The line to the service: its stream of events, how soon a lost one is noticed, and how it is taken up again.

import { heard } from "./clock.js";
import { ROOT } from "./page.js";

/** The service says something at least every two seconds. */
const SILENT_MS = 5_000;
const LOOK_MS = 500;
const AGAIN_MS = 1_000;

/**
 * Follows the queue until the page is left.
 *
 * @param {string} address of the stream.
 * @param {object} told what to do with `queue`, `call`, `deferral`, `beat`, and with `line`: the state of the line,
 *   one of {state: "live"}, {state: "lost", since, service: whether the service answers}, {state: "ended"}.
 */
export function follow(address, told) {
  let source = null;
  let last = performance.now();
  let lostSince = null;

  function open() {
    source = new EventSource(address);
    last = performance.now();
    for (const name of ["queue", "call", "deferral", "beat"]) {
      source.addEventListener(name, (event) => {
        const document = JSON.parse(event.data);
        last = performance.now();
        if (document.at) heard(document.at);
        told[name](document);
        if (lostSince !== null || name === "queue") {
          lostSince = null;
          told.line({ state: "live" });
        }
      });
    }
    source.addEventListener("bye", lost);
    source.addEventListener("error", lost);
  }

  function lost() {
    if (source === null) return; // it is being looked after
    source.close();
    source = null;
    if (lostSince === null) lostSince = Date.now();
    told.line({ state: "lost", since: lostSince, service: null });
    again();
  }

  // An EventSource does not say why it failed, so a plain question goes before the next one.
  async function again() {
    const status = await statusOf(`${ROOT}v1/queue?limit=1&reasons=0`);
    if (status === 401 || status === 403) {
      told.line({ state: "ended" });
      return;
    }
    if (status === 200) {
      open();
      return;
    }
    told.line({ state: "lost", since: lostSince, service: status !== 0 });
    setTimeout(again, AGAIN_MS);
  }

  function look() {
    if (source !== null && performance.now() - last > SILENT_MS) lost();
  }

  open();
  setInterval(look, LOOK_MS);
  addEventListener("offline", lost);
  document.addEventListener("visibilitychange", look);
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}

async function statusOf(path) {
  try {
    return (await fetch(path, { signal: AbortSignal.timeout(3_000) })).status;
  } catch {
    return 0;
  }
}
