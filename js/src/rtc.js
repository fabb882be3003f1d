// What an offer needs.

const TARGET_BUFFER_MS = 40;   // the same for audio and video, or the browser itself would move lips and voice apart

// What pictures can come as, best first: the server encodes H.264 in half the time of VP8.
export const CODECS = ['H264', 'VP8'];
export const hasCodec = (name) => (RTCRtpReceiver.getCapabilities?.('video')?.codecs ?? []).some((codec) => codec.mimeType.toLowerCase() === `video/${name.toLowerCase()}`);

// First among the codecs that are offered, say 'H264'.
export function preferCodec(transceiver, name) {
  const codecs = RTCRtpReceiver.getCapabilities?.('video')?.codecs, first = `video/${name.toLowerCase()}`;
  if (!codecs || !transceiver.setCodecPreferences) return;
  const rank = (codec) => (codec.mimeType.toLowerCase() === first ? 0 : 1);
  transceiver.setCodecPreferences([...codecs].sort((a, b) => rank(a) - rank(b)));   // sort is stable: the rest keeps its order
}

// As little delay as a network that is a little uneven allows.
export function keepShort(receiver) {
  if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = TARGET_BUFFER_MS;
  else if ('playoutDelayHint' in receiver) receiver.playoutDelayHint = TARGET_BUFFER_MS / 1000;
}
