// Who refers to the address under the cursor, and what the code there refers to.

import { get } from "./api.js";
import { make, hex, visible } from "./dom.js";
import { List } from "./lists.js";

export class References {
  #list; #title; #address = null; #controller = null; #late = 0;

  constructor(chosen) {
    this.#list = new List("References", chosen);
    this.#title = make("p", { class: "list-title", role: "status" });
    this.element = make("div", { class: "list-panel" }, this.#title, this.#list.element);
  }

  focus() { this.#list.focus(); }

  /** Shows the references of `address`, when the cursor has come to rest there. */
  show(address, now = false) {
    if (address === this.#address && !now) return;
    this.#address = address;
    clearTimeout(this.#late);
    this.#late = setTimeout(() => this.#load(address), now ? 0 : 150);
  }

  async #load(address) {
    this.#controller?.abort();
    const controller = this.#controller = new AbortController();
    this.#title.textContent = `References of ${hex(address)}`;
    try {
      const { to, from } = await get(`/references?address=0x${address.toString(16)}`, controller.signal);
      const row = (way) => (one) => ({
        address: String(way === "from here" ? one.to ?? one.ref ?? one.addr ?? one.from : one.from ?? one.addr),
        name: [one.fcn_name && way === "to here" ? `${one.fcn_name}:` : "", one.opcode ?? one.refname ?? one.name ?? ""].filter(Boolean).join(" "),
        type: `${way} ${String(one.type ?? "").toLowerCase()}`,
      });
      this.#list.rows = [...to.map(row("to here")), ...from.map(row("from here"))];
      if (to.length + from.length === 0) this.#list.empty("Nothing known. 'aa' finds functions and references.");
    } catch (error) {
      if (error.name !== "AbortError") this.#list.empty(visible(error.message));
    }
  }
}
