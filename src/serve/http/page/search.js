// Searching: hits as they are found.

import { lines } from "./api.js";
import { make, say } from "./dom.js";
import { List } from "./lists.js";

const KINDS = [
  ["text", "Text"], ["text-any-case", "Text, either case"], ["wide-text", "UTF-16"], ["hex", "Bytes (hex)"],
  ["expression", "Expression"], ["number", "Number"],
];
const LIMIT = 10000;

export class Search {
  #controller = null; #list; #pattern; #kind; #button; #progress;

  constructor(chosen) {
    this.#list = new List("Hits", chosen);
    this.#pattern = make("input", { id: "search-pattern", type: "search", placeholder: "Search memory (/)", "aria-label": "Search memory", spellcheck: "false" });
    this.#kind = make("select", { "aria-label": "What the pattern is" }, ...KINDS.map(([value, label]) => make("option", { value }, label)));
    this.#button = make("button", {}, "Search");
    this.#progress = make("p", { id: "search-state", role: "status" });
    const form = make("form", { class: "search", onsubmit: (event) => { event.preventDefault(); this.#start(); } }, this.#pattern, this.#kind, this.#button);
    this.element = make("div", { class: "list-panel" }, form, this.#progress, this.#list.element);
    this.#list.empty("Hits appear here as they are found.");
  }

  focus() { this.#pattern.focus(); this.#pattern.select(); }

  async #start() {
    if (this.#controller) {
      this.#controller.abort();
      return;
    }
    const pattern = this.#pattern.value;
    if (!pattern) return;
    this.#controller = new AbortController();
    this.#button.textContent = "Stop";
    this.#list.rows = [];
    let count = 0;
    this.#progress.textContent = "searching";
    try {
      const body = { pattern, kind: this.#kind.value, limit: LIMIT };
      for await (const line of lines("/search", body, this.#controller.signal)) {
        if (line.hit) {
          count += 1;
          this.#list.add({ ...line.hit, name: line.hit.data ?? "" });
          if (count % 100 === 0) this.#progress.textContent = `${count} hits so far`;
        } else if (line.error) {
          throw new Error(line.error.message);
        } else if (line.report && !line.report.ok) {
          throw new Error(line.report.errors[0] ?? "the search failed");
        }
      }
      this.#progress.textContent = count === 1 ? "1 hit" : `${count} hits`;
    } catch (error) {
      this.#progress.textContent = error.name === "AbortError" ? `stopped after ${count} hits` : "";
      if (error.name !== "AbortError") say(error.message, true);
    } finally {
      this.#controller = null;
      this.#button.textContent = "Search";
    }
  }
}
