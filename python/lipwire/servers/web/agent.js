// The page on which one talks with an agent. No dependencies, no build step.
//
//   agent.js            what the page is doing (`ui`), the supervisor that keeps a connection, the controls
//   agent-link.js       a connection to a Lipwire room;  agent-agora.js  to an Agora channel
//   client/packets.js   packets -> data messages;  agent-transcript.js  those -> conversation;   agent-view.js   conversation -> page
//   agent-mic.js        microphone, camera, loudness;  agent-words.js  what the page itself says
//   agent-export.js     a conversation as a file
//   face.js             the still picture behind everything;  client/line.js  whether the server is there, and when to try again
//
// It runs under `default-src 'none'; script-src 'self'; style-src 'self'; ...`: styles change through the CSSOM only.

import { AgoraLink } from './agent-agora.js';
import { FORMATS, asText, download } from './agent-export.js';
import { RoomLink, api, keyed, setKey } from './agent-link.js';
import { Loudness, Microphone, describe, isBlocked, microphones, openCamera } from './agent-mic.js';
import { Conversation } from './agent-transcript.js';
import { caption, put, renderChat, renderLine, renderTurns } from './agent-view.js';
import { BRAINS, CHIPS, STAND_INS, STATES, failure, unheard } from './agent-words.js';
import { Still, pictureSize } from './face.js';
import { Backoff, Nap, answers } from './client/line.js';
import { Assembler } from './client/packets.js';
import { CODECS, hasCodec } from './client/rtc.js';
import { REFUSED, keep, kept, refusal, subject } from './server.js';

const FIGURES_MS = 2000;
const RETURN_MS = 300;         // after a lost connection: how long an agent that is still there may take to be listed
const FACELESS_MS = 6000;      // an agent that shows no picture for so long has none
const FAILED_MS = 8000;        // how long what failed stands over the picture
const STORE = 'lipwire.agent';

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const video = $('video'), say = $('say');

const ui = {
  phase: 'off',                // off | connecting | live | reconnecting
  detail: '',                  // why, in words
  members: [],
  agentBusy: '',               // 'start' | 'stop' while that is asked for
  agentWanted: false,          // it is to be started as soon as we are in the channel
  troubles: {},                // by what they are about: {text, label, action}. 'microphone' stays until there is one
  brain: '',                   // of the agent that we started
  failed: '',                  // what went wrong last, over the picture
  soundBlocked: false,
  hasVideo: false,
  faceless: false,             // the agent here has no face
  nextTry: false,              // waiting to try again
  microphoneFailed: '',        // 'blocked', or 'missing'
};
const nap = new Nap(), backoff = new Backoff();
const still = new Still($('still'));
const microphone = new Microphone();
const loudness = new Loudness();
const conversation = new Conversation();
let assembler = new Assembler();
let config = {
  channel: 'lobby', brains: [], voices: [], face_voices: {}, avatars: [], agora: null, agents: false, room: '', user: '', joins: true,
  watch: null,
};
let refused = '';              // why the server shows us nothing, in words
let camera = null;             // its track while it is on
let link = null;               // the connection in use, at most one
let wanted = false;            // whether to be in the channel

// Settings -----------------------------------------------------------------------------------

function stored() {
  try { return JSON.parse(kept('localStorage', STORE)) ?? {}; } catch { return {}; }
}
const settings = { transport: 'room', channel: '', mic: '', brain: '', avatar: null, voice: '', prompt: '', captions: false, ...stored() };
settings.key = kept('sessionStorage', 'lipwire.key') ?? '';    // for this tab, not for ever
setKey(settings.key);
if (query.get('channel')) settings.channel = query.get('channel').slice(0, 64);

