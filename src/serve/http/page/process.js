// The process, when there is one: registers, stack, threads, frames, breakpoints, stepping. All of it comes in one
// answer, and everything that makes it run is asked for on the side, so that a process that does not stop blocks nobody.

import { get, post } from "./api.js";
import { make, say, hex, visible } from "./dom.js";

/** Parts of registers that are shown already. */
const PARTS = /^(e?[a-d]x|[a-d][lh]|e?[sd]il?|e?[sb]pl?|e?ip|r\d+[dwb]|w\d+|xmm.*|ymm.*)$/;

export class Process extends EventTarget {
  #place; #state = "none"; #old = {}; #seen = {}; #may; #running = null; #asked = 0; #latest = null; #drawn = ""; pc = null; ended = false; breakpoints = new Set();

  constructor(place, may) {
    super();
    this.#place = place;
    this.#may = may;
    this.steps = [
      ["Step", "s", "step", "Step one instruction"], ["Over", "n", "over", "Step over a call"],
      ["Out", "f", "out", "Run until the function returns"], ["Continue", "c", "continue", "Run on"],
    ];
  }

  get here() { return this.#state !== "none"; }
  get running() { return this.#running !== null || this.#state === "running"; }

  /** Whether this page lets it run at the moment. */
  get acting() { return this.#running !== null; }

  /** Looks at the process and shows it. Ends when what is newest is shown. */
  refresh() {
    this.#latest = this.#look();
    return this.#latest;
  }

  async #look() {
    if (!this.#may) return;
    const asked = ++this.#asked;
    let found;
    try {
      found = await get("/process");
    } catch (error) {
      found = { state: "none", why: error.message };
    }
    if (asked !== this.#asked) {
      await this.#latest;
      return;
    }
    this.#state = found.state;
    this.#place.hidden = !this.here;
    document.body.classList.toggle("has-process", this.here);
    if (!this.here) return;
    const registers = found.registers ?? {};
    const wide = "rax" in registers || "x0" in registers;
    const names = Object.keys(registers).filter((name) => !wide || !PARTS.test(name));
    const pc = registers.rip ?? registers.pc ?? registers.eip;
    this.ended = found.state === "ended";
    this.pc = pc === undefined ? null : BigInt(pc);
    // What changed is measured against the stop before, however often one looks.
    if (this.#seen.rip !== registers.rip || this.#seen.pc !== registers.pc) {
      this.#old = this.#seen;
      this.#seen = registers;
    }
    const points = found.breakpoints ?? [];
    this.breakpoints = new Set(points.filter((point) => point.enabled !== false).map((point) => BigInt(point.addr)));
    // What looks the same stays as it is: somebody may be about to click on it.
    const text = JSON.stringify([found, this.running, this.ended], (_, value) => (typeof value === "bigint" ? String(value) : value));
    if (text !== this.#drawn) this.#draw(found, names, registers, points);
    this.#drawn = text;
    this.dispatchEvent(new Event("looked"));
  }

  #link(address, text = hex(address, 12)) {
    return make("button", { type: "button", class: "link", onclick: () => this.dispatchEvent(new CustomEvent("go", { detail: BigInt.asUintN(64, BigInt(address)) })) }, visible(text));
  }

  #draw(found, names, registers, points) {
    const busy = this.running;
    const steps = this.steps.map(([label, key, action, title]) => make("button", { type: "button", title: `${title} (${key})`, disabled: busy || found.state === "ended", onclick: () => this.act(action) }, label));
    const pause = make("button", { type: "button", id: "pause", title: "Stop the process (p)", disabled: !busy, onclick: () => this.pause() }, "Pause");
    const section = (title, ...body) => make("section", { class: "part", "aria-label": title }, make("h2", {}, title), ...body);
    const state = make("p", { id: "process-state", role: "status" }, busy ? "running" : found.state === "ended" ? "The process has ended." : `stopped at ${this.pc === null ? "?" : hex(this.pc)}`);
    const parts = [make("div", { class: "steps" }, ...steps, pause,
      found.state === "ended" ? make("button", { type: "button", id: "restart", title: "Start the program again (doo)", onclick: () => this.dispatchEvent(new Event("restart")) }, "Restart") : null), state];
    if (names.length > 0) {
      parts.push(section("Registers", make("dl", { class: "registers" }, ...names.flatMap((name) => {
        const value = registers[name];
        const changed = this.#old[name] !== undefined && String(this.#old[name]) !== String(value);
        const number = typeof value === "number" || typeof value === "bigint";
        return [make("dt", {}, name), make("dd", { class: changed ? "changed" : "" }, number ? this.#link(value, hex(value, 1)) : visible(value))];
      }))));
      parts.push(section("Stack", make("ol", { class: "stack" }, ...(found.stack ?? []).map((row) => make("li", {},
        make("span", { class: "offset" }, hex(row.addr).slice(-5)), " ", this.#link(row.value, hex(row.value, 1)), " ",
        make("span", { class: "note" }, visible(row.ref?.flag ?? row.ref?.string ?? "")))))));
      parts.push(section("Frames", make("ol", { class: "frames" }, ...(found.frames ?? []).map((frame) => make("li", {},
        this.#link(frame.pc, frame.desc || hex(frame.pc)), " ", make("span", { class: "note" }, visible(frame.fname ?? "")))))));
      parts.push(section("Threads", make("ul", { class: "threads" }, ...(found.threads ?? []).map((thread) => make("li", { class: thread.current ? "current" : "" },
        make("button", { type: "button", "aria-pressed": String(Boolean(thread.current)), onclick: () => this.act("thread", { count: Number(thread.pid) }) }, String(thread.pid)),
        " ", this.#link(thread.pc ?? 0), " ", make("span", { class: "note" }, visible(thread.path ?? "")))))));
    }
    parts.push(section("Breakpoints", points.length === 0 ? make("p", { class: "empty" }, "None: b sets one at the cursor.") : make("ul", { class: "breakpoints" }, ...points.map((point) => {
      const at = hex(point.addr);
      return make("li", {}, this.#link(point.addr, point.name || at), make("span", { class: "note" }, ` ${point.hits ?? 0} hits`),
        make("button", { type: "button", "aria-label": `${point.enabled ? "On" : "Off"}: switch the breakpoint at ${at} ${point.enabled ? "off" : "on"}`, onclick: () => this.mark(point.enabled ? "disable" : "enable", BigInt(point.addr)) }, point.enabled ? "On" : "Off"),
        make("button", { type: "button", "aria-label": `Remove the breakpoint at ${at}`, onclick: () => this.mark("remove", BigInt(point.addr)) }, "Remove"));
    }))));
    const focus = document.activeElement?.closest?.("#process") ? document.activeElement.textContent : null;
    this.#place.replaceChildren(...parts);
    if (focus) [...this.#place.querySelectorAll("button:not(:disabled)")].find((button) => button.textContent === focus)?.focus();
  }

  /** Lets the process do something. It may run for ever: `pause` ends that. */
  async act(action, more = {}) {
    if (!this.here || this.running || this.ended) return;
    this.#running = action;
    // What takes only a moment shows no change of state.
    const late = setTimeout(() => this.refresh(), 250);
    try {
      const report = await post("/control", { action, ...more });
      if (report.notes?.length > 0) say(report.notes.at(-1));
    } catch (error) {
      say(error.message, true);
    }
    clearTimeout(late);
    this.#running = null;
    await this.refresh();
  }

  async pause() {
    try {
      await post("/control", { action: "pause" });
    } catch (error) {
      say(error.message, true);
    }
  }

  /** Sets, removes or changes the breakpoint at `address`. */
  async mark(action, address) {
    try {
      await post("/breakpoints", { action, address: `0x${address.toString(16)}` });
    } catch (error) {
      say(error.message, true);
    }
    await this.refresh();
  }

  /** Sets the breakpoint at `address`, or removes the one that is there. */
  toggle(address) { return this.mark(this.breakpoints.has(address) ? "remove" : "set", address); }
}
