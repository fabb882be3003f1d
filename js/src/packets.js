// Data messages in packets `message_id|index|total|base64` (protocol.md E): joined, and cut. No DOM, no network.

const MAX_PARTIAL = 64;        // messages whose packets have not all come
const MAX_BYTES = 1 << 20;     // of base64 in all of them
const MAX_PARTS = 4096;
const MAX_UNKNOWN = 256;       // parts of a message whose total nobody has said: each new one is a try to read it
const MAX_ID = 128;

const decoder = new TextDecoder();

export class Assembler {
  #partial = new Map();
  #bytes = 0;

  // The object of a packet (text or ArrayBuffer), or null: not whole yet, or none at all.
  push(data) {
    const text = typeof data === 'string' ? data : decoder.decode(data);
    if (text.startsWith('{')) return parse(text);
    const [id, index, of, ...rest] = text.split('|');
    if (!rest.length || !id || id.length > MAX_ID || !/^\d{1,6}$/.test(index)) return null;
    const at = Number(index), total = /^\d{1,6}$/.test(of) ? Number(of) : 0, part = rest.join('|');
    if (total > MAX_PARTS || at > (total || MAX_UNKNOWN) || part.length > MAX_BYTES) return null;
    const known = this.#partial.get(id) ?? { parts: new Map(), last: 0, bytes: 0, total: 0 };
    if (known.parts.has(at) || (total && known.total && total !== known.total)) return null;
    this.#remove(id);                            // the newest message is last, the oldest goes first
    known.parts.set(at, part);
    known.last = Math.max(known.last, at);
    known.bytes += part.length;
    known.total ||= total;
    const whole = join(known);
    if (whole || (known.total && known.parts.size >= known.total)) return whole;
    this.#partial.set(id, known);
    this.#bytes += known.bytes;
    while (this.#partial.size > MAX_PARTIAL || this.#bytes > MAX_BYTES) this.#remove(this.#partial.keys().next().value);
    return null;
  }

  #remove(id) {
    this.#bytes -= this.#partial.get(id)?.bytes ?? 0;
    this.#partial.delete(id);
  }
}

// Index from 0 or from 1; without a total ("???") it is whole as soon as it is JSON.
function join({ parts, last, total }) {
  const first = parts.has(0) ? 0 : 1;
  if (last - first + 1 !== parts.size || (total && parts.size !== total)) return null;
  const text = Array.from(parts.keys()).sort((a, b) => a - b).map((index) => parts.get(index)).join('');
  try {
    const end = 4 * Math.floor(Math.max(0, text.length - 64) / 4);
    if (!total && !atob(text.slice(end)).trimEnd().endsWith('}')) return null;
    const raw = atob(text), bytes = new Uint8Array(raw.length);
    for (let n = 0; n < raw.length; n += 1) bytes[n] = raw.charCodeAt(n);
    return parse(decoder.decode(bytes));
  } catch { return null; }
}

function parse(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === 'object' && !Array.isArray(value) ? value : null;
  } catch { return null; }
}

// The packets of a text, each of `room` bytes at most; the index counts from 1.
export function cut(id, text, room) {
  const bytes = new TextEncoder().encode(text), step = 3 * Math.floor((room - id.length - 16) / 4);
  const total = Math.max(1, Math.ceil(bytes.length / step));
  return Array.from({ length: total }, (_, n) => {
    const part = String.fromCharCode(...bytes.subarray(n * step, (n + 1) * step));
    return `${id}|${n + 1}|${total}|${btoa(part)}`;
  });
}
