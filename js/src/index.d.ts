// Types of lipwire-client; docs/client.md.

/** `BAD_DATA` and what a server answers (`NOT_ALLOWED`, `SESSION_NOT_FOUND`, ...); the table is in docs/client.md. */
export class MotionError extends Error {
  constructor(code: string, message: string, more?: object);
  readonly code: string;
  /** HTTP status, where a server answered. */
  readonly status?: number;
  /** Of BAD_DATA: the records that stand before the damage. */
  readonly records?: MotionRecord[];
}

export interface Header {
  type: 'header';
  version: number;
  id: number;
  /** Hz of the media clock, in which all samples count. */
  clockRate: number;
  /** Frames a second: numerator, denominator. */
  fps: [number, number];
  /** Samples between frames. */
  interval: number;
  /** By set: the names of its channels, and where they begin in `values`. */
  sets: { [set: string]: { from: number; names: string[] } };
  /** What each channel is; an index of KINDS. */
  kinds: number[];
  channels: number;
}

export interface Frame {
  sample: number;
  /** In the header's order: weights 0..1, angles in radians, ids. */
  values: Float32Array;
}

export interface Frames {
  type: 'frames';
  header: Header;
  /** Interrupts so far. */
  generation: number;
  /** Whether an utterance plays. */
  speaking: boolean;
  /** Oldest first. */
  frames: Frame[];
}

export type CueKind =
  | 'interrupt' | 'started' | 'finished' | 'underrun' | 'state' | 'expression' | 'gesture' | 'clock' | 'error';

export interface Cue {
  type: 'event';
  /** Of the session; 0 = not numbered. */
  number: number;
  sample: number;
  generation: number;
  kind: CueKind | string;
  value: string;
}

export interface Sound { type: 'sound'; sample: number; codec: 'pcm16' | 'opus' | string; data: Uint8Array }
export interface Refusal { type: 'error'; message: string }
export type MotionRecord = Header | Frames | Cue | Sound | Refusal;
export type Message = string | ArrayBuffer | ArrayBufferView;

export const KINDS: readonly ['weight', 'signed', 'id', 'angle'];
export const EVENTS: readonly CueKind[];

export class Reader {
  /** Known headers, the newest last. */
  readonly headers: Header[];
  /** The records of a message, in order; frames of a header that is not known are left out. Throws MotionError (BAD_DATA). */
  put(message: Message): MotionRecord[];
  /** The record that an object of JSON stands for; null where there is none. */
  object(found: unknown): MotionRecord | null;
  reset(): void;
}

export interface Track {
  header: Header | null;
  frames: (Frame & { speaking: boolean; generation: number })[];
  events: Cue[];
}
/** A whole .lwm (bytes) or .json (text). Throws MotionError (BAD_DATA). */
export function readFile(file: Message): Track;

export interface Clock {
  /** The sample that is heard at `now`, in ms of performance.now(); NaN while that is not known. */
  sample(now: number): number;
  /** Called by a player with the newest sample of each message. */
  arrived?(sample: number, now: number): void;
}

/** Stands where it is put. */
export class FixedClock implements Clock {
  constructor(at?: number);
  at: number;
  sample(): number;
}

/** As what comes, later by what most of it is late (80 ms at most) and `more` ms; or by `held`. */
export class ArrivalClock implements Clock {
  constructor(options?: { rate?: number; more?: number });
  more: number;
  /** ms from the coming of the sound that goes with it to its being heard; NaN where that is not known. */
  held: number;
  readonly delay: number;
  arrived(sample: number, now: number): void;
  sample(now: number): number;
  reset(): void;
}

/** The sound of a WebRTC receiver, at the moment at which it is heard. */
export class ReceiverClock implements Clock {
  constructor(receiver: RTCRtpReceiver, options?: { rate?: number });
  /** Whether it follows the sound by now. */
  readonly follows: boolean;
  /** ms from the browser's side of the speakers to the ear, as far as the browser tells. */
  latency: number;
  /** What a "clock" event says. */
  anchor(rtp: number, sample: number, rtpRate?: number): void;
  arrived(sample: number, now: number): void;
  sample(now: number): number;
}

/** A line through observations that does not jump where it need not. `rate`: samples in a ms. */
export class Timeline {
  constructor(rate?: number);
  readonly known: boolean;
  rate: number;
  sample(now: number): number;
  observe(now: number, sample: number): void;
  reset(): void;
}

export interface Pose {
  /** Which moment of the media clock it is. */
  sample: number;
  /** By set, in the order of `names`; valid until the player's next pose. */
  sets: { [set: string]: Float32Array };
  names: { [set: string]: string[] };
  speaking: boolean;
}

export interface PlayerOptions {
  clock: Clock;
  /** ms by which poses are later than the sound; negative = earlier. */
  delay?: number;
  /** Each event when it is heard, an interrupt at once. */
  onCue?: (cue: Cue) => void;
  now?: () => number;
}

