// Motion that has come, as the pose of any moment: kept in order until the sound is there, interpolated to the display's rate.
//
//   frames that come twice, late or out of order     cost nothing while the moment is ahead
//   frames that do not come    the pose holds, then goes to rest as fast as the server's own face
//   lips that close in a frame stay closed for as long as the display shows one picture, at least
//   an interrupt               takes with it what was not seen yet
//   a page that nobody saw     goes on where the sound is: nothing is caught up with

const HOLD_MS = 80;            // how long a pose stays where nothing follows
const GAP_MS = 250;            // what is missing for longer is not drawn across
const WAY_MS = 100;            // from rest to what comes behind such a gap
const KEEP = 0.641;            // what 10 ms leave of a mouth on its way to rest; csrc/motion.c, CUT_KEEP
const KEEP_HEAD = 0.96;        // and of a head
const AWAY_MS = 250;           // a picture that comes so long after the one before is a new beginning
const MOST_FRAMES = 512;
const MOST_CUES = 64;
const NUMBERS = 256;           // events of which it is known that they have come
const DISPLAY_MS = [4, 40];    // what a display's interval is taken for, at most

const REST = { __proto__: null, sil: 1, lids: 0.25, head_turn: 0.5 };   // by names that come from elsewhere
const SMOOTH = 0, MOUTH = 1, LIDS = 2, STEP = 3;

// How the channel of that name moves. SMOOTH: a head, or eyes, has no place where it must have been.
function groupOf(set, name, kind) {
  if (kind === 2) return STEP;
  if (kind === 3 || /^(head|gaze|breath|brow|eyeLook|wave|happy|concerned|surprised)/.test(name)) return SMOOTH;
  return /^(eyeBlink|blink|lids)/.test(name) ? LIDS : MOUTH;
}

/** What the poses of a header have in common. */
class Layout {
  constructor(header) {
    this.header = header;
    this.groups = new Uint8Array(header.channels);
    this.rest = new Float32Array(header.channels);
    this.names = Object.create(null);
    this.out = new Float32Array(header.channels);
    this.sets = Object.create(null);
    this.closing = [];           // channels that say that the lips are closed, by more than half
    this.lids = [];
    for (const [set, { from, names }] of Object.entries(header.sets)) {
      this.names[set] = names;
      this.sets[set] = this.out.subarray(from, from + names.length);
      names.forEach((name, n) => {
        this.groups[from + n] = groupOf(set, name, header.kinds[from + n]);
        this.rest[from + n] = REST[name] ?? 0;
        if (name === 'PP' || name === 'FF') this.closing.push(from + n);
        if (this.groups[from + n] === LIDS) this.lids.push(from + n);
      });
    }
    const find = (name) => (header.sets.arkit ? header.sets.arkit.names.indexOf(name) + header.sets.arkit.from : -1);
    this.jaw = find('jawOpen');
    this.lips = find('mouthClose');
  }

  // Lips that are shut, with the jaw up or with the jaw down behind them.
  shut(values) {
    if (this.closing.some((n) => values[n] > 0.5)) return true;
    return this.jaw >= 0 && this.lips >= 0 && (values[this.lips] > 0.05 || values[this.jaw] < 0.02) && values[this.jaw] - values[this.lips] < 0.03;
  }

  blinks(values) { return this.lids.some((n) => values[n] > 0.9); }
}

export class Player {
  #frames = [];                // by sample: {sample, values, speaking, generation, shut, blinks}
  #layout = null;
  #pose = null;
  #cues = [];                  // that are not due yet, by sample
  #numbers = new Set();
  #face = '';                  // what the newest event has said of whose motion it is; that comes with each header
  #generation = -1;
  #cut = -Infinity;            // where the newest generation begins
  #carry = null; #carried = false;   // what the pose is off, after it had to do without frames; it fades
  #broken = false;             // frames went, or came, where the pose stands
  #mode = 'way'; #heldFrame = null;
  #shownAt = NaN; #shownSample = NaN; #aimed = null;
  #interval = 1000 / 60;       // ms between pictures

