// The badge as the board draws it: shape, word, border and colour, never colour alone. Its looks are the element's.

import { data, el, shape } from "./page.js";
import { detail, LOOKS } from "./saring-badge.js";

/** Draws the badge of a call; of one of the random share it says nothing but that. */
export function badge(call) {
  const { shape: drawn, words } = LOOKS[call.badge];
  const more = detail(call.badge, call.one_in, call.band === null, data.language);
  const small = more ? el("small", {}, more) : null;
  return el("span", { class: "badge", "data-badge": call.badge }, shape(drawn), el("span", {}, words[data.language]), small);
}
