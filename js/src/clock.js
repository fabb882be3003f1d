// Which sample of the server's media clock is heard now.
//
// A clock has `sample(now)`: the sample that is heard at `now`, in ms of performance.now(); NaN while that is not known.
// It may have `arrived(sample, now)`, which a player calls with the newest frame of each message.

const SLEW_MS = 100;           // in which most of an error is made good,
const SLEW_MOST = 0.1;         // by running faster or slower by a tenth at most, which nobody sees.
const OFF_MS = 25;             // Above this the error is seen itself: it runs faster by half, or stands still,
const SLEW_OFF = [1, 0.5];     // where it is ahead, and where it is behind;
const JUMP_MS = [2000, 120];   // and above this it is in another place of the stream, and goes there at once

/** A line through what is observed: it runs on between observations, and never jumps where it need not. */
export class Timeline {
  #at = NaN;
  #sample = NaN;

  /** @param {number} rate samples in a ms */
  constructor(rate = 48) { this.rate = rate; }

  get known() { return !Number.isNaN(this.#sample); }

  /** The sample at `now`, which does not go back. */
  sample(now) { return this.#sample + Math.max(0, now - this.#at) * this.rate; }

  /** At `now` the sample should be `sample`, and is no later one than `most`. */
  observe(now, sample, most = Infinity) {
    const before = this.#sample, goesOn = this.sample(now), error = (Math.min(sample, most) - goesOn) / this.rate, behind = error > 0 ? 1 : 0;
    if (!(Math.abs(error) <= JUMP_MS[behind])) {
      this.#sample = Math.min(sample, most);
    } else {
      const passed = Math.max(0, now - this.#at), bound = passed * (Math.abs(error) > OFF_MS ? SLEW_OFF[behind] : SLEW_MOST);
      const part = Math.max(-bound, Math.min(bound, error * (1 - Math.exp(-passed / SLEW_MS))));
      this.#sample = Math.max(before, Math.min(most, goesOn + part * this.rate));
    }
    this.#at = now;
  }

  reset() { this.#at = this.#sample = NaN; }
}

/** A clock that stands where it is put: for tests, films and pictures of one moment. */
export class FixedClock {
  constructor(at = 0) { this.at = at; }
  sample() { return this.at; }
}

/** The least of the newest values: of what comes late, the punctual. */
class Least {
  #held = [];

  constructor(span) { this.span = span; }

  put(now, value) {
    while (this.#held.length && this.#held.at(-1).value >= value) this.#held.pop();
    this.#held.push({ now, value });
    while (this.#held[0].now < now - this.span) this.#held.shift();
    return this.#held[0].value;
  }

  clear() { this.#held.length = 0; }
}

const ARRIVAL_SPAN_MS = 4000, LATENESS_DECAY = 0.98, DELAY_MOST_MS = 80;

/**
 * Without a sound to follow: the stream is as old as the most punctual of its messages, and waits as long as most of them are
 * late, 80 ms at most, and `more`. Where its sound waits in a buffer of its own it waits as long as that, behind what comes on the whole:
 * then what is late has time enough.
 */
export class ArrivalClock {
  #least = new Least(ARRIVAL_SPAN_MS);
  #line;
  #late = 0; #mean = 0;

  constructor({ rate = 48, more = 40 } = {}) {
    this.more = more;            // ms: what an interpolation needs
    this.held = NaN;             // ms from the coming of the sound that goes with it to its being heard, where that is known
    this.#line = new Timeline(rate);
  }

  /** ms by which what is shown is behind what comes. */
  get delay() { return Number.isNaN(this.held) ? Math.min(DELAY_MOST_MS, this.#late) + this.more : this.#mean + this.held; }

  arrived(sample, now) {
    const age = now - sample / this.#line.rate, least = this.#least.put(now, age), late = age - least;
    this.#late = late > this.#late ? late : this.#late * LATENESS_DECAY + late * (1 - LATENESS_DECAY);
    this.#mean += (late - this.#mean) * (1 - LATENESS_DECAY);
    this.#line.observe(now, (now - least - this.delay) * this.#line.rate);
  }

  sample(now) { return this.#line.sample(now); }

  reset() {
    this.#least.clear();
    this.#line.reset();
    this.#late = this.#mean = 0;
  }
}

const SPAN_MS = 160;           // some packets of sound
const PACKET_MS = 20;          // what was not handed out is not heard: what is played in its place has no number
const LEAP_MS = 22;            // more than the blocks of packets, and what an output asks for at a time, make of it
const STATS_MS = 1000;
const STALE_MS = 1000;         // a source that has delivered nothing for so long says nothing of now
const LATENCY_MS = 30;         // of speakers of which the browser tells nothing

/**
 * The sound of a WebRTC connection. RTCRtpReceiver.getSynchronizationSources() tells when the browser handed which packet to
 * its output, the statistics of the playout how long that takes from there, where there are any, and the server's events
 * "clock" which sample a packet begins with (`anchor`).
 *
 * What is told of is the packet from which the newest block of 10 ms comes, and when. A packet has two blocks, and an output
 * asks for one or some at a time, so the mean of some is taken. Against a recording of what Chromium 156 plays it is some ms
 * early, and within 15 (bench/motion_sync.py).
 */
export class ReceiverClock {
  #receiver; #line; #arrival;
  #anchor = null;              // {rtp, sample}
  #ratio = 1;                  // samples of the clock for one of RTP
  #seen = []; #sum = 0; #off = 0;   // {at, offset}: when packets were handed out, less where they begin, in ms
  #followed = -Infinity;
  #asked = -Infinity; #played = null; #held = null;

  constructor(receiver, { rate = 48 } = {}) {
    this.#receiver = receiver;
    this.#line = new Timeline(rate);
    this.#arrival = new ArrivalClock({ rate, more: 100 });
    this.latency = LATENCY_MS;   // ms from the browser's side of the output to the ear, as far as the browser tells
  }

  /** Whether it follows the sound, and not only what comes. */
  get follows() { return performance.now() - this.#followed < STALE_MS; }

  /** What the server says: its packets that begin with `rtp` are those that begin with `sample`; `rtpRate` in Hz. */
  anchor(rtp, sample, rtpRate = 48000) {
    this.#anchor = { rtp, sample };
    this.#ratio = this.#line.rate * 1000 / rtpRate;
  }

  arrived(sample, now) { this.#arrival.arrived(sample, now); }

  sample(now) {
    if (now - this.#asked > STATS_MS) this.#ask(now);
    this.#look(now);
    if (!(now - this.#followed < STALE_MS)) this.#guess(now);
    return this.#line.sample(now);
  }

  // Until the sound is there: as what comes, so that a face moves at once.
  #guess(now) {
    const sample = this.#arrival.sample(now);
    if (!Number.isNaN(sample)) this.#line.observe(now, sample);
  }

  #look(now) {
    const [source] = this.#anchor ? this.#receiver.getSynchronizationSources?.() ?? [] : [];
    if (source?.rtpTimestamp === undefined) return;
    const at = source.timestamp - (source.timestamp > 1e11 ? performance.timeOrigin : 0);
    if (!(now - at < STALE_MS)) return;
    this.#followed = now;
    const passed = (source.rtpTimestamp - this.#anchor.rtp) | 0, begins = this.#anchor.sample + passed * this.#ratio;   // it wraps at 2 ** 32
    if (Math.abs(passed) > 2 ** 30) this.#anchor = { rtp: source.rtpTimestamp, sample: begins };
    if (at !== this.#seen.at(-1)?.at) this.#see(at, at - begins / this.#line.rate);
    const offset = this.#sum / this.#seen.length + this.latency, { rate } = this.#line;
    this.#line.observe(now, (now - offset) * rate, begins + PACKET_MS * rate);
  }

  // Where two in a row are far from the mean, the sound has been held up, or has leapt: what was before says nothing of now.
  #see(at, offset) {
    const off = offset - this.#sum / this.#seen.length, leapt = this.#off * off > 0 && Math.min(Math.abs(off), Math.abs(this.#off)) > LEAP_MS;
    this.#off = off;
    this.#seen.push({ at, offset });
    this.#sum += offset;
    const kept = leapt ? 2 : this.#seen.filter((one) => one.at >= at - SPAN_MS).length;
    for (const gone of this.#seen.splice(0, this.#seen.length - kept)) this.#sum -= gone.offset;
  }

  // What is known only later: how long the speakers take, and how long the sound waits, for who has to do without the rest.
  async #ask(now) {
    this.#asked = now;
    const report = await this.#receiver.getStats().catch(() => null);
    for (const entry of report?.values() ?? []) {
      if (entry.type === 'media-playout') {
        const { totalPlayoutDelay: delay, totalSamplesCount: samples } = entry, before = this.#played;
        if (before && samples > before.samples) this.latency = Math.min(500, (delay - before.delay) / (samples - before.samples) * 1000);
        this.#played = { delay, samples };
      }
      if (entry.type === 'inbound-rtp' && entry.jitterBufferEmittedCount) {
        const { jitterBufferDelay: delay, jitterBufferEmittedCount: samples } = entry, before = this.#held;
        if (before && samples > before.samples) this.#arrival.held = Math.min(500, (delay - before.delay) / (samples - before.samples) * 1000 + this.latency);
        this.#held = { delay, samples };
      }
    }
  }
}
