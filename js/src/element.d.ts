// Types of lipwire-client/element.js, which defines <lipwire-avatar>; docs/client.md.

import type { Connection, Cue, MotionError, Renderer } from './index.js';

export type AvatarState = 'idle' | 'connecting' | 'waiting' | 'live' | 'reconnecting' | 'ended' | 'refused';

export interface AvatarEvents {
  state: CustomEvent<{ state: AvatarState; text: string; error: Error | null }>;
  cue: CustomEvent<Cue>;
  message: CustomEvent<string | ArrayBuffer>;
  error: CustomEvent<MotionError>;
}

/** Attributes: src, token, session, room, agent, user, avatar, mode, carrier, renderer, head, label, muted; `state` is its own. */
export class LipwireAvatar extends HTMLElement {
  readonly state: AvatarState;
  readonly connection: Connection | null;
  readonly renderer: Renderer | null;
  /** Plays the sound, where the browser waits for a gesture; to be called from one. */
  play(): Promise<void>;
  /** Begins the conversation that `agent` names, as its button does. */
  start(): Promise<void>;
  /** Ends it. */
  stop(): void;
  addEventListener<K extends keyof AvatarEvents>(type: K, listener: (event: AvatarEvents[K]) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof AvatarEvents>(type: K, listener: (event: AvatarEvents[K]) => void, options?: boolean | EventListenerOptions): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | EventListenerOptions): void;
}

declare global {
  interface HTMLElementTagNameMap { 'lipwire-avatar': LipwireAvatar }
}
