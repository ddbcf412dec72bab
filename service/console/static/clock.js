// The service's clock, by which calls have waited, whatever this machine's says; and times as people read them.

import { data } from "./page.js";

const KEPT = 10;
const offsets = [];
let offset = 0;

/** Takes note of what the service's clock just said; the way here only ever makes it look behind. */
export function heard(at) {
  offsets.push(Date.parse(at) - Date.now());
  if (offsets.length > KEPT) offsets.shift();
  offset = Math.max(...offsets);
}

/** Gives now by the service's clock, in milliseconds since 1970. */
export const now = () => Date.now() + offset;

const two = (number) => String(number).padStart(2, "0");

/** Says how long something has lasted: 0:07, 12:30, 1:02:03. */
export function lasted(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

const form = { timeZone: data.time_zone, hourCycle: "h23", hour: "2-digit", minute: "2-digit", second: "2-digit" };
const local = new Intl.DateTimeFormat("en-GB", form);

/** Writes a moment as the time of day in the centre's time zone. */
export const timeOfDay = (moment) => local.format(moment);
