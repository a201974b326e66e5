// The strip at the top: what is open around the cursor, from its start to its end. Above, the entropy of samples of
// it as they come; below, the sections, or the maps of a process.

import { get, lines } from "./api.js";
import { byId, hex, visible } from "./dom.js";

const PIECES = 128;
const BAND = 15;
/** Gaps that are small whatever is around them. */
const CLOSE = 0x20000n;

/** The run of maps around `cursor` whose gaps are small against what they hold. */
export function around(maps, cursor) {
  let at = maps.findIndex(({ from, to }) => cursor >= from && cursor < to);
  if (at < 0) at = 0;
  if (!maps[at]) return null;
  let [first, last] = [at, at];
  let { from, to } = maps[at];
  for (let grown = true; grown;) {
    grown = false;
    const size = to - from > CLOSE ? to - from : CLOSE;
    const [before, after] = [maps[first - 1], maps[last + 1]];
    if (before && from - before.to <= size && before.to - before.from <= size * 64n) {
      from = before.from < from ? before.from : from;
      first -= 1;
      grown = true;
    }
    if (after && after.from - to <= size && after.to - after.from <= size * 64n) {
      to = after.to > to ? after.to : to;
      last += 1;
      grown = true;
    }
  }
  return { from, to };
}

export class Strip extends EventTarget {
  #canvas = byId("strip"); #map = null; #cursor = 0n; #values = new Array(PIECES); #controller = null; #bands = []; #lists;

  /** `lists`: what can be asked for. */
  constructor(lists) {
    super();
    this.#lists = lists;
    this.#canvas.addEventListener("click", (event) => {
      const box = this.#canvas.getBoundingClientRect();
      this.#jump((event.clientX - box.left) / box.width);
    });
    this.#canvas.addEventListener("mousemove", (event) => {
      const box = this.#canvas.getBoundingClientRect();
      const at = this.#at((event.clientX - box.left) / box.width);
      const band = this.#bands.find(({ from, to }) => at >= from && at < to);
      this.#canvas.title = at === null ? "" : `${hex(at)} ${band ? `${band.name} ${band.perm}` : ""}`;
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

  #at(share) {
    if (!this.#map) return null;
    const length = this.#map.to - this.#map.from;
    const offset = length * BigInt(Math.floor(share * 65536)) / 65536n;
    return this.#map.from + (offset >= length ? length - 1n : offset);
  }

  #jump(share) {
    const at = this.#at(share);
    if (at !== null) this.dispatchEvent(new CustomEvent("go", { detail: at }));
  }

  #share(address = this.#cursor) {
    const length = this.#map.to - this.#map.from;
    if (address < this.#map.from || length === 0n) return 0;
    return Math.min(1, Number((address - this.#map.from) * 65536n / length) / 65536);
  }

  /** Shows what is around `cursor`. */
  show(maps, cursor) {
    this.#cursor = cursor;
    const inside = this.#map && cursor >= this.#map.from && cursor < this.#map.to;
    const map = inside ? this.#map : around(maps, cursor) ?? this.#map;
    const same = map && this.#map && map.from === this.#map.from && map.to === this.#map.to;
    this.#map = map;
    this.draw();
    if (map && !same) this.sample();
  }

  /** What is open has changed. */
  changed(maps) {
    this.#map = null;
    this.show(maps, this.#cursor);
  }

  /** Asks for samples and sections; an older round ends when a newer one begins. */
  async sample() {
    this.#controller?.abort();
    const controller = this.#controller = new AbortController();
    const map = this.#map;
    if (!map) return;
    this.#values = new Array(PIECES);
    try {
      await this.#read(controller.signal);
      const query = new URLSearchParams({ from: `0x${map.from.toString(16)}`, to: `0x${map.to.toString(16)}`, pieces: String(PIECES) });
      let count = 0;
      for await (const line of lines(`/entropy?${query}`, null, controller.signal)) {
        if (line.entropy === undefined) continue;
        this.#values[line.piece] = line.entropy;
        if (++count % 8 === 0) this.draw();
      }
    } catch {
      // The strip is of use without its samples, and what is wrong shows where it is asked for.
    }
    if (controller === this.#controller) this.draw();
  }

  async #read(signal) {
    const name = ["process-maps", "sections", "segments"].find((one) => this.#lists.includes(one));
    if (!name) return;
    const rows = await get(`/list/${name}`, signal).catch(() => []);
    this.#bands = rows.map((row) => {
      const from = BigInt(row.vaddr ?? row.addr ?? 0);
      const to = row.addr_end === undefined ? from + BigInt(row.vsize ?? row.size ?? 0) : BigInt(row.addr_end);
      const text = row.file ? row.file.split("/").at(-1) : row.name ?? "";
      return { from, to, name: visible(text), perm: String(row.perm ?? "") };
    }).filter(({ from, to }) => to > from && from > 0n);
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
    const colour = (name) => style.getPropertyValue(name);
    context.scale(scale, scale);
    context.fillStyle = colour("--sunk");
    context.fillRect(0, 0, width, height);
    if (!this.#map) return;
    const tall = height - BAND;
    const one = width / PIECES;
    context.fillStyle = colour("--accent");
    this.#values.forEach((value, index) => {
      const bar = Math.max(1, value * tall);
      context.globalAlpha = 0.25 + 0.75 * value;
      context.fillRect(index * one, tall - bar, Math.max(1, one - 1), bar);
    });
    context.globalAlpha = 1;
    context.font = "11px sans-serif";
    context.textBaseline = "middle";
    for (const { from, to, name, perm } of this.#bands) {
      if (to <= this.#map.from || from >= this.#map.to) continue;
      const left = this.#share(from) * width;
      const wide = Math.max(1, this.#share(to) * width - left - 1);
      context.fillStyle = perm.includes("x") ? colour("--band-code") : perm.includes("w") ? colour("--band-data") : colour("--band");
      context.fillRect(left, tall + 1, wide, BAND - 1);
      if (wide > context.measureText(name).width + 6) {
        context.fillStyle = colour("--text");
        context.fillText(name, left + 3, tall + BAND / 2 + 1);
      }
    }
    const at = this.#share();
    context.fillStyle = colour("--mark");
    context.fillRect(Math.min(width - 3, at * width), 0, 3, height);
    this.#canvas.setAttribute("aria-valuenow", String(Math.round(at * 100)));
    this.#canvas.setAttribute("aria-valuetext", `${hex(this.#cursor)} in ${hex(this.#map.from)} to ${hex(this.#map.to)}`);
  }
}
