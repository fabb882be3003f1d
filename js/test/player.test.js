import assert from 'node:assert/strict';
import { test } from 'node:test';

import { FixedClock, Player, Reader } from '../src/index.js';
import { ARKIT, AZURE, HEAD, POSE, bytes, event, frames, header, random } from './support.js';

const STEP = 1920;             // samples between frames, at 25 a second
const TICK = 1000 / 60;

/** A player on a sound and a time that go on together; `ms` counts from 0. */
class Stage {
  cues = [];

  constructor(groups, options = {}) {
    this.groups = groups;
    this.clock = new FixedClock(0);
    this.ms = 0;
    this.reader = new Reader();
    this.player = new Player({ clock: this.clock, now: () => this.ms, onCue: (cue) => this.cues.push(cue), ...options });
    this.put(header(groups));
  }

  put(...records) { this.player.put(this.reader.put(bytes(...records))); }
  frame(n, integers, more) { this.put(frames(this.groups, [{ sample: n * STEP, integers }], more)); }

  at(ms) {
    this.ms = ms;
    this.clock.at = Math.round(ms * 48);
    return this.player.pose();
  }

  /** What a display of 60 pictures a second shows from `from` to `to` ms. */
  show(from, to, look) {
    const seen = [];
    for (let ms = from; ms < to; ms += TICK) seen.push(look(this.at(ms)));
    return seen;
  }
}

const jaw = (pose) => pose.sets.arkit[2];
const near = (found, wanted, by = 1e-3) => assert.ok(Math.abs(found - wanted) <= by, `${found} is not ${wanted}`);

test('sets come by name, and before a header there is nothing', () => {
  assert.equal(new Player({ clock: new FixedClock() }).pose(), null);
  const stage = new Stage([HEAD, ARKIT]);
  stage.frame(0, [2000, 0, 0, 0, 0, 51, 0]);
  const pose = stage.at(0);
  assert.deepEqual(Object.keys(pose.sets), ['head', 'arkit']);
  assert.deepEqual(pose.names.arkit, ARKIT.names);
  near(pose.sets.head[0], 1);
  near(jaw(pose), 0.2);
  assert.equal(pose.speaking, true);
});

test('between frames it goes straight from one to the next, and never beyond', () => {
  const next = random(3), stage = new Stage([ARKIT]);
  const values = Array.from({ length: 50 }, () => Math.floor(next() * 256));
  values.forEach((value, n) => stage.frame(n, [0, 0, value, 0]));
  for (let ms = 0; ms < 49 * 40; ms += 7) {
    const n = Math.floor(ms / 40), found = jaw(stage.at(ms)) * 255;
    assert.ok(found >= Math.min(values[n], values[n + 1]) - 1e-3 && found <= Math.max(values[n], values[n + 1]) + 1e-3);
  }
});

test('before the first frame it is at rest, and comes from there', () => {
  const stage = new Stage([POSE]);
  stage.frame(10, [0, 30000, 8192, 0, 0, 30000, 9000]);
  const seen = stage.show(0, 420, ({ sets }) => [...sets.pose]);
  assert.deepEqual(seen[0], [0, 0, 0.25, 1, 0, 0, 0]);
  for (const [n, pose] of seen.entries()) assert.ok(pose.every(Number.isFinite) && (n === 0 || pose[1] >= seen[n - 1][1]), pose);
  near(seen.at(-1)[1], 30000 / 32767, 0.05);
});

