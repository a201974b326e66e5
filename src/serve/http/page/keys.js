// Keys, the command palette and the help, all from one table of actions.

import { byId, make } from "./dom.js";

/** Whether keys belong to what is being typed into. */
const typing = (target) => target.closest?.("input, textarea, select, dialog") !== null && target.closest?.("input, textarea, select, dialog") !== undefined;

export class Keys {
  #actions; #first = "";

  /** `actions`: [{keys, label, run, when}]. */
  constructor(actions) {
    this.#actions = actions;
    document.addEventListener("keydown", (event) => this.#key(event));
    byId("palette-open").onclick = () => this.palette();
    byId("help-open").onclick = () => this.help();
    byId("palette-line").oninput = () => this.#sift();
    byId("palette-line").onkeydown = (event) => this.#pick(event);
  }

  #key(event) {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      this.palette();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const name = event.key === " " ? "Space" : event.key;
    const chord = this.#first + name;
    const found = this.#actions.find(({ keys, when }) => keys.includes(chord) && (!when || when(event)));
    if (found) {
      event.preventDefault();
      this.#first = "";
      found.run(event);
      return;
    }
    const begins = this.#actions.some(({ keys }) => keys.some((key) => key.length > chord.length && key.startsWith(chord)));
    this.#first = begins && !this.#first ? chord : "";
  }

  help() {
    const rows = this.#actions.filter(({ keys }) => keys.length > 0);
    byId("help-keys").replaceChildren(...rows.flatMap(({ keys, label }) => [
      make("dt", {}, ...keys.flatMap((key, index) => [index > 0 ? " " : "", make("kbd", {}, key)])), make("dd", {}, label),
    ]));
    byId("help").showModal();
  }

  palette() {
    const dialog = byId("palette");
    if (dialog.open) return;
    byId("palette-line").value = "";
    this.#sift();
    dialog.showModal();
  }

  #sift() {
    const words = byId("palette-line").value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.#actions.filter(({ label, hidden }) => !hidden && words.every((word) => label.toLowerCase().includes(word)));
    byId("palette-list").replaceChildren(...found.map((action, index) => make("li", {
      role: "option", "aria-selected": String(index === 0), onclick: () => this.#run(action),
    }, action.label, " ", ...action.keys.slice(0, 1).map((key) => make("kbd", {}, key)))));
    this.found = found;
    this.at = 0;
  }

  #pick(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.found.length > 0) {
      event.preventDefault();
      this.at = (this.at + step + this.found.length) % this.found.length;
      [...byId("palette-list").children].forEach((row, index) => row.setAttribute("aria-selected", String(index === this.at)));
      byId("palette-list").children[this.at]?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (this.found[this.at]) this.#run(this.found[this.at]);
    }
  }

  #run(action) {
    byId("palette").close();
    action.run();
  }
}
