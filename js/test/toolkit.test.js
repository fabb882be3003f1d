import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Assembler, cut } from '../src/packets.js';
import { toolkitEngines } from '../src/toolkit.js';

const encode = (object) => new TextEncoder().encode(cut('m1', JSON.stringify(object), 1024).join('')).buffer;

/** A data channel, and what is sent over it. */
class Line extends EventTarget {
  sent = [];
  send(packet) { this.sent.push(packet); }
  come(data) { this.dispatchEvent(Object.assign(new Event('message'), { data })); }
}

/** What comes out of the engines: (name, arguments). */
function noted({ rtcEngine, rtmEngine }) {
  const events = [];
  rtcEngine.on('stream-message', (...what) => events.push(['stream-message', ...what]));
  for (const name of ['message', 'presence']) rtmEngine.addEventListener(name, (event) => events.push([name, event]));
  return events;
}

test('a packet goes to the toolkit as it is, and from the agent of the room', () => {
  const line = new Line(), events = noted(toolkitEngines(line)), packet = encode({ object: 'assistant.transcription', text: 'a|b|c|d' });
  line.come(packet);
  line.come(JSON.stringify({ type: 'room', members: [{ user: '9000', kind: 'agent' }, { user: 'anna', kind: 'user' }] }));
  line.come(packet);
  line.come('no JSON');
  assert.deepEqual(events, [['stream-message', 'agent', new Uint8Array(packet)], ['stream-message', '9000', new Uint8Array(packet)]]);
});

test('a state is a presence, and a message for each flag that is another', async () => {
  const line = new Line(), engines = toolkitEngines(line, { agent: '9000' }), events = noted(engines);
  const state = (now, turn_id) => line.come(encode({ object: 'message.state', state: now, turn_id, timestamp: 5 }));
  state('listening', 0);
  state('speaking', 3);
  state('idle', 3);
  const presences = events.filter(([name]) => name === 'presence').map(([, event]) => event);
  assert.deepEqual(presences.map(({ stateChanged: s }) => [s.state, s.turn_id, s.listening, s.thinking, s.speaking]), [
    ['listening', '0', 'true', 'false', 'false'], ['speaking', '3', 'false', 'false', 'true'], ['idle', '3', 'false', 'false', 'false']]);
  assert.ok(presences.every(({ publisher, timestamp }) => publisher === '9000' && timestamp === 5));
  const told = events.filter(([name]) => name === 'message').map(([, { message }]) => JSON.parse(message));
  assert.deepEqual(told.map(({ event_type, payload }) => [event_type, payload.value]), [
    ['state.listening', true], ['state.listening', false], ['state.speaking', true], ['state.speaking', false]]);
  const late = [];
  engines.rtmEngine.addEventListener('presence', ({ stateChanged }) => late.push(stateChanged.state));
  await null;
  assert.deepEqual(late, ['idle']);
});

test('results of marks come by RTM', () => {
  const line = new Line(), events = noted(toolkitEngines(line, { agent: '9000' }));
  const result = { object: 'user.manual_sos.result', event_type: 'user.manual_sos.result', payload: { success: true, request_id: 'r' } };
  line.come(encode(result));
  assert.deepEqual(events.filter(([name]) => name === 'message').map(([, { message, publisher }]) => [JSON.parse(message), publisher]), [[result, '9000']]);
});

test('what is published has its customType in it, and in packets where it is long', async () => {
  const line = new Line(), { rtmEngine } = toolkitEngines(line);
  await rtmEngine.publish('9000', '{"message":"Grüß Gott"}', { channelType: 'USER', customType: 'user.transcription' });
  assert.deepEqual(JSON.parse(line.sent[0]), { message: 'Grüß Gott', customType: 'user.transcription' });
  const long = { image_base64: 'ä'.repeat(100_000), uuid: 'u' };
  await rtmEngine.publish('9000', new TextEncoder().encode(JSON.stringify(long)), { customType: 'image.upload' });
  const joined = new Assembler(), packets = line.sent.slice(1);
  assert.ok(packets.length > 10 && packets.every((packet) => packet.length <= 12 * 1024));
  assert.deepEqual(packets.map((packet) => joined.push(packet)).at(-1), { ...long, customType: 'image.upload' });
});

