// One key for each action, all of them listed by "?". Single keys can be switched off, for who types by voice.

import { el, t } from "./page.js";

const OFF = "saring-keys-off";
const TYPED_IN = "input, select, textarea";

/**
 * Listens for keys.
 *
 * @param {{keys: string[], name: string, act: () => void}[]} bindings the first of `keys` is the one that is listed;
 *   `name` is its text, "" for what is listed elsewhere.
 * @returns {() => void} shows the list.
 */
export function bind(bindings) {
  const help = list(bindings);
  const all = [...bindings, { keys: ["?"], act: help }];
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented || event.repeat) return;
    if (event.target.closest(TYPED_IN) || document.querySelector("dialog[open]")) return;
    if (localStorage.getItem(OFF) && event.key.length === 1) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const found = all.find((binding) => binding.keys.includes(key));
    if (!found) return;
    event.preventDefault();
    found.act();
  });
  return help;
}

function list(bindings) {
  const rows = bindings
    .filter((binding) => binding.name)
    .map(({ keys, name }) => el("li", {}, el("kbd", {}, shown(keys[0])), name));
  const off = el("input", {
    type: "checkbox",
    id: "keys-off",
    onchange: () => (off.checked ? localStorage.setItem(OFF, "1") : localStorage.removeItem(OFF)),
  });
  off.checked = Boolean(localStorage.getItem(OFF));
  const dialog = el(
    "dialog",
    { class: "help", "aria-labelledby": "help-title" },
    el("h2", { id: "help-title" }, t("keys.title")),
    el("ul", { class: "keys" }, ...rows),
    el("p", {}, off, el("label", { for: "keys-off" }, t("keys.off"))),
    el("button", { class: "main", onclick: () => dialog.close(), autofocus: true }, el("kbd", {}, "Esc"), t("keys.close")),
  );
  document.body.append(dialog);
  return () => dialog.showModal();
}

const NAMES = { ArrowDown: "↓", ArrowUp: "↑", Escape: "Esc" };
const shown = (key) => NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key);
