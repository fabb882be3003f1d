// Engines for Agora's client toolkit (npm agora-agent-client-toolkit), which reads an agent's transcripts and states out of the events of
// two SDKs, RTC and RTM. These stand in for both in a Lipwire room, and for RTM in a channel of Agora's. docs/agents/rooms.md.

import { MotionError } from './errors.js';
import { Assembler, cut } from './packets.js';

const ROOM = { packet: 12 * 1024, most: 720 * 1024, pause: () => 0 };
// Agora's caps of a data stream: 60 packets and 30 KB a second, of everybody in it.
const STREAM = { packet: 1024, most: 96 * 1024, pause: (size) => Math.max(20, size / 24) };
const MANUAL = ['user.manual_sos.result', 'user.manual_eos.result', 'assistant.manual_eos.result'];
const FLAGS = ['listening', 'thinking', 'speaking'];

class Listeners {
  #by = new Map();
  add(name, listener) { this.#by.set(name, [...(this.#by.get(name) ?? []), listener]); }
  remove(name, listener) { this.#by.set(name, (this.#by.get(name) ?? []).filter((other) => other !== listener)); }
  tell(name, ...what) { for (const listener of this.#by.get(name) ?? []) listener(...what); }
}

const encoder = new TextEncoder(), decoder = new TextDecoder();
const bytesOf = (data) => (ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data));
const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

function parsed(text) {
  try { return JSON.parse(text); } catch { return null; }
}

/**
 * The engines over a `Connection` to a room, over its data channel "lipwire", or over an RTC client of Agora's Web SDK.
 * @param {object} line
 * @param {{ agent?: string }} [options] the agent's uid; by default the room says it
 */
export function toolkitEngines(line, { agent } = {}) {
  const isAgora = typeof line?.sendStreamMessage === 'function' && typeof line.on === 'function';
  if (!isAgora && !(typeof line?.addEventListener === 'function' && typeof line.send === 'function')) {
    throw new TypeError('toolkitEngines() needs a Connection, an RTCDataChannel or an RTC client of Agora\'s');
  }
  const rtc = new Listeners(), rtm = new Listeners(), assembler = new Assembler(), way = isAgora ? STREAM : ROOM;
  let known = agent ?? 'agent', numbers = 0, sending = Promise.resolve(), state = null;

  function take(packet, publisher) {
    rtc.tell('stream-message', publisher, packet);
    const message = assembler.push(packet);
    if (!message) return;
    const name = message.event_type ?? message.object;
    if (MANUAL.includes(name)) say(message, publisher);
    if (name === 'message.state') changed(message, publisher);
  }

  function say(message, publisher) {
    rtm.tell('message', { publisher: String(publisher), messageType: 'STRING', channelType: 'USER', message: JSON.stringify(message), timestamp: Date.now() });
  }

  // What RTM's presence tells of the agent, and, since v2.9, a message for each flag that is another.
  function changed({ state: now, turn_id, timestamp = Date.now() }, publisher) {
    const before = state?.stateChanged;
    const flags = Object.fromEntries(FLAGS.map((flag) => [flag, String(flag === now)]));
    state = {
      eventType: 'REMOTE_STATE_CHANGED', channelType: 'MESSAGE', publisher: String(publisher), timestamp,
      stateChanged: { state: String(now), turn_id: String(turn_id ?? 0), ...flags },
    };
    rtm.tell('presence', state);
    for (const flag of FLAGS) {
      if (before?.[flag] === flags[flag] || (!before && flag !== now)) continue;
      const payload = { value: flag === now, timestamp };
      say({ event_id: `state-${++numbers}`, event_type: `state.${flag}`, event_ms: timestamp, payload }, publisher);
    }
  }

  function hear(event) {
    const data = event.detail ?? event.data;
    if (typeof data !== 'string') { take(bytesOf(data), known); return; }
    const members = parsed(data)?.type === 'room' ? JSON.parse(data).members : null;      // who is there, the agents first
    if (agent === undefined && Array.isArray(members)) known = members.find(({ kind }) => kind === 'agent')?.user ?? known;
  }
  const hearStream = (uid, packet) => take(bytesOf(packet), uid);

  async function send(text) {
    const size = encoder.encode(text).length;
    if (size > way.most) throw new MotionError('TOO_LARGE', `A message of ${size} bytes; ${way.most} is the most here. Send a picture by its URL.`);
    const packets = size <= way.packet ? [text] : cut(`${Date.now().toString(36)}${(++numbers).toString(36)}${Math.random().toString(36).slice(2, 8)}`, text, way.packet);
    for (const packet of packets) {
      await (isAgora ? line.sendStreamMessage(encoder.encode(packet)) : line.send(packet));
      if (way.pause(packet.length)) await new Promise((resolve) => setTimeout(resolve, way.pause(packet.length)));
    }
  }

  if ('binaryType' in line) line.binaryType = 'arraybuffer';
  if (isAgora) line.on('stream-message', hearStream);
  else line.addEventListener('message', hear);

  return {
    rtcEngine: isAgora ? line : { on: (name, listener) => rtc.add(name, listener), off: (name, listener) => rtc.remove(name, listener) },
    rtmEngine: {
      /** What is for one user goes to every agent that is there. */
      async publish(target, message, { customType } = {}) {
        const body = parsed(typeof message === 'string' ? message : decoder.decode(message));
        if (!isObject(body)) throw new TypeError('a message to an agent is a JSON object');
        const sent = sending.then(() => send(JSON.stringify({ ...body, ...(customType ? { customType } : {}) })));
        sending = sent.catch(() => {});                        // one after the other
        await sent;
        return { channelName: target, timestamp: Date.now() };
      },
      addEventListener(name, listener) {
        rtm.add(name, listener);
        if (name === 'presence' && state) queueMicrotask(() => listener(state));       // as it is by now
      },
      removeEventListener: (name, listener) => rtm.remove(name, listener),
    },
    /** Ends it; the line stays. */
    close() {
      if (isAgora) line.off('stream-message', hearStream);
      else line.removeEventListener('message', hear);
    },
  };
}
