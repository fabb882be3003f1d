// Lipwire viewer: one page, one peer connection, no dependencies but the modules beside it and lipwire-client (client/).
//
//   supervise()  the only loop that opens connections: list sessions -> Link -> wait for its end -> again.
//   Link         one RTCPeerConnection from offer to close. Whatever ends it resolves `done` once, with a reason.
//   ui           what the page shows; render() is the only place that turns it into DOM.
//
// Text from the server only ever reaches the page as text nodes, and styles only through
// the CSSOM, so the page runs under `default-src 'none'; script-src 'self'; style-src 'self'; ...`.

import { Backoff, Nap, Watch, answers } from './client/line.js';
import { CODECS, hasCodec, keepShort, preferCodec } from './client/rtc.js';
import { Whep } from './client/whep.js';
import { Drawn, artworkBytes, motionBytes } from './drawn.js';
import { Still } from './face.js';
import { REFUSED, ask, keep, kept, refusal, request, subject, token } from './server.js';

const POLL_MS = 1000;          // looking for a session, and for another try where a connection does not come about
const ENDED_MS = 60000;        // as POLL_MS, at most, for the one session that a link opens: it has been, and is hardly there again
const POLL_LIVE_MS = 3000;     // while connected: keeps the picker and the capabilities fresh
const SLOW_MS = 5000;
const CONNECT_MS = 10000;
const LOST_MS = 3000;          // 'disconnected' this long is lost
const INTERRUPTED_MS = 1600;   // how long "Interrupted" stays readable
const SKEW_OK_MS = 45;         // ITU-R BT.1359: sound that leads by more than this is noticed
const SPARK_POINTS = 60;       // half a minute of stats
const RATE_MS = 4000;          // what the rates of this browser are means of: a second alone shows how it catches up

const PICTURES = ['video', 'drawn'];
const PICTURE_STORE = 'lipwire.picture';

const ONE_SESSION = subject.kind === 'session';    // the link opens no other
const UNREACHABLE = 'The server cannot be reached. Trying again…';

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const video = $('video'), drawn = $('drawn'), stage = $('stage'), say = $('say');

const LABELS = {
  connecting: 'Connecting', waiting: 'Waiting', idle: 'Idle', speaking: 'Speaking',
  interrupted: 'Interrupted', reconnecting: 'Connection lost', ended: 'Ended', refused: 'No access',
};

const ui = {
  phase: 'connecting',         // connecting | waiting | live | reconnecting | ended | refused
  detail: '',                  // why, in words, for the notice on the stage
  speaking: false,
  interruptedUntil: 0,
  interruptPending: false,
  canSay: null,                // null until the server told us
  canStop: false,
  sending: false,
  message: null,               // {text, bad}: takes the place of the hint for a while
  nextTry: false,              // waiting to try again
};
const stats = { server: null, browser: {}, underruns: 0 };
const trail = { skew: [], latency: [] };
let sessions = [];
let wanted = query.get('session');
let picture = [query.get('picture'), kept('localStorage', PICTURE_STORE)].find((name) => PICTURES.includes(name)) ?? 'video';
const rates = { video: NaN, drawn: NaN };        // kB/s, the last that were seen of each
let link = null;               // the Link in use, at most one
const nap = new Nap(), backoff = new Backoff();
const still = new Still($('still'));

const now = () => performance.now();
const state = () => (ui.phase !== 'live' ? ui.phase
  : now() < ui.interruptedUntil ? 'interrupted' : ui.speaking ? 'speaking' : 'idle');

// Server -----------------------------------------------------------------------------------

const api = (path, body) => request('api/' + path, body, { timeout: 8000 });
const sessionPath = (id, verb) => `sessions/${encodeURIComponent(id)}/${verb}`;

// Returns the live sessions that our token opens, null when the server cannot be reached, or why it refused us.
async function listSessions() {
  let data;
  try {
    data = await api(ONE_SESSION ? `sessions/${encodeURIComponent(subject.id)}` : 'sessions');
  } catch (error) {
    if (ONE_SESSION && error.status === 404) data = { sessions: [] };
    else return refusal(error) || null;
  }
  const list = Array.isArray(data?.sessions) ? data.sessions : [];
  sessions = list.filter((s) => typeof s?.session_id === 'string' && s.state !== 'ended');
  if (data?.capabilities) {
    ui.canSay = data.capabilities.say === true;
    ui.canStop = data.capabilities.interrupt === true;
  }
  renderPicker();
  render();
  return sessions;
}