// A number, because Agora's channels and v0.3 transcripts know users by number. It lasts as long as the tab.
function userName() {
  if (query.get('user')) return query.get('user').slice(0, 64);
  let user = kept('sessionStorage', 'lipwire.user');
  if (!user) keep('sessionStorage', 'lipwire.user', user = String(1 + crypto.getRandomValues(new Uint32Array(1))[0] % (2 ** 31 - 1)));
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
    trouble('', 'config');
  } catch (error) {
    refused = refusal(error);
    if (!refused) trouble(error.message, 'config', 'Try again', loadConfig);
  }
  fillSettings();
  showFace();
  render();
}

// The face of the next agent, or of the one that is here as far as we know.
const faceName = () => (refused || settings.avatar === '' ? '' : config.avatars.includes(settings.avatar) ? settings.avatar : config.avatars[0] ?? '');
const showFace = () => still.show(faceName(), keyed());
// The brain that the next agent would have, and that of the one that is here, as far as we know.
const brain = () => (config.brains.includes(settings.brain) ? settings.brain : config.brains[0] ?? '');
const brainHere = () => ui.brain || (config.brains.length === 1 || !agents().length ? brain() : '');

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

const store = () => keep('localStorage', STORE, JSON.stringify({ ...settings, key: undefined }));

async function saveSettings() {
  const before = { ...settings, channel: channel(), transport: transport() };
  for (const name of ['transport', 'channel', 'mic', 'brain', 'avatar', 'voice', 'prompt']) settings[name] = $(`set-${name}`).value.trim();
  if (!config.agora) settings.transport = 'room';
  const key = $('set-key').value.trim(), anew = key !== settings.key;
  settings.key = key;
  keep('sessionStorage', 'lipwire.key', key);
  setKey(key);
  if (anew) await loadConfig();
  store();
  if (microphone.track && settings.mic !== before.mic) await openMicrophone();
  if (link && (channel() !== before.channel || transport() !== before.transport)) {
    conversation.clear();
    link.close('left');
  }
  renderChoice();
  showFace();
  render();
}

// The connection -----------------------------------------------------------------------------

