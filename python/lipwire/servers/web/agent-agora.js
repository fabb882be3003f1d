// A connection to an Agora channel, by agora-rtc-sdk-ng, which the operator provides (docs/agents/rooms.md). The members
// are RoomLink's (agent-link.js).

import { api } from './agent-link.js';

const JOIN_MS = 15000;

let loading = null;

function sdk(url) {
  loading ??= new Promise((resolve, reject) => {
    if (window.AgoraRTC) { resolve(window.AgoraRTC); return; }
    const script = Object.assign(document.createElement('script'), { src: new URL(url, document.baseURI) });
    script.onload = () => (window.AgoraRTC ? resolve(window.AgoraRTC) : reject(new Error('What was loaded is not Agora’s Web SDK.')));
    script.onerror = () => { loading = null; script.remove(); reject(new Error('Agora’s Web SDK could not be loaded.')); };
    document.head.append(script);
  });
  return loading;
}

export class AgoraLink {
  constructor({ channel, user, on, agora }) {
    Object.assign(this, { channel, user, on, agora });
    this.closed = false;
    this.media = new MediaStream();
    this.done = new Promise((resolve) => { this.resolve = resolve; });
    this.published = {};                         // by kind: the SDK's track
    this.users = new Map();                      // uid -> whether it has a picture or sound here
  }

  async open() {
    const rtc = this.rtc = await sdk(this.agora.sdk);
    rtc.setLogLevel?.(3);
    rtc.disableLogUpload?.();
    const asked = /^[1-9]\d{0,9}$/.test(this.user) ? { uid: Number(this.user) } : {};  // else the server says who this is
    const reply = await api(this.agora.token_path, { channel: this.channel, ...asked });
    if (this.closed) return;
    const client = this.client = rtc.createClient({ mode: 'rtc', codec: 'vp8' });
    client.on('user-joined', ({ uid }) => { this.users.set(String(uid), false); this.#members(); });
    client.on('user-left', ({ uid }) => { this.users.delete(String(uid)); this.#members(); });
    client.on('user-published', (user, kind) => this.#subscribe(user, kind));
    client.on('user-unpublished', () => this.#tracks());
    client.on('stream-message', (uid, payload) => this.on.data(payload));
    client.on('connection-state-change', (state, _, reason) => { if (state === 'DISCONNECTED' && reason !== 'LEAVE') this.close('lost'); });
    client.on('token-privilege-will-expire', async () => {
      const fresh = await api(this.agora.token_path, { channel: this.channel, uid: reply.uid }).catch(() => null);
      if (fresh && !this.closed) await client.renewToken(fresh.token);
    });
    let timer;
    const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('its service does not answer')), JOIN_MS); });
    try {
      // The SDK itself would try for ever.
      await Promise.race([client.join(this.agora.app_id, this.channel, reply.token || null, reply.uid ?? Number(this.user)), late]);
    } catch (error) {
      throw new Error(`Agora’s channel cannot be joined: ${error.message}.`);
    } finally {
      clearTimeout(timer);
    }
    if (this.closed) return;
    this.#members();
  }

  async #subscribe(user, kind) {
    if (this.closed) return;
    await this.client.subscribe(user, kind);
    this.users.set(String(user.uid), true);
    this.#tracks();
  }

  // The page's own video element plays them, as it does a room's.
  #tracks() {
    for (const track of this.media.getTracks()) this.media.removeTrack(track);
    for (const user of this.client.remoteUsers) {
      for (const track of [user.audioTrack, user.videoTrack]) if (track) this.media.addTrack(track.getMediaStreamTrack());
    }
    if (this.media.getTracks().length) this.on.media();
    this.#members();
  }

  #members() {
    const others = [...this.users.keys()].map((user) => ({ user, kind: 'agent', connected: true, speaks: true }));
    this.on.members([...others, { user: this.user, kind: 'user', connected: true, speaks: true }]);
  }

  async #publish(kind, make, track) {
    const old = this.published[kind];
    delete this.published[kind];
    if (old) { await this.client.unpublish(old); old.close(); }
    if (!track || this.closed) return;
    // A copy, because the SDK stops what it closes.
    const mine = this.published[kind] = make({ mediaStreamTrack: track.clone() });
    await this.client.publish(mine);
  }

  // Muting the page's track does not reach the copy, so the link is told.
  mute(muted) { return this.published.audio?.setMuted(muted); }
  microphone(track) { return this.#publish('audio', (options) => this.rtc.createCustomAudioTrack(options), track); }
  camera(track) { return this.#publish('video', (options) => this.rtc.createCustomVideoTrack(options), track); }

  send(body) {
    if (!this.client?.sendStreamMessage || this.closed) return false;
    this.client.sendStreamMessage(new TextEncoder().encode(JSON.stringify(body))).catch(() => {});
    return true;
  }

  async figures() {
    const stats = this.client?.getRTCStats?.() ?? {};
    return { rtt_ms: stats.RTT ?? null, jitter_ms: null, lost: 0 };
  }

  close(reason) {
    if (this.closed) return;
    this.closed = true;
    this.client?.removeAllListeners();
    for (const track of Object.values(this.published)) track.close();
    this.client?.leave().catch(() => {});
    this.resolve(reason);
  }
}
