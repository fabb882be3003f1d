import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MotionError, agoraMessage } from '../src/index.js';
import { random } from './support.js';

// As the paper has it: each block is its length, and bytes that are not 0; behind it stands a 0, unless it is full.
function packet(message) {
  const blocks = [];
  let block = [];
  for (const byte of message) {
    if (byte) block.push(byte);
    if (!byte || block.length === 254) { blocks.push(block.length + 1, ...block); block = []; }
  }
  const whole = message.length && message.at(-1) !== 0 && block.length === 0;
  return Uint8Array.from([...Buffer.from('lwm1:'), ...blocks, ...(whole ? [] : [block.length + 1, ...block])]);
}

test('a message comes out of its packet as it was', () => {
  const next = random(12);
  for (let round = 0; round < 300; round++) {
    const zeros = next() < 0.3 ? 0 : next(), message = Array.from({ length: next() * 900 }, () => (next() < zeros ? 0 : 1 + Math.floor(next() * 255)));
    const sent = packet(message);
    assert.ok(!sent.includes(0));
    assert.deepEqual([...agoraMessage(sent)], message);
  }
});

test('what is something else is none, and what is damaged is refused', () => {
  assert.equal(agoraMessage(new TextEncoder().encode('abc|1|1|e30=')), null);
  assert.equal(agoraMessage(new Uint8Array(2)), null);
  for (const bytes of [[0], [3, 1], [3, 0, 1], [255, 1]]) {
    assert.throws(() => agoraMessage(Uint8Array.from([...Buffer.from('lwm1:'), ...bytes])), MotionError);
  }
});
