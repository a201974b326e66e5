// Requests to the server, and the socket with its events.

/** JSON whose large numbers stay exact: those beyond 2^53 become BigInt. */
export function parse(text) {
  return JSON.parse(text, (key, value, context) => {
    if (typeof value === "number" && !Number.isSafeInteger(value) && context && /^-?\d+$/.test(context.source)) {
      return BigInt(context.source);
    }
    return value;
  });
}

export class Refused extends Error {
  constructor(status, kind, message) {
    super(message);
    this.status = status;
    this.kind = kind;
  }
}

async function checked(response) {
  if (response.ok) return response;
  let told = {};
  try {
    told = (await response.json()).error;
  } catch {
    told = { kind: "system", message: `the server answers ${response.status}` };
  }
  if (response.status === 401) window.dispatchEvent(new Event("signed-out"));
  throw new Refused(response.status, told.kind, told.message);
}

export async function get(path, signal) {
  const response = await checked(await fetch(`/api/v1${path}`, { signal }));
  return parse(await response.text());
}

export async function post(path, body = {}) {
  const response = await checked(await fetch(`/api/v1${path}`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  }));
  return parse(await response.text());
}

/** Runs a line: {ok, output, value, errors, seek, ...}. */
export const run = (command) => post("/run", { command });

/** Bytes of memory. */
export async function bytes(address, length, signal) {
  const query = new URLSearchParams({ address: `0x${address.toString(16)}`, length: String(length) });
  const response = await checked(await fetch(`/api/v1/memory?${query}`, { signal }));
  return new Uint8Array(await response.arrayBuffer());
}

/** Lines of JSON as they come; without a body they are only asked for. */
export async function* lines(path, body, signal) {
  const how = body === null ? { signal } : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
  const response = await checked(await fetch(`/api/v1${path}`, how));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const pieces = rest.split("\n");
    rest = pieces.pop();
    for (const piece of pieces) if (piece) yield parse(piece);
  }
}

/** The socket: commands in flight, and events for whoever listens on the window. */
class Line {
  #socket = null;
  #waiting = new Map();
  #next = 1;
  #closed = false;
  #delay = 500;

  open() {
    this.#closed = false;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/api/v1/socket`);
    this.#socket = socket;
    socket.onopen = () => {
      if (this.#delay > 500) window.dispatchEvent(new CustomEvent("line", { detail: true }));
      this.#delay = 500;
    };
    socket.onmessage = ({ data }) => this.#heard(parse(data));
    socket.onclose = () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("the connection to the server is lost"));
      this.#waiting.clear();
      if (!this.#closed) window.dispatchEvent(new CustomEvent("line", { detail: false }));
      if (!this.#closed) setTimeout(() => this.open(), this.#delay = Math.min(this.#delay * 2, 15000));
    };
  }

  #heard(message) {
    if (message.event) {
      window.dispatchEvent(new CustomEvent("remora", { detail: message }));
      return;
    }
    const waiting = this.#waiting.get(message.id);
    if (!waiting) return;
    if (message.output !== undefined) waiting.output(message.output);
    if (message.progress !== undefined) waiting.progress?.(message.progress);
    if (message.report) waiting.resolve(message.report);
    if (message.error) waiting.reject(new Error(message.error.message));
    if (message.report || message.error) this.#waiting.delete(message.id);
  }

  /** Runs a line; `output` gets its text as it comes, `progress` how far it is. Returns its number and how it ends. */
  run(command, output, progress) {
    const id = this.#next++;
    const done = new Promise((resolve, reject) => {
      if (this.#socket?.readyState !== WebSocket.OPEN) {
        reject(new Error("the connection to the server is lost"));
        return;
      }
      this.#waiting.set(id, { output, progress, resolve, reject });
      this.#socket.send(JSON.stringify({ id, run: command }));
    });
    return { id, done };
  }

  cancel(id) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ cancel: id }));
  }

  close() {
    this.#closed = true;
    this.#socket?.close();
  }
}

export const line = new Line();