// The chosen one while it lives, else the newest: the server lists them in order of creation.
const choose = (list) => list.find((s) => s.session_id === wanted) ?? list.at(-1) ?? null;

// One connection -----------------------------------------------------------------------------

class Link {
  constructor(session) {
    this.session = session;
    this.id = session.session_id;
    this.misses = 0;           // polls in a row that did not list our session
    this.codec = codecFor(session);
    this.done = new Promise((resolve) => { this.resolve = resolve; });
    const pc = this.pc = new RTCPeerConnection({ iceServers: [], bundlePolicy: 'max-bundle' });
    this.whep = new Whep(ask, `whep/${encodeURIComponent(this.id)}`, pc);
    this.media = new MediaStream();                 // both tracks in one stream here, and one msid in the answer: then a browser lip-syncs them
    this.channel = pc.createDataChannel('lipwire');
    this.channel.onmessage = (event) => onMessage(this, event.data);
    this.channel.onclose = () => this.close('lost');
    const sound = pc.addTransceiver('audio', { direction: 'recvonly' }).receiver;
    this.picture = picture;
    if (picture === 'drawn') {
      const on = { seen: () => { if (this === link) showDrawn(); }, failed: (error) => this.refuse(error) };
      this.drawn = new Drawn(drawn, { pc, sound, session, token, on });
    } else {
      this.images = pc.addTransceiver('video', { direction: 'recvonly' });
      preferCodec(this.images, this.codec);
    }
    pc.ontrack = ({ track, receiver }) => {
      keepShort(receiver);
      this.media.addTrack(track);
    };
    pc.onconnectionstatechange = () => {
      clearTimeout(this.lostTimer);
      const { connectionState } = pc;
      if (connectionState === 'failed' || connectionState === 'closed') this.close('lost');
      if (connectionState === 'disconnected') this.lostTimer = setTimeout(() => this.close('lost'), LOST_MS);
      if (connectionState === 'connected') this.onconnected?.();
    };
  }

  async open() {
    const { pc } = this;
    const iceServers = await this.whep.servers();
    if (this.closed) return;
    if (iceServers.length) pc.setConfiguration({ iceServers, bundlePolicy: 'max-bundle' });
    await this.whep.open();
    if (this.closed) return;
    if (this.images?.currentDirection === 'inactive') {
      this.refuse(new Error('The server sends motion here, and no video'));
      return;
    }
    await new Promise((resolve, reject) => {
      this.connectTimer = setTimeout(() => reject(new Error('No media came through. Is UDP between here and the server blocked?')), CONNECT_MS);
      this.onconnected = resolve;
      if (pc.connectionState === 'connected') resolve();
      this.done.then(resolve);
    }).finally(() => clearTimeout(this.connectTimer));
    if (!this.closed) this.watch = new Watch(pc, () => this.close('lost'));
  }

  // The kind of picture that was chosen is not to be had here: the other one is shown, and the choice is kept for other servers.
  refuse(error) {
    if (this.closed) return;
    picture = PICTURES.find((name) => name !== this.picture);
    renderPicture();
    flash(`${error.message.replace(/\.$/, '')}. ${picture === 'video' ? 'Showing the video.' : 'The face is drawn here.'}`, true);
    this.close('switch');
  }

  // Idempotent. Handlers go first, so that nothing of a closed link can reach the page.
  close(reason) {
    if (this.closed) return;
    this.closed = true;
    if (video.srcObject === this.media) keepStill();
    this.drawn?.close();
    clearTimeout(this.lostTimer);
    this.watch?.close();
    this.whep.close(reason !== 'ended');   // of a session that has ended the server knows
    this.channel.onmessage = this.channel.onclose = null;
    this.pc.ontrack = this.pc.onconnectionstatechange = null;
    this.channel.close();
    this.resolve(reason);
  }
}

// The supervisor ---------------------------------------------------------------------------

