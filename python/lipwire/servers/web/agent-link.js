// One connection to a channel, from opening to its end. RoomLink joins a Lipwire room; AgoraLink (agent-agora.js) has the
// same members:
//
//   open(), close(reason), microphone(track | null), camera(track | null), send(object), media (MediaStream), done (Promise
//   of why it ended), figures() and on: {data(text | ArrayBuffer), media(), members(list)}.

import { Watch } from './client/line.js';
import { CODECS, keepShort, preferCodec } from './client/rtc.js';
import { Whep } from './client/whep.js';
import { ask, request } from './server.js';

const CONNECT_MS = 12000;
const LOST_MS = 3000;          // 'disconnected' this long is lost
const MAX_BUFFERED = 256 * 1024;

let key = '';
// An API key in place of a token: it opens everything of its owner's.
export function setKey(text) { key = text; }
export const keyed = () => (key ? { 'X-Api-Key': key } : {});

const withKey = (path, how) => ask(path, { ...how, headers: { ...how.headers, ...keyed() } });

export const api = (path, body) => request(path, body, { timeout: 40000, headers: keyed() });

export class RoomLink {
  constructor({ channel, user, on, watches, codec }) {
    this.on = on;
    this.closed = false;
    this.media = new MediaStream();              // both tracks in one stream: then a browser lip-syncs them
    this.done = new Promise((resolve) => { this.resolve = resolve; });
    const pc = this.pc = new RTCPeerConnection({ iceServers: [], bundlePolicy: 'max-bundle' });
    this.whep = new Whep(withKey, `${watches ? 'whep' : 'rtc'}/rooms/${encodeURIComponent(channel)}?user=${encodeURIComponent(user)}`, pc);
    this.data = pc.createDataChannel('lipwire');
    this.data.binaryType = 'arraybuffer';
    this.data.onmessage = ({ data }) => this.#message(data);
    this.data.onclose = () => this.close('lost');
    // Both ways from the start, so that microphone and camera can come and go without another offer.
    this.sound = pc.addTransceiver('audio', { direction: 'sendrecv' });
    this.picture = pc.addTransceiver('video', { direction: 'sendrecv' });
    preferCodec(this.picture, codec || CODECS[0]);
    pc.ontrack = ({ track, receiver }) => {
      keepShort(receiver);
      this.media.addTrack(track);
      if (this.media.getTracks().length === 2) this.on.media();
    };
    pc.onconnectionstatechange = () => {
      clearTimeout(this.lostTimer);
      const { connectionState } = pc;
      if (connectionState === 'failed' || connectionState === 'closed') this.close('lost');
      if (connectionState === 'disconnected') this.lostTimer = setTimeout(() => this.close('lost'), LOST_MS);
      this.onready?.();
    };
    this.data.onopen = () => this.onready?.();
  }

  async open() {
    const { pc } = this;
    const iceServers = await this.whep.servers();
    if (this.closed) return;
    if (iceServers.length) pc.setConfiguration({ iceServers, bundlePolicy: 'max-bundle' });
    await this.whep.open();
    if (this.closed) return;
    await new Promise((resolve, reject) => {
      this.connectTimer = setTimeout(() => reject(new Error('No media came through. Is UDP between here and the server blocked?')), CONNECT_MS);
      this.onready = () => { if (pc.connectionState === 'connected' && this.data.readyState === 'open') resolve(); };
      this.onready();
      this.done.then(resolve);
    }).finally(() => clearTimeout(this.connectTimer));
    if (!this.closed) this.watch = new Watch(pc, () => this.close('lost'));
  }

  microphone(track) { return this.sound.sender.replaceTrack(track); }
  camera(track) { return this.picture.sender.replaceTrack(track); }

  // Whether it was sent.
  send(body) {
    if (this.data.readyState !== 'open' || this.data.bufferedAmount > MAX_BUFFERED) return false;
    this.data.send(JSON.stringify(body));
    return true;
  }

  #message(data) {
    if (typeof data === 'string' && data.startsWith('{"type":')) {
      const body = JSON.parse(data);
      if (body.type === 'room') this.on.members(body.members);
      if (body.type === 'replaced') this.close('replaced');
      return;
    }
    this.on.data(data);
  }

  async figures() {
    const report = await this.pc.getStats();
    const figures = { rtt_ms: null, jitter_ms: null, lost: 0, width: null, height: null, codec: '' };
    for (const entry of report.values()) {
      if (entry.type === 'inbound-rtp') {
        if (entry.kind === 'video') {
          Object.assign(figures, { width: entry.frameWidth ?? null, height: entry.frameHeight ?? null });
          figures.codec = report.get(entry.codecId)?.mimeType?.replace('video/', '') ?? '';
        }
        figures.lost += entry.packetsLost ?? 0;
        if (entry.kind === 'audio') figures.jitter_ms = entry.jitter * 1000;
      }
      if (entry.type === 'candidate-pair' && entry.nominated && entry.state === 'succeeded') figures.rtt_ms = entry.currentRoundTripTime * 1000;
    }
    return figures;
  }

  // Idempotent. Handlers go first, so that nothing of a closed link can reach the page. `left` tells the room at once.
  close(reason) {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.lostTimer);
    this.watch?.close();
    this.data.onmessage = this.data.onclose = this.data.onopen = null;
    this.pc.ontrack = this.pc.onconnectionstatechange = null;
    this.whep.close(reason === 'left');
    this.data.close();
    this.resolve(reason);
  }
}
