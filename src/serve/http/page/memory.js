// What is known of memory: pages of bytes that were asked for when they came into view, what is mapped, and the writes
// that can be undone.

import { bytes, post, get } from "./api.js";

const PAGE = 4096n;
const KEPT = 256;
const MASK = (1n << 64n) - 1n;

export class Memory extends EventTarget {
  #pages = new Map();
  #asked = new Map();
  #undo = [];
  #last = Promise.resolve();
  maps = [];
  /** There is nothing to read: the process has ended. */
  closed = false;

  /** Reads anew what is mapped. In a process that is what the process says: its device is the whole space. */
  async refreshMaps(process) {
    let maps = [];
    if (this.closed) {
      this.setMaps([]);
      return;
    }
    if (process) maps = (await get("/list/process-maps").catch(() => [])).map((map) => ({ ...map, from: map.addr, to: map.addr_end }));
    this.setMaps(maps.length > 0 ? maps : await get("/list/maps"));
  }

  setMaps(maps) {
    const before = this.maps;
    this.maps = maps.map((map) => ({ ...map, from: BigInt(map.from), to: BigInt(map.to) })).sort((a, b) => (a.from < b.from ? -1 : 1));
    const same = before.length === this.maps.length && before.every((map, at) => map.from === this.maps[at].from && map.to === this.maps[at].to);
    if (!same) this.dispatchEvent(new Event("maps"));
  }

  mapped(address) {
    return !this.closed && ( this.maps.length === 0 || this.maps.some((map) => address >= map.from && address < map.to));
  }

  /** The byte at `address`, or undefined while it is on its way. */
  at(address) {
    const page = this.#pages.get(address / PAGE);
    return page?.bytes?.[Number(address % PAGE)];
  }

  /** Sees to it that the bytes from `from` on are fetched. */
  want(from, length) {
    if (this.closed) return;
    const first = from / PAGE;
    const last = ((from + BigInt(length)) & MASK) / PAGE;
    for (let page = first; page <= last && page - first < 64n; page += 1n) {
      if (this.#pages.get(page)?.fresh || this.#asked.has(page)) continue;
      const start = page * PAGE;
      if (!this.maps.some((map) => map.from < start + PAGE && map.to > start) && this.maps.length > 0) continue;
      const controller = new AbortController();
      this.#asked.set(page, controller);
      bytes(start, PAGE, controller.signal).then((found) => {
        // Whoever forgot it meanwhile has asked anew.
        if (this.#asked.get(page) !== controller) return;
        this.#asked.delete(page);
        this.#pages.set(page, { bytes: found, fresh: true });
        if (this.#pages.size > KEPT) this.#pages.delete(this.#pages.keys().next().value);
        this.dispatchEvent(new Event("change"));
      }, (error) => {
        if (this.#asked.get(page) === controller) this.#asked.delete(page);
        if (error.name !== "AbortError") this.dispatchEvent(new CustomEvent("trouble", { detail: error.message }));
      });
    }
    // What has scrolled out of view is not waited for.
    for (const [page, controller] of this.#asked) {
      if (page < first - 4n || page > last + 4n) {
        controller.abort();
        this.#asked.delete(page);
      }
    }
  }

  /** What was read may have changed: it is shown until it has been read anew. */
  forget() {
    for (const controller of this.#asked.values()) controller.abort();
    this.#asked.clear();
    for (const page of this.#pages.values()) page.fresh = false;
    this.dispatchEvent(new Event("change"));
  }

  /** Writes one after the other, in the order in which they were asked for. */
  write(address, values, undoing = false) {
    const done = this.#last.then(() => this.#write(address, values, undoing));
    this.#last = done.catch(() => {});
    return done;
  }

  async #write(address, values, undoing) {
    const before = undoing ? null : await bytes(address, values.length);
    const hex = Array.from(values, (value) => value.toString(16).padStart(2, "0")).join("");
    await post("/memory", { address: `0x${address.toString(16)}`, hex });
    if (before) this.#undo.push({ address, before });
    values.forEach((value, index) => {
      const here = address + BigInt(index);
      const page = this.#pages.get(here / PAGE);
      if (page) page.bytes[Number(here % PAGE)] = value;
    });
    this.dispatchEvent(new Event("change"));
  }

  get undoable() {
    return this.#undo.length;
  }

  async undo() {
    // Taken before it is written: the next one may be asked for meanwhile.
    const last = this.#undo.pop();
    if (!last) return null;
    try {
      await this.write(last.address, last.before, true);
    } catch (error) {
      this.#undo.push(last);
      throw error;
    }
    this.dispatchEvent(new Event("change"));
    return last.address;
  }
}