async function supervise() {
  let everLive = false, missed = null, pause = POLL_MS;
  for (;;) {
    const list = await listSessions();
    if (typeof list === 'string') {
      setPhase('refused', list);
      await nap.take(SLOW_MS);
      continue;
    }
    if (!list) {
      setPhase(everLive ? 'reconnecting' : 'connecting', UNREACHABLE);
      await untilThere();
      continue;
    }
    const target = choose(list);
    if (!target) {
      backoff.reset();
      setPhase(everLive || ONE_SESSION ? 'ended' : 'waiting');
      await nap.take(pause);
      if (ONE_SESSION) pause = Math.min(2 * pause, ENDED_MS);
      continue;
    }
    pause = POLL_MS;

    setPhase(ui.phase === 'reconnecting' ? 'reconnecting' : 'connecting', ui.detail === UNREACHABLE ? '' : ui.detail);
    const mine = link = new Link(target);
    renderPicker();
    try {
      await mine.open();
      if (!mine.closed) {
        everLive = true;
        backoff.reset();
        if (wanted && wanted !== mine.id && wanted !== missed) flash('The session you chose is not running. Showing the newest one.');
        missed = wanted === mine.id ? null : wanted;
        goLive(mine);
      }
    } catch (error) {
      ui.detail = error.name === 'TimeoutError' ? 'The server took too long to answer.' : error.message;
      mine.close('failed');
    }
    const reason = await mine.done;
    link = null;
    ui.speaking = false;
    ui.interruptedUntil = 0;
    if (reason === 'switch') { setPhase('connecting'); continue; }
    if (reason === 'ended') setPhase('ended');
    else if (reason === 'lost') setPhase('reconnecting', UNREACHABLE);
    else setPhase(everLive ? 'reconnecting' : 'connecting', ui.detail);
    ui.nextTry = reason !== 'ended';
    render();
    await nap.take(reason === 'ended' ? POLL_MS : backoff.next());
    ui.nextTry = false;
  }
}

// Waits until something answers: a question costs the server nothing.
async function untilThere() {
  ui.nextTry = true;
  render();
  do { await nap.take(backoff.next()); } while (await answers() === false);
  ui.nextTry = false;
}

// What pictures are asked for as: by ?codec=, else as whoever started the session wished, else the best.
function codecFor(session) {
  const asked = query.get('codec')?.toUpperCase() ?? '';
  if (CODECS.includes(asked)) return asked;
  return CODECS.includes(session.video_encoding) ? session.video_encoding : CODECS[0];
}

// A wish that was not met is told, once a connection.
function checkCodec(mine, codec) {
  if (mine.checked || !codec) return;
  mine.checked = true;
  const asked = query.get('codec')?.toUpperCase();
  if (asked && !CODECS.includes(asked)) flash(`The address asks for ${asked.slice(0, 20)} pictures; there is ${CODECS.join(' and ')}.`, true);
  else if (codec.toUpperCase() !== mine.codec) flash(`${mine.codec} was asked for; ${hasCodec(mine.codec) ? 'the server' : 'this browser'} has ${codec} only.`, true);
}

function goLive(mine) {
  recent.length = 0;
  stats.server = null;
  stats.browser = {};
  stats.underruns = 0;
  trail.skew.length = trail.latency.length = 0;
  video.srcObject = mine.media;
  setPhase('live');
  renderFigures();
  play();
}

function select(id) {
  wanted = id;
  const url = new URL(location.href);
  url.searchParams.set('session', id);
  history.replaceState(null, '', url);
  link?.close('switch');
  nap.wake();
}

// While live the list serves the picker; a session gone from it twice has ended even if nobody said so.
setInterval(async () => {
  const mine = link;
  if (!mine || ui.phase !== 'live' || document.hidden) return;
  const list = await listSessions();
  if (!Array.isArray(list) || mine !== link) return;
  mine.misses = list.some((s) => s.session_id === mine.id) ? 0 : mine.misses + 1;
  if (mine.misses >= 2) mine.close('ended');
}, POLL_LIVE_MS);

// Messages from the session ------------------------------------------------------------------

function onMessage(mine, text) {
  let message;
  try { message = JSON.parse(text); } catch { return; }
  if (mine !== link || typeof message !== 'object' || !message) return;
  if (message.type === 'stats') {
    stats.server = message;
    ui.speaking = message.state === 'speaking';
    remember(trail.skew, message.skew_ms);
    remember(trail.latency, message.latency_ms);
    renderFigures();
  } else if (message.type === 'event') {
    if (message.event === 'playback_started') { ui.speaking = true; ui.interruptedUntil = 0; }
    if (message.event === 'playback_finished') { ui.speaking = false; if (message.interrupted === true) showInterrupted(); }
    if (message.event === 'underrun') stats.underruns += 1;
    if (message.event === 'session_ended') { mine.close('ended'); return; }
  }
  render();
}

