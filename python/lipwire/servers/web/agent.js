// The page on which one talks with an agent. No dependencies, no build step.
//
//   agent.js            what the page is doing (`ui`), the supervisor that keeps a connection, the controls
//   agent-link.js       a connection to a Lipwire room;  agent-agora.js  to an Agora channel
//   agent-transcript.js data messages -> conversation;   agent-view.js   conversation -> page
//   agent-mic.js        microphone, camera, loudness
//
// It runs under `default-src 'none'; script-src 'self'; style-src 'self'; ...`: styles change through the CSSOM only.

import { AgoraLink } from './agent-agora.js';
import { RoomLink, api, setKey } from './agent-link.js';
import { Loudness, Microphone, describe, microphones, openCamera } from './agent-mic.js';
import { Assembler, Conversation } from './agent-transcript.js';
import { put, renderChat, renderLine, renderTurns } from './agent-view.js';
import { REFUSED, refusal } from './server.js';

const RETRY_MS = [500, 1000, 2000, 4000, 8000];
const FIGURES_MS = 2000;
const STORE = 'lipwire.agent';

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const video = $('video'), say = $('say');

const STATES = { idle: 'Ready', listening: 'Listening', thinking: 'Thinking', speaking: 'Speaking' };

const ui = {
  phase: 'off',                // off | connecting | live | reconnecting
  detail: '',                  // why, in words
  members: [],
  agentBusy: '',               // 'start' | 'stop' while that is asked for
  agentWanted: false,          // it is to be started as soon as we are in the channel
  trouble: null,               // {text, label, action}
  soundBlocked: false,
  hasVideo: false,
};
const microphone = new Microphone();
const loudness = new Loudness();
const conversation = new Conversation();
let assembler = new Assembler();
let config = { channel: 'lobby', brains: [], voices: [], face_voices: {}, avatars: [], agora: null, agents: false, room: '', user: '', joins: true };
let refused = '';              // why the server shows us nothing, in words
let camera = null;             // its track while it is on
let link = null;               // the connection in use, at most one
let wanted = false;            // whether to be in the channel

// Settings -----------------------------------------------------------------------------------

function stored() {
  try { return JSON.parse(localStorage.getItem(STORE)) ?? {}; } catch { return {}; }
}
const settings = { transport: 'room', channel: '', mic: '', brain: '', avatar: null, voice: '', prompt: '', ...stored() };
settings.key = sessionStorage.getItem('lipwire.key') ?? '';    // for this tab, not for ever
setKey(settings.key);
if (query.get('channel')) settings.channel = query.get('channel').slice(0, 64);

// A number, because Agora's channels and v0.3 transcripts know users by number. It lasts as long as the tab.
function userName() {
  if (query.get('user')) return query.get('user').slice(0, 64);
  let user = sessionStorage.getItem('lipwire.user');
  if (!user) sessionStorage.setItem('lipwire.user', user = String(1 + crypto.getRandomValues(new Uint32Array(1))[0] % (2 ** 31 - 1)));
  return user;
}
const ours = userName();
// A token is for one room, and one name in it.
const user = () => config.user || ours;
const channel = () => config.room || settings.channel || config.channel;
const transport = () => (settings.transport === 'agora' && config.agora ? 'agora' : 'room');
const agents = () => ui.members.filter((member) => member.kind === 'agent');

async function loadConfig() {
  try {
    config = { ...config, ...await api('api/config') };
    refused = '';
    if (ui.trouble?.about === 'config') trouble(null);
  } catch (error) {
    refused = refusal(error);
    if (!refused) trouble(error.message, 'Try again', loadConfig, 'config');
  }
  fillSettings();
  render();
}

const BRAINS = { realtime: 'OpenAI Realtime', cascade: 'Cascade (speech to text, LLM, voice)', echo: 'Echo', script: 'Script' };

