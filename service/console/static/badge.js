// The badge as the board draws it: shape, word, colour and score, never colour alone. Its looks are the element's.

import { data, el, shape } from "./page.js";
import { LOOKS, percent } from "./saring-badge.js";

/** Draws the badge of a call; one of the random share has none, and says so. */
export function badge(call) {
  const state = call.band ?? "none";
  const scored = call.prank_likelihood !== null && state !== "none" && state !== "unscored";
  const score = scored ? el("span", { class: "score" }, percent(call.prank_likelihood)) : null;
  const { shape: drawn, words } = LOOKS[state];
  return el("span", { class: "badge", "data-band": state }, shape(drawn), el("span", {}, words[data.language]), score);
}
