// The page: puts the panels together, keeps address, URL and focus in step.

import { line, post, run } from "./api.js";
import { byId, hex, make, say, tabs, visible } from "./dom.js";
import { Code } from "./code.js";
import { Console } from "./console.js";
import { copy } from "./copy.js";
import { Graph } from "./graph.js";
import { Hexdump } from "./hexdump.js";
import { Inspect } from "./inspect.js";
import { Keys } from "./keys.js";
import { List, known, load } from "./lists.js";
import { Memory } from "./memory.js";
import { Process } from "./process.js";
import { References } from "./references.js";
import { Search } from "./search.js";
import { askToSignIn, session } from "./session.js";
import { Strip } from "./map.js";

const themes = ["", "light", "dark"];
function theme(name) {
  document.documentElement.dataset.theme = name;
  try {
    localStorage.setItem("remora-theme", name);
  } catch {
    // Then the theme is for this page alone.
  }
}
try {
  theme(localStorage.getItem("remora-theme") ?? "");
} catch {
  theme("");
}

function start(about) {
  window.addEventListener("signed-out", () => askToSignIn().then(() => location.reload()));
  const memory = new Memory();
  const dump = new Hexdump(byId("hexdump"), memory);
  const process = new Process(byId("process"), about.lists.includes("registers"));
  const code = new Code(byId("code"), process);
  const graph = new Graph(byId("graph"), (address) => shell.run(address === null ? "aa" : `af @ 0x${address.toString(16)}`));
  const strip = new Strip(about.lists);
  const shell = new Console();
  const inspect = new Inspect(memory);
  const writes = about.permissions.includes("write");
  let view = "hexdump";
  const back = [];
  let side = "search";

  const views = { hexdump: dump, code, graph };
  const address = () => views[view].cursor;

  function where() {
    const { from, length } = dump.selection;
    const at = address();
    const value = memory.at(at);
    byId("where").textContent = [
      hex(at), value === undefined ? "" : `0x${value.toString(16).padStart(2, "0")} = ${value}`,
      length > 1 ? `${length} bytes from ${hex(from)}` : "", dump.editing ? "editing (Esc ends)" : "",
    ].filter(Boolean).join("   ");
    inspect.show(at);
    if (side === "references") references.show(at);
    byId("back").disabled = back.length === 0;
    byId("undo").disabled = memory.undoable === 0;
    byId("undo").textContent = memory.undoable > 0 ? `Undo (${memory.undoable})` : "Undo";
  }

  function go(to, keep = true) {
    const target = BigInt.asUintN(64, BigInt(to));
    if (keep && address() !== target) back.push(address());
    views[view].go(target);
    if (view !== "hexdump") dump.go(target);
    history.replaceState(null, "", `#0x${target.toString(16)}`);
    strip.show(memory.maps, target);
    where();
  }

  /** Where an expression leads, as the server evaluates it. */
  async function goTo(text) {
    if (/^0x[0-9a-f]+$/i.test(text) || /^\d+$/.test(text)) {
      go(BigInt(text));
      return;
    }
    const { ok, errors } = await run(`s ${text.replace(/[;|>`@~#!]/g, "")}`);
    if (!ok) throw new Error(errors[0] ?? "no such place");
    const { output } = await run("s");
    go(BigInt(output.trim()));
  }

  byId("go").onsubmit = async (event) => {
    event.preventDefault();
    const text = byId("address").value.trim();
    if (!text) return;
    try {
      await goTo(text);
      byId("address").value = "";
      byId(view).focus();
    } catch (error) {
      say(error.message, true);
    }
  };

  const settled = () => {
    history.replaceState(null, "", `#0x${address().toString(16)}`);
    strip.show(memory.maps, address());
    where();
  };
  for (const one of Object.values(views)) {
    one.addEventListener("cursor", () => { if (one === views[view]) settled(); });
    one.addEventListener("follow", ({ detail }) => go(detail));
  }
  strip.addEventListener("go", ({ detail }) => go(detail));
  inspect.addEventListener("go", ({ detail }) => go(detail));
  process.addEventListener("go", ({ detail }) => { go(detail); show("main"); });
  process.addEventListener("restart", () => shell.run("doo"));
  process.addEventListener("looked", () => {
    byId("show-process").hidden = !process.here;
    if (process.ended === memory.closed) return;
    memory.closed = process.ended;
    memory.refreshMaps(process.here).catch((error) => say(error.message, true));
    memory.forget();
    if (process.ended) code.close();
    else go(process.pc ?? address(), false);
  });
  memory.addEventListener("change", where);
  memory.addEventListener("trouble", ({ detail }) => say(detail, true));
  memory.addEventListener("maps", () => strip.changed(memory.maps));

  const open = ({ address: at, row }) => {
    if (at !== null && at !== undefined) {
      go(at);
      show("main");
    } else if (row.id !== undefined && row.uri) {
      shell.run(`=${row.id} ?V`);
    }
  };

  // The side: a tab for each list that this build knows, loaded when it is shown.
  const search = new Search(open);
  const references = new References(open);
  const lists = known(about.lists).map(({ name, label }) => ({ id: name, label, panel: "side-body", list: null }));
  const sideTabs = [{ id: "search", label: "Search", panel: "side-body" }, { id: "references", label: "References", panel: "side-body" }, ...lists];
  const chooseSide = tabs(byId("side-tabs"), sideTabs, (id) => {
    side = id;
    byId("side-body").setAttribute("aria-labelledby", `tab-${id}`);
    const entry = lists.find((one) => one.id === id);
    if (!entry) {
      byId("side-body").replaceChildren(id === "search" ? search.element : references.element);
      if (id === "references") references.show(address(), true);
      return;
    }
    entry.list ??= new List(entry.label, open);
    const extra = id === "hosts" ? hostForm(entry) : id === "functions" ? finder(entry) : null;
    byId("side-body").replaceChildren(make("div", { class: "list-panel" }, ...[extra, entry.list.element].filter(Boolean)));
    load(entry.list, id);
  });

  /** Functions are known when somebody has looked for them. */
  function finder(entry) {
    return make("form", {
      class: "search",
      onsubmit: async (event) => {
        event.preventDefault();
        await shell.run("aa");
        load(entry.list, "functions");
      },
    }, make("button", {}, "Find functions (aa)"));
  }

  function hostForm(entry) {
    const uri = make("input", { placeholder: "rap://host:port/file", "aria-label": "Connect to", spellcheck: "false" });
    return make("form", {
      class: "search",
      onsubmit: async (event) => {
        event.preventDefault();
        await shell.run(`=+ ${uri.value.replace(/[;|>`@~#!\s]/g, "")}`);
        load(entry.list, "hosts");
      },
    }, uri, make("button", {}, "Connect"));
  }

  const mainTabs = [["hexdump", "Hexdump"], ["code", "Disassembly"], ["graph", "Graph"]].map(([id, label]) => ({ id, label, panel: id }));
  const chooseMain = tabs(byId("main-tabs"), mainTabs, (id) => {
    const at = address();
    view = id;
    for (const name of Object.keys(views)) byId(name).hidden = name !== id;
    byId("inspect").hidden = id === "graph";
    go(at, false);
  });

  // On a phone one panel at a time.
  function show(panel) {
    document.body.dataset.panel = panel;
    for (const button of byId("tabs-small").children) button.setAttribute("aria-pressed", String(button.dataset.show === panel));
  }
  byId("tabs-small").onclick = ({ target }) => { if (target.dataset.show) show(target.dataset.show); };

  async function undo() {
    try {
      const at = await memory.undo();
      if (at === null) say("Nothing to undo");
      else go(at, false);
    } catch (error) {
      say(error.message, true);
    }
  }
  byId("undo").onclick = undo;
  byId("back").onclick = goBack;
  byId("skip").onclick = () => byId(view).focus();
  byId("theme").onclick = nextTheme;
  function goBack() {
    const at = back.pop();
    if (at !== undefined) go(at, false);
  }
  function nextTheme() {
    theme(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length]);
    strip.draw();
    say(`Theme: ${document.documentElement.dataset.theme || "as the system"}`);
  }

  function edit() {
    if (!writes) {
      say("Writing is not permitted here", true);
      return;
    }
    chooseMain("hexdump");
    dump.edit(true);
    byId("hexdump").focus();
  }

  byId("hexdump").addEventListener("keydown", (event) => {
    if (!dump.editing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Tab") {
      event.preventDefault();
      dump.side();
    } else if (dump.type(event.key)) {
      event.preventDefault();
      event.stopPropagation();
    }
  });

  const down = (step) => (event) => (view === "hexdump" ? dump.move(BigInt(step * dump.columns), event?.shiftKey) : views[view].move(step));
  const across = (step) => (event) => { if (view === "hexdump") dump.move(BigInt(step), event?.shiftKey); };
  const page = (step) => () => (view === "hexdump" ? dump.page(step) : views[view].move(step * 16));
  const drawn = () => view === "graph" && !dump.editing;
  const debugging = (event) => process.here && free(event);
  const map = () => memory.maps.find(({ from, to }) => address() >= from && address() < to) ?? memory.maps[0];
  const inside = ({ target }) => !target.closest?.("#side, #console-panel, #process, [role=tablist], #bar button, #strip");
  const free = (event) => !dump.editing && !(event?.target?.matches?.("button, a, [role=tab], #strip") && ["Enter", "Space", "ArrowLeft", "ArrowRight"].includes(event.key));
  const both = (event) => inside(event);

  new Keys([
    { keys: ["j", "ArrowDown"], label: "Down", run: down(1), when: both, hidden: true },
    { keys: ["k", "ArrowUp"], label: "Up", run: down(-1), when: both, hidden: true },
    { keys: ["h", "ArrowLeft"], label: "Left", run: across(-1), when: both, hidden: true },
    { keys: ["l", "ArrowRight"], label: "Right", run: across(1), when: both, hidden: true },
    { keys: ["J"], label: "Down, selecting", run: down(1), when: both, hidden: true },
    { keys: ["K"], label: "Up, selecting", run: down(-1), when: both, hidden: true },
    { keys: ["H"], label: "Left, selecting", run: across(-1), when: both, hidden: true },
    { keys: ["L"], label: "Right, selecting", run: across(1), when: both, hidden: true },
    { keys: ["PageDown", "Space"], label: "A page on", run: page(1), when: both, hidden: true },
    { keys: ["PageUp"], label: "A page back", run: page(-1), when: both, hidden: true },
    { keys: ["gg", "Home"], label: "Start of the map", run: () => map() && go(map().from), when: free },
    { keys: ["G", "End"], label: "End of the map", run: () => map() && go(map().to - 1n), when: free },
    { keys: ["go"], label: "Go to an address", run: () => { byId("address").focus(); }, when: free },
    { keys: ["Backspace", "o"], label: "Back to where one was", run: goBack, when: free },
    { keys: ["Enter"], label: "Follow the instruction under the cursor", run: () => views[view].follow(), when: (event) => view !== "hexdump" && both(event) },
    { keys: ["i"], label: "Edit bytes (Tab: text or digits)", run: edit, when: free },
    { keys: ["Escape"], label: "End editing or the selection", run: () => { if (dump.editing) dump.edit(false); else dump.go(dump.cursor); byId(view).focus(); } },
    { keys: ["u"], label: "Undo the last write", run: undo, when: free },
    { keys: ["/"], label: "Search", run: () => { show("side"); chooseSide("search"); search.focus(); }, when: free },
    { keys: [":"], label: "Command line", run: () => { show("console-panel"); shell.focus(); }, when: free },
    { keys: ["v"], label: "Hexdump, disassembly, graph in turn", run: () => { chooseMain(mainTabs[(mainTabs.findIndex(({ id }) => id === view) + 1) % mainTabs.length].id); byId(view).focus(); }, when: free },
    ...mainTabs.map(({ id, label }) => ({ keys: [], label: `View: ${label}`, run: () => { show("main"); chooseMain(id); byId(id).focus(); } })),
    { keys: ["x"], label: "References of the address under the cursor", run: () => { show("side"); chooseSide("references"); references.focus(); }, when: free },
    { keys: ["+"], label: "Graph: larger", run: () => graph.zoom(1.25), when: drawn },
    { keys: ["-"], label: "Graph: smaller", run: () => graph.zoom(1 / 1.25), when: drawn },
    { keys: ["0"], label: "Graph: the whole function", run: () => graph.fit(), when: drawn },
    { keys: ["yy"], label: "Copy as hex", run: () => copy("hex", dump.selection), when: free },
    { keys: ["yc"], label: "Copy as C", run: () => copy("C", dump.selection), when: free },
    { keys: ["yp"], label: "Copy as Python", run: () => copy("Python", dump.selection), when: free },
    { keys: ["t"], label: "Light or dark", run: nextTheme, when: free },
    { keys: ["r"], label: "Read everything anew", run: () => { memory.forget(); memory.refreshMaps(process.here); code.refresh(); strip.sample(); chooseSide(side); }, when: free },
    { keys: ["b", "F2"], label: "Breakpoint at the cursor, or none", run: () => process.toggle(address()), when: debugging },
    ...process.steps.map(([label, key, action, title]) => ({ keys: [key, { step: "F7", over: "F8", continue: "F9" }[action]].filter(Boolean), label: `Process: ${title}`, run: () => process.act(action), when: debugging })),
    { keys: ["F4"], label: "Process: Run until the cursor", run: () => process.act("until", { address: hex(address()) }), when: debugging },
    { keys: ["p"], label: "Process: Pause", run: () => process.pause(), when: debugging },
    { keys: ["."], label: "Process: Go to where it is", run: () => { if (process.pc !== null) go(process.pc); }, when: debugging },
    { keys: ["?"], label: "Help on keys", run: () => byId("help-open").click(), when: free },
    ...lists.map(({ id, label }) => ({ keys: [], label: `List: ${label}`, run: () => { show("side"); chooseSide(id); lists.find((one) => one.id === id).list.focus(); } })),
    { keys: [], label: "Sign out", run: async () => { await post("/sign-out"); line.close(); location.reload(); } },
  ]);

  // What happens elsewhere: other pages, the prompt, other clients.
  let late = 0;
  const changed = () => {
    clearTimeout(late);
    late = setTimeout(() => {
      // Whether there still is something to read is what the process says first.
      (process.acting ? Promise.resolve() : process.refresh()).then(() => {
        if (process.running || process.ended) return null;
        memory.forget();
        code.refresh();
        return memory.refreshMaps(process.here);
      }).catch((error) => say(error.message, true));
      const entry = lists.find((one) => one.id === side);
      if (entry) load(entry.list, side);
    }, 150);
  };
  window.addEventListener("remora", ({ detail }) => {
    if (detail.event === "seek") {
      go(BigInt(detail.address));
      shell.seek = hex(BigInt(detail.address));
    } else if (detail.event === "stop") {
      if (detail.address !== null) memory.forget();
      if (detail.address !== null) go(BigInt(detail.address), false);
      if (detail.lines.length > 0) say(detail.lines.at(-1));
      if (!process.acting) process.refresh();
    } else if (detail.event === "changed") {
      changed();
    } else if (detail.event === "stopping") {
      say("The server ends", true);
    } else if (detail.event === "client" && detail.client !== about.client) {
      say(detail.here ? "Another client is here" : "A client has left");
    }
  });
  window.addEventListener("line", ({ detail: there }) => {
    say(there ? "The server is there again" : "The connection to the server is lost; trying again", !there);
    if (there) changed();
  });
  window.addEventListener("hashchange", () => {
    const found = /^#(0x[0-9a-f]+)$/i.exec(location.hash);
    if (found && BigInt(found[1]) !== address()) go(BigInt(found[1]));
  });

  shell.seek = hex(BigInt(about.seek));
  memory.setMaps(about.process ? [] : about.maps);
  const file = about.files.find((one) => one.raised) ?? about.files[0];
  byId("file").textContent = file ? visible(file.uri) : "nothing is open";
  document.title = file ? `${visible(file.uri)} - remora` : "remora";
  byId("show-process").hidden = true;
  shell.greet("Tab completes, the arrows bring back what was typed, ? lists the commands. Keys: ?, everything: Ctrl-K.");
  chooseSide("search");
  show("main");
  const linked = /^#(0x[0-9a-f]+)$/i.exec(location.hash);
  chooseMain(about.process ? "code" : "hexdump");
  go(BigInt(linked ? linked[1] : about.seek), false);
  byId(view).focus();
  // What is seen first is asked for; the rest may follow.
  line.open();
  if (about.process) {
    memory.refreshMaps(true).catch((error) => say(error.message, true));
    process.refresh();
  }
  document.body.dataset.ready = "true";
}

session().then(start, (error) => say(error.message, true));
