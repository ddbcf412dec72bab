// The shift: closing and correcting calls from the list.

import { chosen, close, closing } from "./closing.js";
import "./here.js";
import { ROOT, say, t } from "./page.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.correct");
  if (!button) return;
  const row = button.closest("tr");
  const who = row.querySelector(".name").textContent;
  const choice = await chosen(t("close.correct", { who }));
  if (!choice) return;
  const { kept, said } = await close(row.dataset.id, choice);
  if (kept) say(row.querySelector(".how"), closing(choice));
  const told = document.getElementById("said");
  say(told, kept ? t("shift.kept", { who }) : said);
  told.hidden = false;
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) location.assign(`${ROOT}console`);
});
