// The function graph: blocks in layers, jumps as curves between them. It is laid out here, drawn as elements and one
// picture of lines, and moved about as a whole.

import { get } from "./api.js";
import { make, hex, visible } from "./dom.js";

const LETTER = 7.3, LINE = 17, PAD = 8, GAP_X = 36, GAP_Y = 46, WIDEST = 64;
const MOST = 1500;
const SVG = "http://www.w3.org/2000/svg";

/** Puts `blocks` ({id, width, height, next: [{to, kind}]}) into layers; sets x and y, and returns the edges. */
export function layout(blocks) {
  const byId = new Map(blocks.map((block) => [block.id, block]));
  const edges = blocks.flatMap((block) => block.next.filter(({ to }) => byId.has(to)).map(({ to, kind }) => ({ from: block, to: byId.get(to), kind, back: false })));
  const out = new Map(blocks.map((block) => [block, []]));
  for (const edge of edges) out.get(edge.from).push(edge);

  // Edges that lead back to a block on the way to themselves make loops.
  const state = new Map();
  const order = [];
  for (const root of blocks) {
    if (state.has(root)) continue;
    const path = [[root, 0]];
    state.set(root, 1);
    while (path.length > 0) {
      const top = path.at(-1);
      const edge = out.get(top[0])[top[1]++];
      if (!edge) {
        state.set(top[0], 2);
        order.push(top[0]);
        path.pop();
      } else if (state.get(edge.to) === 1) {
        edge.back = true;
      } else if (!state.has(edge.to)) {
        state.set(edge.to, 1);
        path.push([edge.to, 0]);
      }
    }
  }
  // The layer of a block is the longest way to it.
  for (const block of blocks) block.layer = 0;
  for (const block of order.reverse()) {
    for (const edge of out.get(block)) if (!edge.back) edge.to.layer = Math.max(edge.to.layer, block.layer + 1);
  }
  const layers = [];
  for (const block of blocks) (layers[block.layer] ??= []).push(block);

  // Within its layer a block goes to the middle of those it is tied to, from above and from below in turn.
  const near = new Map(blocks.map((block) => [block, { above: [], below: [] }]));
  for (const edge of edges) {
    if (edge.back) continue;
    near.get(edge.to).above.push(edge.from);
    near.get(edge.from).below.push(edge.to);
  }
  const number = () => layers.forEach((layer) => layer.forEach((block, at) => { block.order = at - (layer.length - 1) / 2; }));
  number();
  for (let round = 0; round < 6; round++) {
    const side = round % 2 === 0 ? "above" : "below";
    for (const layer of side === "above" ? layers : layers.slice().reverse()) {
      for (const block of layer) {
        const tied = near.get(block)[side];
        block.want = tied.length === 0 ? block.order : tied.reduce((sum, one) => sum + one.order, 0) / tied.length;
      }
      layer.sort((a, b) => a.want - b.want);
      layer.forEach((block, at) => { block.order = at - (layer.length - 1) / 2; });
    }
  }
  let y = 0;
  for (const layer of layers) {
    for (const block of layer) block.y = y;
    y += Math.max(...layer.map((block) => block.height)) + GAP_Y;
  }
  // Each block as near to the middle of its neighbours as those beside it allow.
  for (const layer of layers) {
    let x = 0;
    for (const block of layer) {
      block.x = x;
      x += block.width + GAP_X;
    }
    const middle = (x - GAP_X) / 2;
    for (const block of layer) block.x -= middle;
  }
  const center = (block) => block.x + block.width / 2;
  for (let round = 0; round < 8; round++) {
    const side = round % 2 === 0 ? "above" : "below";
    for (const layer of side === "above" ? layers : layers.slice().reverse()) {
      for (const block of layer) {
        const tied = near.get(block)[side];
        if (tied.length > 0) block.x = tied.reduce((sum, one) => sum + center(one), 0) / tied.length - block.width / 2;
      }
      for (let at = 1; at < layer.length; at++) layer[at].x = Math.max(layer[at].x, layer[at - 1].x + layer[at - 1].width + GAP_X);
      for (let at = layer.length - 2; at >= 0; at--) layer[at].x = Math.min(layer[at].x, layer[at + 1].x - layer[at].width - GAP_X);
    }
  }
  return edges;
}

export class Graph extends EventTarget {
  #place; #ground; #blocks = []; #cursor = 0n; #asked = 0; #x = 0; #y = 0; #scale = 1; #lines = []; #from = -1n; #analyse;

