// Motion messages, binary or JSON, as records. The layout, byte by byte: docs/motion.md of Lipwire.
//
// Every frame stands alone, so nothing but the headers is kept between messages. What comes over a network can be anything:
// what is not a message throws MotionError('BAD_DATA'), costs no more time and memory than its length allows, and leaves
// what was read before as it is.

import { MotionError } from './errors.js';

const VERSION = 1;
const MAX_MESSAGE = 1 << 20;   // bytes, or characters of JSON
const MAX_RECORDS = 64;        // of a message
const MAX_CHANNELS = 1024, MAX_GROUPS = 32;
const MAX_HEADERS = 8;         // that are known at a time; the oldest is forgotten
const MAX_NAMES = 1 << 16;     // bytes of all names of a header
const MAX_TEXT = 4096;         // and of an event's value
const MAX_VALUE = 2 ** 31;     // of a channel: what the binary format can say
const MAGIC = 'LWM1';

/** What a channel is, by the number that stands for it in a header: its value is the integer that is sent, times its scale. */
export const KINDS = ['weight', 'signed', 'id', 'angle'];
const SCALES = [1 / 255, 1 / 32767, 1, 1 / 2000];
/** What an event is, likewise. */
export const EVENTS = ['interrupt', 'started', 'finished', 'underrun', 'state', 'expression', 'gesture', 'clock', 'error'];
const CODECS = ['', 'pcm16', 'opus'];
/** Of the sets whose channels are no weights. JSON does not say so. */
const SET_KINDS = { __proto__: null, azure: 2, head: 3, pose: 1 };
const HEADER = 1, FRAMES = 2, EVENT = 3, SOUND = 4;

const bad = (what) => new MotionError('BAD_DATA', what);

/** Bytes of a message, from one end to the other. */
class Cursor {
  constructor(bytes, at, end) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  u8() {
    if (this.at >= this.end) throw bad(`the message ends at byte ${this.at}, in the middle of a record`);
    return this.bytes[this.at++];
  }

  // LEB128, up to 2 ** 53 - 1: what a number of JavaScript holds.
  varint() {
    let value = 0, scale = 1;
    for (;;) {
      const byte = this.u8();
      value += (byte & 127) * scale;
      if (value > Number.MAX_SAFE_INTEGER) throw bad(`the number that ends at byte ${this.at} is too large`);
      if (byte < 128) return value;
      scale *= 128;
      if (scale > 2 ** 56) throw bad(`the number at byte ${this.at} has no end`);
    }
  }

  signed() {
    const value = this.varint();
    return value % 2 ? -(value + 1) / 2 : value / 2;
  }

