// Connections: to a session or a room, over WebRTC or a WebSocket, with motion or with video, again and again until closed.

import { ArrivalClock, ReceiverClock } from './clock.js';
import { MotionError } from './errors.js';
import { Backoff, Nap, Silence, Watch } from './line.js';
import { DEFAULT_SETS, MotionChannel, SETS } from './motion-channel.js';
import { Player } from './player.js';
import { Reader } from './reader.js';
import { Server } from './requests.js';
import { CODECS, keepShort, preferCodec } from './rtc.js';
import { followSei } from './sei.js';
import { SoundQueue, decodesOpus } from './sound.js';
import { Whep } from './whep.js';

const CONNECT_MS = 10000;
const LOST_MS = 3000;          // 'disconnected' this long is lost
const TELL_MS = 100;           // events are told, where nobody draws
const MODES = ['auto', 'motion', 'video'], CARRIERS = ['webrtc', 'websocket', 'sei'], ENCODINGS = ['binary', 'json'];

/** What does not pass by waiting: the token, the name, what this server does not do. */
const FINAL = ['NO_MOTION', 'NO_VIDEO', 'NO_TRANSFORM'];
const isFinal = (error) => FINAL.includes(error.code) || error.status >= 400 && error.status < 500 && error.status !== 429;

/** One connection over WebRTC. `done` is why it ended: 'lost', 'ended', 'replaced', 'closed', or an error. */
class RtcLink {
  constructor({ server, session, room, user, motion, carrier, sets, encoding, player, microphone, on }) {
    Object.assign(this, { server, room, player, on, closed: false, isBlack: motion && carrier === 'sei' });
    this.done = new Promise((resolve) => { this.resolve = resolve; });
    const pc = this.pc = new RTCPeerConnection({ iceServers: [], bundlePolicy: 'max-bundle' });
    this.door = new Whep(server.ask, doorPath({ session, room, user, talks: Boolean(microphone), black: this.isBlack && sets }), pc);
    this.media = new MediaStream();      // both tracks in one stream: then a browser lip-syncs them
    this.data = pc.createDataChannel('lipwire');
    this.data.binaryType = 'arraybuffer';
    this.data.onmessage = ({ data }) => this.#message(data);
    this.data.onclose = () => this.close('lost');
    this.sound = pc.addTransceiver('audio', { direction: microphone ? 'sendrecv' : 'recvonly' });
    if (microphone) this.sound.sender.replaceTrack(microphone);
    this.picture = motion && !this.isBlack ? null : pc.addTransceiver('video', { direction: 'recvonly' });
    if (this.picture) preferCodec(this.picture, CODECS[0]);
    if (motion && !this.isBlack) this.motion = new MotionChannel(pc, { player, sets, encoding, onError: (error) => this.#failed(error) });
    this.motion?.follow(this.sound.receiver);
    pc.ontrack = ({ track, receiver }) => {
      keepShort(receiver);
      if (track.kind === 'audio' || !this.isBlack) this.media.addTrack(track);
    };
    pc.onconnectionstatechange = () => this.#changed();
  }

  // Motion in black pictures, which nobody is shown.
  #read(receiver) {
    this.player.clock = new ReceiverClock(this.sound.receiver);
    this.endReading = followSei(receiver, this.player, (error) => this.#failed(error));
  }

  async open() {
    if (this.isBlack) this.#read(this.picture.receiver);
    const { pc } = this, iceServers = await this.door.servers();
    if (this.closed) return;
    if (iceServers.length) pc.setConfiguration({ iceServers, bundlePolicy: 'max-bundle' });
    await this.#offer();
    if (this.closed) return;
    if (this.picture?.currentDirection === 'inactive') throw this.#lacks();
    await new Promise((resolve, reject) => {
      this.connectTimer = setTimeout(() => reject(new MotionError('NO_MEDIA', 'No media came through. Is UDP between here and the server blocked?')), CONNECT_MS);
      this.onconnected = resolve;
      this.#changed();
      this.done.then(resolve);
    }).finally(() => clearTimeout(this.connectTimer));
    if (!this.closed) this.watch = new Watch(pc, () => this.close('lost'), this.server.url);
  }

  #lacks() {
    if (this.isBlack) return new MotionError('NO_MOTION', 'The server and this browser have no H.264 in common, which motion comes in.');
    return new MotionError('NO_VIDEO', 'The server sends motion here, and no video.');
  }

  async #offer() {
    try {
      await this.door.open();
    } catch (error) {
      throw this.isBlack && error.status === 400 ? new MotionError('NO_MOTION', error.message, { status: 400 }) : error;
    }
  }