test('whatever sets and channels are called, and whatever they say, a pose is numbers', () => {
  const names = ['constructor', 'toString', '__proto__'], sets = `{"constructor":${JSON.stringify(names)},"__proto__":["valueOf"]}`;
  const player = new Player({ clock: new FixedClock(0), now: () => 0 }), reader = new Reader();
  player.put(reader.put(`{"type":"header","version":1,"id":0,"clock_rate":48000,"fps":[25,1],"sets":${sets}}`));
  assert.deepEqual(Object.entries(player.pose().sets).map(([set, values]) => [set, ...values]), [['constructor', 0, 0, 0], ['__proto__', 0]]);
  assert.deepEqual(Object.keys(player.pose().names), ['constructor', '__proto__']);
  const put = (sample, value) => player.put(reader.put(JSON.stringify({ type: 'frames', header: 0, generation: 0, speaking: true, frames: [{ sample, values: Array(4).fill(value) }] })));
  put(0, 2 ** 31);
  put(STEP, -(2 ** 31));
  for (const at of [0, 900, STEP, STEP + 3000, STEP + 9000]) {
    player.clock.at = at;
    assert.ok(Object.values(player.pose().sets).every((values) => values.every(Number.isFinite)), String(at));
  }
});

test('an id is never between two', () => {
  const stage = new Stage([AZURE]);
  stage.frame(0, [3]);
  stage.frame(1, [18]);
  assert.deepEqual([...new Set(stage.show(0, 60, (pose) => pose.sets.azure[0]))], [3, 18]);
});

for (const [what, group, open, shut, gap] of [
  ['lips in front of a jaw that is down', ARKIT, [0, 0, 200, 0], [0, 0, 90, 90], ({ arkit }) => arkit[2] - arkit[3]],
  ['PP among the visemes', { set: 'visemes', kind: 0, names: ['sil', 'PP', 'aa'] }, [0, 0, 255], [0, 255, 0], ({ visemes }) => 1 - visemes[1]],
  ['a blink', ARKIT, [0, 0, 0, 0], [255, 255, 0, 0], ({ arkit }) => 1 - arkit[0]],
  ['the axes of the core', POSE, [0, 30000, 8192, 0, 0, 30000, 9000], [0, 0, 8192, 0, 32767, 0, 9000], ({ pose }) => 1 - pose[4]],
]) {
  test(`a closure of one frame is seen whatever the phase of the display: ${what}`, () => {
    for (let phase = 0; phase < TICK; phase += 1.1) {
      const stage = new Stage([group]);
      for (let n = 0; n < 40; n++) stage.frame(n, n === 20 ? shut : open);
      const least = Math.min(...stage.show(phase + 400, 1200, ({ sets }) => gap(sets)));
      near(least, 0, 1e-2);
    }
  });
}

test('frames that come twice, out of order, or too late', () => {
  const stage = new Stage([ARKIT]);
  for (const n of [2, 0, 1, 1, 4, 3, 2]) stage.frame(n, [0, 0, n * 50, 0]);
  assert.equal(stage.player.stats.frames, 5);
  for (const ms of [0, 40, 70, 100, 155]) near(jaw(stage.at(ms)), ms / 40 * 50 / 255);
  stage.frame(1.5, [0, 0, 255, 0]);
  assert.equal(stage.player.stats.late, 1);
  near(jaw(stage.at(158)), 158 / 40 * 50 / 255);
});

test('what is lost is crossed where it is short; else the pose stays, and goes to rest as fast as the server’s face', () => {
  const stage = new Stage([ARKIT, HEAD]);
  stage.frame(0, [0, 0, 100, 0, 200, 0, 0]);
  stage.frame(3, [0, 0, 250, 0, 200, 0, 0]);
  near(jaw(stage.at(60)), 175 / 255);
  const after = stage.show(120, 700, (pose) => [jaw(pose), pose.sets.head[0]]);
  after.slice(0, 5).forEach(([mouth]) => near(mouth, 250 / 255));          // 80 ms
  assert.ok(after[12][0] < 0.02, 'the mouth is at rest within 120 ms more');
  assert.ok(after[12][1] > 0.05, 'the head takes its time');
  for (let n = 1; n < after.length; n++) assert.ok(after[n][0] <= after[n - 1][0]);
  near(stage.at(2000).sets.head[0], 0);
});

