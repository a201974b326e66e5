// The strip at the top: what is open from its start to its end, shaded by the entropy of a sample of each piece.

import { bytes } from "./api.js";
import { byId, hex } from "./dom.js";

const PIECES = 96;
const SAMPLE = 256;
const AT_ONCE = 6;

/** Bits of information in each byte of a sample, from 0 to 8, against the most that a sample of its size can show. */
export function entropy(data) {
  if (data.length === 0) return 0;
  const counts = new Uint32Array(256);
  for (const value of data) counts[value] += 1;
  let bits = 0;
  for (const count of counts) {
    if (count > 0) bits -= (count / data.length) * Math.log2(count / data.length);
  }
  return bits / Math.log2(Math.min(256, Math.max(2, data.length)));
}

export class Strip extends EventTarget {
  #canvas = byId("strip"); #map = null; #cursor = 0n; #values = new Array(PIECES); #round = 0;

  constructor() {
    super();
    this.#canvas.addEventListener("click", (event) => {
      const box = this.#canvas.getBoundingClientRect();
      this.#jump((event.clientX - box.left) / box.width);
    });
    this.#canvas.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step || !this.#map) return;
      event.preventDefault();
      this.#jump(Math.min(1, Math.max(0, this.#share() + step / PIECES)));
    });
    new ResizeObserver(() => this.draw()).observe(this.#canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  #jump(share) {
    if (!this.#map) return;
    const length = this.#map.to - this.#map.from;
    let offset = length * BigInt(Math.floor(share * 65536)) / 65536n;
    if (offset >= length) offset = length - 1n;
    this.dispatchEvent(new CustomEvent("go", { detail: this.#map.from + offset }));
  }

  #share() {
    const length = this.#map.to - this.#map.from;
    if (this.#cursor < this.#map.from || length === 0n) return 0;
    return Math.min(1, Number((this.#cursor - this.#map.from) * 65536n / length) / 65536);
  }

  /** Shows the map that holds `cursor`, or the first. */
  async show(maps, cursor) {
    this.#cursor = cursor;
    const map = maps.find(({ from, to }) => cursor >= from && cursor < to) ?? this.#map ?? maps[0];
    const same = map && this.#map && map.from === this.#map.from && map.to === this.#map.to;
    this.#map = map ?? null;
    this.draw();
    if (!map || same) return;
    await this.sample();
  }

  /** Reads samples and shows them as they come; an older round ends when a newer one begins. */
  async sample() {
    const round = ++this.#round;
    const map = this.#map;
    if (!map) return;
    this.#values = new Array(PIECES);
    const length = map.to - map.from;
    const step = length / BigInt(PIECES) || 1n;
    let next = 0;
    const work = async () => {
      while (next < PIECES && round === this.#round) {
        const piece = next++;
        const at = map.from + step * BigInt(piece);
        if (at >= map.to) continue;
        const count = map.to - at < BigInt(SAMPLE) ? map.to - at : BigInt(SAMPLE);
        try {
          this.#values[piece] = entropy(await bytes(at, count));
        } catch {
          continue;
        }
        if (piece % 8 === 7) this.draw();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    this.draw();
  }

  draw() {
    const scale = devicePixelRatio || 1;
    const width = this.#canvas.clientWidth;
    const height = this.#canvas.clientHeight;
    this.#canvas.width = width * scale;
    this.#canvas.height = height * scale;
    const context = this.#canvas.getContext("2d");
    const style = getComputedStyle(this.#canvas);
    context.scale(scale, scale);
    context.fillStyle = style.getPropertyValue("--sunk");
    context.fillRect(0, 0, width, height);
    if (!this.#map) return;
    context.fillStyle = style.getPropertyValue("--accent");
    const one = width / PIECES;
    this.#values.forEach((value, index) => {
      const tall = Math.max(1, value * height);
      context.globalAlpha = 0.25 + 0.75 * value;
      context.fillRect(index * one, height - tall, Math.max(1, one - 1), tall);
    });
    context.globalAlpha = 1;
    const at = this.#share();
    context.fillStyle = style.getPropertyValue("--mark");
    context.fillRect(Math.min(width - 3, at * width), 0, 3, height);
    this.#canvas.setAttribute("aria-valuenow", String(Math.round(at * 100)));
    this.#canvas.setAttribute("aria-valuetext", `${hex(this.#cursor)} in ${hex(this.#map.from)} to ${hex(this.#map.to)}`);
  }
}