function remember(series, value) {
  if (!Number.isFinite(value)) return;
  series.push(value);
  if (series.length > SPARK_POINTS) series.shift();
}

function showInterrupted() {
  if (now() < ui.interruptedUntil) return;       // our own click and the server's event are one interrupt
  ui.interruptedUntil = now() + INTERRUPTED_MS;
  setTimeout(render, INTERRUPTED_MS + 20);
  render();
}

// The browser's own figures -----------------------------------------------------------------

const recent = [];              // what was counted in the last RATE_MS, oldest first
setInterval(async () => {
  const mine = link;
  if (!mine || mine.pc.connectionState !== 'connected') { recent.length = 0; return; }
  const report = await mine.pc.getStats().catch(() => null);
  if (!report || mine !== link) return;
  const total = { bytes: 0, lost: 0, video: 0, motion: motionBytes(report), pictures: mine.drawn?.pictures ?? 0 }, playout = {};
  const figures = { rtt_ms: null, jitter_ms: null };
  for (const entry of report.values()) {
    if (entry.type === 'inbound-rtp') {
      total.bytes += entry.bytesReceived ?? 0;
      total.lost += entry.packetsLost ?? 0;
      playout[entry.kind] = entry.estimatedPlayoutTimestamp;
      total.at = entry.timestamp;
      if (entry.kind === 'video') {
        total.frames = entry.framesDecoded ?? 0;
        total.video = entry.bytesReceived ?? 0;
        figures.jitter_ms = entry.jitter * 1000;
        figures.codec = report.get(entry.codecId)?.mimeType?.replace('video/', '');
      }
    }
    // 'nominated' alone would also match pairs that an ICE restart has left behind.
    if (entry.type === 'candidate-pair' && entry.nominated && entry.state === 'succeeded') figures.rtt_ms = entry.currentRoundTripTime * 1000;
  }
  figures.frames_decoded = total.frames ?? 0;
  figures.packets_lost = total.lost;
  // What this browser plays, video minus audio, by the sender's clock. Known once both have had a sender report.
  // Only as good as those reports, so it is for tests and not on the page.
  figures.playout_skew_ms = playout.video && playout.audio ? playout.video - playout.audio : null;
  total.bytes += total.motion;
  const seconds = recent.length ? (total.at - recent[0].at) / 1000 : 0;
  if (seconds > 0) {
    figures.decoded_fps = (mine.drawn ? total.pictures - recent[0].pictures : total.frames - recent[0].frames) / seconds;
    figures.kbps = (total.bytes - recent[0].bytes) * 8 / 1000 / seconds;
    const came = mine.drawn ? total.motion - recent[0].motion : total.video - recent[0].video;
    if (came > 0) rates[mine.picture] = came / 1000 / seconds;
  }
  if (total.at) recent.push(total);
  while (recent.length > 2 && total.at - recent[1].at >= RATE_MS) recent.shift();
  stats.browser = figures;
  checkCodec(mine, figures.codec);
  renderFigures();
}, 1000);

// Sound ------------------------------------------------------------------------------------

let mutedByPolicy = false;     // as opposed to muted by the viewer, whom we never overrule

async function play() {
  const stream = video.srcObject;
  try {
    await video.play();
  } catch (error) {
    if (error.name !== 'NotAllowedError' || video.srcObject !== stream) return;   // AbortError: a newer stream took over
    mutedByPolicy = video.muted = true;
    await video.play().catch(() => {});
  }
  renderSound();
}

function setMuted(muted) {
  mutedByPolicy = false;
  video.muted = muted;
  if (video.srcObject) play();
  renderSound();
}

function renderSound() {
  const hadFocus = document.activeElement === $('unmute');
  $('unmute').hidden = !(mutedByPolicy && ui.phase === 'live');
  if (hadFocus && $('unmute').hidden) $('mute').focus();
  $('mute').setAttribute('aria-pressed', String(video.muted));
  $('mute').title = video.muted ? 'Unmute' : 'Mute';
  $('mute-icon').setAttribute('href', video.muted ? '#i-muted' : '#i-sound');
}