test('late frames bring it back without a leap', () => {
  const stage = new Stage([ARKIT]);
  stage.frame(0, [0, 0, 0, 0]);
  stage.show(0, 60, jaw);
  stage.frame(1, [0, 0, 255, 0]);
  stage.frame(2, [0, 0, 255, 0]);
  const seen = stage.show(60, 155, jaw);
  assert.ok(seen[0] > 0.3 && seen[0] < 0.6, seen);   // what is off fades, half of it in a picture
  seen.forEach((value, n) => assert.ok(n === 0 || value >= seen[n - 1] - 1e-6, seen));
  assert.ok(seen.at(-1) > 0.9);
});

test('an interrupt takes what was not seen yet, and the mouth goes to rest', () => {
  const stage = new Stage([ARKIT]);
  for (let n = 0; n < 10; n++) stage.frame(n, [0, 0, 200, 0]);
  near(jaw(stage.at(90)), 200 / 255);
  stage.put(event(1, 96 * 48, 1, 0));
  assert.deepEqual(stage.cues.map(({ kind }) => kind), ['interrupt']);
  assert.equal(stage.player.stats.cleared, 7);
  stage.frame(9, [0, 0, 255, 0]);                     // of before: it was on its way
  const seen = stage.show(90 + TICK, 250, jaw);
  assert.ok(seen.every((value) => value < 0.9) && seen.at(-1) < 0.02, seen);
  for (let n = 7; n < 12; n++) stage.frame(n, [0, 0, 100, 0], { generation: 1 });
  near(stage.at(460).sets.arkit[2], 100 / 255, 0.01);
});

test('a newer generation is an interrupt, too, where the event is lost', () => {
  const stage = new Stage([ARKIT]);
  for (let n = 0; n < 10; n++) stage.frame(n, [0, 0, 200, 0]);
  stage.at(70);
  stage.frame(2, [0, 0, 0, 0], { generation: 1 });
  assert.equal(stage.player.stats.cleared, 8);
  assert.ok(jaw(stage.at(90)) < 0.7);
  stage.put(event(1, 2 * STEP, 1, 0));
  assert.equal(stage.player.stats.cleared, 8);
  assert.equal(stage.cues.length, 1);
});

test('an event of a newer generation is a sign, too', () => {
  const stage = new Stage([ARKIT]);
  for (let n = 0; n < 10; n++) stage.frame(n, [0, 0, 200, 0]);
  stage.at(30);
  stage.put(event(3, 100 * 48, 1, 2));
  assert.equal(stage.player.stats.cleared, 7);        // those behind it
});

test('events of before an interrupt that were to come behind it are not told, however late they are', () => {
  const stage = new Stage([ARKIT]);
  stage.frame(0, [0, 0, 0, 0]);
  stage.put(event(3, 50 * 48, 1, 0), event(1, 60 * 48, 0, 5, 'stale'), event(2, 40 * 48, 0, 6, 'nod'), event(4, 60 * 48, 1, 5, 'happy'));
  stage.at(100);
  assert.deepEqual(stage.cues.map(({ number }) => number), [3, 2, 4]);
});

test('events come once, when they are heard', () => {
  const stage = new Stage([ARKIT]);
  stage.frame(0, [0, 0, 0, 0]);
  stage.put(event(0, 1, 0, 7, 'rtp:1 sample:1'), event(0, 1, 0, 8, 'no'));   // those are not for the face
  for (let n = 0; n < 3; n++) stage.put(event(5, 100 * 48, 0, 5, 'happy'), event(4, 50 * 48, 0, 1, 'e1'));
  stage.at(49);
  assert.deepEqual(stage.cues, []);
  stage.at(66);
  stage.at(101);
  assert.deepEqual(stage.cues.map(({ number }) => number), [4, 5]);
  for (let n = 10; n < 400; n++) stage.put(event(n, 1e9, 0, 6));
  assert.ok(stage.cues.length >= 300, 'those for which there is no room are told early');
});

test('a page that nobody saw goes on where the sound is', () => {
  const stage = new Stage([ARKIT]);
  for (let n = 0; n < 2000; n++) stage.frame(n, [0, 0, n % 256, 0]);
  stage.at(40 * 1500);
  near(jaw(stage.at(40 * 1500 + 16)), (1500 % 256 + 0.4) / 255, 1e-3);
  const jumps = stage.player.stats.jumps;
  near(jaw(stage.at(40 * 1900)), 1900 % 256 / 255);
  assert.equal(stage.player.stats.jumps, jumps + 1);
  assert.ok(stage.player.buffered <= 4000);
});

