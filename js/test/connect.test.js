import assert from 'node:assert/strict';
import { test } from 'node:test';

// A browser's parts, as far as a connection uses them.
const listening = { online: 0, visibilitychange: 0 };
class Counted extends EventTarget {
  addEventListener(type, ...more) { listening[type]++; super.addEventListener(type, ...more); }
  removeEventListener(type, ...more) { listening[type]--; super.removeEventListener(type, ...more); }
}
const window = globalThis.window = new Counted();
globalThis.document = Object.assign(new Counted(), { baseURI: 'http://server.test/', hidden: false });
globalThis.MediaStream = class { addTrack() {} };
globalThis.RTCRtpReceiver = class {};
globalThis.RTCPeerConnection = class {
  static made = [];
  connectionState = 'new';
  localDescription = { sdp: 'v=0' };
  constructor() { RTCPeerConnection.made.push(this); }
  createDataChannel() { return { close() {} }; }
  addTransceiver() { return { currentDirection: 'recvonly', receiver: {}, sender: {} }; }
  async setLocalDescription() {}
  async setRemoteDescription() { this.connectionState = 'connected'; }
  async getStats() { return new Map(); }
  change(state) { this.connectionState = state; this.onconnectionstatechange?.(); }
  close() {}
};
globalThis.WebSocket = class {
  static made = [];
  constructor() { WebSocket.made.push(this); }
  close() { this.closed = true; }
};
const { connect } = await import('../src/connect.js');
const { Silence, Watch } = await import('../src/line.js');

const URL_ = 'http://server.test/';
const never = () => new Promise(() => {});
const grants = async (address, { method }) => Object.defineProperty(
  new Response(null, { status: method === 'POST' ? 201 : 200, headers: { Location: `${URL_}whep/1` } }), 'url', { value: String(address) });

/** A <video> under a policy that lets it play with sound only after a gesture. */
const screen = () => ({
  srcObject: null, muted: false, gesture: false, playing: false,
  async play() {
    this.playing = this.gesture || this.muted;
    if (!this.playing) throw new DOMException('a gesture first', 'NotAllowedError');
  },
});

async function until(what) {
  for (let n = 0; n < 2000 && !what(); n++) await new Promise(setImmediate);
  assert.ok(what(), String(what));
}

/** Intervals and a time that go on by hand. */
async function byHand(what) {
  const real = [globalThis.setInterval, globalThis.clearInterval, performance.now], looks = new Map();
  let now = 0;
  globalThis.setInterval = (look) => { const id = {}; looks.set(id, look); return id; };
  globalThis.clearInterval = (id) => looks.delete(id);
  performance.now = () => now;
  try {
    await what(async (ms, step = 500) => {
      for (const end = now + ms; now < end;) {
        now += step;
        for (const look of [...looks.values()]) await look();
      }
    });
  } finally {
    [globalThis.setInterval, globalThis.clearInterval, performance.now] = real;
  }
}

test('what is closed while it opens is over at once, and leaves the element to its successor', async () => {
  globalThis.fetch = never;
  const audio = screen(), options = { url: URL_, session: 's', audio };
  const before = connect(options);
  before.close();
  audio.srcObject = 'of another connection';
  await before.done;
  assert.equal(audio.srcObject, 'of another connection');

  const changed = connect({ ...options, mode: 'video' }), count = RTCPeerConnection.made.length;
  changed.change('motion');
  await until(() => RTCPeerConnection.made.length === count + 1);
  changed.close();
  await changed.done;

  const socket = connect({ url: URL_, session: 's', carrier: 'websocket', audio: null });
  socket.close();
  await socket.done;
  assert.ok(WebSocket.made.at(-1).closed);
});

test('what a carrier cannot do is refused', () => {
  for (const options of [
    { carrier: 'pigeon' }, { carrier: 'websocket', mode: 'video' }, { carrier: 'websocket', microphone: {} }, { carrier: 'sei', encoding: 'json' },
    { carrier: 'sei', room: 'r', session: undefined, microphone: {} },
  ]) assert.throws(() => connect({ url: URL_, session: 's', audio: null, ...options }), TypeError, JSON.stringify(options));
});

test('what policy has muted is not muted by the user, whatever comes between', async () => {
  globalThis.fetch = grants;
  const audio = screen(), connection = connect({ url: URL_, session: 's', mode: 'video', audio });
  const blocked = () => connection.state === 'live' && connection.soundBlocked && audio.muted && audio.playing && !connection.muted;
  await until(blocked);
  for (let n = 0; n < 2; n++) {
    RTCPeerConnection.made.at(-1).change('failed');
    await until(() => connection.state === 'reconnecting' && listening.online === 1);
    window.dispatchEvent(new Event('online'));
    await until(() => connection.state === 'live' && audio.srcObject === connection.media);
    await until(blocked);
  }
  connection.muted = true;
  connection.muted = false;
  await until(blocked);
  audio.gesture = true;
  await connection.play();
  assert.deepEqual([audio.muted, audio.playing, connection.soundBlocked], [false, true, false]);
  connection.muted = true;
  RTCPeerConnection.made.at(-1).change('failed');
  await until(() => listening.online === 1);
  window.dispatchEvent(new Event('online'));
  await until(() => connection.state === 'live' && audio.playing);
  assert.ok(audio.muted, 'this was the user');
  connection.close();
  await connection.done;
  assert.deepEqual([audio.srcObject, listening], [null, { online: 0, visibilitychange: 0 }]);
});