// Say and interrupt ------------------------------------------------------------------------

const canSend = () => ui.canSay === true && ui.phase === 'live' && !ui.sending && say.value.trim() !== '';
const canInterrupt = () => ui.canStop && state() === 'speaking' && !ui.interruptPending;

async function send() {
  if (!canSend()) return;
  const raw = say.value;
  if (mutedByPolicy) setMuted(false);            // asking it to speak is asking to hear it, and it is a user gesture
  ui.sending = true;
  render();
  try {
    await api(sessionPath(link.id, 'say'), { text: raw.trim() });
    if (say.value === raw) { say.value = ''; grow(); }
    flash('Sent.', false, 1500);
  } catch (error) {
    flash(`Not sent. ${error.message}`, true);
  }
  ui.sending = false;
  render();
}

async function interrupt() {
  if (!canInterrupt()) return;
  ui.interruptPending = true;
  render();
  try {
    await api(sessionPath(link.id, 'interrupt'), {});
    showInterrupted();
  } catch (error) {
    flash(`Could not interrupt. ${error.message}`, true);
  }
  ui.interruptPending = false;
  render();
}

let flashTimer;
function flash(text, bad = false, ms = 6000) {
  ui.message = { text, bad };
  clearTimeout(flashTimer);
  flashTimer = setTimeout(() => { ui.message = null; render(); }, ms);
  render();
}

// Only for browsers without `field-sizing: content`.
function grow() {
  if (CSS.supports('field-sizing', 'content')) return;
  say.style.height = 'auto';
  say.style.height = `${say.scrollHeight}px`;
}

// Page -------------------------------------------------------------------------------------

function setPhase(phase, detail = '') {
  ui.phase = phase;
  ui.detail = detail;
  render();
  renderSound();
  renderFigures();
}

// Writes only what changed: live regions speak on every write, equal or not.
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const NOTICES = {
  connecting: 'Connecting', waiting: 'Waiting for a session', reconnecting: 'Connection lost',
  ended: 'The session has ended', refused: REFUSED,
};
const LOADING = { video: 'Waiting for the picture', drawn: 'Loading the face' };   // live, and nothing to see yet

function render() {
  const current = state();
  stage.dataset.state = current;
  put($('chip-text'), LABELS[current]);
  put($('live'), current === 'waiting' ? NOTICES.waiting : `Avatar: ${LABELS[current]}`);
  document.title = link?.session.avatar && ui.phase === 'live' ? `${link.session.avatar} · Lipwire` : 'Lipwire';

  const live = ui.phase === 'live', covered = !live || !hasPicture();
  const hunting = ui.phase === 'waiting' || ui.phase === 'ended';
  $('notice').hidden = !covered;
  $('notice').classList.toggle('busy', !hunting && ui.phase !== 'refused');
  $('tools').hidden = !live;                    // what is heard can be muted, whatever is seen
  $('figures').classList.toggle('stale', ui.phase !== 'live');
  put($('notice-title'), live ? LOADING[link?.picture ?? picture] : NOTICES[ui.phase]);
  put($('notice-text'), ui.phase !== 'ended' ? ui.detail : ONE_SESSION ? 'This link was for that session alone.' : 'The next one will show here as soon as it starts.');
  $('again').hidden = !ui.nextTry || ui.phase === 'live';
  $('notice-help').hidden = !hunting || ONE_SESSION;

  const mute = ui.canSay === false;
  say.disabled = mute || ui.phase === 'refused';
  say.placeholder = mute ? 'Typing is off' : 'Say this…';
  $('send').setAttribute('aria-disabled', String(!canSend()));
  $('send').setAttribute('aria-busy', String(ui.sending));
  // aria-disabled, not disabled: a disabled button would throw away the keyboard focus it has.
  $('interrupt').setAttribute('aria-disabled', String(!canInterrupt()));

  const hint = ui.message?.text
    ?? (ui.phase === 'refused' ? ''
      : mute && !ui.canStop ? 'Your link is for watching.'
      : mute ? 'This server has no voice of its own, so it cannot speak typed text. Speech from an agent still plays.'
      : ui.phase !== 'live' ? 'You can send once a session is live.'
        : matchMedia('(pointer: coarse)').matches ? '' : 'Enter to send, Esc to interrupt');
  put($('hint'), hint);
  $('hint').classList.toggle('bad', ui.message?.bad === true);
  const length = say.value.length;
  $('count').hidden = length < 400;
  $('count').classList.toggle('full', length >= say.maxLength);
  put($('count'), `${length} / ${say.maxLength}`);
}

