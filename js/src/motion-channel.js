// Motion over the data channel of a WebRTC connection.

import { ReceiverClock } from './clock.js';
import { MotionError } from './errors.js';
import { Reader } from './reader.js';

export const LABEL = 'lipwire-motion';
export const SETS = ['visemes', 'arkit', 'head', 'pose', 'azure'];
export const DEFAULT_SETS = ['arkit', 'head'];

/**
 * Opens the channel on a connection that has not been offered yet, asks for sets of channels, and feeds a player with what
 * comes. As soon as there is a receiver of sound (`follow`) the player follows what is heard of it.
 */
export class MotionChannel {
  #reader = new Reader();

  /**
   * @param {RTCPeerConnection} pc
   * @param {object} options
   * @param {import('./player.js').Player} options.player
   * @param {string[]} [options.sets]
   * @param {'binary' | 'json'} [options.encoding]
   * @param {(error: MotionError) => void} [options.onError] NO_MOTION: the server sends none, or no such sets; BAD_DATA
   * @param {() => void} [options.onOpen]
   */
  constructor(pc, { player, sets = DEFAULT_SETS, encoding = 'binary', onError = () => {}, onOpen = () => {} }) {
    Object.assign(this, { player, sets, encoding, onError });
    /** performance.now() when it opened, and when the first frames came; NaN until then. */
    this.openedAt = this.firstAt = NaN;
    this.channel = pc.createDataChannel(LABEL, { ordered: false, maxRetransmits: 0 });
    this.channel.binaryType = 'arraybuffer';
    this.channel.onopen = () => { this.openedAt = performance.now(); this.#ask(); onOpen(); };
    this.channel.onmessage = ({ data }) => this.#take(data);
  }

  /** From now on the sound of this receiver says what is shown. */
  follow(receiver) { this.player.clock = this.clock = new ReceiverClock(receiver); }

  /** Other sets from now on. */
  ask(sets) {
    this.sets = sets;
    if (this.channel.readyState === 'open') this.#ask();
  }

  #ask() { this.channel.send(JSON.stringify({ sets: this.sets, encoding: this.encoding })); }

  #take(data) {
    let records;
    try {
      records = this.#reader.put(data);
    } catch (error) {
      if (!(error instanceof MotionError)) throw error;
      this.onError(error);
      ({ records } = error);
    }
    for (const record of records) this.#heed(record);
    this.player.put(records);
  }

  #heed(record) {
    if (record.type === 'frames' && !(this.firstAt > 0)) this.firstAt = performance.now();
    if (record.type === 'error' || record.kind === 'error') this.onError(new MotionError('NO_MOTION', record.message ?? record.value));
    if (record.kind !== 'clock') return;
    const found = /^rtp:(\d+) sample:(-?\d+)(?: rate:(\d+))?$/.exec(record.value);
    if (found) this.clock?.anchor(Number(found[1]), Number(found[2]), Number(found[3] ?? 48000));
  }

  close() {
    this.channel.onopen = this.channel.onmessage = null;
    this.channel.close();
  }
}
