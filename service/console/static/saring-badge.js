// The badge of a call on the page of another system: one module without any dependency, served as /badge.js.
//
//     <script type="module" src="https://saring.example/badge.js"></script>
//     <saring-badge call="112-0042" token="A TOKEN OF /v1/tokens"></saring-badge>
//
// Attributes: `call` and `token`, or `badge` and `one-in` for a page that knows them itself (or `band`, which says less,
// as pages of before have it); `lang` (en, id; else that of the page), `theme` (light, dark; else as the screen is set),
// `refresh` (seconds, 5), `service` (an address, else where the module came from). `shown` is written by the element: the
// state that it shows.
//
// It never shows as current what it does not know: without an answer for some seconds, or when the token has ended, it
// says "connection lost". A minute before the token ends it sends the event `saring-renew`; set `token` to a new one then.

export const LOOKS = {};
const TEXTS = {};

const SERVICE = new URL(".", import.meta.url).href;
// What is left to say of a band alone.
const OF_BAND = { normal: "not_clear", unsure: "not_clear", likely_prank: "prank_like" };
const PATIENCE_MS = 3_000;
const RENEW_MS = 60_000;
const WHY = {
  token: { en: "its token has ended", id: "tokennya sudah berakhir" },
  service: { en: "the service is not responding", id: "layanan tidak merespons" },
  call: { en: "the service does not know this call", id: "layanan tidak mengenal panggilan ini" },
};

/** Says what stands below the word: how rare genuine calls are among those that score like this; empty for nothing. */
export function detail(state, oneIn, byLot, language) {
  const { one_in: text, by_lot: lot, thousands } = TEXTS[language];
  if (state === "not_rated") return byLot ? lot : "";
  const known = Number.isInteger(oneIn) && oneIn > 0 && state !== "stale";
  return known ? text.replace("{n}", String(oneIn).replace(/\B(?=(\d{3})+$)/g, thousands)) : "";
}

const [HTML, SVG] = ["http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg"];