// A true minus sign, and none before a rounded zero.
const number = (value, digits = 0) => (Number.isFinite(value) ? value.toFixed(digits).replace(/^-(?=0(\.0+)?$)/, '').replace('-', '−') : '–');
const clock = (s) => (Number.isFinite(s) ? [s / 3600, s / 60 % 60, s % 60].map((n) => String(Math.floor(n)).padStart(2, '0')).join(':') : '–');

function putFigure(cell, text) {
  put(cell, text);
  cell.classList.toggle('none', text === '–');   // hides the unit
}

function renderFigures() {
  const s = stats.server ?? {}, b = stats.browser;
  const { width, height } = link?.drawn?.face.size ?? { width: video.videoWidth || s.width, height: video.videoHeight || s.height };
  const figures = {
    fps: number(s.fps, 1), late_frames: number(s.late_frames), buffered_ms: number(s.buffered_ms), underruns: stats.server ? number(stats.underruns) : '–',
    decoded_fps: number(b.decoded_fps, 1), rtt_ms: number(b.rtt_ms, 1), jitter_ms: number(b.jitter_ms, 1),
    packets_lost: number(b.packets_lost), kbps: number(b.kbps),
    session_id: link?.id ?? '–', avatar: link?.session.avatar || '–', clock: clock(s.clock_s),
    resolution: width && height ? `${width} × ${height}${link?.drawn ? ' drawn' : b.codec ? ` ${b.codec}` : ''}` : '–',
    video_rate: number(rates.video, 1), motion_rate: number(rates.drawn, 1),
  };
  renderPicture();
  for (const cell of document.querySelectorAll('[data-f]')) putFigure(cell, figures[cell.dataset.f]);
  $('copy-id').disabled = !link;
  $('copy-id').title = link ? `Copy ${link.id}` : '';

  const live = ui.phase === 'live', skew = live ? s.skew_ms : NaN;    // what is no more is neither in sync nor out of it
  putFigure($('skew'), number(skew, 1));
  const inSync = Math.abs(skew) <= SKEW_OK_MS;
  put($('skew-note'), !live && stats.server ? 'No connection' : Number.isFinite(skew) ? (inSync ? 'In sync' : 'Out of sync') : 'No figures yet');
  $('skew-note').className = `note ${!Number.isFinite(skew) ? '' : inSync ? 'good' : 'warn'}`;
  const peak = Math.max(20, ...trail.skew.map(Math.abs));
  spark($('skew-spark'), trail.skew, -peak, peak);

  putFigure($('latency'), live ? number(s.latency_ms) : '–');
  const { latency } = trail;
  put($('latency-note'), latency.length ? lately(number(Math.min(...latency)), number(Math.max(...latency))) : 'No speech yet');
  spark($('latency-spark'), latency, 0, Math.max(120, ...latency.map((v) => v * 1.2)));
}

const lately = (least, most) => (least === most ? `Lately ${most}` : `Lately ${least} to ${most}`);

// Newest at the right edge; a short history starts part-way rather than stretching.
function spark(svg, series, low, high) {
  const x0 = SPARK_POINTS - series.length;
  const points = series.map((v, i) => `${x0 + i + 1},${(31 - 30 * (v - low) / (high - low)).toFixed(1)}`);
  svg.querySelector('polyline').setAttribute('points', points.join(' '));
}

let pickerKey = '';
function renderPicker() {
  $('picker').hidden = sessions.length < 2;
  const currentId = link?.id ?? choose(sessions)?.session_id ?? '';
  const key = JSON.stringify([currentId, sessions.map((s) => [s.session_id, s.avatar])]);
  if (key === pickerKey) return;                 // rebuilding would close the list under the viewer's hand
  pickerKey = key;
  $('sessions').replaceChildren(...sessions.map((s) => new Option([s.avatar, s.session_id].filter(Boolean).join(' · '), s.session_id, false, s.session_id === currentId)));
}

