import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MotionError, Reader, readFile } from '../src/index.js';
import { ARKIT, AZURE, HEAD, POSE, bytes, event, frames, header, random, record, varint } from './support.js';

const RANGES = [[0, 255], [-32767, 32767], [0, 21], [-6283, 6283]];
const SCALES = [255, 32767, 1, 2000];
const isBad = (error) => error instanceof MotionError && error.code === 'BAD_DATA';

test('what is written is read, whatever the groups', () => {
  const next = random(19), upTo = (n) => Math.floor(next() * n);
  for (let round = 0; round < 300; round++) {
    const groups = [ARKIT, HEAD, POSE, AZURE].filter(() => next() < 0.6);
    const kinds = groups.flatMap(({ kind, names }) => names.map(() => kind));
    let sample = upTo(2 ** 40);
    const list = Array.from({ length: 1 + upTo(16) }, () => ({
      sample: sample += 1 + upTo(4000),
      integers: kinds.map((kind) => (next() < 0.4 ? 0 : RANGES[kind][0] + upTo(RANGES[kind][1] - RANGES[kind][0] + 1))),
    }));
    const generation = upTo(1000), speaking = next() < 0.5, id = upTo(256);
    const found = new Reader().put(bytes(header(groups, { id }), record(99, [1, 2, 3]), frames(groups, list, { id, generation, speaking })));
    assert.deepEqual(found.map(({ type }) => type), ['header', 'frames']);
    assert.deepEqual(Object.keys(found[0].sets), groups.map(({ set }) => set));
    assert.deepEqual([found[1].generation, found[1].speaking, found[1].header.id], [generation, speaking, id]);
    assert.deepEqual(found[1].frames.map((frame) => frame.sample), list.map((frame) => frame.sample));
    found[1].frames.forEach(({ values }, n) => {
      list[n].integers.forEach((integer, k) => assert.equal(values[k], Math.fround(integer * (1 / SCALES[kinds[k]]))));
    });
  }
});

test('a set of two groups is one; events, sound and what is not known', () => {
  const parts = [{ set: 'pose', kind: 1, names: ['head_x'] }, { set: 'pose', kind: 2, names: ['sil', 'PP'] }, HEAD];
  const [head, cue, sound, later] = new Reader().put(bytes(
    header(parts, { fps: [30000, 1001] }), event(7, 480, 2, 5, 'größer'), record(4, [...varint(960), 2, 9, 8]), event(0, 1, 0, 77)));
  assert.deepEqual({ ...head.sets }, { pose: { from: 0, names: ['head_x', 'sil', 'PP'] }, head: { from: 3, names: HEAD.names } });
  assert.equal(head.interval, 1601.6);
  assert.deepEqual(cue, { type: 'event', number: 7, sample: 480, generation: 2, kind: 'expression', value: 'größer' });
  assert.deepEqual([sound.sample, sound.codec, [...sound.data]], [960, 'opus', [9, 8]]);
  assert.equal(later.kind, 'event77');
});

const ODD = { toString: 1 };     // no text can be made of it
const JSON_HEADER = { type: 'header', version: 1, id: 4, clock_rate: 48000, fps: [25, 1], sets: { arkit: ['jawOpen'], azure: ['viseme'] } };
const jsonFrames = (more) => JSON.stringify({ type: 'frames', header: 4, generation: 0, speaking: true, frames: [{ sample: 1, values: [0.5, 3] }], ...more });

test('JSON says the same', () => {
  const reader = new Reader();
  assert.deepEqual(reader.put(jsonFrames()), []);          // before its header
  const [head] = reader.put(JSON.stringify(JSON_HEADER));
  assert.deepEqual(head.kinds, [0, 2]);
  const [found] = reader.put(jsonFrames());
  assert.deepEqual(found.frames, [{ sample: 1, values: Float32Array.of(0.5, 3) }]);
  assert.deepEqual(reader.put('{"type":"event","number":3,"sample":5,"generation":1,"kind":"interrupt","value":""}')[0].kind, 'interrupt');
  assert.deepEqual([...reader.put('{"type":"sound","sample":5,"codec":"pcm16","data":"AQI="}')[0].data], [1, 2]);
  assert.equal(reader.put('{"type":"error","message":"no"}')[0].message, 'no');
  assert.deepEqual(reader.put('{"type":"of the future"}'), []);
});

