// The messages of tools/motion_golden.py, against what a second implementation in Python reads in them.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { MotionError, Reader, readFile } from '../src/index.js';

const golden = process.env.LIPWIRE_GOLDEN;
const options = { skip: !golden && 'LIPWIRE_GOLDEN names no folder' };
const STEPS = [255, 32767, 1, 2000];

const load = (name) => JSON.parse(readFileSync(join(golden, name), 'utf8'));
const bytes = (hex) => Uint8Array.from(Buffer.from(hex, 'hex'));

function plain(record) {
  switch (record.type) {
    case 'header': {
      const sets = Object.entries(record.sets).map(([set, { names }]) => [set, names]);
      return { type: 'header', id: record.id, clock_rate: record.clockRate, fps: record.fps, sets };
    }
    case 'frames': {
      const { header, generation, speaking, frames } = record;
      const integers = (values) => Array.from(values, (value, n) => Math.round(value * STEPS[header.kinds[n]]) + 0);
      return { type: 'frames', header: header.id, generation, speaking, frames: frames.map(({ sample, values }) => ({ sample, integers: integers(values) })) };
    }
    case 'sound': return { ...record, data: Buffer.from(record.data).toString('hex') };
  }
  return record;
}

function expected(record) {
  switch (record.type) {
    case 'header': {
      const { groups, ...rest } = record;
      return { ...rest, sets: groups.map(([set, , names]) => [set, names]) };
    }
    case 'frames': return { ...record, frames: record.frames.map(({ sample, integers }) => ({ sample, integers })) };
    case 'sound': return { type: 'sound', sample: record.sample, codec: ['', 'pcm16', 'opus'][record.codec], data: record.payload };
  }
  return record;
}

test('messages say here what they say elsewhere', options, () => {
  const reader = new Reader();
  for (const { hex, records } of load('messages.json')) assert.deepEqual(reader.put(bytes(hex)).map(plain), records.map(expected));
});

test('of a damaged message what is whole counts', options, () => {
  for (const { name, hex, records } of load('hostile.json')) {
    const isDamage = (error) => {
      assert.ok(error instanceof MotionError, name);
      assert.deepEqual(error.records.map(plain), records.map(expected), name);
      return true;
    };
    assert.throws(() => new Reader().put(bytes(hex)), isDamage, name);
  }
});

test('the golden file is the same in both encodings', options, () => {
  const binary = readFile(readFileSync(join(golden, 'golden.lwm'))), json = readFile(readFileSync(join(golden, 'golden.json'), 'utf8'));
  assert.ok(binary.frames.length > 10 && binary.events.length > 3);
  assert.deepEqual({ ...binary.header.sets }, { ...json.header.sets });
  assert.deepEqual(binary.header.kinds, json.header.kinds);
  assert.deepEqual(binary.events, json.events);
  assert.deepEqual(binary.frames.map(({ values, ...rest }) => rest), json.frames.map(({ values, ...rest }) => rest));
  binary.frames.forEach(({ values }, n) => values.forEach((value, k) => assert.ok(Math.abs(value - json.frames[n].values[k]) < 6e-5)));
});
