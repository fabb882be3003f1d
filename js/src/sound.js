// Sound that comes in pieces over a WebSocket: played without gaps, and the clock of what is heard.

import { ArrivalClock, Timeline } from './clock.js';

const LEAD_MS = 60;            // from a piece's coming to its being heard, where nothing waits
const MORE_MS = 80;            // beyond that silence is left out,
const MOST_MS = 400;           // and beyond this whatever comes
const MARKS = 64;
const SILENT = 1e-4;           // a decoder leaves some noise where there was none
const OPUS = { codec: 'opus', sampleRate: 48000, numberOfChannels: 1 };

/** Whether this browser takes Opus to pieces by itself (WebCodecs): a page that is not served safely has none of that. */
export async function decodesOpus() {
  return await globalThis.AudioDecoder?.isConfigSupported(OPUS).then(({ supported }) => supported, () => false) ?? false;
}

/** Plays PCM16 mono (and Opus, where the browser has AudioDecoder); a Clock. */
export class SoundQueue {
  #context; #node; #next = 0;  // s of the context's clock at which the next piece begins
  #marks = [];                 // {time, sample}: where pieces begin that do not go on from the one before
  #expected = NaN;
  #decoder = null;
  #line; #arrival;

  /**
   * @param {object} [options]
   * @param {number} [options.rate] Hz
   * @param {AudioContext} [options.context] of that rate; one of its own by default
   */
  constructor({ rate = 48000, context = new AudioContext({ sampleRate: rate, latencyHint: 'interactive' }) } = {}) {
    this.#context = context;
    this.#node = context.createGain();
    this.#node.connect(context.destination);
    this.#line = new Timeline(rate / 1000);
    this.#arrival = new ArrivalClock({ rate: rate / 1000, more: LEAD_MS });
    this.rate = rate;
    this.stats = { pieces: 0, gaps: 0, left_out: 0 };
  }

  get context() { return this.#context; }
  /** What is played, to be listened to. */
  get node() { return this.#node; }
  /** Whether the browser waits for a gesture of the user. */
  get blocked() { return this.#context.state === 'suspended'; }
  resume() { return this.#context.resume(); }
  set muted(muted) { this.#node.gain.value = muted ? 0 : 1; }

  /** ms that wait to be heard. */
  get waiting() { return Math.max(0, (this.#next - this.#context.currentTime) * 1000); }

  /** A piece, as a Reader gives it. */
  put({ sample, codec, data }) {
    if (codec === 'pcm16') this.#play(floats(data), sample);
    else if (codec === 'opus') this.#decode(data, sample);
  }

  #decode(data, sample) {
    if (!globalThis.AudioDecoder) return;
    if (!this.#decoder || this.#decoder.state === 'closed') {
      this.#decoder = new AudioDecoder({ output: (sound) => this.#decoded(sound), error: () => {} });
      this.#decoder.configure({ ...OPUS, sampleRate: this.rate });
    }
    this.#decoder.decode(new EncodedAudioChunk({ type: 'key', timestamp: Math.round(sample / this.rate * 1e6), data }));
  }

  #decoded(sound) {
    const values = new Float32Array(sound.numberOfFrames);
    sound.copyTo(values, { planeIndex: 0, format: 'f32-planar' });
    const sample = Math.round(sound.timestamp * this.rate / 1e6);
    sound.close();
    this.#play(values, sample);
  }

  #play(values, sample) {
    const { currentTime } = this.#context, waits = (this.#next - currentTime) * 1000;
    this.stats.pieces++;
    const past = this.#context.state !== 'running';       // when the user lets it play, what comes now is
    if (past || waits > LEAD_MS + MOST_MS || waits > LEAD_MS + MORE_MS && values.every((value) => Math.abs(value) < SILENT)) {
      this.stats.left_out++;
      return;
    }
    const goesOn = waits > 0 && sample === this.#expected;
    if (waits <= 0) {
      if (this.#expected > 0) this.stats.gaps++;
      this.#next = currentTime + LEAD_MS / 1000;
    }
    if (!goesOn) this.#mark(this.#next, sample);
    const buffer = this.#context.createBuffer(1, values.length, this.rate);
    buffer.copyToChannel(values, 0);
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#node);
    source.start(this.#next);
    this.#next += values.length / this.rate;
    this.#expected = sample + values.length;
  }

  #mark(time, sample) {
    this.#marks.push({ time, sample });
    if (this.#marks.length > MARKS) this.#marks.shift();
  }

  // s of the context's clock that are heard at `now`.
  #heard(now) {
    const { contextTime, performanceTime } = this.#context.getOutputTimestamp?.() ?? {};
    if (performanceTime > 0) return contextTime + (now - performanceTime) / 1000;
    return this.#context.currentTime - (this.#context.outputLatency ?? this.#context.baseLatency ?? 0);
  }

  arrived(sample, now) { this.#arrival.arrived(sample, now); }

  // While nothing is played, because the browser waits for a gesture, as what comes.
  sample(now) {
    const heard = this.#heard(now), mark = this.#context.state === 'running' && this.#marks.findLast(({ time }) => time <= heard);
    const sample = mark ? mark.sample + (heard - mark.time) * this.rate : this.#arrival.sample(now);
    if (!Number.isNaN(sample)) this.#line.observe(now, sample);
    return this.#line.sample(now);
  }

  close() {
    if (this.#decoder?.state === 'configured') this.#decoder.close();
    this.#context.close();
  }
}

function floats(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength), values = new Float32Array(data.byteLength >> 1);
  for (let n = 0; n < values.length; n++) values[n] = view.getInt16(2 * n, true) / 32768;
  return values;
}
