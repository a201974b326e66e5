// What the bytes at the cursor are as numbers.

import { byId, make } from "./dom.js";

const KINDS = [
  ["u8", 1, (view) => view.getUint8(0)], ["i8", 1, (view) => view.getInt8(0)],
  ["u16", 2, (view, little) => view.getUint16(0, little)], ["i16", 2, (view, little) => view.getInt16(0, little)],
  ["u32", 4, (view, little) => view.getUint32(0, little)], ["i32", 4, (view, little) => view.getInt32(0, little)],
  ["u64", 8, (view, little) => view.getBigUint64(0, little)], ["i64", 8, (view, little) => view.getBigInt64(0, little)],
  ["f32", 4, (view, little) => Number(view.getFloat32(0, little).toPrecision(7))],
  ["f64", 8, (view, little) => view.getFloat64(0, little)],
];

export class Inspect extends EventTarget {
  #memory; #little = true; #values = []; #order; #address = 0n; #pointer;

  constructor(memory) {
    super();
    this.#memory = memory;
    this.#order = make("button", { type: "button", onclick: () => { this.#little = !this.#little; this.show(this.#address); } }, "");
    this.#pointer = make("button", { type: "button", onclick: () => this.#follow() }, "Go to the u64");
    this.#values = KINDS.map(() => make("dd", {}));
    byId("inspect").replaceChildren(
      this.#order,
      make("dl", {}, ...KINDS.flatMap(([name], index) => [make("dt", {}, name), this.#values[index]])),
      this.#pointer,
    );
  }

  #bytes() {
    return Array.from({ length: 8 }, (_, index) => this.#memory.at((this.#address + BigInt(index)) & ((1n << 64n) - 1n)));
  }

  #follow() {
    const bytes = this.#bytes();
    if (bytes.includes(undefined)) return;
    const view = new DataView(Uint8Array.from(bytes).buffer);
    this.dispatchEvent(new CustomEvent("go", { detail: view.getBigUint64(0, this.#little) }));
  }

  show(address) {
    this.#address = address;
    this.#order.textContent = this.#little ? "Little endian" : "Big endian";
    const bytes = this.#bytes();
    const view = new DataView(Uint8Array.from(bytes, (value) => value ?? 0).buffer);
    KINDS.forEach(([, size, value], index) => {
      const text = bytes.slice(0, size).includes(undefined) ? "" : String(value(view, this.#little));
      if (this.#values[index].textContent !== text) this.#values[index].textContent = text;
    });
    this.#pointer.disabled = bytes.includes(undefined);
  }
}