export class Player {
  constructor(options: PlayerOptions);
  clock: Clock;
  delay: number;
  onCue: (cue: Cue) => void;
  readonly ready: boolean;
  readonly header: Header | null;
  /** ms of motion that wait. */
  readonly buffered: number;
  readonly stats: { frames: number; late: number; cleared: number; held_ms: number; jumps: number };
  put(records: MotionRecord[]): void;
  /** The pose of what is heard now, or that of `sample`. null before the first header. */
  pose(sample?: number): Pose | null;
  /** Tells of the events that are due, as `pose` does: for who draws nothing just now. A Connection does it. */
  tell(): void;
  reset(): void;
}

export interface ChannelOptions {
  player: Player;
  /** `arkit` and `head` by default; besides `visemes`, `azure`, `pose`. */
  sets?: string[];
  encoding?: 'binary' | 'json';
  /** NO_MOTION: the server sends none, or no such sets. BAD_DATA. */
  onError?: (error: MotionError) => void;
  onOpen?: () => void;
}

/** Motion over the data channel of a connection of your own: made before its offer. */
export class MotionChannel {
  constructor(pc: RTCPeerConnection, options: ChannelOptions);
  readonly channel: RTCDataChannel;
  readonly clock?: ReceiverClock;
  readonly player: Player;
  /** performance.now() when it opened, and when the first frames came; NaN until then. */
  readonly openedAt: number;
  readonly firstAt: number;
  sets: string[];
  /** The player follows what is heard of this receiver. */
  follow(receiver: RTCRtpReceiver): void;
  /** Other sets from now on. */
  ask(sets: string[]): void;
  close(): void;
}

/** Plays pieces of sound one after the other, and is the clock of what is heard. */
export class SoundQueue implements Clock {
  constructor(options?: { rate?: number; context?: AudioContext });
  readonly context: AudioContext;
  readonly node: AudioNode;
  readonly blocked: boolean;
  /** ms that wait to be heard. */
  readonly waiting: number;
  readonly stats: { pieces: number; gaps: number; left_out: number };
  muted: boolean;
  put(sound: Sound): void;
  arrived(sample: number, now: number): void;
  sample(now: number): number;
  resume(): Promise<void>;
  close(): void;
}

/** The motion message in a packet of Agora's data stream; null where it is something else. Throws MotionError (BAD_DATA). */
export function agoraMessage(packet: Uint8Array): Uint8Array | null;

/** The motion messages in an access unit of H.264 in Annex B. */
export function motionIn(unit: Uint8Array): Uint8Array[];
/** Feeds a player with the motion in an H.264 track; returns what ends it. Throws MotionError (NO_TRANSFORM) where a browser cannot. */
export function followSei(receiver: RTCRtpReceiver, player: Player, onError?: (error: MotionError) => void): () => void;

export type Carrier = 'webrtc' | 'websocket' | 'sei';
export type Mode = 'auto' | 'motion' | 'video';
export type State = 'connecting' | 'live' | 'reconnecting' | 'ended' | 'failed' | 'closed';

export interface ConnectOptions {
  /** Where the server's pages are; by default where this module came from. */
  url?: string | URL;
  token?: string;
  /** The id of a session, or the name of a room. */
  session?: string;
  room?: string;
  /** Who one is in a room, where the token does not say. */
  user?: string;
  /** `auto`: motion, and video where the server sends none. */
  mode?: Mode;
  /** `websocket`: where UDP does not pass. `sei`: in an H.264 video, which passes whatever passes video on. */
  carrier?: Carrier;
  sets?: string[];
  encoding?: 'binary' | 'json';
  /** In a room: what is heard of us. */
  microphone?: MediaStreamTrack | null;
  /** What plays the sound; an element of its own by default, null = nobody. */
  audio?: HTMLMediaElement | null;
  /** ms by which poses are later than the sound. */
  delay?: number;
}

export interface ConnectionEvents {
  state: CustomEvent<State>;
  media: CustomEvent<MediaStream | null>;
  cue: CustomEvent<Cue>;
  message: CustomEvent<string | ArrayBuffer>;
  error: CustomEvent<MotionError>;
}

export class Connection extends EventTarget {
  constructor(options: ConnectOptions);
  readonly player: Player;
  readonly state: State;
  readonly error: MotionError | null;
  readonly mode: 'motion' | 'video';
  readonly media: MediaStream | null;
  readonly pc: RTCPeerConnection | null;
  readonly channel: MotionChannel | null;
  /** Whether the browser plays nothing until the user has done something: call `play` then. */
  readonly soundBlocked: boolean;
  /** Settled when it is over. */
  readonly done: Promise<void>;
  muted: boolean;
  play(): Promise<void>;
  change(mode: Mode): void;
  /** A message to the agents in the room, 16 KiB at most. Throws MotionError (NOT_CONNECTED). */
  send(message: string | ArrayBuffer | ArrayBufferView<ArrayBuffer>): void;
  close(): void;
  addEventListener<K extends keyof ConnectionEvents>(type: K, listener: (event: ConnectionEvents[K]) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof ConnectionEvents>(type: K, listener: (event: ConnectionEvents[K]) => void, options?: boolean | EventListenerOptions): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;
}

export function connect(options: ConnectOptions): Connection;

export interface Renderer { draw(pose: Pose): void }
