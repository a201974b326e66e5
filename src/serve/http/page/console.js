// The console: lines of commands with history and completion, output as it comes, Stop for what takes too long.

import { line, post } from "./api.js";
import { byId, make, visible } from "./dom.js";

const KEPT = 2000;
const STORE = "remora-history";

export class Console extends EventTarget {
  #log = byId("console"); #input = byId("line"); #list = byId("completions"); #stop = byId("stop");
  #history = []; #back = 0; #running = new Set(); #candidates = []; #at = -1; #start = 0;

  constructor() {
    super();
    try {
      this.#history = JSON.parse(localStorage.getItem(STORE) ?? "[]").filter((text) => typeof text === "string");
    } catch {
      this.#history = [];
    }
    this.#back = this.#history.length;
    byId("prompt").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#at >= 0) this.#take();
      else this.run(this.#input.value);
    });
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    this.#input.addEventListener("input", () => this.#hide());
    this.#input.addEventListener("blur", () => setTimeout(() => this.#hide(), 150));
    this.#stop.addEventListener("click", () => this.stop());
  }

  /** A line for whoever has not used it yet. */
  greet(text) { this.#write(text, "note"); }

  focus() { this.#input.focus(); }
  set seek(text) { byId("prompt-text").textContent = `[${text}]>`; }

  stop() { for (const id of this.#running) line.cancel(id); }

  #write(text, kind) {
    const near = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < 40;
    this.#log.append(make("pre", { class: kind }, plain(text)));
    while (this.#log.childElementCount > KEPT) this.#log.firstElementChild.remove();
    if (near) this.#log.scrollTop = this.#log.scrollHeight;
  }

  async run(text) {
    const command = text.trim();
    this.#input.value = "";
    this.#hide();
    if (!command) return;
    if (command === "clear") {
      this.#log.replaceChildren();
      return;
    }
    this.#history = this.#history.filter((old) => old !== command).concat(command).slice(-500);
    this.#back = this.#history.length;
    try {
      localStorage.setItem(STORE, JSON.stringify(this.#history));
    } catch {
      // Without a store the history ends with the page.
    }
    this.#write(`${byId("prompt-text").textContent} ${command}`, "asked");
    const { id, done } = line.run(command, (output) => this.#write(output.replace(/\n$/, ""), "said"), (progress) => this.#far(progress));
    this.#running.add(id);
    this.#stop.hidden = false;
    try {
      const report = await done;
      for (const note of report.notes) this.#write(note, "note");
      for (const error of report.errors) this.#write(`Error: ${error}`, "failed");
      this.seek = `0x${BigInt(report.seek).toString(16).padStart(8, "0")}`;
      this.dispatchEvent(new CustomEvent("ran", { detail: report }));
    } catch (error) {
      this.#write(`Error: ${error.message}`, "failed");
    } finally {
      this.#far(null);
      this.#running.delete(id);
      this.#stop.hidden = this.#running.size === 0;
    }
  }

  /** How far the line is; null: it says no more. */
  #far(progress) {
    const share = progress && progress.total > 0 ? ` ${Math.floor(Number(progress.done) * 100 / Number(progress.total))} %` : "";
    this.#stop.textContent = progress ? `Stop${share}` : "Stop";
    this.#stop.title = progress ? visible(progress.what) : "";
  }

  #key(event) {
    const open = !this.#list.hidden;
    if (event.key === "Tab" && !event.shiftKey && this.#input.value) {
      event.preventDefault();
      if (open) this.#choose(this.#at + 1);
      else this.#complete();
    } else if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      this.#choose(this.#at + (event.key === "ArrowDown" ? 1 : -1));
    } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      event.preventDefault();
      this.#back = Math.max(0, Math.min(this.#history.length, this.#back + (event.key === "ArrowUp" ? -1 : 1)));
      this.#input.value = this.#history[this.#back] ?? "";
    } else if (event.key === "Escape") {
      if (open) this.#hide();
      else this.#input.blur();
      event.stopPropagation();
    } else if (event.key === "c" && event.ctrlKey && this.#running.size > 0 && this.#input.selectionStart === this.#input.selectionEnd) {
      event.preventDefault();
      this.stop();
    } else if (event.key === "l" && event.ctrlKey) {
      event.preventDefault();
      this.#log.replaceChildren();
    }
  }

  async #complete() {
    const typed = this.#input.value;
    let found;
    try {
      found = await post("/complete", { line: typed });
    } catch {
      return;
    }
    if (this.#input.value !== typed) return;
    // The server counts bytes.
    this.#start = new TextDecoder().decode(new TextEncoder().encode(typed).slice(0, found.start)).length;
    this.#candidates = found.candidates;
    this.#at = -1;
    if (found.candidates.length === 1) {
      this.#at = 0;
      this.#take();
      return;
    }
    this.#list.replaceChildren(...found.candidates.map((candidate, index) => make("li", {
      role: "option", id: `completion-${index}`, onmousedown: (event) => { event.preventDefault(); this.#at = index; this.#take(); },
    }, make("b", {}, visible(candidate.text)), " ", make("span", {}, visible(candidate.summary ?? "")))));
    this.#list.hidden = found.candidates.length === 0;
    this.#input.setAttribute("aria-expanded", String(!this.#list.hidden));
    if (!this.#list.hidden) this.#choose(0);
  }

  #choose(at) {
    const count = this.#candidates.length;
    this.#at = (at + count) % count;
    [...this.#list.children].forEach((row, index) => row.setAttribute("aria-selected", String(index === this.#at)));
    this.#list.children[this.#at]?.scrollIntoView({ block: "nearest" });
    this.#input.setAttribute("aria-activedescendant", `completion-${this.#at}`);
  }

  #take() {
    const candidate = this.#candidates[this.#at];
    if (candidate) this.#input.value = this.#input.value.slice(0, this.#start) + candidate.text + (candidate.complete ? " " : "");
    this.#hide();
  }

  #hide() {
    this.#list.hidden = true;
    this.#at = -1;
    this.#input.setAttribute("aria-expanded", "false");
    this.#input.removeAttribute("aria-activedescendant");
  }
}

/** Output without what would steer a terminal: colours go, the rest becomes visible. */
function plain(text) {
  return text.replace(/\u001b\[[0-9;]*m/g, "").split("\n").map((row) => row.split("\t").map(visible).join("\t")).join("\n");
}
