import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ArrivalClock, ReceiverClock, Timeline } from '../src/index.js';
import { random } from './support.js';

test('a timeline neither leaps nor goes back, and finds a new place at once', () => {
  const next = random(8), line = new Timeline();
  let before = -Infinity, off = 0;
  for (let ms = 0; ms < 4000; ms += 1000 / 60) {
    line.observe(ms, (ms - 100) * 48 + (next() - 0.5) * 960);   // 10 ms to either side
    const found = line.sample(ms);
    assert.ok(found > before);
    before = found;
    if (ms > 500) off = Math.max(off, Math.abs(found / 48 - (ms - 100)));
  }
  assert.ok(off < 6, off);
  line.observe(4010, 1e6);
  assert.equal(line.sample(4010), 1e6);
  line.reset();
  assert.ok(Number.isNaN(line.sample(5000)));
});

test('without sound the stream waits for what comes late, 80 ms at most', () => {
  for (const [jitter, most] of [[0, 1], [50, 51], [500, 81]]) {
    const next = random(jitter), clock = new ArrivalClock({ more: 0 }), arrivals = [];
    for (let n = 0; n < 500; n++) arrivals.push({ sample: n * 1920, at: n * 40 + next() * jitter });
    arrivals.sort((a, b) => a.at - b.at);
    for (const { sample, at } of arrivals) clock.arrived(sample, at);
    assert.ok(clock.delay <= most && clock.delay >= Math.min(jitter, 80) * 0.7, [jitter, clock.delay]);
    const { at } = arrivals.at(-1), behind = at - clock.sample(at) / 48;
    assert.ok(behind > -1 && behind < most + 60, behind);
  }
});

/**
 * What a browser does with packets of 20 ms: an output asks for `burst` ms at a time, and gets blocks of 10 ms, each told of
 * under the number of its packet. `heard` is what it plays at a time.
 */
class Output {
  constructor({ burst, phase = 0, latency, first = 0, rtp = 0, absolute = false }) {
    Object.assign(this, { burst, phase, latency, first, rtp, absolute, held: 0, waited: 0 });
  }

  getSynchronizationSources() {
    const bursts = Math.floor(this.now / this.burst);
    if (bursts < 1) return [];
    const last = (bursts + 1) * this.burst - 10 + this.phase, at = bursts * this.burst;   // ms of sound: where the newest block begins
    const packet = Math.floor((last + 10.6) / 20) * 20;      // a block needs 0.6 ms more than its own 10: NetEQ's cross-fade
    const rtpTimestamp = (this.rtp + packet * 48 - this.held * 48) >>> 0;
    if (!this.stalled) this.told = [{ timestamp: at + (this.absolute ? performance.timeOrigin : 0), rtpTimestamp }];
    return this.told;
  }

  async getStats() {
    const samples = Math.round(this.now * 48);
    return new Map([['p', { type: 'media-playout', totalPlayoutDelay: samples * this.latency / 1000, totalSamplesCount: samples }]]);
  }

  // The newest block is heard `latency` after it was handed out.
  heard(now) { return this.first + (now - this.waited - this.latency + this.burst - 10 + this.phase) * 48; }
}

for (const options of [
  { burst: 10, latency: 12 }, { burst: 20, latency: 30 }, { burst: 20, phase: 10, latency: 30 }, { burst: 20, phase: 19, latency: 30 }, { burst: 30, latency: 45, absolute: true },
  { burst: 20, phase: 3, latency: 200, first: 48000 * 1000, rtp: 2 ** 32 - 48000 },
]) {
  test(`what is heard of a receiver is found within 11 ms: ${JSON.stringify(options)}`, async () => {
    const output = new Output(options), clock = new ReceiverClock(output);
    clock.anchor(output.rtp, output.first);
    let worst = 0;
    for (let ms = 5; ms < 6000; ms += 1000 / 60) {
      output.now = ms;
      const found = clock.sample(ms);
      await null; await null;                        // the statistics
      if (ms > 3000) worst = Math.max(worst, Math.abs(found - output.heard(ms)) / 48);
    }
    assert.ok(worst < 11, worst);
  });
}

test('where the sound is held up the clock waits for it, and never goes back', async () => {
  const output = new Output({ burst: 20, phase: 10, latency: 30 }), clock = new ReceiverClock(output);
  clock.anchor(0, 0);
  let before = -Infinity, began = 0, gone = 0;
  for (const [held, until] of [[0, 2000], [90, 3000], [40, 4000], [300, 5000]]) {   // ms for which nothing is handed out
    const stalled = began + held;
    for (let ms = began + 40; ms < until; ms += 1000 / 60) {
      output.stalled = ms < stalled;
      output.held = gone + Math.min(held, ms - began);                       // of what is handed out,
      output.waited = gone + Math.max(0, Math.min(held, ms - began - 30));   // and of what is heard: that goes on for its latency
      output.now = ms;
      const found = clock.sample(ms);
      await null; await null;
      assert.ok(found >= before, [held, ms]);
      before = found;
      if (ms > 1500) assert.ok(Math.abs(found - output.heard(ms)) / 48 < 35, [held, ms, (found - output.heard(ms)) / 48]);
      if (ms > stalled + 300 && ms > 1500) assert.ok(Math.abs(found - output.heard(ms)) / 48 < 12, [held, ms, (found - output.heard(ms)) / 48]);
    }
    began = until;
    gone += held;
  }
});

test('before the sound is there, and where a browser tells nothing, it is as what comes', () => {
  const clock = new ReceiverClock({ getStats: async () => new Map() });
  assert.ok(Number.isNaN(clock.sample(0)));
  clock.anchor(0, 0);
  for (let ms = 0; ms < 2000; ms += 40) clock.arrived((ms + 10000) * 48, ms);
  const behind = 11960 - clock.sample(1960) / 48;
  assert.ok(behind > 0 && behind <= 180, behind);
  assert.equal(clock.follows, false);
});

test('where nothing tells the time of the sound it waits as long as that does, behind what comes on the whole', async () => {
  let emitted = 0;
  const report = () => new Map([['in', { type: 'inbound-rtp', jitterBufferEmittedCount: emitted += 48000, jitterBufferDelay: emitted * 0.06 }]]);
  const clock = new ReceiverClock({ getStats: async () => report() });
  let behind = NaN;
  for (let ms = 0; ms < 12000; ms += 40) {
    clock.arrived((ms - ms / 40 % 2 * 30) * 48, ms);                // every other one is 30 ms late
    behind = ms - clock.sample(ms) / 48;
    await null;
  }
  assert.ok(Math.abs(behind - (15 + 60 + clock.latency)) < 3, String(behind));
});
