// Lists of what is known: names, strings, functions, sections, hosts. Only the rows in view are elements, so that a
// hundred thousand symbols filter while one types.

import { get } from "./api.js";
import { make, hex, visible } from "./dom.js";

const ROW = 26;

const first = (row, names) => names.map((name) => row[name]).find((value) => value !== undefined && value !== null && value !== "");

/** The address, name and remark of a row, whatever fields it has. */
function facts(row) {
  const address = first(row, ["vaddr", "offset", "addr", "address", "from", "paddr"]);
  const name = first(row, ["name", "flagname", "string", "text", "comment", "uri", "service", "description"]);
  const size = first(row, ["size", "length"]);
  const remark = first(row, ["perm", "type", "state", "libname", "bind", "address"]);
  let text = name ?? "";
  if (typeof text === "object") text = JSON.stringify(text);
  return {
    address: address === undefined || !/^(0x[0-9a-f]+|\d+)$/i.test(String(address)) ? null : BigInt(address),
    name: visible(text),
    remark: visible([remark === text ? "" : remark, size === undefined ? "" : `${size} B`].filter(Boolean).join(" ")),
  };
}

let serial = 0;

/** A list with a filter; `chosen` gets the row that is opened. */
export class List {
  #id = `list-${serial++}`; #rows = []; #shown = []; #at = 0; #chosen; #view; #inner; #filter; #count; #frame = 0; #none; #why = "Nothing here.";

  constructor(label, chosen) {
    this.#chosen = chosen;
    this.#filter = make("input", {
      type: "search", placeholder: `Filter ${label.toLowerCase()}`, "aria-label": `Filter ${label}`, spellcheck: "false",
      oninput: () => this.#sift(), onkeydown: (event) => this.#key(event),
    });
    this.#count = make("span", { class: "count", role: "status" });
    this.#inner = make("div", { class: "rows" });
    this.#view = make("div", {
      class: "rows-view", tabindex: "0", role: "listbox", "aria-label": label,
      onscroll: () => this.#draw(), onkeydown: (event) => this.#key(event),
    }, this.#inner);
    this.#none = make("p", { class: "empty", hidden: true });
    this.element = make("div", { class: "list" }, make("div", { class: "list-head" }, this.#filter, this.#count), this.#none, this.#view);
    new ResizeObserver(() => this.#draw()).observe(this.#view);
  }

  set rows(rows) {
    this.#why = "Nothing here.";
    this.#rows = rows.map((row) => ({ row, ...facts(row) }));
    this.#sift();
  }

  add(row) {
    this.#rows.push({ row, ...facts(row) });
    if (!this.#frame) this.#frame = requestAnimationFrame(() => { this.#frame = 0; this.#sift(true); });
  }

  empty(text) {
    this.#why = text;
    this.#rows = [];
    this.#sift();
  }

  focus() { this.#filter.focus(); }

  #sift(stay = false) {
    const words = this.#filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.#shown = words.length === 0 ? this.#rows : this.#rows.filter(({ name, address, remark }) => {
      const text = `${name} ${remark} ${address === null ? "" : hex(address)}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    this.#count.textContent = words.length === 0 ? String(this.#rows.length) : `${this.#shown.length}/${this.#rows.length}`;
    if (!stay) {
      this.#at = 0;
      this.#view.scrollTop = 0;
    }
    this.#draw();
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 12, PageUp: -12 }[event.key];
    if (step) {
      event.preventDefault();
      this.#at = Math.max(0, Math.min(this.#shown.length - 1, this.#at + step));
      const top = this.#at * ROW;
      if (top < this.#view.scrollTop) this.#view.scrollTop = top;
      if (top + ROW > this.#view.scrollTop + this.#view.clientHeight) this.#view.scrollTop = top + ROW - this.#view.clientHeight;
      this.#draw();
    } else if (event.key === "Enter" && this.#shown[this.#at]) {
      event.preventDefault();
      this.#chosen(this.#shown[this.#at]);
    }
  }

  #draw() {
    const height = this.#view.clientHeight || 400;
    const from = Math.max(0, Math.floor(this.#view.scrollTop / ROW) - 4);
    const rows = this.#shown.slice(from, from + Math.ceil(height / ROW) + 8);
    this.#inner.style.height = `${this.#shown.length * ROW}px`;
    this.#inner.replaceChildren(...rows.map((fact, index) => {
      const at = from + index;
      const element = make("div", {
        class: `row${at === this.#at ? " at" : ""}`, role: "option", "aria-selected": String(at === this.#at),
        id: `${this.#id}-${at}`, title: fact.name, onclick: () => { this.#at = at; this.#draw(); this.#chosen(fact); },
      },
      fact.address === null ? null : make("span", { class: "offset" }, hex(fact.address)),
      make("span", { class: "name" }, fact.name),
      make("span", { class: "remark" }, fact.remark));
      element.style.transform = `translateY(${at * ROW}px)`;
      return element;
    }));
    if (this.#shown.length > 0) this.#view.setAttribute("aria-activedescendant", `${this.#id}-${this.#at}`);
    else this.#view.removeAttribute("aria-activedescendant");
    this.#none.textContent = this.#rows.length === 0 ? visible(this.#why) : this.#shown.length === 0 ? "Nothing fits the filter." : "";
    this.#none.hidden = this.#none.textContent === "";
  }
}

const LABELS = {
  flags: "Flags", symbols: "Symbols", functions: "Functions", strings: "Strings", imports: "Imports",
  sections: "Sections", segments: "Segments", comments: "Comments", maps: "Maps", files: "Files", hosts: "Hosts",
  servers: "Servers",
};

/** The lists that this build can answer, in the order of the tabs. */
export const known = (lists) => Object.keys(LABELS).filter((name) => lists.includes(name)).map((name) => ({ name, label: LABELS[name] }));

/** Fills `list` with what the server knows by `name`. */
export async function load(list, name) {
  try {
    const found = await get(`/list/${name}`);
    list.rows = Array.isArray(found) ? found : Object.values(found).find(Array.isArray) ?? [];
  } catch (error) {
    list.empty(error.message);
  }
}
