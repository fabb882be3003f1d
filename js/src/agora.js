// Motion over Agora's data stream: the message behind its mark, with COBS undone (Cheshire and Baker, 1997).

import { MotionError } from './errors.js';

const MARK = [...'lwm1:'].map((c) => c.charCodeAt(0));

/**
 * The motion message in a packet of the data stream (what the SDK's event `stream-message` brings), for `Reader.put`; null
 * where it is something else, such as a transcript. Throws MotionError (BAD_DATA): it is damaged.
 * @param {Uint8Array} packet
 * @returns {Uint8Array | null}
 */
export function agoraMessage(packet) {
  if (!MARK.every((byte, n) => packet[n] === byte)) return null;
  const out = new Uint8Array(packet.length);
  let at = MARK.length, length = 0;
  while (at < packet.length) {
    const code = packet[at++], end = at + code - 1;
    if (code === 0 || end > packet.length) throw new MotionError('BAD_DATA', `a packet whose block at byte ${at - 1} does not end in it`);
    for (; at < end; at++) {
      if (packet[at] === 0) throw new MotionError('BAD_DATA', `a packet with a 0 at byte ${at}`);
      out[length++] = packet[at];
    }
    if (code !== 255 && at < packet.length) out[length++] = 0;
  }
  return out.subarray(0, length);
}