async function supervise() {
  let again = false;           // this is a connection that was lost
  while (wanted) {
    setPhase(again ? 'reconnecting' : 'connecting', ui.detail);
    const on = { data: (data) => onData(mine, data), media: () => onMedia(mine), members: (list) => onMembers(mine, list) };
    const options = { channel: channel(), user: user(), on, agora: config.agora, watches: !config.joins, codec: askedCodec() };
    const mine = link = transport() === 'agora' ? new AgoraLink(options) : new RoomLink(options);
    let why;
    try {
      await mine.open();
      if (!mine.closed) {
        if (again) setTimeout(startWanted, RETURN_MS);
        startAfter = again ? performance.now() + RETURN_MS - 10 : 0;
        again = false;
        backoff.reset();
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
      if (error.status >= 400 && error.status < 500 && error.status !== 429) { wanted = false; trouble(refusal(error) || error.message, 'line', 'Settings', openSettings); }
    }
    why = await mine.done;
    link = null;
    // One that we have brought here is brought back, where it does not come by itself.
    if (wanted && why === 'lost' && agents().length && ui.brain && config.agents) ui.agentWanted = true;
    ui.members = [];
    conversation.left();
    if (why === 'lost') still.keep(video);
    loudness.close();
    keepNothing();
    if (why === 'replaced') {
      wanted = false;
      trouble('You joined from another window. This one has left.', 'line', 'Join here', () => join(Boolean(microphone.track)));
    }
    if (!wanted) break;
    if (why === 'left') { again = false; continue; }    // to another channel
    again = true;
    setPhase('reconnecting', why === 'lost' ? 'The server cannot be reached.' : ui.detail);
    await untilThere();
  }
  microphone.close();
  stopCamera();
  ui.nextTry = false;
  trouble('', 'microphone');
  showFace();
  setPhase('off');
}

// Waits until it makes sense to connect again: a question costs the server nothing, a connection much.
async function untilThere() {
  ui.nextTry = true;
  render();
  do { await nap.take(backoff.next()); } while (wanted && await answers() === false);
  ui.nextTry = false;
}

// The codec that ?codec= asks for; '' = the best.
function askedCodec() {
  const asked = query.get('codec')?.toUpperCase() ?? '';
  return CODECS.includes(asked) ? asked : '';
}

// A wish that cannot be met is told.
function checkCodec() {
  const asked = query.get('codec');
  if (!asked) return;
  if (!askedCodec()) trouble(`The address asks for ${asked.slice(0, 20)} pictures; there is ${CODECS.join(' and ')}. ${CODECS[0]} is asked for.`, 'codec');
  else if (!hasCodec(askedCodec())) trouble(`This browser cannot show ${askedCodec()}; the pictures come as ${CODECS.find(hasCodec) ?? 'something else'}.`, 'codec');
}

let supervisor = null, configured = null;
async function join(withMicrophone) {
  if (wanted) return;
  wanted = true;
  ui.troubles = {};
  ui.detail = ui.failed = ui.brain = ui.microphoneFailed = '';
  ui.faceless = false;
  conversation.clear();
  renderChat(conversation);
  renderTurns(conversation);
  checkCodec();
  backoff.reset();
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
  conversation.left();         // what was said stays, to be read, copied and saved
  renderChat(conversation);
  link?.close('left');
  nap.wake();
}

function onMembers(mine, list) {
  if (mine !== link || !Array.isArray(list)) return;
  const had = agents().length;
  ui.members = list;
  if (had && !agents().length) { conversation.left(); still.keep(video); ui.faceless = false; }
  if (!had && agents().length) waitForFace();
  startWanted();
  render();
  renderChat(conversation);
}

// The face stays where it is until the agent's own is there, or it turns out that it has none.
let faceTimer;
function waitForFace() {
  clearTimeout(faceTimer);
  faceTimer = setTimeout(() => { ui.faceless = agents().length > 0 && !ui.hasVideo; render(); }, FACELESS_MS);
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
  else if (changed.error) fail(failure(changed.error));
  else if (changed === 'items') renderChat(conversation);
  render();
}

let failedTimer;
function fail(text) {
  ui.failed = text;
  clearTimeout(failedTimer);
  failedTimer = setTimeout(() => { ui.failed = ''; render(); }, FAILED_MS);
  trouble(text, 'agent');
}

// The agent ----------------------------------------------------------------------------------

// Once we are in the channel, and know who else is.
let startAfter = 0;
function startWanted() {
  if (!ui.agentWanted || performance.now() < startAfter || ui.phase !== 'live' || (transport() === 'room' && !ui.members.length)) return;
  ui.agentWanted = false;
  if (!agents().length) startAgent();
}

async function startAgent() {
  if (ui.agentBusy) return;
  ui.agentBusy = 'start';
  trouble('', 'agent');
  const body = { channel: channel(), transport: transport() };
  for (const name of ['brain', 'voice', 'prompt']) if (settings[name]) body[name] = settings[name];
  if (settings.avatar !== null) body.avatar = settings.avatar;
  if (settings.avatar !== '') Object.assign(body, pictureSize($('stage')));
  try {
    const granted = await api('api/agents', body);
    ui.brain = granted?.brain ?? brain();
    if (granted?.width && granted.width < body.width) trouble(`The server is busy: the picture has ${granted.width} × ${granted.height} points in place of ${body.width} × ${body.height}.`, 'picture');
  } catch (error) {
    const why = refusal(error);
    if (why) trouble(`The agent did not start. ${why}`, 'agent');
    else trouble(`The agent did not start. ${error.message}`, 'agent', 'Try again', startAgent);
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
    trouble(`The agent did not stop. ${error.message}`, 'agent');
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
    ui.microphoneFailed = '';
    trouble('', 'microphone');
  } catch (error) {
    ui.microphoneFailed = isBlocked(error) ? 'blocked' : 'missing';
    trouble(describe(error, 'microphone'), 'microphone', 'Try again', openMicrophone);
    await link?.microphone(null);
  }
  render();
}

microphone.onended = () => {
  link?.microphone(null);
  ui.microphoneFailed = 'missing';
  trouble('The microphone was disconnected. The agent does not hear you.', 'microphone', 'Try again', openMicrophone);
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
      trouble(describe(error, 'camera'), 'camera');
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
  if (!link.send({ type: 'chat', text })) { trouble('Not sent: the connection is too slow just now.', 'line'); return; }
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

// What was said ------------------------------------------------------------------------------------

const record = () => ({ items: conversation.items, began: conversation.began, channel: channel() });

async function copyTranscript() {
  try {
    await navigator.clipboard.writeText(asText(record()));
    put($('copy-text'), 'Copied');
  } catch {
    put($('copy-text'), 'Not allowed');          // http from another machine, or a page that embeds this one
  }
  setTimeout(() => put($('copy-text'), 'Copy'), 2000);
}

function toggleCaptions() {
  settings.captions = !settings.captions;
  store();
  put($('live'), settings.captions ? 'Captions on' : 'Captions off');
  render();
}

// Only for browsers without `field-sizing: content`.
function grow() {
  if (CSS.supports('field-sizing', 'content')) return;
  say.style.height = 'auto';
  say.style.height = `${say.scrollHeight}px`;
}

// Page -------------------------------------------------------------------------------------------

// '' = it is over. One text a matter: a later one takes the place of the one before, and leaves those about others alone.
function trouble(text, about, label = '', action = null) {
  delete ui.troubles[about];
  if (text) ui.troubles[about] = { text, label, action, about };
  render();
}

// The newest one, and beneath it the microphone's, which nothing else may hide.
function shownTroubles() {
  const { microphone: mic, ...others } = ui.troubles;
  return [Object.values(others).at(-1), mic].filter(Boolean);
}

function renderTroubles() {
  const shown = shownTroubles();
  for (const [n, id] of ['trouble', 'trouble2'].entries()) {
    const one = shown[n];
    $(id).hidden = !one;
    put($(`${id}-text`), one?.text ?? '');
    put($(`${id}-action`), one?.label || 'Dismiss');
    $(`${id}-action`).hidden = !one;
  }
  $('trouble-help').hidden = shown[0]?.about !== 'microphone';
}

function answerTrouble(n) {
  const one = shownTroubles()[n];
  if (!one) return;
  trouble('', one.about);
  one.action?.();
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

function notice() {
  switch (state()) {
    case 'connecting': return ['Connecting', ui.detail];
    case 'reconnecting': return ['Connection lost', `${ui.detail} Trying again…`.trim(), ui.nextTry ? 'Try now' : ''];
    case 'starting': return ['The agent is coming', 'It joins the channel in a moment.'];
    case 'alone': return ['No agent is here', config.agents ? '' : `One that joins “${channel()}” shows here.`, config.agents ? 'Start agent' : ''];
  }
  return null;
}

let lastChip = '';
function render() {
  const { phase } = ui, current = state(), off = phase === 'off', live = phase === 'live';
  const ended = off && conversation.items.length > 0;
  $('talk').dataset.phase = phase;
  $('stage').dataset.state = current;
  $('stage').classList.toggle('has-video', ui.hasVideo && live && agents().length > 0);
  $('talk').classList.toggle('ended', ended);
  $('stage').classList.toggle('faceless', !refused && (settings.avatar === '' || ui.faceless || !(still.there || config.avatars.length)));
  $('start').hidden = !off;
  put($('start-title'), refused ? REFUSED : ended ? 'The conversation has ended' : config.joins ? 'Talk with an agent' : 'Watch an agent');
  put($('start-text'), refused || (ended ? 'What was said stays here until you start anew.' : config.joins ? 'It listens, answers by voice, and stops when you speak.' : 'You see and hear what happens in this room. Nobody sees or hears you.'));
  for (const id of ['join', 'join-quiet', 'choice']) $(id).hidden = refused !== '';
  // A link that is for watching: nothing to speak or to type with.
  $('join').hidden ||= !config.joins;
  put($('join-text'), ended ? 'Talk again' : 'Start talking');
  put($('join-quiet'), config.joins ? 'Join without a microphone' : 'Watch');
  const [about, emptied, more] = (config.agents || live) && !refused && STAND_INS[off ? brain() : brainHere()] || ['', '', ''];
  put($('start-about'), about);
  $('start-about').hidden = !about || !off || ended;
  put($('about-text'), about);
  put($('about-help'), more);
  $('about').hidden = !about || off;
  put($('empty'), emptied || 'Say something, or type below. What is said appears here.');
  for (const id of ['mic', 'camera', 'meter', 'interrupt']) $(id).hidden = !config.joins;
  for (const id of ['dock', 'chip', 'latency-toggle', 'composer']) $(id).hidden = off;
  $('side').hidden = off && !ended;
  if (off) $('latency').hidden = true;
  const deaf = live && config.joins && ['idle', 'listening'].includes(current) ? unheard(microphone, ui.microphoneFailed) : '';
  $('stage').classList.toggle('deaf', deaf !== '');
  const chip = deaf || (CHIPS[current] ?? '');
  if (chip !== lastChip && !off) put($('live'), chip);
  lastChip = chip;
  put($('chip-text'), chip);
  const words = live ? ui.failed || (settings.captions ? caption(conversation) : '') : '';
  put($('caption'), words);
  $('caption').hidden = !words;
  $('caption').classList.toggle('failed', ui.failed !== '');
  $('cc').setAttribute('aria-pressed', String(settings.captions));

  const told = notice();
  $('notice').hidden = !told;
  if (told) {
    put($('notice-title'), told[0]);
    put($('notice-text'), told[1] ?? '');
    $('notice-action').hidden = !told[2];
    put($('notice-action'), told[2] ?? '');
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

  renderTroubles();
  $('nav-watch').hidden = !config.watch || subject.kind === 'room';
  if (config.watch) $('nav-watch').setAttribute('href', config.watch);

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
  if (ui.hasVideo) ui.faceless = false;
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
$('notice-action').addEventListener('click', () => (ui.phase === 'reconnecting' ? nap.wake() : startAgent()));
$('sound').addEventListener('click', () => setSilent(!video.muted));
$('unmute').addEventListener('click', () => setSilent(false));
$('full').hidden = !document.fullscreenEnabled;
$('full').addEventListener('click', () => (document.fullscreenElement ? document.exitFullscreen() : $('stage').requestFullscreen().catch(() => {})));
$('latency-toggle').addEventListener('click', () => {
  const open = $('latency').hidden;
  $('latency').hidden = !open;
  $('latency-toggle').setAttribute('aria-expanded', String(open));
});
$('trouble-action').addEventListener('click', () => answerTrouble(0));
$('trouble2-action').addEventListener('click', () => answerTrouble(1));
$('cc').addEventListener('click', toggleCaptions);
$('copy').addEventListener('click', copyTranscript);
$('save').addEventListener('change', () => {
  const format = $('save').value;
  $('save').value = '';
  if (format in FORMATS) download(format, record());
});
$('nav-toggle').addEventListener('click', () => {
  const open = $('nav').classList.toggle('open');
  $('nav-toggle').setAttribute('aria-expanded', String(open));
});
new ResizeObserver(() => { if (!ui.hasVideo && ui.phase === 'off') showFace(); }).observe($('stage'));
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
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest('input, textarea, select')) return;
  if (event.key.toLowerCase() === 'm') toggleMute();
  if (event.key.toLowerCase() === 'c') toggleCaptions();
});
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
  trouble('This browser has no WebRTC. Use a current Chrome, Edge, Firefox or Safari.', 'browser');
} else {
  renderTurns(conversation);
  render();
  configured = loadConfig();
  animate();
}
