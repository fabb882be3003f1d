import assert from 'node:assert/strict';
import { test } from 'node:test';

import { motionIn } from '../src/sei.js';
import { random } from './support.js';

const UUID = [...Buffer.from('4c4950574952454d8f54494f4e000001', 'hex')];

const size = (value) => [...Array(Math.floor(value / 255)).fill(255), value % 255];
function emulated(bytes) {
  const out = [];
  for (const byte of bytes) {
    if (byte <= 3 && out.length >= 2 && out.at(-1) === 0 && out.at(-2) === 0) out.push(3);
    out.push(byte);
  }
  return out;
}
const sei = (payload, uuid = UUID) => [6, ...emulated([5, ...size(payload.length + 16), ...uuid, ...payload, 0x80])];
const unit = (...nals) => Uint8Array.from(nals.flatMap((nal) => [0, 0, 0, 1, ...nal]));

test('messages are found in a unit, whatever bytes they have', () => {
  const next = random(2);
  for (let round = 0; round < 200; round++) {
    const payload = Array.from({ length: next() * 700 }, () => (next() < 0.5 ? Math.floor(next() * 4) : Math.floor(next() * 256)));
    const found = motionIn(unit([0x67, 1, 2], sei(payload), sei([1], UUID.map((byte) => byte ^ 1)), [0x65, 9, 9]));
    assert.deepEqual(found.map((message) => [...message]), [payload]);
  }
});

test('noise has no messages, and no end that is not there', () => {
  const next = random(6);
  for (let round = 0; round < 2000; round++) {
    const bytes = Uint8Array.from({ length: next() * 80 }, () => (next() < 0.4 ? 0 : next() < 0.3 ? 6 : next() * 256));
    assert.deepEqual(motionIn(bytes), []);
  }
  assert.deepEqual(motionIn(unit(sei(Array(300).fill(7)).slice(0, 200))), []);
});
