// One call's story: closing or correcting it here.

import { chosen, close, closing } from "./closing.js";
import "./here.js";
import { data, say, t } from "./page.js";

const place = (id) => document.getElementById(id);

async function correct() {
  const choice = await chosen(t("story.closing"));
  if (!choice) return;
  const { kept, said } = await close(data.call_id, choice);
  if (kept) say(place("closed"), closing(choice));
  say(place("said"), kept ? t("story.kept") : said);
}

place("correct")?.addEventListener("click", correct);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") location.assign(place("back").href);
  else if (place("correct") && event.key.toLowerCase() === "u" && !localStorage.getItem("saring-keys-off")) correct();
});
