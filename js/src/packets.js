// Data messages in packets `message_id|index|total|base64` (protocol.md E): joined, and cut. No DOM, no network.

const MAX_PARTIAL = 64;        // messages whose packets have not all come
const MAX_PARTS = 4096;

const decoder = new TextDecoder();

export class Assembler {
  #partial = new Map();

  // The object of a packet (text or ArrayBuffer), or null: not whole yet, or none at all.
  push(data) {
    const text = typeof data === 'string' ? data : decoder.decode(data);
    if (text.startsWith('{')) return parse(text);
    const [id, index, total, ...rest] = text.split('|');
    if (!rest.length || !id || !/^\d{1,6}$/.test(index)) return null;
    const known = this.#partial.get(id) ?? { parts: new Map(), total: 0 };
    if (/^\d{1,6}$/.test(total)) known.total = Number(total);
    if (known.total > MAX_PARTS || known.parts.size >= MAX_PARTS) { this.#partial.delete(id); return null; }
    known.parts.set(Number(index), rest.join('|'));
    this.#partial.delete(id);                    // the newest message is last, the oldest goes first
    const whole = this.#join(known);
    if (whole) return whole;
    this.#partial.set(id, known);
    if (this.#partial.size > MAX_PARTIAL) this.#partial.delete(this.#partial.keys().next().value);
    return null;
  }

  // Index from 0 or from 1; without a total ("???") it is whole as soon as it is JSON.
  #join({ parts, total }) {
    if (total && parts.size < total) return null;
    const indices = [...parts.keys()].sort((a, b) => a - b);
    if (indices[0] > 1 || indices.some((index, n) => index !== indices[0] + n)) return null;
    try {
      const bytes = Uint8Array.from(atob(indices.map((index) => parts.get(index)).join('')), (c) => c.charCodeAt(0));
      return parse(decoder.decode(bytes));
    } catch { return null; }
  }
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