test('what is no message is refused, and costs nothing of what was there', () => {
  const good = header([ARKIT]), frame = frames([ARKIT], [{ sample: 5, integers: [1, 2, 3, 4] }]), reader = new Reader();
  reader.put(bytes(good));
  const huge = [...Array(7).fill(255), 127], text = (value) => JSON.stringify(value);
  for (const message of [
    bytes(frame.slice(0, -1)), bytes([2, ...varint(2 ** 40)]), bytes([2, 255]), bytes([2, ...Array(12).fill(255)]),
    bytes(header([ARKIT], { version: 2 })), bytes(header([{ ...ARKIT, kind: 9 }])), bytes(header([ARKIT, HEAD, ARKIT])),
    bytes(header([{ ...ARKIT, names: ['a', 'a'] }])), bytes(header([ARKIT], { fps: [0, 1] })), bytes(header([ARKIT], { fps: [25, 0] })),
    bytes(header([{ set: 'x', kind: 0, names: Array.from({ length: 1025 }, (_, n) => `n${n}`) }])),
    bytes(record(2, [1, 5, 0, 1, 0, 9, 0])), bytes(record(2, [1, 5, 0, 1, 0, 0, 0])),           // from before the clock; at the same sample
    bytes(record(2, [...frame.slice(2), 0])), bytes(record(3, [1, 1, 0, 0, 0, 0])), bytes(record(1, [...good.slice(2), 0])),
    bytes(record(2, [1, ...huge, ...huge])), bytes(record(3, [...varint(1), ...varint(1), 0, 0, ...varint(5000)])),
    bytes(...Array(65).fill(record(3, [1, 1, 0, 0, 0]))), new Uint8Array((1 << 20) + 1), 'x'.repeat((1 << 20) + 1), 'no JSON', '7', 'null', '"text"',
    text({ ...JSON_HEADER, version: 3 }), text({ ...JSON_HEADER, fps: [25] }), text({ ...JSON_HEADER, sets: { a: [1] } }), text({ ...JSON_HEADER, clock_rate: 'x' }),
    jsonFrames({ header: 1, frames: [] }), jsonFrames({ header: 1, frames: [null] }), jsonFrames({ header: 1, frames: [{ sample: 1, values: [1] }] }),
    jsonFrames({ header: 1, frames: [{ sample: -1, values: [0, 0, 0, 0] }] }), jsonFrames({ header: 1, frames: [{ sample: 1, values: [0, 0, 0, null] }] }),
    jsonFrames({ header: 1, frames: [{ sample: 1, values: [1e300, 0, 0, 0] }] }), jsonFrames({ header: 1, frames: [{ sample: 1, values: ['1', 0, 0, 0] }] }),
    jsonFrames({ header: 1, frames: [{ type: ODD, sample: ODD }] }), text({ ...JSON_HEADER, version: ODD }), text({ ...JSON_HEADER, clock_rate: [48000] }),
    text({ ...JSON_HEADER, clock_rate: 1e-300 }), text({ type: 'event', kind: 5 }), text({ type: 'sound', sample: 1, codec: 'x', data: '???' }),
  ]) assert.throws(() => reader.put(message), isBad, String(message).slice(0, 80));
  assert.throws(() => reader.put(42), TypeError);
  assert.equal(reader.put(bytes(frame))[0].frames[0].sample, 5);
  try {
    reader.put(bytes(frame, [2, 99]));
    assert.fail('it is damaged');
  } catch (error) {
    assert.deepEqual(error.records.map(({ type }) => type), ['frames']);   // what stands before the damage
  }
});

test('a file of JSON may be anything, too', () => {
  const file = (more) => JSON.stringify({ header: JSON_HEADER, frames: [{ sample: 1, values: [0, 0] }], ...more });
  assert.equal(readFile(file()).frames.length, 1);
  for (const bad of [
    '[]', 'null', file({ header: null }), file({ header: ODD }), file({ frames: 5 }), file({ frames: [null] }), file({ frames: [5] }),
    file({ frames: [{ sample: 1, frames: [null] }] }), file({ frames: [{ sample: 1, values: [0, -1e300] }] }), file({ events: {} }), file({ events: 5 }),
    file({ events: [null] }), file({ events: [5] }), file({ events: [{ type: ODD, kind: 'state', number: ODD }] }),
  ]) assert.throws(() => readFile(bad), isBad, bad);
});

test('numbers of 32 bits are not left', () => {
  const body = (value) => record(2, [1, 1, 0, 0, 1, ...varint(value)]), reader = new Reader();
  reader.put(bytes(header([POSE])));
  assert.ok(reader.put(bytes(body(2 ** 32 - 2))).length);
  assert.throws(() => reader.put(bytes(body(2 ** 32))), isBad);
});

test('of many headers the newest are kept', () => {
  const reader = new Reader();
  for (let id = 0; id < 200; id++) reader.put(bytes(header([HEAD], { id })));
  assert.deepEqual(reader.headers.map(({ id }) => id), [192, 193, 194, 195, 196, 197, 198, 199]);
  assert.deepEqual(reader.put(bytes(frames([HEAD], [{ sample: 1, integers: [0, 0, 0] }], { id: 3 }))), []);
});

test('noise is refused or read, and never anything else', () => {
  const next = random(4), reader = new Reader(), whole = bytes(header([ARKIT, HEAD]), frames([ARKIT, HEAD], [{ sample: 1, integers: [1, 1, 9, 9, 5, -5, 0] }, { sample: 2, integers: [0, 3, 9, 9, 5, -5, 0] }]));
  for (let round = 0; round < 4000; round++) {
    const message = round % 2 ? Uint8Array.from({ length: next() * 60 }, () => next() * 256) : whole.slice();
    if (round % 2 === 0) for (let n = 0; n < 3; n++) message[Math.floor(next() * message.length)] = next() * 256;
    try {
      reader.put(message);
    } catch (error) {
      assert.ok(isBad(error), error);
    }
  }
  reader.put(bytes(header([HEAD])));
  assert.equal(reader.put(bytes(frames([HEAD], [{ sample: 9, integers: [2000, 0, 0] }])))[0].frames[0].values[0], 1);
});
