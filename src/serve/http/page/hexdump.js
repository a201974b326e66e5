// The hexdump: rows for what is in view, over the whole 64-bit space. There is no scroll bar to be too small for that:
// the wheel, the keys and the map move the first row.

import { make, hex, say } from "./dom.js";

const MASK = (1n << 64n) - 1n;
const LAST = MASK;

export class Hexdump extends EventTarget {
  #place; #memory; #rows = []; #columns = 16; #top = 0n; #cursor = 0n; #anchor = 0n; #nibble = null; #editing = false;
  #text = false; #frame = 0; #row = 20; #edited = new Set();

  constructor(place, memory) {
    super();
    this.#place = place;
    this.#memory = memory;
    this.head = make("div", { class: "hex-head", "aria-hidden": "true" });
    this.body = make("div", { class: "hex-body" });
    place.replaceChildren(this.head, this.body);
    memory.addEventListener("change", () => this.draw());
    memory.addEventListener("maps", () => this.draw());
    new ResizeObserver(() => this.#fit()).observe(place);
    place.addEventListener("wheel", (event) => {
      event.preventDefault();
      const rows = event.deltaMode === 1 ? event.deltaY : event.deltaY / this.#row;
      this.#scroll(BigInt(Math.trunc(rows) || Math.sign(rows)));
    }, { passive: false });
    let touch = null;
    place.addEventListener("touchstart", (event) => { touch = event.touches[0].clientY; }, { passive: true });
    place.addEventListener("touchmove", (event) => {
      const rows = Math.trunc((touch - event.touches[0].clientY) / this.#row);
      if (rows) {
        this.#scroll(BigInt(rows));
        touch = event.touches[0].clientY;
      }
      event.preventDefault();
    }, { passive: false });
    this.body.addEventListener("pointerdown", (event) => this.#point(event, event.shiftKey));
    this.body.addEventListener("pointermove", (event) => { if (event.buttons & 1 && event.pointerType === "mouse") this.#point(event, true); });
    this.body.addEventListener("dblclick", () => this.edit(true));
  }

  get cursor() { return this.#cursor; }
  get columns() { return this.#columns; }
  get editing() { return this.#editing; }

  /** First and length of what is selected: at least the byte under the cursor. */
  get selection() {
    const from = this.#cursor < this.#anchor ? this.#cursor : this.#anchor;
    const to = this.#cursor < this.#anchor ? this.#anchor : this.#cursor;
    return { from, length: Number(to - from) + 1 };
  }

  #fit() {
    const style = getComputedStyle(this.body);
    const probe = make("span", { class: "probe" }, "0000000000");
    this.body.append(probe);
    const box = probe.getBoundingClientRect();
    probe.remove();
    const letter = box.width / 10 || 8;
    this.#row = Math.max(16, Math.round(parseFloat(style.lineHeight) || 20));
    const narrow = innerWidth <= 760;
    const room = this.#place.clientWidth / letter - (narrow ? 13 : 16);
    this.#columns = [32, 16, 8].find((columns) => room >= columns * (narrow ? 3.5 : 4.03)) ?? 4;
    const count = Math.max(1, Math.floor((this.#place.clientHeight - this.head.offsetHeight) / this.#row));
    while (this.#rows.length > count) this.#rows.pop().element.remove();
    this.#rows.length = 0;
    this.body.replaceChildren();
    for (let index = 0; index < count; index++) {
      const row = { offset: make("span", { class: "offset" }), cells: [], letters: [] };
      const bytes = make("span", { class: "bytes" });
      const text = make("span", { class: "letters" });
      for (let column = 0; column < this.#columns; column++) {
        const cell = make("span", { "data-column": column });
        const glyph = make("span", { "data-column": column, "data-text": "1" });
        row.cells.push(cell);
        row.letters.push(glyph);
        bytes.append(cell);
        text.append(glyph);
      }
      row.element = make("div", { class: "hex-row", "data-row": index }, row.offset, bytes, text);
      this.#rows.push(row);
      this.body.append(row.element);
    }
    this.#top -= this.#top % BigInt(this.#columns);
    const heads = Array.from({ length: this.#columns }, (_, column) => make("span", {}, column.toString(16).padStart(2, "0")));
    this.head.replaceChildren(make("span", { class: "offset" }, "offset"), make("span", { class: "bytes" }, ...heads));
    this.draw();
  }

  #point(event, extend) {
    const cell = event.target.closest("[data-column]");
    const row = event.target.closest("[data-row]");
    if (!cell || !row) return;
    this.#text = cell.dataset.text === "1";
    const address = (this.#top + BigInt(row.dataset.row) * BigInt(this.#columns) + BigInt(cell.dataset.column)) & MASK;
    this.#settle(address, extend);
  }

  #scroll(rows) {
    const step = rows * BigInt(this.#columns);
    const highest = LAST + 1n - BigInt(this.#rows.length * this.#columns);
    let top = this.#top + step;
    if (top < 0n) top = 0n;
    if (top > highest) top = highest;
    this.#top = top;
    this.draw();
    this.dispatchEvent(new Event("scroll"));
  }

  #settle(address, extend = false) {
    this.#cursor = address < 0n ? 0n : address > LAST ? LAST : address;
    if (!extend) this.#anchor = this.#cursor;
    this.#nibble = null;
    this.draw();
    this.dispatchEvent(new Event("cursor"));
  }

  /** Shows `address` and puts the cursor there. */
  go(address, extend = false) {
    const size = BigInt(this.#columns);
    const span = BigInt(Math.max(1, this.#rows.length)) * size;
    if (address < this.#top || address >= this.#top + span) {
      const start = address - (address % size);
      const above = span / size / 4n * size;
      this.#top = start > above ? start - above : 0n;
      if (this.#top > LAST + 1n - span) this.#top = LAST + 1n - span;
    }
    this.#settle(address, extend);
  }

  move(step, extend = false) {
    let address = this.#cursor + step;
    if (address < 0n) address = 0n;
    if (address > LAST) address = LAST;
    const size = BigInt(this.#columns);
    const span = BigInt(this.#rows.length) * size;
    if (address < this.#top) this.#top = address - (address % size);
    if (address >= this.#top + span) this.#top = address - (address % size) - span + size;
    if (this.#top < 0n) this.#top = 0n;
    this.#settle(address, extend);
  }

  page(direction) { this.move(BigInt(direction * Math.max(1, this.#rows.length - 2) * this.#columns)); }

  edit(on) {
    this.#editing = on;
    this.#nibble = null;
    this.#place.classList.toggle("editing", on);
    this.draw();
    this.dispatchEvent(new Event("cursor"));
  }

  /** A key while editing: a digit, or a letter on the side of the text. Returns whether it was one. */
  type(key) {
    if (!this.#editing || key.length !== 1) return false;
    if (this.#text) {
      const code = key.charCodeAt(0);
      if (code < 0x20 || code > 0x7e) return false;
      this.#put([code]);
      return true;
    }
    if (!/^[0-9a-fA-F]$/.test(key)) return key === " ";
    const digit = parseInt(key, 16);
    if (this.#nibble === null) {
      this.#nibble = digit;
      this.draw();
    } else {
      this.#put([this.#nibble * 16 + digit]);
    }
    return true;
  }

  async #put(values) {
    const address = this.#cursor;
    this.move(BigInt(values.length));
    try {
      await this.#memory.write(address, Uint8Array.from(values));
      values.forEach((_, index) => this.#edited.add(address + BigInt(index)));
      this.draw();
    } catch (error) {
      say(error.message, true);
    }
  }

  /** Where text is typed, in place of digits. */
  side() {
    this.#text = !this.#text;
    this.draw();
  }

  draw() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
  }

  #paint() {
    const size = BigInt(this.#columns);
    this.#memory.want(this.#top, this.#rows.length * this.#columns);
    const { from, length } = this.selection;
    const wide = this.#top + BigInt(this.#rows.length) * size > 0xffffffffn ? 16 : 8;
    this.#rows.forEach((row, index) => {
      const start = (this.#top + BigInt(index) * size) & MASK;
      row.offset.textContent = hex(start, wide);
      for (let column = 0; column < this.#columns; column++) {
        const address = start + BigInt(column);
        const value = this.#memory.mapped(address) ? this.#memory.at(address) : null;
        const cell = row.cells[column];
        const glyph = row.letters[column];
        let shown = value === null ? "··" : value === undefined ? "  " : value.toString(16).padStart(2, "0");
        const here = address === this.#cursor;
        if (here && this.#nibble !== null) shown = this.#nibble.toString(16) + "_";
        if (cell.textContent !== shown) cell.textContent = shown;
        const letter = value === null ? " " : value === undefined ? " " : value >= 0x20 && value < 0x7f ? String.fromCharCode(value) : "·";
        if (glyph.textContent !== letter) glyph.textContent = letter;
        const kind = value === null ? "none" : value === undefined ? "wait" : value === 0 ? "zero" : value === 0xff ? "full" : value >= 0x20 && value < 0x7f ? "print" : value < 0x80 ? "low" : "high";
        const chosen = address >= from && address < from + BigInt(length) && length > 1;
        const marks = `${kind}${here ? " here" : ""}${chosen ? " chosen" : ""}${this.#edited.has(address) ? " edited" : ""}`;
        const side = here ? (this.#text ? " other" : " own") : "";
        if (cell.className !== marks + side) cell.className = marks + side;
        const twin = marks + (here ? (this.#text ? " own" : " other") : "");
        if (glyph.className !== twin) glyph.className = twin;
      }
    });
  }
}
