// What several tests share: a writer of binary messages, random numbers that are the same each time, a time that stands.

/** mulberry32: 0..1. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = state + 0x6d2b79f5 >>> 0;
    let t = Math.imul(state ^ state >>> 15, state | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
}

export function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push(value % 128 + 128);
  return [...bytes, value];
}
const zigzag = (value) => varint(value < 0 ? -2 * value - 1 : 2 * value);
const text = (value) => { const bytes = [...new TextEncoder().encode(value)]; return [...varint(bytes.length), ...bytes]; };
export const record = (type, body) => [type, ...varint(body.length), ...body];

/** groups: [{set, kind, names}] */
export function header(groups, { id = 1, fps = [25, 1], version = 1 } = {}) {
  const body = [version, id, ...varint(48000), ...varint(fps[0]), ...varint(fps[1]), ...varint(groups.length)];
  for (const { set, kind, names } of groups) body.push(...text(set), kind, ...varint(names.length), ...text(names.join(' ')));
  return record(1, body);
}

function step(groups, base, to) {
  const bits = new Uint8Array(Math.ceil(to.length / 8)), numbers = [];
  let n = 0;
  for (const { kind, names } of groups) {
    names.forEach((name, k) => {
      const mirrors = k > 0 && name !== names[k - 1] && [['Left', 'Right'], ['left', 'right']].some(([a, b]) => names[k - 1].replace(a, b) === name);
      let error = to[n] - base[n] - (mirrors ? to[n - 1] - base[n - 1] : 0);
      if (kind === 0) error &= 255;
      if (error) {
        bits[n >> 3] |= 1 << (n & 7);
        numbers.push(...(kind === 0 ? [error] : zigzag(error)));
      }
      n++;
    });
  }
  return [...bits, ...numbers];
}

/** frames: [{sample, integers}], oldest first. */
export function frames(groups, list, { id = 1, generation = 0, speaking = true } = {}) {
  const newest = list.at(-1);
  const body = [id, ...varint(newest.sample), ...varint(generation), (list.length - 1) | (speaking ? 16 : 0)];
  body.push(...step(groups, newest.integers.map(() => 0), newest.integers));
  for (let n = list.length - 2; n >= 0; n--) {
    body.push(...varint(list[n + 1].sample - list[n].sample), ...step(groups, list[n + 1].integers, list[n].integers));
  }
  return record(2, body);
}

export function event(number, sample, generation, kind, value = '') {
  return record(3, [...varint(number), ...varint(sample), ...varint(generation), kind, ...text(value)]);
}

export const bytes = (...records) => Uint8Array.from(records.flat());

export const ARKIT = { set: 'arkit', kind: 0, names: ['eyeBlinkLeft', 'eyeBlinkRight', 'jawOpen', 'mouthClose'] };
export const HEAD = { set: 'head', kind: 3, names: ['headPitch', 'headYaw', 'headRoll'] };
export const POSE = { set: 'pose', kind: 1, names: ['head_x', 'jaw', 'lids', 'sil', 'PP', 'aa', 'loudness'] };
export const AZURE = { set: 'azure', kind: 2, names: ['viseme'] };