function made(name, attributes, kind = HTML, text = "") {
  const element = document.createElementNS(kind, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

const coloured = (theme, state) => `{color:${LOOKS[state][theme][0]};background:${LOOKS[state][theme][1]}}`;
const edge = (state) => (LOOKS[state].border === "none" ? "" : `border:1.5px ${LOOKS[state].border} currentColor`);
const sheet = new CSSStyleSheet();
sheet.replaceSync(
  `:host{display:inline-block;vertical-align:middle}:host([hidden]){display:none}
  .badge{display:inline-grid;grid-template-columns:1.2em auto;align-items:center;gap:0 .5em;padding:.3em .6em;
    border:1.5px solid transparent;border-radius:.4em;text-align:start;
    font:600 .95rem/1.2 system-ui,"Segoe UI",Roboto,"Noto Sans",sans-serif}
  svg{width:1.2em;height:1.2em;grid-row:1/3}small{font-size:.8rem;font-weight:400;white-space:nowrap}
  .badge:not(:has(small)) svg{grid-row:1}` +
    Object.keys(LOOKS)
      .map(
        (state) => `.${state}{${edge(state)}}.${state}${coloured("light", state)}
          :host([theme="dark"]) .${state}${coloured("dark", state)}
          @media (prefers-color-scheme:dark){:host(:not([theme="light"])) .${state}${coloured("dark", state)}}`,
      )
      .join(""),
);

class SaringBadge extends HTMLElement {
  static observedAttributes = ["badge", "one-in", "band", "call", "token", "service", "refresh", "lang"];

  #root = this.attachShadow({ mode: "open" });
  #known = null; // what the service said last
  #heard = 0; // when, by this page's clock
  #ends = Infinity; // when the token does
  #renewed = false; // a new token was asked for
  #why = null; // why what is known is not current
  #timer = 0;
  #drawn = "";
  #asked = 0; // counts the questions, so that a late answer to an old one is dropped

  constructor() {
    super();
    this.#root.adoptedStyleSheets = [sheet];
  }

  connectedCallback() {
    document.addEventListener("visibilitychange", this.#look);
    this.#begin();
  }

  disconnectedCallback() {
    document.removeEventListener("visibilitychange", this.#look);
    clearTimeout(this.#timer);
    this.#asked += 1;
  }

  attributeChangedCallback(name, before, after) {
    if (!this.isConnected || before === after) return;
    if (name === "call" || name === "service") this.#known = null;
    if (["call", "token", "service", "refresh"].includes(name)) this.#begin();
    else this.#draw();
  }

  get #everyMs() {
    return 1_000 * Math.max(1, Number(this.getAttribute("refresh")) || 5);
  }

  #begin() {
    clearTimeout(this.#timer);
    [this.#ends, this.#renewed] = [Infinity, false];
    if (this.hasAttribute("call")) this.#ask();
    else this.#draw();
  }

  async #ask() {
    clearTimeout(this.#timer);
    const asked = (this.#asked += 1);
    const call = encodeURIComponent(this.getAttribute("call"));
    const address = new URL(`v1/calls/${call}/badge`, new URL(this.getAttribute("service") ?? SERVICE, SERVICE));
    address.searchParams.set("token", this.getAttribute("token") ?? "");
    let why = "service";
    try {
      const signal = AbortSignal.timeout(PATIENCE_MS);
      const how = { credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer", redirect: "error", signal };
      const answer = await fetch(address, how);
      if (answer.ok) {
        const told = await answer.json();
        why = told.badge in LOOKS ? null : "service";
        if (asked === this.#asked && why === null) this.#hear(told);
      } else if (answer.status === 401) why = "token";
      else if (answer.status === 404 || answer.status === 422) why = "call";
    } catch {
      // No answer, or none that makes sense.
    }
    if (asked !== this.#asked) return;
    // One question without an answer is no news yet; what says that there is none to come is.
    const old = performance.now() - this.#heard > this.#everyMs + PATIENCE_MS;
    if (why === null || why !== "service" || this.#known === null || old) this.#why = why;
    this.#look();
    if (why !== "token") this.#timer = setTimeout(() => this.#ask(), this.#everyMs);
  }

  #hear(told) {
    [this.#known, this.#heard] = [told, performance.now()];
    // Both times are the service's, so this machine's clock may be wrong.
    if (told.token_expires_at) this.#ends = this.#heard + Date.parse(told.token_expires_at) - Date.parse(told.at);
  }

  /** Sees whether what is shown still holds: after each answer, and when a page that was covered is seen again. */
  #look = () => {
    if (!this.hasAttribute("call")) return;
    const now = performance.now();
    if (now >= this.#ends) this.#why = "token";
    else if (this.#known && this.#why === null && now - this.#heard > 2 * this.#everyMs + PATIENCE_MS) {
      this.#why = "service";
      this.#ask();
    }
    if (!this.#renewed && (this.#why === "token" || this.#ends - now < RENEW_MS)) {
      this.#renewed = true;
      this.dispatchEvent(new CustomEvent("saring-renew", { bubbles: true, composed: true }));
    }
    this.#draw();
  };

  /** Gives what is to be shown: state, number, whether by lot, and for a stale one why it no longer counts. */
  #shown() {
    if (!this.hasAttribute("call")) {
      const own = this.getAttribute("badge") ?? OF_BAND[this.getAttribute("band")];
      return { badge: own in LOOKS ? own : "not_rated", one_in: Number(this.getAttribute("one-in")) };
    }
    if (this.#why !== null) return { badge: "stale", why: this.#why };
    return this.#known; // null: nothing was heard yet
  }

  #draw() {
    const shown = this.#shown();
    if (shown === null) return;
    const said = this.closest("[lang]")?.lang || document.documentElement.lang;
    const language = /^(id|in)\b/i.test(said) ? "id" : "en";
    const { shape, words } = LOOKS[shown.badge];
    const more = detail(shown.badge, shown.one_in, shown.state === "none", language);
    const drawn = JSON.stringify([shown, language]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const badge = made("span", { class: `badge ${shown.badge}`, part: "badge" });
    const picture = made("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, SVG);
    picture.append(made("path", { d: shape, fill: "currentColor" }, SVG));
    badge.append(picture, made("span", {}, HTML, words[language]));
    if (more) badge.append(made("small", {}, HTML, more));
    if (shown.why) badge.title = WHY[shown.why][language];
    this.#root.replaceChildren(badge);
    this.setAttribute("shown", shown.badge);
  }
}

if (!customElements.get("saring-badge")) customElements.define("saring-badge", SaringBadge);