function fillSettings() {
  const title = (name) => name.replace(/^./, (c) => c.toUpperCase());
  $('item-transport').hidden = !config.agora;
  $('set-transport').value = transport();
  $('set-channel').value = channel();
  $('set-brain').replaceChildren(new Option('The server’s choice', ''), ...config.brains.map((brain) => new Option(BRAINS[brain] ?? brain, brain)));
  $('set-brain').value = config.brains.includes(settings.brain) ? settings.brain : '';
  $('set-avatar').replaceChildren(...config.avatars.map((name) => new Option(title(name), name)), new Option('None, sound only', ''));
  $('set-avatar').value = config.avatars.includes(settings.avatar) || settings.avatar === '' ? settings.avatar : config.avatars[0] ?? '';
  $('voices').replaceChildren(...config.voices.map((voice) => new Option(voice)));
  $('set-voice').value = settings.voice;
  $('set-prompt').value = settings.prompt;
  $('set-key').value = settings.key;
  for (const item of document.querySelectorAll('[data-agent]')) item.hidden = !config.agents;
  $('item-key').hidden = !(refused || settings.key);
  $('set-channel').disabled = config.room !== '';
  renderChoice();
}

// What the next conversation will be with, at a glance.
function renderChoice() {
  const rows = [['Channel', channel(), 'set-channel']];
  if (config.agents) {
    if (config.brains.length) rows.push(['Brain', settings.brain && config.brains.includes(settings.brain) ? settings.brain : config.brains[0], 'set-brain']);
    rows.push(['Avatar', settings.avatar === '' ? 'none' : settings.avatar || config.avatars[0] || 'none', 'set-avatar']);
    rows.push(['Voice', settings.voice || config.face_voices[settings.avatar || config.avatars[0]] || 'its own', 'set-voice']);
  }
  $('choice').replaceChildren(...rows.map(([name, value, field]) => {
    const button = Object.assign(document.createElement('button'), { type: 'button' });
    button.append(Object.assign(document.createElement('small'), { textContent: name }), value);
    button.addEventListener('click', async () => { await openSettings(); $(field).focus(); });
    return button;
  }));
}

async function openSettings() {
  fillSettings();
  const list = await microphones();
  $('set-mic').replaceChildren(new Option('Default', ''), ...list.map((device) => new Option(device.label, device.deviceId)));
  $('set-mic').value = list.some((device) => device.deviceId === settings.mic) ? settings.mic : '';
  put($('settings-hint'), ui.phase === 'live' && config.agents ? 'Brain, avatar, voice and prompt apply to the next agent.' : '');
  $('settings').showModal();
}

async function saveSettings() {
  const before = { ...settings, channel: channel(), transport: transport() };
  for (const name of ['transport', 'channel', 'mic', 'brain', 'avatar', 'voice', 'prompt']) settings[name] = $(`set-${name}`).value.trim();
  if (!config.agora) settings.transport = 'room';
  const key = $('set-key').value.trim(), anew = key !== settings.key;
  settings.key = key;
  sessionStorage.setItem('lipwire.key', key);
  setKey(key);
  if (anew) await loadConfig();
  localStorage.setItem(STORE, JSON.stringify({ ...settings, key: undefined }));
  if (microphone.track && settings.mic !== before.mic) await openMicrophone();
  if (link && (channel() !== before.channel || transport() !== before.transport)) {
    conversation.clear();
    link.close('left');
  }
  renderChoice();
  render();
}

// The connection -----------------------------------------------------------------------------

const pause = (ms) => new Promise((resolve) => { wake = resolve; setTimeout(resolve, ms); });
let wake = () => {};