test('another header of the same sets goes on; one of others begins anew', () => {
  const stage = new Stage([ARKIT]);
  stage.frame(0, [0, 0, 100, 0]);
  stage.put(header([ARKIT], { id: 2 }));
  stage.frame(1, [0, 0, 200, 0], { id: 2 });
  near(jaw(stage.at(20)), 150 / 255);
  stage.put(header([HEAD], { id: 3 }));
  assert.deepEqual(Object.keys(stage.at(25).sets), ['head']);
  stage.frame(1, [0, 0, 0, 0], { id: 2 });            // of the one before, late
  assert.equal(stage.player.ready, false);
});

test('while nothing is known of the sound it goes to rest, and after a reconnect on from there, without a leap', () => {
  const stage = new Stage([ARKIT]);
  for (let n = 0; n < 4; n++) stage.frame(n, [0, 0, 200, 0]);
  stage.at(20);
  near(jaw(stage.at(36)), 200 / 255);
  stage.player.reset();
  stage.player.clock = { sample: () => NaN };
  const lost = stage.show(52, 400, jaw);
  assert.ok(lost[0] < 200 / 255 && lost[0] > 0.2 && lost.at(-1) < 0.01, lost);
  stage.player.clock = stage.clock;
  for (let n = 0; n < 400; n++) stage.frame(n, [0, 0, 200, 0]);
  stage.ms = 410;
  stage.clock.at = 200 * STEP;                        // it went on meanwhile
  const first = jaw(stage.player.pose());
  assert.ok(first > 0.2 && first < 0.6, first);
  stage.ms += 100;
  stage.clock.at += 4800;
  near(jaw(stage.player.pose()), 200 / 255, 0.02);
});

test('a clock that goes back a little finds what was there', () => {
  const stage = new Stage([ARKIT]);
  for (let n = 0; n < 30; n++) stage.frame(n, [0, 0, 4 * n, 0]);
  stage.show(0, 800, jaw);
  stage.ms += TICK;
  stage.clock.at = 700 * 48;
  near(jaw(stage.player.pose()), 70 / 255, 1e-3);
});

test('events are told in time where nobody draws, and whose face it is once', () => {
  const stage = new Stage([ARKIT]);
  for (let n = 0; n < 3; n++) stage.put(event(0, 0, 0, 4, 'avatar:aria'));
  stage.put(event(1, 10 * STEP, 0, 1, 'a'));
  const told = (ms) => {
    stage.clock.at = ms * 48;
    stage.player.tell();
    return stage.cues.map(({ value }) => value);
  };
  assert.deepEqual([told(0), told(399), told(400), told(800)], [['avatar:aria'], ['avatar:aria'], ['avatar:aria', 'a'], ['avatar:aria', 'a']]);
  stage.put(event(0, 30 * STEP, 1, 4, 'avatar:kit'));
  assert.equal(told(1200).at(-1), 'avatar:kit', 'another face');
});

test('the pose of a moment is what it is, whatever was seen before', () => {
  const stage = new Stage([ARKIT]);
  for (let n = 0; n < 10; n++) stage.frame(n, [0, 0, 20 * n, 0]);
  for (const sample of [9 * STEP, 0, 4.5 * STEP, STEP]) near(jaw(stage.player.pose(sample)), 20 * sample / STEP / 255);
  near(jaw(stage.player.pose(9 * STEP + 79 * 48)), 180 / 255);
  near(jaw(stage.player.pose(9 * STEP + 300 * 48)), 0, 0.01);
});

test('delay moves it', () => {
  const stage = new Stage([ARKIT], { delay: 40 });
  for (let n = 0; n < 4; n++) stage.frame(n, [0, 0, 50 * n, 0]);
  near(jaw(stage.at(80)), 50 / 255);
});
