// What both pages do before they send an offer.

const GATHER_MS = 2000;        // no STUN, so candidates are all local and come at once

// First among the codecs that are offered, say 'video/vp8'.
export function preferCodec(transceiver, first) {
  const codecs = RTCRtpReceiver.getCapabilities?.('video')?.codecs;
  if (!codecs || !transceiver.setCodecPreferences) return;
  const rank = (codec) => (codec.mimeType.toLowerCase() === first ? 0 : 1);
  transceiver.setCodecPreferences([...codecs].sort((a, b) => rank(a) - rank(b)));   // sort is stable: the rest keeps its order
}

export function gathered(pc) {
  if (pc.iceGatheringState === 'complete') return null;
  return new Promise((resolve) => {
    setTimeout(resolve, GATHER_MS);
    pc.addEventListener('icegatheringstatechange', () => { if (pc.iceGatheringState === 'complete') resolve(); });
  });
}
