// Types of lipwire-client/toolkit.js; docs/agents/rooms.md.

import type { Connection } from './index.js';

/** What Agora's client toolkit takes for `rtcEngine`. */
export interface ToolkitRtcEngine {
  on(eventName: string, listener: (...args: any[]) => void): void;
  off(eventName: string, listener: (...args: any[]) => void): void;
}

/** What it takes for `rtmEngine`. */
export interface ToolkitRtmEngine {
  /** Rejects where it cannot be sent: TypeError, or MotionError (NOT_CONNECTED, TOO_LARGE). */
  publish(
    target: string, message: string | Uint8Array, options?: { channelType?: string; customType?: string },
  ): Promise<{ channelName: string; timestamp: number }>;
  addEventListener(eventName: string, listener: (...args: any[]) => void): void;
  removeEventListener(eventName: string, listener: (...args: any[]) => void): void;
}

/** An RTC client of Agora's Web SDK, as far as it is used. */
export interface AgoraClient extends ToolkitRtcEngine {
  sendStreamMessage(payload: Uint8Array): Promise<void>;
}

export interface ToolkitEngines {
  rtcEngine: ToolkitRtcEngine;
  rtmEngine: ToolkitRtmEngine;
  close(): void;
}

/**
 * Engines for `AgoraVoiceAI.init` over a connection to a room, over its data channel "lipwire", or over a client of Agora's.
 * `agent`: its uid, where the room does not say it.
 */
export function toolkitEngines(
  line: Connection | RTCDataChannel | AgoraClient, options?: { agent?: string },
): ToolkitEngines;
