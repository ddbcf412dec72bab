// On pages that do not follow the queue: tells the service that the operator is still there, so that a call that was
// taken stays taken while its story is read.

import { ask, ROOT } from "./page.js";

const EVERY_MS = 5_000;

setInterval(() => ask("GET", `${ROOT}console/mine`), EVERY_MS);
