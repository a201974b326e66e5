// Bytes as text for elsewhere.

import { bytes } from "./api.js";
import { say } from "./dom.js";

const pair = (value) => value.toString(16).padStart(2, "0");

const FORMS = {
  hex: (data) => Array.from(data, pair).join(""),
  C: (data) => `unsigned char data[${data.length}] = {\n${rows(data, (value) => `0x${pair(value)},`)}\n};`,
  Python: (data) => `data = bytes.fromhex(\n${rows(data, pair, "    \"", "\"")}\n)`,
};

function rows(data, one, before = "    ", after = "") {
  const lines = [];
  for (let at = 0; at < data.length; at += 16) {
    lines.push(before + Array.from(data.slice(at, at + 16), one).join(" ") + after);
  }
  return lines.join("\n");
}

/** Puts `length` bytes from `from` on the clipboard, as `form`: hex, C or Python. */
export async function copy(form, { from, length }) {
  try {
    const data = await bytes(from, Math.min(length, 1 << 20));
    const text = FORMS[form](data);
    await navigator.clipboard.writeText(text);
    say(`${data.length} bytes copied as ${form}`);
    return text;
  } catch (error) {
    say(`not copied: ${error.message}`, true);
    return null;
  }
}