test('what cannot be sent is refused in words', async () => {
  const line = new Line(), { rtmEngine } = toolkitEngines(line);
  await assert.rejects(rtmEngine.publish('9000', 'hello'), /JSON object/);
  await assert.rejects(rtmEngine.publish('9000', JSON.stringify({ image_base64: 'A'.repeat(800_000) })), { code: 'TOO_LARGE' });
  line.send = () => { throw new Error('closed'); };
  await assert.rejects(rtmEngine.publish('9000', '{}'), /closed/);
  line.send = (packet) => line.sent.push(packet);
  await rtmEngine.publish('9000', '{}');
  assert.deepEqual(line.sent, ['{}']);
  assert.throws(() => toolkitEngines({}), /needs a Connection/);
});

test('over a client of Agora\'s it sends what fits the data stream, in order', async () => {
  const listeners = {}, sent = [], at = [];
  const client = {
    on: (name, listener) => { listeners[name] = listener; }, off: (name) => { delete listeners[name]; },
    async sendStreamMessage(payload) { sent.push(new TextDecoder().decode(payload)); at.push(performance.now()); },
  };
  const engines = toolkitEngines(client), states = [];
  assert.equal(engines.rtcEngine, client);
  engines.rtmEngine.addEventListener('presence', ({ publisher, stateChanged }) => states.push([publisher, stateChanged.state]));
  listeners['stream-message'](9000, new Uint8Array(encode({ object: 'message.state', state: 'thinking', turn_id: 1 })));
  assert.deepEqual(states, [['9000', 'thinking']]);
  await Promise.all([engines.rtmEngine.publish('9000', JSON.stringify({ message: 'x'.repeat(3000) })), engines.rtmEngine.publish('9000', '{"n":2}')]);
  assert.ok(sent.length === 6 && sent.every((packet) => packet.length <= 1024) && at.at(-1) - at[0] >= 150);
  const joined = new Assembler();
  assert.deepEqual(sent.map((packet) => joined.push(packet)).filter(Boolean), [{ message: 'x'.repeat(3000) }, { n: 2 }]);
  await assert.rejects(engines.rtmEngine.publish('9000', JSON.stringify({ image_base64: 'A'.repeat(100_000) })), { code: 'TOO_LARGE' });
  engines.close();
  assert.deepEqual(listeners, {});
});

test('packets of strangers take no time and no memory', () => {
  const joined = new Assembler(), small = 'QUFB'.repeat(200), began = performance.now();
  for (let n = 1; n <= 4000; n += 1) {
    assert.equal(joined.push(`endless|${n}|???|${small}`), null);
    assert.equal(joined.push(`again|1|???|${small}`), null);
    assert.equal(joined.push(`beyond|${n}|1|${small}`), null);
    assert.equal(joined.push(`braces|${n}|???|${btoa('{"a":"}'.padEnd(599, '}') + '}')}`), null);
  }
  assert.ok(performance.now() - began < 5000);        // minutes, where each packet is a try to read all before it
  const packets = cut('late', JSON.stringify({ text: 'x'.repeat(3000) }), 1024);
  for (const packet of packets.slice(1)) assert.equal(joined.push(packet), null);
  for (let n = 1; n <= 40; n += 1) joined.push(`large${n}|1|2|${'QUFB'.repeat(10_000)}`);
  assert.equal(joined.push(packets[0]), null);        // the oldest has gone: there is room for 1 MB
  for (const total of ['???', packets.length]) {
    const parts = packets.map((packet, n) => `${total}|${n}|${total}|${packet.split('|')[3]}`).reverse();
    assert.deepEqual(parts.map((part) => joined.push(part)?.text.length), [undefined, undefined, undefined, 3000].slice(-parts.length));
  }
});