  #changed() {
    clearTimeout(this.lostTimer);
    const { connectionState } = this.pc;
    if (connectionState === 'failed' || connectionState === 'closed') this.close('lost');
    if (connectionState === 'disconnected') this.lostTimer = setTimeout(() => this.close('lost'), LOST_MS);
    if (connectionState === 'connected') this.onconnected?.();
  }

  #message(data) {
    this.on.message(data);
    if (typeof data !== 'string' || !data.startsWith('{"type":')) return;
    let type, event;
    try { ({ type, event } = JSON.parse(data)); } catch { return; }
    if (type === 'event' && event === 'session_ended') this.close('ended');
    if (type === 'replaced') this.close('replaced');
  }

  #failed(error) {
    if (isFinal(error)) this.close(error);
    else this.on.error(error);
  }

  // Whether it was sent.
  send(message) {
    if (this.closed || this.data.readyState !== 'open') return false;
    this.data.send(message);
    return true;
  }

  // Idempotent. Handlers go first, so that nothing of a closed link reaches anybody.
  close(reason) {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.lostTimer);
    this.watch?.close();
    this.door.close(this.room ? reason === 'closed' : reason !== 'ended');     // from a room one that is lost has not left
    this.data.onmessage = this.data.onclose = this.pc.ontrack = this.pc.onconnectionstatechange = null;
    this.motion?.close();
    this.endReading?.();
    this.data.close();
    this.resolve(reason);
  }
}

function doorPath({ session, room, user, talks, black }) {
  const query = new URLSearchParams({ ...(room && user ? { user } : {}), ...(black ? { motion: 'sei', sets: black.join(',') } : {}) });
  const place = room ? `${talks ? 'rtc' : 'whep'}/rooms/${encodeURIComponent(room)}` : `whep/${encodeURIComponent(session)}`;
  return `${place}?${query}`.replace(/\?$/, '');
}

/** One connection over a WebSocket: where UDP does not pass. It has no video. */
class SocketLink {
  #reader = new Reader();

  constructor({ server, session, room, user, sets, encoding, player, sound, on }) {
    Object.assign(this, { server, session, player, on, closed: false });
    this.done = new Promise((resolve) => { this.resolve = resolve; });
    this.query = { sets: sets.join(','), encoding, sound: 'none', ...(room && user ? { user } : {}) };
    this.place = room ? `motion/rooms/${encodeURIComponent(room)}` : `motion/${encodeURIComponent(session)}`;
    this.protocols = ['lipwire-motion', ...(server.token ? [`token.${server.token}`] : [])];
    if (sound) this.sound = player.clock = new SoundQueue();
    else player.clock = new ArrivalClock();
  }

  get #path() { return `${this.place}?${new URLSearchParams(this.query)}`; }

  async open() {
    if (this.sound) this.query.sound = await decodesOpus() ? 'opus' : 'pcm16';
    if (this.closed) return;
    const socket = this.socket = new WebSocket(this.server.address(this.#path, 'ws'), this.protocols);
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }) => this.#take(data);
    await new Promise((resolve, reject) => {
      const late = new MotionError('UNREACHABLE', 'The server took too long to answer.', { unreachable: true });
      this.connectTimer = setTimeout(reject, CONNECT_MS, late);
      socket.onopen = resolve;
      socket.onclose = () => this.#refusal().then(reject, reject);
      this.done.then(resolve);
    }).finally(() => clearTimeout(this.connectTimer));
    if (this.closed) return;
    // A session sends all the time; a room where there is no face does not.
    this.silence = new Silence(() => this.close('lost'), { pauses: !this.session, base: this.server.url });
    socket.onclose = ({ code, reason }) => this.close(code === 1000 ? 'ended' : reason || 'lost');
  }