test('who leaves says so before the connection closes, and who has lost it or changes it has not left a room', async () => {
  const told = [], close = RTCPeerConnection.prototype.close;
  RTCPeerConnection.prototype.close = () => told.push('closed');
  globalThis.fetch = async (address, how) => { if (how.method === 'DELETE') told.push('DELETE'); return grants(address, how); };
  for (const [watched, of_a_lost_one] of [[{ room: 'lobby' }, ['closed']], [{ session: 's' }, ['DELETE', 'closed']]]) {
    const connection = connect({ url: URL_, audio: null, ...watched });
    await until(() => connection.state === 'live');
    RTCPeerConnection.made.at(-1).change('failed');
    await until(() => listening.online === 1 && told.includes('closed'));
    assert.deepEqual(told.splice(0), of_a_lost_one);
    window.dispatchEvent(new Event('online'));
    await until(() => connection.state === 'live');
    connection.close();
    await until(() => told.includes('closed'));
    assert.deepEqual(told.splice(0), ['DELETE', 'closed']);
    await connection.done;
  }
  RTCPeerConnection.prototype.close = close;
});

test('why a WebSocket is refused is asked for, and only what passes by waiting is tried again', async () => {
  const refused = async (status, body) => {
    const asked = [];
    globalThis.fetch = async (address) => { asked.push(String(address)); return new Response(body && JSON.stringify(body), { status }); };
    const connection = connect({ url: URL_, room: 'lobby', token: 't', carrier: 'websocket', audio: null });
    WebSocket.made.at(-1).onclose({ code: 1006, reason: '' });
    await until(() => connection.state !== 'connecting');
    assert.deepEqual(asked, [`${URL_}motion/rooms/lobby?sets=arkit%2Chead&encoding=binary&sound=none`]);
    const { state, error } = connection;
    connection.close();
    await connection.done;
    return [state, error.code];
  };
  assert.deepEqual(await refused(403, { code: 'NO_MOTION', message: 'no motion is sent here (egress: video)' }), ['failed', 'NO_MOTION']);
  assert.deepEqual(await refused(401, { code: 'INVALID_TOKEN', message: 'it has run out' }), ['failed', 'INVALID_TOKEN']);
  assert.deepEqual(await refused(204, null), ['reconnecting', 'UNREACHABLE']);
});

test('what nobody can send is not asked for', () => {
  for (const wrong of [{ sets: ['face'] }, { sets: [] }, { encoding: 'xml' }]) assert.throws(() => connect({ url: URL_, session: 's', ...wrong }), TypeError);
});

test('a server that hangs is noticed over a WebSocket; a page that sleeps is not the server', async () => {
  await byHand(async (pass) => {
    const connection = connect({ url: URL_, session: 's', carrier: 'websocket', audio: null });
    const socket = WebSocket.made.at(-1);
    socket.onopen();
    await until(() => connection.state === 'live');
    for (let n = 0; n < 10; n++) {
      await pass(3000);
      socket.onmessage({ data: new ArrayBuffer(0) });
    }
    await pass(60_000, 10_000);
    assert.equal(connection.state, 'live');
    await pass(5000);
    await until(() => connection.state === 'reconnecting');
    assert.ok(socket.closed);
    connection.close();
    await connection.done;
  });
});

test('where the server may have nothing to say it is asked whether it is there', async () => {
  await byHand(async (pass) => {
    let there = true, lost = 0;
    globalThis.fetch = async () => { if (there) return new Response(); throw new DOMException('', 'TimeoutError'); };
    const silence = new Silence(() => { lost++; }, { pauses: true, base: URL_ });
    await pass(20_000);
    assert.equal(lost, 0);
    there = false;
    await pass(20_000);
    assert.equal(lost, 1);
    silence.close();
  });
});

test('a connection over which nothing is sent stays while its path is checked, however seldom', async () => {
  for (const every of [2500, 6000]) {
    await byHand(async (pass) => {
      let lost = 0, asked = 0, dead = false, checks = 1, due = every;
      globalThis.fetch = async () => { asked++; return new Response(); };
      const pc = {
        async getStats() {
          if (!dead && performance.now() >= due) { checks++; due += every; }
          return new Map([['pair', { type: 'candidate-pair', bytesReceived: 1701, responsesReceived: checks }]]);
        },
      };
      const watch = new Watch(pc, () => { lost++; }, URL_);
      await pass(60_000);
      assert.equal(lost, 0);
      assert.equal(asked, 1, 'a room where nobody speaks is no load');
      dead = true;
      await pass(10_000);
      assert.equal(lost, 1);
      watch.close();
    });
  }
});
