// Motion in an H.264 track: SEI user data of black pictures. It passes any SFU that passes video.

import { MotionError } from './errors.js';
import { Reader } from './reader.js';

const SEI = 6, UNREGISTERED = 5;
const UUID = [0x4c, 0x49, 0x50, 0x57, 0x49, 0x52, 0x45, 0x4d, 0x8f, 0x54, 0x49, 0x4f, 0x4e, 0, 0, 1];

/**
 * The motion messages in an access unit in Annex B (ITU-T H.264, annex B; SEI: 7.3.2.3, D.1.7). What is none is passed over.
 * @param {Uint8Array} unit
 */
export function motionIn(unit) {
  const found = [];
  for (const [from, to] of nalUnits(unit)) {
    if ((unit[from] & 31) === SEI) messages(plain(unit.subarray(from + 1, to)), found);
  }
  return found;
}

// Where each NAL unit begins and ends, between start codes of three bytes.
function* nalUnits(unit) {
  let from = -1;
  for (let at = 0; at + 2 < unit.length; at++) {
    if (unit[at] || unit[at + 1] || unit[at + 2] !== 1) continue;
    if (from >= 0) yield [from, at];
    from = at += 3;
    at--;
  }
  if (from >= 0 && from < unit.length) yield [from, unit.length];
}

// Without emulation prevention: the 3 of 00 00 03.
function plain(bytes) {
  const out = new Uint8Array(bytes.length);
  let length = 0, zeros = 0;
  for (const byte of bytes) {
    if (zeros >= 2 && byte === 3) { zeros = 0; continue; }
    zeros = byte ? 0 : zeros + 1;
    out[length++] = byte;
  }
  return out.subarray(0, length);
}

function messages(bytes, found) {
  let at = 0;
  const number = () => {
    let value = 0;
    while (bytes[at] === 255) { value += 255; at++; }
    return value + (bytes[at++] ?? 0);
  };
  while (at + 2 < bytes.length) {              // a byte of trailing bits follows the last one
    const type = number(), size = number(), payload = bytes.subarray(at, at + size);
    at += size;
    if (payload.length < size) return;
    if (type === UNREGISTERED && UUID.every((byte, n) => payload[n] === byte)) found.push(payload.slice(UUID.length));
  }
}

/**
 * Feeds a player with the motion in what `receiver` receives, an H.264 track, in browsers with RTCRtpScriptTransform. The
 * pictures are none to show. Returns a function that ends it.
 * @param {RTCRtpReceiver} receiver
 * @param {import('./player.js').Player} player
 * @param {(error: MotionError) => void} [onError]
 */
export function followSei(receiver, player, onError = () => {}) {
  if (!globalThis.RTCRtpScriptTransform) throw new MotionError('NO_TRANSFORM', 'This browser lets no page read encoded video (RTCRtpScriptTransform).');
  const reader = new Reader(), { worker, end } = startWorker();
  worker.onmessage = ({ data }) => {
    let records;
    try {
      records = reader.put(data);
    } catch (error) {
      if (!(error instanceof MotionError)) throw error;
      onError(error);
      ({ records } = error);
    }
    player.put(records);
  };
  worker.onerror = ({ message }) => onError(new MotionError('NO_TRANSFORM', `The browser runs no script that reads encoded video: ${message || 'it does not load'}.`));
  receiver.transform = new RTCRtpScriptTransform(worker);
  return () => { receiver.transform = null; end(); };
}

// A browser starts no script of another site as a worker; one of this page's may import it.
function startWorker() {
  const { href, origin } = new URL('./sei-worker.js', import.meta.url);
  const own = origin === location.origin ? href : URL.createObjectURL(new Blob([`import ${JSON.stringify(href)};`], { type: 'text/javascript' }));
  const worker = new Worker(own, { type: 'module' });
  return { worker, end: () => { worker.terminate(); if (own !== href) URL.revokeObjectURL(own); } };
}
