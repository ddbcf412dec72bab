// One call's story: closing or correcting it here.

import { BACK_MS, chosen, close, closing, reopen } from "./closing.js";
import "./here.js";
import { data, say, t } from "./page.js";

const place = (id) => document.getElementById(id);

async function correct() {
  const choice = await chosen(t("story.closing"));
  if (!choice) return;
  const { kept, said } = await close(data.call_id, choice);
  if (kept) {
    say(place("closed"), closing(choice));
    if (data.waits) offer(BACK_MS);
  }
  say(place("said"), kept ? t("story.kept") : said);
}

/** Offers for a while to bring the call back: it was closed while it waited. */
function offer(milliseconds) {
  place("back-to-queue").hidden = false;
  setTimeout(() => (place("back-to-queue").hidden = true), milliseconds);
}

async function bringBack() {
  const why = await reopen(data.call_id);
  if (why === null) {
    place("back-to-queue").hidden = true;
    say(place("closed"), t("story.open"));
  }
  say(place("said"), why ?? t("story.brought_back"));
}

place("correct")?.addEventListener("click", correct);
place("back-to-queue")?.addEventListener("click", bringBack);
if (data.back_ms > 0) offer(data.back_ms);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") location.assign(place("back").href);
  else if (!place("correct") || localStorage.getItem("saring-keys-off")) return;
  else if (event.key.toLowerCase() === "u") correct();
  else if (event.key.toLowerCase() === "b" && !place("back-to-queue").hidden) bringBack();
});
