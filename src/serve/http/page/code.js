// The disassembly: a window of instructions, fetched for what is in view.

import { get } from "./api.js";
import { make, hex, visible } from "./dom.js";

const MASK = (1n << 64n) - 1n;

/** Where an instruction is, whatever the build calls it. */
const addressOf = (row) => BigInt(row.offset ?? row.addr ?? row.address ?? row.vaddr ?? 0);

export class Code extends EventTarget {
  #place; #rows = []; #cursor = 0n; #asked = 0; #process;

  /** `process` knows where the process is, and its breakpoints. */
  constructor(place, process) {
    super();
    this.#place = place;
    this.#process = process;
    process.addEventListener("looked", () => { if (!place.hidden && !process.ended) this.#paint(); });
    let touch = null;
    place.addEventListener("touchstart", (event) => { touch = event.touches[0].clientY; }, { passive: true });
    place.addEventListener("touchmove", (event) => {
      const rows = Math.trunc((touch - event.touches[0].clientY) / 20);
      if (rows) {
        this.move(rows);
        touch = event.touches[0].clientY;
      }
      event.preventDefault();
    }, { passive: false });
    new ResizeObserver(() => { if (!place.hidden && this.#rows.length > 0 && this.#count() > this.#rows.length) this.#load(addressOf(this.#rows[0])); }).observe(place);
    place.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.move(Math.sign(event.deltaY) * 3);
    }, { passive: false });
    place.addEventListener("click", (event) => {
      const row = event.target.closest("[data-address]");
      if (row) this.#point(BigInt(row.dataset.address));
    });
    place.addEventListener("dblclick", (event) => {
      const row = event.target.closest("[data-address]");
      if (row) this.follow();
    });
  }

  get cursor() { return this.#cursor; }

  #count() { return Math.max(8, Math.floor(this.#place.clientHeight / 20)); }

  /** The process has ended: there is nothing to show. */
  close() {
    this.#asked += 1;
    this.#rows = [];
    this.#place.replaceChildren(make("p", { class: "empty" }, "The process has ended."));
  }

  async go(address) {
    this.#cursor = address & MASK;
    if (this.#place.hidden) return;
    if (this.#process.ended) {
      this.close();
      return;
    }
    if (this.#rows.some((row) => addressOf(row) === address) && this.#rows.length > 4) {
      this.#paint();
      return;
    }
    await this.#load(address);
  }

  async #load(address) {
    const asked = ++this.#asked;
    try {
      const rows = await get(`/disassembly?address=0x${address.toString(16)}&count=${this.#count()}`);
      if (asked !== this.#asked) return;
      this.#rows = rows;
      this.#paint();
    } catch (error) {
      if (asked === this.#asked) this.#place.replaceChildren(make("p", { class: "empty", role: "alert" }, visible(error.message)));
    }
  }

  /** What was read may have changed. */
  refresh() {
    if (this.#process.ended) this.close();
    else if (this.#place.hidden || this.#rows.length === 0) this.#rows = [];
    else this.#load(addressOf(this.#rows[0]));
  }

  #point(address) {
    this.#cursor = address;
    this.#paint();
    this.dispatchEvent(new Event("cursor"));
  }

  /** Moves by instructions. */
  async move(step) {
    const at = this.#rows.findIndex((row) => addressOf(row) === this.#cursor);
    const next = this.#rows[at + step];
    if (at >= 0 && next && at + step < this.#rows.length) {
      this.#point(addressOf(next));
      return;
    }
    if (step > 0) {
      const last = this.#rows.at(-1);
      if (!last) return;
      await this.#load(addressOf(last));
      this.#point(addressOf(this.#rows[1] ?? last));
    } else {
      // What is before cannot be known but by starting far enough above.
      const back = this.#cursor > 64n ? this.#cursor - 64n : 0n;
      await this.#load(back);
      const before = this.#rows.filter((row) => addressOf(row) < this.#cursor).at(-1);
      this.#point(before ? addressOf(before) : back);
    }
  }

  /** Where the instruction under the cursor goes. */
  follow() {
    const row = this.#rows.find((one) => addressOf(one) === this.#cursor);
    const target = row?.jump ?? row?.ptr;
    if (target !== undefined) this.dispatchEvent(new CustomEvent("follow", { detail: BigInt(target) }));
  }

  /** What is to be said of a row: its comment, and who comes here. */
  #note(row) {
    // Comments come in base64.
    const comment = row.comment ? new TextDecoder().decode(Uint8Array.from(atob(row.comment), (letter) => letter.charCodeAt(0))) : "";
    const from = (row.xrefs_to ?? []).map((one) => hex(one.addr));
    const parts = [comment && `; ${visible(comment)}`, from.length > 0 && `; from ${from.slice(0, 3).join(", ")}${from.length > 3 ? ` and ${from.length - 3} more` : ""}`];
    const text = parts.filter(Boolean).join(" ");
    return text ? make("span", { class: "note" }, text) : null;
  }

  #paint() {
    this.#place.replaceChildren(...this.#rows.flatMap((row) => {
      const address = addressOf(row);
      const names = (row.flags ?? []).filter((name) => !/^section\.\.|^fmap\./.test(name));
      const kind = String(row.type ?? "");
      const family = /call/.test(kind) ? "call" : /jmp|ret|trap|swi/.test(kind) ? "jump" : /inv|ill/.test(kind) ? "wrong" : "";
      const text = visible(row.disasm ?? row.opcode ?? row.text ?? "invalid");
      const split = text.indexOf(" ");
      const stopped = address === this.#process.pc;
      const marked = this.#process.breakpoints.has(address);
      const line = make("div", {
        class: `code-row ${family}${address === this.#cursor ? " here" : ""}${stopped ? " stopped" : ""}`, "data-address": address.toString(),
      },
      make("span", { class: `gutter${marked ? " breakpoint" : ""}`, title: marked ? "Breakpoint" : stopped ? "The process is here" : null }, `${marked ? "\u25cf" : " "}${stopped ? "\u25b8" : " "}`),
      make("span", { class: "offset" }, hex(address)),
      make("span", { class: "raw" }, String(row.bytes ?? "").slice(0, 22)),
      make("span", { class: "mnemonic" }, split < 0 ? text : text.slice(0, split)),
      make("span", { class: "operands" }, split < 0 ? "" : text.slice(split + 1)),
      this.#note(row));
      return names.length === 0 ? [line] : [make("div", { class: "code-label", "data-address": address.toString() }, `${names.map(visible).join(", ")}:`), line];
    }));
  }
}