  /**
   * @param {object} options
   * @param {{sample(now: number): number}} options.clock which sample is heard
   * @param {number} [options.delay] ms by which poses are later than that; negative = earlier, such as for a slow display
   * @param {(cue: object) => void} [options.onCue] called with each event when it is heard, an interrupt at once
   * @param {() => number} [options.now] ms; performance.now by default
   */
  constructor({ clock, delay = 0, onCue = () => {}, now = () => performance.now() }) {
    Object.assign(this, { clock, delay, onCue, now });
    /** What happened: frames taken, of those too late to be seen, thrown away; ms that had to be held. */
    this.stats = { frames: 0, late: 0, cleared: 0, held_ms: 0, jumps: 0 };
  }

  /** Whether there is anything to show. */
  get ready() { return this.#frames.length > 0; }

  /** The newest header; null = none yet. */
  get header() { return this.#layout?.header ?? null; }

  /** ms of motion that wait. */
  get buffered() {
    const newest = this.#frames.at(-1);
    return newest ? Math.max(0, (newest.sample - this.#position()) / this.#rate) : 0;
  }

  get #rate() { return (this.#layout?.header.clockRate ?? 48000) / 1000; }

  /** Records of a Reader, as they come. */
  put(records) {
    const now = this.now();
    for (const record of records) {
      if (record.type === 'header') this.#useHeader(record);
      else if (record.type === 'frames') this.#takeFrames(record, now);
      else if (record.type === 'event') this.#takeEvent(record);
    }
  }

  /** Another connection to the same session, or another session: what waits is dropped, the face stays and goes on from there. */
  reset() {
    this.stats.cleared += this.#frames.length;
    this.#frames.length = this.#cues.length = 0;
    this.#numbers.clear();
    this.#face = '';
    this.#generation = -1;
    this.#cut = -Infinity;
    this.#broken = true;
  }

  // What comes -------------------------------------------------------------------------------

  #useHeader(header) {
    const before = this.#layout?.header;
    if (before && before.channels === header.channels && JSON.stringify(before.sets) === JSON.stringify(header.sets)) {
      this.#layout.header = header;
      return;
    }
    this.#layout = new Layout(header);
    const { out, sets, names, rest } = this.#layout;
    out.set(rest);
    this.#pose = { sample: 0, sets, names, speaking: false };
    this.#carry = new Float32Array(header.channels);
    this.#aimed = Float32Array.from(rest);
    this.#carried = false;
    this.#frames.length = 0;
  }

  #takeFrames({ header, generation, speaking, frames }, now) {
    const layout = this.#layout;
    if (!layout || header.channels !== layout.header.channels) return;
    const newest = frames.at(-1).sample;
    if (generation > this.#generation) this.#cutOff(generation, this.#generation < 0 ? -Infinity : frames[0].sample);
    for (const { sample, values } of frames) {
      if (this.#isStale({ generation, sample })) continue;
      this.#insert({ sample, values, speaking, generation, shut: layout.shut(values), blinks: layout.blinks(values) });
    }
    this.clock.arrived?.(newest, now);
  }

  #insert(frame) {
    const frames = this.#frames;
    let n = frames.length;
    while (n > 0 && frames[n - 1].sample > frame.sample) n--;
    const twin = frames[n - 1];
    if (twin?.sample === frame.sample) {
      if (frame.generation > twin.generation) frames[n - 1] = frame;
      return;
    }
    this.stats.frames++;
    if (n === 0 && frames.length && frame.sample < this.#shownSample) { this.stats.late++; return; }
    if (frame.sample < this.#shownSample) this.stats.late++;
    if (frames[n - 1]?.sample <= this.#shownSample && frames[n]?.sample > this.#shownSample) this.#broken = true;   // it was drawn without
    frames.splice(n, 0, frame);
    if (frames.length > MOST_FRAMES) frames.splice(0, frames.length - MOST_FRAMES);
  }

  // What was to be seen behind `sample` is not.
  #cutOff(generation, sample) {
    this.#generation = generation;
    this.#cut = sample;
    const before = this.#frames.length;
    this.#frames = this.#frames.filter((frame) => frame.generation >= generation || frame.sample < sample);
    this.#cues = this.#cues.filter((cue) => cue.generation >= generation || cue.sample < sample);
    this.stats.cleared += before - this.#frames.length;
    if (this.#frames.length !== before) this.#broken = true;
  }

  // Whether it is of before an interrupt, and was to come behind it.
  #isStale({ generation, sample }) { return generation < this.#generation && sample >= this.#cut; }

  #takeEvent(event) {
    if (event.kind === 'clock' || event.kind === 'error') return;    // of the connection, and nothing to be seen
    if (this.#isStale(event)) return;
    if (event.number && this.#numbers.has(event.number)) return;
    if (!event.number && event.kind === 'state') {
      if (event.value === this.#face) return;
      this.#face = event.value;
    }
    if (event.number) this.#numbers.add(event.number);
    if (this.#numbers.size > NUMBERS) this.#numbers.delete(this.#numbers.values().next().value);
    if (event.generation > this.#generation) this.#cutOff(event.generation, event.sample);
    else if (event.kind === 'interrupt' && event.generation === this.#generation) this.#cutOff(event.generation, Math.min(event.sample, this.#cut));
    if (event.kind === 'interrupt') { this.onCue(event); return; }
    let n = this.#cues.length;
    while (n > 0 && this.#cues[n - 1].sample > event.sample) n--;
    this.#cues.splice(n, 0, event);
    while (this.#cues.length > MOST_CUES) this.onCue(this.#cues.shift());
  }

  // What is shown ----------------------------------------------------------------------------

  /** Tells of the events that are due, as `pose()` does: for who draws nothing just now, such as a page that nobody sees. */
  tell() {
    const at = this.#position();
    if (!Number.isNaN(at)) this.#tell(at);
  }

  #position(now = this.now()) { return this.clock.sample(now) - this.delay * this.#rate; }

  /**
   * The pose of what is heard now: `{sample, sets, names, speaking}`, which is valid until the next call. null before the
   * first header. With `sample`, the pose of that moment, whatever was seen before.
   * @param {number} [sample]
   */
  pose(sample) {
    if (!this.#pose) return null;
    if (sample !== undefined) {
      this.#aim(sample, 0, true);
      return this.#show(sample, false);
    }
    const now = this.now(), heard = this.#position(now), at = Number.isNaN(heard) ? this.#shownSample : heard;
    if (Number.isNaN(at)) return this.#pose;
    const seen = now - this.#shownAt < AWAY_MS, gone = (at - this.#shownSample) / this.#rate, leapt = !(Math.abs(gone) < AWAY_MS);
    if (!seen || leapt) this.stats.jumps++;
    if (seen) this.#interval += (Math.max(DISPLAY_MS[0], Math.min(DISPLAY_MS[1], now - this.#shownAt)) - this.#interval) / 16;
    this.#tell(at);
    this.#shed(at);
    const passed = !seen || leapt ? 0 : Math.max(0, Number.isNaN(heard) ? now - this.#shownAt : gone);
    this.#follow(at, passed, seen, leapt);
    this.#shownAt = now;
    this.#shownSample = at;
    return this.#show(at, this.#carried);
  }

  #tell(at) {
    while (this.#cues.length && this.#cues[0].sample <= at) this.onCue(this.#cues.shift());
  }

  // Of what is past, one frame is needed, and some more where a clock finds that it is a little earlier.
  #shed(at) {
    let past = 0;
    while (past + 1 < this.#frames.length && this.#frames[past + 1].sample <= at - AWAY_MS * this.#rate) past++;
    if (past) this.#frames.splice(0, past);
  }

  #show(at, carried) {
    const { out } = this.#layout;
    for (let n = 0; n < out.length; n++) out[n] = this.#aimed[n] + (carried ? this.#carry[n] : 0);
    this.#pose.sample = at;
    return this.#pose;
  }

  // Where the pose is not the one that goes on from what was seen, the difference fades.
  #follow(at, passed, seen, leapt) {
    const before = this.#mode, held = this.#heldFrame;
    this.#mode = this.#aim(at, passed, !seen || leapt);
    const placed = this.#mode === 'sent' || this.#mode === 'held';
    const another = this.#broken || leapt || before !== 'sent' && (before !== this.#mode || held !== this.#heldFrame);
    if (!seen) this.#carried = false;
    else if (leapt || placed && another) this.#begin();
    if (placed) this.#broken = false;
    if (this.#carried) this.#fade(leapt ? this.#interval : passed);
  }

  #begin() {
    const { out, groups } = this.#layout;
    for (let n = 0; n < out.length; n++) this.#carry[n] = groups[n] === STEP ? 0 : out[n] - this.#aimed[n];
    this.#carried = true;
  }

  #fade(passed) {
    const keep = keeps(passed), { groups } = this.#layout;
    let most = 0;
    for (let n = 0; n < this.#carry.length; n++) most = Math.max(most, Math.abs(this.#carry[n] *= keep[groups[n]]));
    if (most < 1e-3) this.#carried = false;
  }

  // The pose of `at` goes into #aimed; what it is: 'sent' or between two that were, 'held', or on its 'way' from or to rest.
  #aim(at, passed, away) {
    let n = 0;
    while (n + 1 < this.#frames.length && this.#frames[n + 1].sample <= at) n++;
    const first = this.#frames[n], second = this.#frames[n + 1];
    this.#heldFrame = first;
    if (!first) return this.#toRest(passed);
    if (first.sample > at) return this.#fromRest(first, at, passed, away);
    this.#pose.speaking = first.speaking;
    const age = (at - first.sample) / this.#rate, length = second ? second.sample - first.sample : Infinity;
    if (age === 0 || length <= GAP_MS * this.#rate) {
      this.#between(first, age === 0 ? first : second, age * this.#rate / length, length);
      return 'sent';
    }
    this.stats.held_ms += Math.min(passed, age);
    const cut = first.generation < this.#generation;
    if (age <= HOLD_MS && !cut) {
      this.#aimed.set(first.values);
      return 'held';
    }
    if (away) this.#aimed.set(first.values);
    if (second && second.sample - at <= WAY_MS * this.#rate) return this.#fromRest(second, at, passed, away);
    return this.#toRest(away ? age - (cut ? 0 : HOLD_MS) : passed);
  }

  #toRest(passed) {
    const { groups, rest } = this.#layout, keep = keeps(passed);
    for (let n = 0; n < rest.length; n++) this.#aimed[n] = rest[n] + (this.#aimed[n] - rest[n]) * keep[groups[n]];
    return 'way';
  }

  // It rests until `frame` is near.
  #fromRest(frame, at, passed, away) {
    const left = (frame.sample - at) / this.#rate, { rest, groups } = this.#layout;
    if (away) this.#aimed.set(rest);
    if (left > WAY_MS) return this.#toRest(passed);
    const part = away ? 1 - left / WAY_MS : Math.min(1, passed / (left + passed));
    for (let n = 0; n < rest.length; n++) if (groups[n] !== STEP) this.#aimed[n] += (frame.values[n] - this.#aimed[n]) * part;
    return 'way';
  }

  #between(a, b, part, length) {
    const { groups } = this.#layout, hold = Math.min(0.5, this.#interval / 2 * this.#rate / length);
    const parts = [part, held(part, a.shut && hold, b.shut && hold), held(part, a.blinks && hold, b.blinks && hold), part < 1 ? 0 : 1];
    for (let n = 0; n < groups.length; n++) this.#aimed[n] = a.values[n] + (b.values[n] - a.values[n]) * parts[groups[n]];
  }
}

// What `passed` ms leave of a difference, by group.
function keeps(passed) {
  const mouth = KEEP ** (passed / 10);
  return [KEEP_HEAD ** (passed / 10), mouth, mouth, 0];
}

// `part` of the way, which begins `before` later and is over `behind` earlier.
function held(part, before, behind) {
  if (!before && !behind) return part;
  const way = 1 - (before || 0) - (behind || 0);
  return way <= 0 ? Math.round(part) : Math.max(0, Math.min(1, (part - (before || 0)) / way));
}
