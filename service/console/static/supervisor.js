// The supervisor's page: putting the switch, and saying when what the page tells has been overtaken.

import { timeOfDay } from "./clock.js";
import { ask, data, el, ROOT, say, signInAgain, t } from "./page.js";
import { put } from "./stopping.js";

const LOOK_MS = 4_000;
const place = (id) => document.getElementById(id);
let lostSince = null;

place("switch")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fault = await put(!data.switch_on, place("reason").value);
  if (fault === null) location.reload();
  else say(place("fault"), fault);
  place("fault").hidden = fault === null;
});

async function look() {
  const { status, document } = await ask("GET", `${ROOT}v1/operations`);
  if (status === 401 || status === 403) signInAgain();
  if (status !== 200) {
    lostSince ??= Date.now();
    say(place("lost"), t("sup.lost", { time: timeOfDay(lostSince) }));
    place("lost").hidden = false;
    return;
  }
  lostSince = null;
  place("lost").hidden = true;
  const same = document.switch.on === data.switch_on && document.deferral_on === data.deferral_on;
  if (same === place("changed").hidden) return;
  const again = el("button", { onclick: () => location.reload() }, t("sup.changed_again"));
  place("changed").replaceChildren(...(same ? [] : [`${t("sup.changed")} `, again]));
  place("changed").hidden = same;
}

setInterval(look, LOOK_MS);
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && look());
addEventListener("offline", look);
