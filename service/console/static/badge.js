// The badge as the board draws it: shape, word, colour and score, never colour alone.

import { data, el, shape } from "./page.js";

/** Gives which state of the badge a call is in: its band, or "none" for one of the random share. */
export const stateOf = (call) => call.band ?? "none";

/** Writes a probability; never as certainty. */
export function percent(share) {
  if (share > 0.99) return "> 99 %";
  return share < 0.01 ? "< 1 %" : `${Math.round(share * 100)} %`;
}

/** Draws the badge of a call. */
export function badge(call) {
  const state = stateOf(call);
  const look = data.looks[state];
  const scored = call.prank_likelihood !== null && state !== "none" && state !== "unscored";
  const score = scored ? el("span", { class: "score" }, percent(call.prank_likelihood)) : null;
  return el("span", { class: "badge", "data-band": state }, shape(look.shape), el("span", {}, look.word), score);
}