  /** `analyse` makes functions known: of one address, or everywhere. */
  constructor(place, analyse) {
    super();
    this.#place = place;
    this.#analyse = analyse;
    let drag = null;
    place.addEventListener("pointerdown", (event) => {
      const row = event.target.closest("[data-address]");
      if (row) this.#point(BigInt(row.dataset.address));
      if (event.target.closest("button")) return;
      drag = { x: event.clientX - this.#x, y: event.clientY - this.#y };
      place.setPointerCapture(event.pointerId);
    });
    place.addEventListener("pointermove", (event) => {
      if (!drag) return;
      this.#x = event.clientX - drag.x;
      this.#y = event.clientY - drag.y;
      this.#move();
    });
    for (const end of ["pointerup", "pointercancel"]) place.addEventListener(end, () => { drag = null; });
    place.addEventListener("dblclick", () => this.follow());
    place.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.ctrlKey) {
        this.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.offsetX, event.offsetY);
      } else {
        this.#x -= event.deltaX;
        this.#y -= event.deltaY;
        this.#move();
      }
    }, { passive: false });
  }

  get cursor() { return this.#cursor; }

  async go(address) {
    this.#cursor = address;
    if (this.#place.hidden) return;
    if (this.#lines.some((row) => row.address === address)) {
      this.#mark(true);
      return;
    }
    const asked = ++this.#asked;
    try {
      const found = await get(`/graph?address=0x${address.toString(16)}`);
      if (asked !== this.#asked) return;
      const graph = Array.isArray(found) ? found[0] : found;
      if (!graph?.blocks?.length) throw new Error("the function has no blocks");
      if (graph.blocks.length > MOST) throw new Error(`the function has ${graph.blocks.length} blocks: too many to draw`);
      this.#build(graph);
    } catch (error) {
      if (asked === this.#asked) this.#none(error.message);
    }
  }

  /** Reads the function anew. */
  refresh() {
    this.#lines = [];
    return this.go(this.#cursor);
  }

  #none(why) {
    this.#blocks = [];
    this.#lines = [];
    const button = (label, all) => make("button", { type: "button", onclick: async () => {
      await this.#analyse(all ? null : this.#cursor);
      await this.refresh();
    } }, label);
    this.#place.replaceChildren(make("div", { class: "empty", role: "status" }, make("p", {}, visible(why)),
      make("p", { class: "steps" }, button("Make a function here (af)", false), button("Find all functions (aa)", true))));
  }

  #build(graph) {
    const blocks = graph.blocks.map((block) => {
      const rows = (block.ops ?? []).map((op) => ({ address: BigInt(op.offset), op, text: visible(op.disasm ?? op.opcode ?? "invalid").slice(0, WIDEST) }));
      const letters = Math.max(12, ...rows.map((row) => row.text.length)) + 12;
      const two = block.jump !== undefined && block.fail !== undefined;
      const next = [];
      if (block.jump !== undefined) next.push({ to: String(block.jump), kind: two ? "yes" : "only" });
      if (block.fail !== undefined) next.push({ to: String(block.fail), kind: "no" });
      for (const one of block.switchop?.cases ?? block.cases ?? []) next.push({ to: String(one.jump ?? one.addr ?? one), kind: "only" });
      return { id: String(block.offset), rows, next, width: letters * LETTER + 2 * PAD, height: rows.length * LINE + 2 * PAD };
    });
    this.#blocks = blocks;
    this.#lines = blocks.flatMap((block) => block.rows.map((row) => ({ ...row, block })));
    const edges = layout(blocks);
    this.#from = BigInt(graph.offset ?? blocks[0].id);
    const left = Math.min(...blocks.map((block) => block.x)) - 40;
    const right = Math.max(...blocks.map((block) => block.x + block.width)) + 40;
    const bottom = Math.max(...blocks.map((block) => block.y + block.height)) + 40;
    for (const block of blocks) block.x -= left;
    const picture = document.createElementNS(SVG, "svg");
    picture.setAttribute("width", String(right - left));
    picture.setAttribute("height", String(bottom + 20));
    picture.setAttribute("aria-hidden", "true");
    const counts = new Map();
    for (const edge of edges) {
      const path = document.createElementNS(SVG, "path");
      const at = counts.get(edge.from) ?? 0;
      counts.set(edge.from, at + 1);
      const share = edge.from.next.length > 1 ? (at + 1) / (edge.from.next.length + 1) : 0.5;
      const x1 = edge.from.x + edge.from.width * share, y1 = edge.from.y + edge.from.height + 20;
      const x2 = edge.to.x + edge.to.width / 2, y2 = edge.to.y + 20;
      const far = Math.min(edge.from.x, edge.to.x) - 24;
      path.setAttribute("d", edge.back
        ? `M${x1} ${y1} C${x1} ${y1 + 30} ${far} ${y1 + 30} ${far} ${y1} L${far} ${y2 - 6} C${far} ${y2 - 36} ${x2} ${y2 - 36} ${x2} ${y2}`
        : `M${x1} ${y1} C${x1} ${(y1 + y2) / 2} ${x2} ${(y1 + y2) / 2} ${x2} ${y2}`);
      path.setAttribute("class", `edge ${edge.kind}${edge.back ? " back" : ""}`);
      const head = document.createElementNS(SVG, "path");
      head.setAttribute("d", `M${x2 - 4} ${y2 - 7} L${x2} ${y2} L${x2 + 4} ${y2 - 7} Z`);
      head.setAttribute("class", `head ${edge.kind}`);
      picture.append(path, head);
    }
    const boxes = blocks.map((block) => {
      const box = make("div", { class: "block", "data-block": block.id }, ...block.rows.map(({ address, op, text }) => {
        const kind = String(op.type ?? "");
        const family = /call/.test(kind) ? " call" : /jmp|ret|trap|swi/.test(kind) ? " jump" : "";
        const split = text.indexOf(" ");
        return make("div", { class: `graph-row${family}`, "data-address": address.toString() },
          make("span", { class: "offset" }, hex(address)), " ",
          make("span", { class: "mnemonic" }, split < 0 ? text : text.slice(0, split)),
          split < 0 ? "" : text.slice(split));
      }));
      Object.assign(box.style, { left: `${block.x}px`, top: `${block.y + 20}px`, width: `${block.width}px`, height: `${block.height}px` });
      return box;
    });
    this.#ground = make("div", { class: "graph-ground" }, picture, ...boxes);
    const title = make("div", { class: "graph-title" },
      make("b", {}, visible(graph.name ?? hex(this.#from))), ` ${blocks.length} blocks, ${edges.length} edges`,
      make("button", { type: "button", title: "Smaller (-)", "aria-label": "Smaller", onclick: () => this.zoom(1 / 1.25) }, "-"),
      make("button", { type: "button", title: "Larger (+)", "aria-label": "Larger", onclick: () => this.zoom(1.25) }, "+"),
      make("button", { type: "button", title: "The whole function (0)", onclick: () => this.fit() }, "Fit"));
    this.#place.replaceChildren(this.#ground, title);
    const wide = right - left;
    this.#scale = 1;
    this.#x = (this.#place.clientWidth - wide) / 2;
    this.#y = 28;
    this.#mark(true);
  }

  #move() {
    if (this.#ground) this.#ground.style.transform = `translate(${this.#x}px, ${this.#y}px) scale(${this.#scale})`;
  }

  zoom(by, x = this.#place.clientWidth / 2, y = this.#place.clientHeight / 2) {
    const scale = Math.min(2.5, Math.max(0.08, this.#scale * by));
    this.#x = x - (x - this.#x) * scale / this.#scale;
    this.#y = y - (y - this.#y) * scale / this.#scale;
    this.#scale = scale;
    this.#move();
  }

  /** Shows the whole function. */
  fit() {
    const picture = this.#ground?.firstElementChild;
    if (!picture) return;
    const wide = Number(picture.getAttribute("width")), tall = Number(picture.getAttribute("height"));
    const room = this.#place.clientHeight - 34;
    this.#scale = Math.min(1, this.#place.clientWidth / wide, room / tall);
    this.#x = (this.#place.clientWidth - wide * this.#scale) / 2;
    this.#y = 30 + Math.max(0, (room - tall * this.#scale) / 2);
    this.#move();
  }

  #mark(reveal) {
    for (const row of this.#place.querySelectorAll(".graph-row.here")) row.classList.remove("here");
    for (const box of this.#place.querySelectorAll(".block.here")) box.classList.remove("here");
    const here = this.#lines.find((row) => row.address === this.#cursor);
    if (here) {
      this.#place.querySelector(`[data-address="${this.#cursor}"]`)?.classList.add("here");
      this.#place.querySelector(`[data-block="${here.block.id}"]`)?.classList.add("here");
      if (reveal) {
        const y = here.block.y + 20 + here.block.rows.findIndex((row) => row.address === this.#cursor) * LINE;
        const [left, top] = [this.#x + here.block.x * this.#scale, this.#y + y * this.#scale];
        if (top < 30 || top > this.#place.clientHeight - 40) this.#y += this.#place.clientHeight / 3 - top;
        if (left < 0 || left > this.#place.clientWidth - 80) this.#x += this.#place.clientWidth / 3 - left;
      }
    }
    this.#move();
  }

  #point(address) {
    this.#cursor = address;
    this.#mark(false);
    this.dispatchEvent(new Event("cursor"));
  }

  /** Moves by instructions, through the blocks in their order. */
  move(step) {
    const at = this.#lines.findIndex((row) => row.address === this.#cursor);
    const next = this.#lines[Math.max(0, Math.min(this.#lines.length - 1, at + step))];
    if (!next) return;
    this.#cursor = next.address;
    this.#mark(true);
    this.dispatchEvent(new Event("cursor"));
  }

  /** Where the instruction under the cursor goes. */
  follow() {
    const row = this.#lines.find((one) => one.address === this.#cursor);
    const target = row?.op.jump ?? row?.op.ptr;
    if (target !== undefined) this.dispatchEvent(new CustomEvent("follow", { detail: BigInt(target) }));
  }
}