  // Why there was no WebSocket, which a browser does not tell: asked by GET the server does.
  async #refusal() {
    await (await this.server.ask(this.#path, {})).text();
    return new MotionError('UNREACHABLE', 'No WebSocket opens, and the server does not say why. Is it full, or does a proxy in front of it not pass WebSockets?');
  }

  #take(data) {
    this.silence?.heard();
    let records;
    try {
      records = this.#reader.put(data);
    } catch (error) {
      if (!(error instanceof MotionError)) throw error;
      this.on.error(error);
      ({ records } = error);
    }
    for (const record of records) {
      if (record.type === 'sound') this.sound?.put(record);
      if (record.type === 'error' || record.kind === 'error') this.close(new MotionError('NO_MOTION', record.message ?? record.value));
    }
    this.player.put(records);
  }

  close(reason) {
    if (this.closed) return;
    this.closed = true;
    if (this.socket) this.socket.onmessage = this.socket.onclose = this.socket.onopen = null;
    this.silence?.close();
    this.socket?.close();
    this.sound?.close();
    this.resolve(reason);
  }
}

/**
 * Fires 'state' (its `state` is another), 'media' (its `media` is another), 'cue' (`detail`: an event when it is heard),
 * 'message' (`detail`: what came over the data channel "lipwire") and 'error' (`detail`: a MotionError).
 */
export class Connection extends EventTarget {
  #options; #server; #link = null; #nap = new Nap(); #backoff = new Backoff(); #audio; #mode; #silent = false;

