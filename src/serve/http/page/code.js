// The disassembly: a window of instructions, fetched for what is in view.

import { get } from "./api.js";
import { make, hex, visible } from "./dom.js";

const MASK = (1n << 64n) - 1n;

/** Where an instruction is, whatever the build calls it. */
const addressOf = (row) => BigInt(row.offset ?? row.addr ?? row.address ?? row.vaddr ?? 0);

export class Code extends EventTarget {
  #place; #rows = []; #cursor = 0n; #asked = 0; #available;

  constructor(place, available) {
    super();
    this.#place = place;
    this.#available = available;
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

  async go(address) {
    this.#cursor = address & MASK;
    if (this.#place.hidden) return;
    if (!this.#available) {
      this.#place.replaceChildren(make("p", { class: "empty" }, "This build has no disassembler."));
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

  #paint() {
    this.#place.replaceChildren(...this.#rows.map((row) => {
      const address = addressOf(row);
      const kind = String(row.type ?? "");
      const family = /call/.test(kind) ? "call" : /jmp|ret|trap|swi/.test(kind) ? "jump" : /inv|ill/.test(kind) ? "wrong" : "";
      const text = visible(row.disasm ?? row.opcode ?? row.text ?? "invalid");
      const split = text.indexOf(" ");
      return make("div", {
        class: `code-row ${family}${address === this.#cursor ? " here" : ""}`, "data-address": address.toString(),
      },
      make("span", { class: "offset" }, hex(address)),
      make("span", { class: "raw" }, String(row.bytes ?? "").slice(0, 22)),
      make("span", { class: "mnemonic" }, split < 0 ? text : text.slice(0, split)),
      make("span", { class: "operands" }, split < 0 ? "" : text.slice(split + 1)),
      row.comment ? make("span", { class: "note" }, `; ${visible(row.comment)}`) : null);
    }));
  }
}