async function supervise() {
  let failures = 0;
  while (wanted) {
    setPhase(failures || ui.phase === 'reconnecting' ? 'reconnecting' : 'connecting', ui.detail);
    const on = { data: (data) => onData(mine, data), media: () => onMedia(mine), members: (list) => onMembers(mine, list) };
    const options = { channel: channel(), user: user(), on, agora: config.agora, watches: !config.joins };
    const mine = link = transport() === 'agora' ? new AgoraLink(options) : new RoomLink(options);
    let why;
    try {
      await mine.open();
      if (!mine.closed) {
        failures = 0;
        assembler = new Assembler();
        setPhase('live');
        if (microphone.track) await mine.microphone(microphone.track);
        if (camera) await mine.camera(camera);
        if (microphone.muted) mine.mute?.(true);
        startWanted();
      }
    } catch (error) {
      ui.detail = error.message;
      mine.close('failed');
      if (error.status >= 400 && error.status < 500) { wanted = false; trouble(refusal(error) || error.message, 'Settings', openSettings); }
    }
    why = await mine.done;
    link = null;
    ui.members = [];
    conversation.left();
    loudness.close();
    keepNothing();
    if (why === 'replaced') {
      wanted = false;
      trouble('You joined from another window. This one has left.', 'Join here', () => join(Boolean(microphone.track)));
    }
    if (!wanted) break;
    if (why === 'left') { failures = 0; continue; }    // to another channel
    setPhase('reconnecting', why === 'lost' ? 'The connection was lost.' : ui.detail);
    await pause(RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
  }
  microphone.close();
  stopCamera();
  setPhase('off');
}

let supervisor = null, configured = null;
async function join(withMicrophone) {
  if (wanted) return;
  wanted = true;
  trouble(null);
  setPhase('connecting');
  await configured;            // only the server knows which room and name our link is for
  if (withMicrophone) await openMicrophone();
  ui.agentWanted = config.agents;
  await supervisor;
  supervisor = supervise();
}

function leave() {
  const alone = !ui.members.some((member) => member.kind === 'user' && member.user !== user());
  // An agent that nobody is left to talk with goes, too.
  if (config.agents && agents().length && alone) api('api/agents/stop', { channel: channel() }).catch(() => {});
  wanted = false;
  conversation.clear();
  renderChat(conversation);
  renderTurns(conversation);
  link?.close('left');
  wake();
}

function onMembers(mine, list) {
  if (mine !== link || !Array.isArray(list)) return;
  const had = agents().length;
  ui.members = list;
  if (had && !agents().length) conversation.left();
  startWanted();
  render();
  renderChat(conversation);
}

function onMedia(mine) {
  if (mine !== link) return;
  video.srcObject = mine.media;
  loudness.listen(mine.media);
  play();
}

function onData(mine, data) {
  const body = mine === link ? assembler.push(data) : null;
  const changed = body && conversation.apply(body);
  if (!changed) return;
  if (changed === 'turns') renderTurns(conversation);
  else if (changed.error) trouble(changed.error);
  else if (changed === 'items') renderChat(conversation);
  render();
}

// The agent ----------------------------------------------------------------------------------

// Once we are in the channel, and know who else is.
function startWanted() {
  if (!ui.agentWanted || ui.phase !== 'live' || (transport() === 'room' && !ui.members.length)) return;
  ui.agentWanted = false;
  if (!agents().length) startAgent();
}

async function startAgent() {
  if (ui.agentBusy) return;
  ui.agentBusy = 'start';
  trouble(null);
  render();
  const body = { channel: channel(), transport: transport() };
  for (const name of ['brain', 'voice', 'prompt']) if (settings[name]) body[name] = settings[name];
  if (settings.avatar !== null) body.avatar = settings.avatar;
  try {
    await api('api/agents', body);
  } catch (error) {
    const why = refusal(error);
    if (why) trouble(`The agent did not start. ${why}`);
    else trouble(`The agent did not start. ${error.message}`, 'Try again', startAgent);
  }
  ui.agentBusy = '';
  render();
}

async function stopAgent() {
  if (ui.agentBusy) return;
  ui.agentBusy = 'stop';
  render();
  try {
    await api('api/agents/stop', { channel: channel() });
  } catch (error) {
    trouble(`The agent did not stop. ${error.message}`);
  }
  ui.agentBusy = '';
  render();
}

// Microphone and camera ------------------------------------------------------------------------

async function openMicrophone() {
  try {
    const track = await microphone.open(settings.mic);
    if (!wanted) { microphone.close(); return; }
    await link?.microphone(track);
    if (ui.trouble?.about === 'microphone') trouble(null);
  } catch (error) {
    await link?.microphone(null);
    trouble(describe(error, 'microphone'), 'Try again', openMicrophone, 'microphone');
  }
  render();
}

microphone.onended = () => {
  link?.microphone(null);
  trouble('The microphone was disconnected.', 'Try again', openMicrophone, 'microphone');
};

function toggleMute() {
  if (ui.phase === 'off' || !config.joins) return;
  if (!microphone.track) { openMicrophone(); return; }
  microphone.mute(!microphone.muted);
  link?.mute?.(microphone.muted);
  put($('live'), microphone.muted ? 'Microphone muted' : 'Microphone on');
  render();
}

async function toggleCamera() {
  if (camera) stopCamera();
  else {
    try {
      const track = await openCamera();
      if (!wanted) { track.stop(); return; }
      camera = track;
      camera.onended = stopCamera;
      $('self').srcObject = new MediaStream([camera]);
      $('self').play().catch(() => {});
      await link?.camera(camera);
    } catch (error) {
      trouble(describe(error, 'camera'));
    }
  }
  render();
}

function stopCamera() {
  if (!camera) return;
  camera.onended = null;
  camera.stop();
  camera = null;
  $('self').srcObject = null;
  link?.camera(null);
  render();
}

// Sound and picture ------------------------------------------------------------------------------

async function play() {
  const stream = video.srcObject;
  try {
    await video.play();
    ui.soundBlocked = false;
  } catch (error) {
    if (error.name !== 'NotAllowedError' || video.srcObject !== stream) return;   // AbortError: a newer stream took over
    ui.soundBlocked = video.muted = true;
    await video.play().catch(() => {});
  }
  render();
}

function setSilent(silent) {
  ui.soundBlocked = false;
  video.muted = silent;
  if (video.srcObject) play();
  render();
}

function keepNothing() {
  video.srcObject = null;
  ui.hasVideo = false;
}

// Saying -----------------------------------------------------------------------------------------

const canSend = () => ui.phase === 'live' && agents().length > 0 && say.value.trim() !== '';
const speaking = () => ui.phase === 'live' && conversation.state === 'speaking';

function send() {
  if (!canSend()) return;
  const text = say.value.trim();
  if (!link.send({ type: 'chat', text })) { trouble('Not sent: the connection is too slow just now.'); return; }
  if (ui.soundBlocked) setSilent(false);
  conversation.typed(text);
  say.value = '';
  grow();
  renderChat(conversation);
  $('log').scrollTop = $('log').scrollHeight;
  render();
}

function interrupt() {
  if (speaking()) link.send({ type: 'interrupt' });
}

// Only for browsers without `field-sizing: content`.
function grow() {
  if (CSS.supports('field-sizing', 'content')) return;
  say.style.height = 'auto';
  say.style.height = `${say.scrollHeight}px`;
}

// Page -------------------------------------------------------------------------------------------

function trouble(text, label = '', action = null, about = '') {
  ui.trouble = text ? { text, label, action, about } : null;
  render();
}

function setPhase(phase, detail = '') {
  ui.phase = phase;
  ui.detail = detail;
  render();
}

function state() {
  if (ui.phase !== 'live') return ui.phase;
  if (!agents().length) return ui.agentBusy === 'start' || ui.agentWanted ? 'starting' : 'alone';
  if (conversation.paused) return 'paused';
  return conversation.state in STATES ? conversation.state : 'idle';
}

const CHIPS = { ...STATES, connecting: 'Connecting', reconnecting: 'Reconnecting', starting: 'The agent is coming', alone: 'No agent here', paused: 'Paused' };

function notice() {
  switch (state()) {
    case 'connecting': return ['Connecting', ui.detail];
    case 'reconnecting': return ['Connection lost. Reconnecting…', ui.detail];
    case 'starting': return ['The agent is coming', 'It joins the channel in a moment.'];
    case 'alone': return ['No agent is here', config.agents ? '' : `One that joins “${channel()}” shows here.`, config.agents ? 'Start agent' : ''];
  }
  return null;
}

let lastState = '';
function render() {
  const { phase } = ui, current = state(), off = phase === 'off', live = phase === 'live';
  $('talk').dataset.phase = phase;
  $('stage').dataset.state = current;
  $('stage').classList.toggle('has-video', ui.hasVideo && live && agents().length > 0);
  $('start').hidden = !off;
  put($('start-title'), refused ? REFUSED : config.joins ? 'Talk with an agent' : 'Watch an agent');
  put($('start-text'), refused || (config.joins ? 'It listens, answers by voice, and stops when you speak.' : 'You see and hear what happens in this room. Nobody sees or hears you.'));
  for (const id of ['join', 'join-quiet', 'choice']) $(id).hidden = refused !== '';
  // A link that is for watching: nothing to speak or to type with.
  $('join').hidden ||= !config.joins;
  put($('join-quiet'), config.joins ? 'Join without a microphone' : 'Watch');
  for (const id of ['mic', 'camera', 'meter', 'interrupt']) $(id).hidden = !config.joins;
  for (const id of ['dock', 'side', 'chip', 'latency-toggle']) $(id).hidden = off;
  if (current !== lastState && !off) put($('live'), CHIPS[current]);
  lastState = current;
  put($('chip-text'), CHIPS[current] ?? '');

  const words = notice();
  $('notice').hidden = !words;
  if (words) {
    put($('notice-title'), words[0]);
    put($('notice-text'), words[1] ?? '');
    $('notice-action').hidden = !words[2];
    put($('notice-action'), words[2] ?? '');
  }

  const people = ui.members.filter((member) => member.kind === 'user').length;
  $('where').hidden = off;
  put($('where-channel'), channel());
  put($('where-people'), people > 1 ? `${people} people` : '');
  $('agent-toggle').hidden = !(live && config.agents);
  $('agent-toggle').disabled = ui.agentBusy !== '';
  put($('agent-toggle'), { start: 'Starting…', stop: 'Stopping…' }[ui.agentBusy] ?? (agents().length ? 'Stop agent' : 'Start agent'));

  const silent = !microphone.track || microphone.muted;
  $('mic').classList.toggle('off', silent);
  $('mic').setAttribute('aria-pressed', String(silent));
  $('mic').title = !microphone.track ? 'Turn the microphone on' : silent ? 'Unmute microphone (M)' : 'Mute microphone (M)';
  $('mic-icon').setAttribute('href', silent ? '#i-mic-off' : '#i-mic');
  $('camera').setAttribute('aria-pressed', String(Boolean(camera)));
  $('camera-icon').setAttribute('href', camera ? '#i-cam' : '#i-cam-off');
  $('self').hidden = !camera;
  $('interrupt').setAttribute('aria-disabled', String(!speaking()));

  $('tools').hidden = !(live && agents().length);
  $('unmute').hidden = !(ui.soundBlocked && live);
  $('sound').setAttribute('aria-pressed', String(video.muted));
  $('sound-icon').setAttribute('href', video.muted ? '#i-muted' : '#i-sound');

  $('trouble').hidden = !ui.trouble;
  put($('trouble-text'), ui.trouble?.text ?? '');
  $('trouble-action').hidden = !ui.trouble;
  put($('trouble-action'), ui.trouble?.label || 'Dismiss');

  say.disabled = !live || !config.joins;
  say.placeholder = !config.joins ? 'Your link is for watching' : live && !agents().length ? 'Waiting for the agent…' : 'Type a message…';
  $('send').setAttribute('aria-disabled', String(!canSend()));
}

// The meters: the microphone's bars, and the orb, which breathes with who speaks.
const bars = [...$('meter').children];
let shownLevel = 0;
function animate() {
  requestAnimationFrame(animate);
  if (ui.phase === 'off') return;
  const level = microphone.level;
  shownLevel = Math.max(level, shownLevel * 0.86);
  const lit = Math.round(Math.max(0, shownLevel - 0.2) / 0.7 * bars.length);
  bars.forEach((bar, n) => bar.classList.toggle('lit', n < lit));
  $('mic').style.setProperty('--level', Math.max(0, shownLevel - 0.2).toFixed(3));
  const voice = conversation.state === 'speaking' ? loudness.level : conversation.state === 'listening' ? shownLevel * 0.8 : 0;
  $('orb').style.setProperty('--voice', voice.toFixed(3));
}

setInterval(async () => {
  if (ui.phase !== 'live' || $('latency').hidden) return;
  const figures = await link?.figures().catch(() => null);
  if (figures) renderLine(figures);
}, FIGURES_MS);

// Wiring -----------------------------------------------------------------------------------------

function followVideo() {
  ui.hasVideo = video.videoWidth > 0 && video.readyState >= 2;
  if (ui.hasVideo) document.documentElement.style.setProperty('--aspect', (video.videoWidth / video.videoHeight).toFixed(4));
  render();
}
for (const name of ['loadeddata', 'resize', 'emptied', 'playing']) video.addEventListener(name, followVideo);
$('join').addEventListener('click', () => join(true));
$('join-quiet').addEventListener('click', () => join(false));
$('end').addEventListener('click', leave);
$('mic').addEventListener('click', toggleMute);
$('camera').addEventListener('click', toggleCamera);
$('interrupt').addEventListener('click', interrupt);
$('agent-toggle').addEventListener('click', () => (agents().length ? stopAgent() : startAgent()));
$('notice-action').addEventListener('click', startAgent);
$('sound').addEventListener('click', () => setSilent(!video.muted));
$('unmute').addEventListener('click', () => setSilent(false));
$('full').hidden = !document.fullscreenEnabled;
$('full').addEventListener('click', () => (document.fullscreenElement ? document.exitFullscreen() : $('stage').requestFullscreen().catch(() => {})));
$('latency-toggle').addEventListener('click', () => {
  const open = $('latency').hidden;
  $('latency').hidden = !open;
  $('latency-toggle').setAttribute('aria-expanded', String(open));
});
$('trouble-action').addEventListener('click', () => {
  const { action } = ui.trouble ?? {};
  trouble(null);
  action?.();
});
$('settings-open').addEventListener('click', openSettings);
$('settings-form').addEventListener('submit', (event) => { if (event.submitter?.value === 'save') saveSettings(); });
$('composer').addEventListener('submit', (event) => { event.preventDefault(); send(); });
say.addEventListener('input', () => { grow(); render(); });
say.addEventListener('keydown', (event) => {
  // isComposing: Enter that picks a candidate in an input method is not "send".
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
});
document.addEventListener('keydown', (event) => {
  if (event.isComposing || $('settings').open) return;
  if (event.key === 'Escape') interrupt();
  if (event.key.toLowerCase() === 'm' && !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat && !event.target.closest('input, textarea, select')) toggleMute();
});
window.addEventListener('online', () => wake());
window.addEventListener('pagehide', () => { wanted = false; link?.close('left'); });

// For tests and the console.
window.lipwire = {
  get pc() { return link?.pc ?? null; },
  get state() { return state(); },
  get connected() { return ui.phase === 'live'; },
  get items() { return conversation.items.map(({ role, text, final, interrupted, pending }) => ({ role, text, final, interrupted, pending })); },
  get turns() { return structuredClone(conversation.turns); },
  get level() { return shownLevel; },
  get user() { return user(); },
  send: (body) => link?.send(body) ?? false,
};

if (!window.RTCPeerConnection) {
  $('join').disabled = $('join-quiet').disabled = true;
  trouble('This browser has no WebRTC. Use a current Chrome, Edge, Firefox or Safari.');
} else {
  renderTurns(conversation);
  render();
  configured = loadConfig();
  animate();
}