  constructor({ url = new URL('../', import.meta.url), token = '', session, room, user = '', mode = 'auto', carrier = 'webrtc', sets = DEFAULT_SETS, encoding = 'binary', microphone = null, audio, delay = 0 }) {
    super();
    if (!session === !room) throw new TypeError('connect() needs a session or a room');
    if (!MODES.includes(mode)) throw new TypeError(`mode is ${MODES.join(', ')}, not ${mode}`);
    if (!CARRIERS.includes(carrier)) throw new TypeError(`carrier is ${CARRIERS.join(', ')}, not ${carrier}`);
    if (carrier === 'websocket' && (mode === 'video' || microphone)) throw new TypeError('a WebSocket carries neither video nor a microphone');
    if (carrier === 'sei' && (encoding !== 'binary' || microphone)) throw new TypeError('a video carries binary motion alone, and who watches it has no microphone');
    if (!sets.length || !sets.every((set) => SETS.includes(set))) throw new TypeError(`sets are some of ${SETS.join(', ')}, not ${sets.join(', ') || 'none'}`);
    if (!ENCODINGS.includes(encoding)) throw new TypeError(`encoding is ${ENCODINGS.join(' or ')}, not ${encoding}`);
    if (microphone && !room) throw new TypeError('a microphone is heard in a room; a session is spoken to by WHIP');
    this.#server = new Server(url, token);
    this.#options = { session, room, user, carrier, sets, encoding, microphone };
    this.#audio = audio === undefined ? new Audio() : audio;
    this.#mode = mode;
    /** 'connecting', 'live', 'reconnecting', 'ended' (the session), 'failed' (`error` says why) or 'closed'. */
    this.state = 'connecting';
    this.error = null;
    /** Whether the browser plays nothing until the user has done something: call `play` then. */
    this.soundBlocked = false;
    this.media = null;
    this.player = new Player({ clock: new ArrivalClock(), delay, onCue: (cue) => this.#tell('cue', cue) });
    const telling = setInterval(() => this.player.tell(), TELL_MS);
    this.done = this.#run().finally(() => clearInterval(telling));
  }

  /** What comes now: 'motion' or 'video'. */
  get mode() { return this.#mode === 'video' ? 'video' : 'motion'; }
  /** The RTCPeerConnection; null without. */
  get pc() { return this.#link?.pc ?? null; }
  /** Of motion: the data channel that it comes over; null without. */
  get channel() { return this.#link?.motion ?? null; }

  /** A message to the agents in the room, 16 KiB at most, over the data channel "lipwire". */
  send(message) {
    if (this.#options.carrier === 'websocket') throw new TypeError('a WebSocket of motion carries no messages to the server');
    if (!this.#link?.send(message)) throw new MotionError('NOT_CONNECTED', 'There is no connection just now.');
  }

  /** Video in the place of motion, or the other way round, over a new connection. */
  change(mode) {
    if (!MODES.includes(mode)) throw new TypeError(`mode is ${MODES.join(', ')}, not ${mode}`);
    if (mode === 'video' && this.#options.carrier === 'websocket') throw new TypeError('a WebSocket carries no video');
    const before = this.mode;
    this.#mode = mode;
    if (this.mode !== before) this.#link?.close('change');
  }

  /** Plays the sound, where the browser has waited for a gesture. */
  async play() {
    if (this.#link?.sound instanceof SoundQueue) await this.#link.sound.resume();
    else if (this.#plays) await this.#start();
    this.#block(false);
  }

  set muted(muted) {
    this.isMuted = muted;
    if (this.#link?.sound instanceof SoundQueue) this.#link.sound.muted = muted;
    if (!this.#plays) return;
    this.#mute();
    if (!muted) this.#begin();                   // which the browser may refuse only now
  }
  get muted() { return this.isMuted === true; }

  /** For good. */
  close() {
    this.#set('closed');
    this.#link?.close('closed');
    this.#nap.wake();
  }

  #tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  #set(state, error = null) {
    if (this.state === 'closed') return;
    this.error = error;
    if (this.state === state) return;
    this.state = state;
    this.#tell('state', state);
  }

  #block(blocked) {
    if (this.soundBlocked === blocked) return;
    this.soundBlocked = blocked;
    this.#tell('state', this.state);
  }

  // Whether the element plays what comes here: another connection may have it.
  get #plays() { return Boolean(this.#audio && this.media) && this.#audio.srcObject === this.media; }

  // The user's wish, and the browser's policy.
  #mute() { this.#audio.muted = this.muted || this.#silent; }

  // With sound, if the user wants any. Where the browser refuses that, pictures go on without: for them it needs no gesture.
  async #start() {
    const audio = this.#audio;
    this.#silent = false;
    this.#mute();
    try {
      await audio.play();
    } catch (error) {
      if (error.name === 'NotAllowedError' && this.mode === 'video' && this.#plays) {
        this.#silent = true;
        this.#mute();
        audio.play().catch(() => {});
      }
      throw error;
    }
  }

  #begin() { this.#start().then(() => this.#block(false), (error) => { if (error.name === 'NotAllowedError') this.#block(true); }); }

  async #run() {
    while (!['closed', 'ended', 'failed'].includes(this.state)) {
      const link = this.#link = this.#make();
      link.open().then(() => this.#live(link), (error) => link.close(error));
      const why = await link.done;
      this.#link = null;
      this.#left(why);
      if (this.state === 'reconnecting' && why !== 'change') await this.#nap.take(this.#backoff.next());
    }
    if (this.#plays) this.#audio.srcObject = null;
  }

  #make() {
    const on = { message: (data) => this.#tell('message', data), error: (error) => this.#tell('error', error) };
    const options = { ...this.#options, server: this.#server, player: this.player, sound: this.#audio !== null, on };
    return this.#options.carrier === 'websocket' ? new SocketLink(options) : new RtcLink({ ...options, motion: this.mode === 'motion' });
  }

  #live(link) {
    if (link.closed) return;
    this.#backoff.reset();
    this.media = link.media ?? null;
    this.#set('live');
    this.#tell('media', this.media);
    if (link.sound instanceof SoundQueue) {
      link.sound.muted = this.muted;
      this.#block(link.sound.blocked);
    } else if (this.#audio) {
      this.#audio.srcObject = this.media;
      this.#begin();
    }
  }

  #left(why) {
    this.player.reset();
    this.player.clock = new ArrivalClock();
    if (why === 'ended' || why === 'replaced') this.#set('ended');
    else if (why?.code === 'NO_MOTION' && this.#mode === 'auto' && this.#options.carrier !== 'websocket') { this.#mode = 'video'; this.#set('reconnecting'); }
    else if (why instanceof Error && isFinal(why)) { this.#set('failed', why); this.#tell('error', why); }
    else this.#set('reconnecting', why instanceof Error ? why : null);
  }
}

/** Connects, and goes on connecting until it is closed, the session has ended, or the server has refused. docs/client.md. */
export function connect(options) { return new Connection(options); }
