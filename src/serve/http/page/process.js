// The process, when there is one: registers, stack, breakpoints, stepping.

import { get, run } from "./api.js";
import { make, say, hex, visible } from "./dom.js";

const STEPS = [["Step", "ds", "Step one instruction"], ["Over", "dso", "Step over calls"], ["Continue", "dc", "Run on"]];

export class Process extends EventTarget {
  #place; #lists; #registers = {}; #known = new Set();

  constructor(place, lists) {
    super();
    this.#place = place;
    this.#lists = lists;
  }

  /** Looks whether a process is open, and shows it. */
  async refresh() {
    if (!this.#lists.includes("registers")) return;
    let registers;
    try {
      registers = await get("/list/registers");
    } catch {
      registers = {};
    }
    const names = Object.keys(registers);
    this.#place.hidden = names.length === 0;
    document.body.classList.toggle("has-process", names.length > 0);
    if (names.length === 0) return;
    const old = this.#registers;
    this.#registers = registers;
    let breakpoints = [];
    if (this.#lists.includes("breakpoints")) {
      try {
        breakpoints = await get("/list/breakpoints");
      } catch {
        breakpoints = [];
      }
    }
    const stack = await this.#stack(registers);
    this.#place.replaceChildren(
      make("div", { class: "steps" }, ...STEPS.map(([label, command, title]) => make("button", { type: "button", title, onclick: () => this.step(command) }, label))),
      make("h2", {}, "Registers"),
      make("dl", { class: "registers" }, ...names.flatMap((name) => {
        const value = registers[name];
        const number = typeof value === "number" || typeof value === "bigint";
        const changed = old[name] !== undefined && String(old[name]) !== String(value);
        return [make("dt", {}, name), make("dd", { class: changed ? "changed" : "" }, number
          ? make("button", { type: "button", class: "link", onclick: () => this.dispatchEvent(new CustomEvent("go", { detail: BigInt(value) })) }, hex(value, 16))
          : visible(value))];
      })),
      make("h2", {}, "Stack"), stack,
      make("h2", {}, "Breakpoints"),
      breakpoints.length === 0 ? make("p", { class: "empty" }, "None: b sets one at the cursor.") : make("ul", { class: "breakpoints" }, ...breakpoints.map((point) => {
        const address = BigInt(point.addr ?? point.address ?? point.offset ?? 0);
        return make("li", {}, make("button", { type: "button", class: "link", onclick: () => this.dispatchEvent(new CustomEvent("go", { detail: address })) }, hex(address, 16)),
          make("button", { type: "button", "aria-label": `Remove the breakpoint at ${hex(address)}`, onclick: () => this.step(`db- ${hex(address)}`) }, "Remove"));
      })),
    );
  }

  async #stack(registers) {
    const pointer = registers.rsp ?? registers.sp ?? registers.esp;
    if (pointer === undefined) return make("p", { class: "empty" }, "No stack pointer.");
    const { output } = await run(`pxr 64 @ ${pointer}`);
    return make("pre", { class: "stack" }, visible(output).replaceAll("\\x0a", "\n"));
  }

  async step(command) {
    try {
      const report = await run(command);
      if (!report.ok) say(report.errors[0] ?? `${command} failed`, true);
    } catch (error) {
      say(error.message, true);
    }
    this.dispatchEvent(new Event("stepped"));
    await this.refresh();
  }
}
