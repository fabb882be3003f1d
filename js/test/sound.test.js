import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SoundQueue } from '../src/index.js';

const PIECE = 960;             // samples of 20 ms

/** An AudioContext, as far as a queue uses one: what is to be played is kept. */
class Context {
  state = 'suspended';
  currentTime = 0;
  destination = {};
  played = [];
  createGain() { return { connect() {}, gain: {} }; }
  createBuffer(channels, length) { return { length, copyToChannel(values) { this.first = values[0]; } }; }
  createBufferSource() { return { connect() {}, start: (at) => this.played.push(at) }; }
  close() {}
}

test('what came before the user let it play is not heard then, and nothing waits longer for it', () => {
  const context = new Context(), queue = new SoundQueue({ context });
  const data = new Uint8Array(new Int16Array(PIECE).fill(9000).buffer);
  let sample = 0;
  const comes = (count) => {
    for (let n = 0; n < count; n++, sample += PIECE) {
      queue.put({ sample, codec: 'pcm16', data });
      if (context.state === 'running') context.currentTime += PIECE / 48000;
    }
  };
  comes(500);
  assert.deepEqual([context.played, queue.stats.left_out, queue.waiting], [[], 500, 0]);
  context.state = 'running';
  comes(50);
  assert.equal(context.played.length, 50);
  assert.ok(queue.waiting < 100, String(queue.waiting));
  assert.equal(queue.stats.gaps, 0);
  assert.ok(Math.abs(queue.sample(performance.now()) - (sample - PIECE - queue.waiting * 48)) < 4 * PIECE, 'in time with it');
});