  take(length) {
    if (length > this.end - this.at) throw bad(`${length} bytes are announced at byte ${this.at}, and ${this.end - this.at} are left`);
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  text(most, how) {
    const length = this.varint();
    if (length > most) throw bad(`a text of ${length} bytes at byte ${this.at}; ${most} are allowed`);
    return how.decode(this.take(length));
  }
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const UTF8 = { decode(bytes) { try { return strict.decode(bytes); } catch { throw bad('a text that is no UTF-8'); } } };
const ASCII = { decode: (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join('') };

/** What all frames under a header have: `sets` by name, each with the names of its channels and where they begin in `values`. */
function makeHeader(id, clockRate, fps, groups) {
  if (!(isCount(clockRate) && clockRate > 0 && clockRate <= 1e6)) throw bad(`a header with a clock of ${shown(clockRate)} Hz`);
  if (!(fps[0] > 0 && fps[1] > 0 && fps[0] / fps[1] <= 1000)) throw bad(`a header of ${fps[0]}/${fps[1]} frames a second`);
  const sets = Object.create(null), kinds = [], mirrors = [];
  let channels = 0;
  for (const { set, kind, names } of groups) {
    if (channels + names.length > MAX_CHANNELS) throw bad(`a header with more than ${MAX_CHANNELS} channels`);
    const known = sets[set];
    if (known && known.from + known.names.length !== channels) throw bad(`a header in which the set ${set} is in two places`);
    if (known) known.names.push(...names);
    else sets[set] = { from: channels, names: [...names] };
    names.forEach((name, n) => { kinds.push(kind); mirrors.push(n > 0 && isMirror(names[n - 1], name)); });
    channels += names.length;
  }
  for (const [set, { names }] of Object.entries(sets)) {
    if (new Set(names).size !== names.length) throw bad(`a header whose set ${set} has a name twice`);
  }
  return { type: 'header', version: VERSION, id, clockRate, fps, interval: clockRate * fps[1] / fps[0], sets, kinds, mirrors, channels };
}

// Whether `name` is the other side of what `before` is one of. In a step it moves as that does, and only the rest is sent.
function isMirror(before, name) {
  return before !== name && (before.replace('Left', 'Right') === name || before.replace('left', 'right') === name);
}

export class Reader {
  #headers = new Map();

  /** The headers that are known, the newest last. */
  get headers() { return [...this.#headers.values()]; }

  /** Forgets them: another stream begins. */
  reset() { this.#headers.clear(); }

  /**
   * The records of one message, in order. Frames whose header has not come yet are left out.
   *
   * Throws MotionError with the code BAD_DATA; `records` of it are those that stand before the damage.
   * @param {string | ArrayBuffer | ArrayBufferView} message
   */
  put(message) {
    const records = [];
    try {
      if (typeof message === 'string') this.#text(message, records);
      else this.#binary(bytesOf(message), records);
    } catch (error) {
      if (!(error instanceof MotionError)) throw error;
      throw Object.assign(error, { records });
    }
    return records;
  }

  #keep(header) {
    this.#headers.delete(header.id);             // so that the newest is last
    this.#headers.set(header.id, header);
    if (this.#headers.size > MAX_HEADERS) this.#headers.delete(this.#headers.keys().next().value);
    return header;
  }

  // Binary ---------------------------------------------------------------------------------

  #binary(bytes, records) {
    if (bytes.length > MAX_MESSAGE) throw bad(`a message of ${bytes.length} bytes; ${MAX_MESSAGE} are allowed`);
    const all = new Cursor(bytes, 0, bytes.length);
    for (let n = 0; all.at < all.end; n++) {
      if (n === MAX_RECORDS) throw bad(`a message of more than ${MAX_RECORDS} records`);
      const type = all.u8(), length = all.varint(), at = all.at;
      all.take(length);
      const record = this.#record(type, new Cursor(bytes, at, at + length));
      if (record) records.push(record);
    }
  }

  #record(type, body) {
    switch (type) {
      case HEADER: return this.#keep(whole(body, readHeader(body)));
      case FRAMES: return this.#frames(body);
      case EVENT: return whole(body, readEvent(body));
      case SOUND: return readSound(body);
    }
    return null;                                 // of a newer version
  }

  #frames(body) {
    const header = this.#headers.get(body.u8());
    if (!header) return null;
    const newest = body.varint(), generation = body.varint(), flags = body.u8();
    const frames = [{ sample: newest, integers: readStep(body, header, new Int32Array(header.channels)) }];
    for (let n = flags & 15; n > 0; n--) {
      const [behind] = frames, sample = behind.sample - body.varint();
      if (sample < 0 || sample === behind.sample) throw bad(`an earlier frame at sample ${sample}, behind one at ${behind.sample}`);
      frames.unshift({ sample, integers: readStep(body, header, behind.integers) });
    }
    return whole(body, {
      type: 'frames', header, generation, speaking: (flags & 16) !== 0,
      frames: frames.map(({ sample, integers }) => ({ sample, values: Float32Array.from(integers, (v, n) => v * SCALES[header.kinds[n]]) })),
    });
  }

  // JSON -----------------------------------------------------------------------------------

  #text(text, records) {
    if (text.length > MAX_MESSAGE) throw bad(`a message of ${text.length} characters; ${MAX_MESSAGE} are allowed`);
    const record = this.object(parse(text));
    if (record) records.push(record);
  }

  /** The record that an object of JSON stands for; null where its header is not known, or its type is none of ours. */
  object(found) {
    if (!isObject(found)) throw bad('a message that is no object');
    switch (found.type) {
      case 'header': return this.#keep(headerOf(found));
      case 'frames': return framesOf(found, this.#headers.get(found.header));
      case 'event': return eventOf(found);
      case 'sound': return soundOf(found);
      case 'error': return { type: 'error', message: typeof found.message === 'string' ? found.message.slice(0, MAX_TEXT) : '' };
    }
    return null;
  }
}

function bytesOf(message) {
  if (message instanceof ArrayBuffer) return new Uint8Array(message);
  if (ArrayBuffer.isView(message)) return new Uint8Array(message.buffer, message.byteOffset, message.byteLength);
  throw new TypeError('a message is a string, an ArrayBuffer or a view of one');
}

function whole(body, found) {
  if (body.at !== body.end) throw bad(`a record that goes on for ${body.end - body.at} bytes behind its end, at byte ${body.at}`);
  return found;
}

function readHeader(body) {
  const version = body.u8();
  if (version !== VERSION) throw bad(`a header of version ${version}; this client reads version ${VERSION}`);
  const id = body.u8(), clockRate = body.varint(), fps = [body.varint(), body.varint()], count = body.varint();
  if (count > MAX_GROUPS) throw bad(`a header of ${count} groups; ${MAX_GROUPS} are allowed`);
  const groups = [];
  for (let n = 0; n < count; n++) {
    const set = body.text(64, ASCII), kind = body.u8(), channels = body.varint(), text = body.text(MAX_NAMES, ASCII);
    if (kind >= SCALES.length) throw bad(`a group of kind ${kind}, which this client does not know`);
    const names = text === '' ? [] : text.split(' ');
    if (names.length !== channels) throw bad(`a group of ${channels} channels with ${names.length} names`);
    groups.push({ set, kind, names });
  }
  return makeHeader(id, clockRate, fps, groups);
}

// The integers of a frame, from those of the one that it is told against.
function readStep(body, { channels, kinds, mirrors }, base) {
  const there = body.take(Math.ceil(channels / 8)), found = new Int32Array(channels);
  for (let n = 0; n < channels; n++) {
    const differs = there[n >> 3] >> (n & 7) & 1, alike = mirrors[n] ? found[n - 1] - base[n - 1] : 0;
    const value = base[n] + alike + (!differs ? 0 : kinds[n] === 0 ? body.u8() : body.signed());
    if (kinds[n] === 0) found[n] = value & 255;
    else if (value === (value | 0)) found[n] = value;
    else throw bad(`${value} in channel ${n} is no number of 32 bits`);
  }
  return found;
}

function readEvent(body) {
  const number = body.varint(), sample = body.varint(), generation = body.varint(), kind = body.u8();
  const value = body.text(MAX_TEXT, UTF8);
  return { type: 'event', number, sample, generation, kind: EVENTS[kind] ?? `event${kind}`, value };
}

function readSound(body) {
  const sample = body.varint(), codec = body.u8();
  return { type: 'sound', sample, codec: CODECS[codec] || `codec${codec}`, data: body.take(body.end - body.at).slice() };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw bad(`a message that is no JSON: ${error.message}`);
  }
}

const isObject = (value) => typeof value === 'object' && value !== null;
// What a message has in place of something else. An object need not become a text: its toString may be anything.
const shown = (value) => (isObject(value) ? 'an object' : String(value).slice(0, 40));
const isValue = (value) => typeof value === 'number' && Math.abs(value) <= MAX_VALUE;    // NaN is none
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
function count(found, name) {
  if (!isCount(found[name])) throw bad(`${found.type}.${name} is no whole number: ${shown(found[name])}`);
  return found[name];
}
const isName = (value) => typeof value === 'string' && value.length > 0 && value.length <= 64;

function headerOf(found) {
  if (found.version !== VERSION) throw bad(`a header of version ${shown(found.version)}; this client reads version ${VERSION}`);
  const { sets, fps } = found;
  if (!Array.isArray(fps) || fps.length !== 2 || !fps.every(isCount)) throw bad('a header whose fps is no [numerator, denominator]');
  if (!isObject(sets) || Object.keys(sets).length > MAX_GROUPS) throw bad('a header without sets');
  const groups = Object.entries(sets).map(([set, names]) => {
    if (!Array.isArray(names) || !names.every(isName)) throw bad(`a header whose set ${set.slice(0, 40)} is no list of names`);
    return { set, kind: SET_KINDS[set] ?? 0, names };
  });
  return makeHeader(count(found, 'id'), found.clock_rate, fps, groups);
}

function framesOf(found, header) {
  if (!header) return null;
  if (!Array.isArray(found.frames) || found.frames.length === 0) throw bad('frames without frames');
  let before = -1;
  const frames = found.frames.map((frame) => {
    if (!isObject(frame)) throw bad('a frame that is no object');
    const sample = count({ ...frame, type: 'frame' }, 'sample'), { values } = frame;
    if (sample <= before) throw bad(`frames that are not in order, at sample ${sample}`);
    before = sample;
    if (!Array.isArray(values) || values.length !== header.channels || !values.every(isValue)) {
      throw bad(`a frame without ${header.channels} values of up to ${MAX_VALUE}, at sample ${sample}`);
    }
    return { sample, values: Float32Array.from(values) };
  });
  return { type: 'frames', header, generation: count(found, 'generation'), speaking: found.speaking === true, frames };
}

function eventOf(found) {
  const { kind, value = '' } = found;
  if (!isName(kind) || typeof value !== 'string' || value.length > MAX_TEXT) throw bad('an event without a kind, or with a value that is no text');
  return { type: 'event', number: count(found, 'number'), sample: count(found, 'sample'), generation: count(found, 'generation'), kind, value };
}

function soundOf(found) {
  try {
    return { type: 'sound', sample: count(found, 'sample'), codec: String(found.codec).slice(0, 20), data: Uint8Array.from(atob(found.data), (c) => c.charCodeAt(0)) };
  } catch (error) {
    throw error instanceof MotionError ? error : bad('sound that is no base64');
  }
}

/**
 * A whole file that `lipwire render --motion` wrote: .lwm, or .json. `{header, frames, events}`: frames as `{sample, values,
 * speaking, generation}`. Throws MotionError (BAD_DATA).
 * @param {string | ArrayBuffer | ArrayBufferView} file
 */
export function readFile(file) {
  const reader = new Reader(), track = { header: null, frames: [], events: [] };
  const take = (record) => {
    if (record?.type === 'header') track.header ??= record;
    if (record?.type === 'event') track.events.push(record);
    if (record?.type !== 'frames') return;
    for (const frame of record.frames) {
      if (frame.sample > (track.frames.at(-1)?.sample ?? -1)) track.frames.push({ ...frame, speaking: record.speaking, generation: record.generation });
    }
  };
  if (typeof file === 'string') {
    const found = parse(file);
    if (!isObject(found?.header) || !Array.isArray(found.frames) || !Array.isArray(found.events ?? [])) throw bad('no motion file: {header, frames, events} is expected');
    take(reader.object({ ...found.header, type: 'header' }));
    for (const frame of found.frames) take(framesOf({ generation: 0, ...frame, type: 'frames', frames: frame?.frames ?? [frame] }, track.header));
    for (const event of found.events ?? []) take(eventOf({ ...event, type: 'event' }));
    return track;
  }
  const bytes = bytesOf(file);
  if (ASCII.decode(bytes.subarray(0, 4)) !== MAGIC) throw bad(`no motion file: it does not begin with ${MAGIC}`);
  const all = new Cursor(bytes, 4, bytes.length);
  while (all.at < all.end) for (const record of reader.put(all.take(all.varint()))) take(record);
  return track;
}
