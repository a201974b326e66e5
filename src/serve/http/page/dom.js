// Elements. Every string from a target goes through here as a text node.

/** An element with attributes and children; strings become text. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Control characters and directions made visible: a name must not pretend to be another. */
export function visible(text) {
  return String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, (c) =>
    "\\x" + c.charCodeAt(0).toString(16).padStart(2, "0"));
}

export const hex = (value, digits = 8) => "0x" + BigInt.asUintN(64, BigInt(value)).toString(16).padStart(digits, "0");

let timer = 0;
/** One line about what just happened, at the top. */
export function say(text, trouble = false) {
  const place = byId("state");
  place.textContent = visible(text);
  place.classList.toggle("trouble", trouble);
  clearTimeout(timer);
  timer = setTimeout(() => { place.textContent = ""; }, trouble ? 12000 : 4000);
}

/** Tabs over panels: arrows move, as the pattern for tabs has it. */
export function tabs(list, entries, chosen) {
  list.replaceChildren(...entries.map(({ id, label, panel }) => make("button", {
    type: "button", role: "tab", id: `tab-${id}`, "aria-controls": panel, "aria-selected": "false", tabindex: "-1",
    onclick: () => select(id),
  }, label)));
  function select(id, focus = false) {
    for (const entry of entries) {
      const tab = byId(`tab-${entry.id}`);
      const on = entry.id === id;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      if (on && focus) tab.focus();
    }
    chosen(id);
  }
  list.onkeydown = (event) => {
    const at = entries.findIndex(({ id }) => byId(`tab-${id}`) === document.activeElement);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (at < 0 || !step) return;
    event.preventDefault();
    select(entries[(at + step + entries.length) % entries.length].id, true);
  };
  return select;
}