const hasPicture = () => stage.classList.contains('has-video') || stage.classList.contains('has-drawn');

function keepStill() {
  if (!hasPicture()) return;
  still.keep(stage.classList.contains('has-drawn') ? drawn : video);
  stage.classList.remove('has-video', 'has-drawn');
}

function showDrawn() {
  stage.classList.add('has-drawn');
  followAspect();
  render();
}

// Which picture is shown, for this page and the next ones.
function choosePicture(name) {
  picture = name;
  keep('localStorage', PICTURE_STORE, name);
  renderPicture();
  link?.close('switch');
  nap.wake();
}

function renderPicture() {
  for (const input of document.querySelectorAll('[name=picture]')) input.checked = input.value === picture;
  video.ariaHidden = String(picture === 'drawn');
  drawn.ariaHidden = String(picture === 'video');
  const bytes = artworkBytes();
  put($('picture-note'), picture === 'drawn' && bytes > 10000 ? `Artwork: ${number(bytes / 1e6, 1)} MB, loaded once` : '');
}

// Who speaks here, before anybody does.
async function showFace() {
  const config = await api('config').catch(() => null);
  if (!still.there && config?.avatars?.length) await still.show(config.avatars[0]);
}

async function copyId() {
  if (!link) return;
  try {
    await navigator.clipboard.writeText(link.id);
    flash('The session’s id is copied.', false, 2000);
  } catch {
    flash(`The browser allows no copying here. The id is ${link.id}`, false, 20000);
  }
}

function followAspect() {
  const { width, height } = link?.drawn ? link.session : { width: video.videoWidth, height: video.videoHeight };
  if (!width || !height) return;
  document.documentElement.style.setProperty('--aspect', (width / height).toFixed(4));
  renderFigures();
}

// Wiring -----------------------------------------------------------------------------------

video.addEventListener('resize', followAspect);
video.addEventListener('loadeddata', () => { if (!video.videoWidth) return; stage.classList.add('has-video'); followAspect(); render(); });
video.addEventListener('volumechange', renderSound);
$('unmute').addEventListener('click', () => setMuted(false));
$('mute').addEventListener('click', () => setMuted(!video.muted));
$('full').hidden = !document.fullscreenEnabled;
$('full').addEventListener('click', () => (document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen().catch(() => {})));
for (const input of document.querySelectorAll('[name=picture]')) input.addEventListener('change', () => choosePicture(input.value));
$('sessions').addEventListener('change', (event) => select(event.target.value));
function showFigures(shown) {
  document.querySelector('.shell').classList.toggle('bare', !shown);
  $('figures-toggle').setAttribute('aria-expanded', String(shown));
}
$('figures-toggle').addEventListener('click', () => showFigures(document.querySelector('.shell').classList.contains('bare')));
showFigures(!matchMedia('(max-width: 560px) and (orientation: portrait)').matches);   // there they are a sheet over the face
$('composer').addEventListener('submit', (event) => { event.preventDefault(); send(); });
$('interrupt').addEventListener('click', interrupt);
$('again').addEventListener('click', () => nap.wake());
$('copy-id').addEventListener('click', copyId);
$('nav-toggle').addEventListener('click', () => $('nav-toggle').setAttribute('aria-expanded', String($('nav').classList.toggle('open'))));
say.addEventListener('input', () => { grow(); render(); });
say.addEventListener('keydown', (event) => {
  // isComposing: Enter that picks a candidate in an input method is not "send".
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
});
document.addEventListener('keydown', (event) => { if (event.key === 'Escape' && !event.isComposing) interrupt(); });
window.addEventListener('pagehide', () => link?.close('lost'));   // tells the server now rather than by time-out

// For tests and the console.
window.lipwire = {
  get pc() { return link?.pc ?? null; },
  get state() { return state(); },
  get stats() { return structuredClone(stats); },
  get drawn() { return link?.drawn ?? null; },
  get connected() { return ui.phase === 'live' && link?.pc.connectionState === 'connected'; },
  framesDecoded: () => stats.browser.frames_decoded ?? 0,
};

if (window.RTCPeerConnection) {
  render();
  renderFigures();
  showFace();
  supervise();
} else {
  setPhase('ended');
  put($('notice-title'), 'This browser has no WebRTC');
}
