// What the modules of every page share: the page's data and words, elements without markup, and asking the service.

/** Where the service is, with a slash at the end: this module stands three steps below it. */
export const ROOT = new URL("../../../", import.meta.url).pathname;

export const data = JSON.parse(document.getElementById("data").textContent);

/** Gives a text of the page's language with its values filled in. */
export function t(name, values = {}) {
  const text = data.words[name];
  if (text === undefined) throw new Error(`no such word on this page: ${name}`);
  return text.replace(/\{(\w+)\}/g, (_, value) => String(values[value]));
}

/** Makes an element; children are elements or plain text, so nothing that was sent is ever read as markup. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Makes a small picture of one path in 20 by 20, in the colour of the text around it. */
export function shape(path) {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", "0 0 20 20");
  picture.setAttribute("aria-hidden", "true");
  const drawn = document.createElementNS(SVG, "path");
  drawn.setAttribute("d", path);
  drawn.setAttribute("fill", "currentColor");
  picture.append(drawn);
  return picture;
}

/** Writes a text only when it is another one: most of what is looked at each second has not changed. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Asks the service, by an address that begins with ROOT; gives the status (0: no answer) and the document. */
export async function ask(method, path, body) {
  try {
    const answer = await fetch(path, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      redirect: "error",
      signal: AbortSignal.timeout(10_000),
    });
    const text = await answer.text();
    return { status: answer.status, document: text ? JSON.parse(text) : null };
  } catch {
    return { status: 0, document: null };
  }
}

export const pathOf = (callId, what = "") => `${ROOT}v1/calls/${encodeURIComponent(callId)}${what}`;
export const storyOf = (callId) => `${ROOT}console/calls/${encodeURIComponent(callId)}`;

/** Leads to the sign-in, and from there back here. */
export function signInAgain() {
  location.assign(`${ROOT}console/sign-in?to=${encodeURIComponent(location.pathname.slice(ROOT.length - 1))}`);
}
