// <lipwire-avatar>: a talking face in a page of two lines. docs/client.md.

import { connect } from './connect.js';
import { MotionError } from './errors.js';
import { Draw2D } from './draw2d.js';
import { Nap } from './line.js';
import { Server } from './requests.js';
import { subjectOf } from './token.js';

const STYLE = `
:host { display: block; position: relative; overflow: hidden; aspect-ratio: 16 / 9; min-width: 4rem; background: #14181c; color: #f3f5f6; font: 500 1rem/1.4 system-ui, sans-serif; }
:host([hidden]) { display: none; }
.picture, canvas, video { position: absolute; inset: 0; width: 100%; height: 100%; }
canvas, video { object-fit: cover; }
[hidden] { display: none !important; }
.words { position: absolute; inset: auto 0 0; display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; justify-content: center; padding: 3rem 1rem 1rem; text-align: center; text-shadow: 0 1px 8px #000a; background: linear-gradient(#0b0d0f00, #0b0d0fa6); pointer-events: none; }
p { margin: 0; max-width: 36rem; text-wrap: balance; overflow-wrap: anywhere; }
button { pointer-events: auto; font: inherit; font-weight: 600; min-height: 2.75rem; padding: 0 1.4rem; color: #16191b; background: #fff; border: 0; border-radius: 2rem; cursor: pointer; }
button:focus-visible { outline: 3px solid #9cc7ff; outline-offset: 2px; }
`;
const MODES = ['auto', 'motion', 'video'], RENDERERS = ['2d', '3d'], CARRIERS = ['webrtc', 'websocket', 'sei'];
const SETS = { '2d': ['pose'], '3d': ['arkit', 'head'] };
const SAVED = 640;             // pixels that artwork's longer side has, where data is to be saved
const WAIT_MS = 3000;          // until a session that has not begun is looked for again
const ENDED_MS = 60000;        // at most, until one that has ended is, which a server may resume: ever less often

const UNREACHABLE = 'The server does not answer. Is it running, and does its setting `allowed_origins` name this page?';
const WORDS = {
  connecting: 'Connecting…',
  waiting: 'Waiting for a session…',
  loading: 'Loading the face…',
  reconnecting: 'The connection is lost. Trying again…',
  ended: 'The conversation has ended.',
};
// What to do about a refusal, beside what the server says.
const ADVICE = {
  MISSING_TOKEN: 'This face opens with a token: the attribute `token` (lipwire token makes one).',
  INVALID_TOKEN: 'Ask for a new token.',
  NO_MOTION: 'The server sends no motion here: mode="video" shows its video.',
  NO_VIDEO: 'The server sends no video here: mode="motion" draws the face.',
  NO_MEDIA: 'Where it is, carrier="websocket" shows a session or a room without.',
  NO_TRANSFORM: 'Leave the attribute `carrier` out.',
  NO_THREE: 'Without three.js, leave the attribute `renderer` out.',
  BAD_HEAD: 'The attribute `head` names it.',
  NO_WEBGL: 'WebGL is needed; without it, leave the attribute `renderer` out.',
};

// An error, for who looks at the element.
function said(error) {
  const what = error instanceof MotionError ? error.message.replace(/[^.?!…]$/, '$&.') : 'Something went wrong here.';
  return `${what[0].toUpperCase()}${what.slice(1)} ${ADVICE[error.code] ?? ''}`.trim();
}

const savesData = () => navigator.connection?.saveData === true || matchMedia('(prefers-reduced-data: reduce)').matches;

// The avatar that is shown where nobody says which.
const first = (config) => config?.avatars?.[0] ?? '';

let sheet = null;
function style(root) {
  if (!sheet) {
    sheet = new CSSStyleSheet();                 // passes a policy that allows no styles in the page
    sheet.replaceSync(STYLE);
  }
  root.adoptedStyleSheets = [sheet];
}

function make(name, properties = {}, attributes = {}) {
  const element = Object.assign(document.createElement(name), properties);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** What its attributes ask for. Throws MotionError (BAD_ATTRIBUTE), which says which and what it may be. */
function read(host) {
  const get = (name) => host.getAttribute(name)?.trim() ?? '';
  const options = {
    url: get('src') ? new URL(get('src').replace(/\/?$/, '/'), document.baseURI) : new URL('../', import.meta.url),
    token: get('token'), session: get('session'), room: get('room'), agent: get('agent'), user: get('user'), avatar: get('avatar'),
    mode: get('mode') || 'auto', carrier: get('carrier') || 'webrtc', renderer: get('renderer') || '2d', head: get('head'),
  };
  const named = ['session', 'room', 'agent'].filter((name) => options[name]);
  if (named.length > 1) throw new MotionError('BAD_ATTRIBUTE', `Either ${named.join(' or ')}: the element shows one face.`);
  if (!MODES.includes(options.mode)) throw new MotionError('BAD_ATTRIBUTE', `mode is ${MODES.join(', ')}, not ${options.mode}.`);
  if (!RENDERERS.includes(options.renderer)) throw new MotionError('BAD_ATTRIBUTE', `renderer is ${RENDERERS.join(' or ')}, not ${options.renderer}.`);
  if (!CARRIERS.includes(options.carrier)) throw new MotionError('BAD_ATTRIBUTE', `carrier is ${CARRIERS.join(', ')}, not ${options.carrier}.`);
  if (options.agent && options.carrier !== 'webrtc') throw new MotionError('BAD_ATTRIBUTE', `An agent is talked with over webrtc, not ${options.carrier}.`);
  if (options.carrier === 'websocket' && options.mode === 'video') throw new MotionError('BAD_ATTRIBUTE', 'A WebSocket carries no video: leave the attribute carrier or mode out.');
  const { kind, id } = subjectOf(options.token);
  if (!named.length && (kind === 'session' || kind === 'room')) options[kind] = id;
  if (options.head && options.renderer !== '3d') throw new MotionError('BAD_ATTRIBUTE', 'head is for renderer="3d".');
  return options;
}

/**
 * Events, none of which bubbles: `state` (detail: {state, text, error}), `cue` (an event of the session when it is heard), `message`
 * (what comes over the data channel "lipwire"), `error` (a MotionError).
 */
export class LipwireAvatar extends HTMLElement {
  static observedAttributes = ['src', 'token', 'session', 'room', 'agent', 'user', 'avatar', 'mode', 'carrier', 'renderer', 'head', 'label', 'muted'];

  #canvas = null;                // that is seen, or will be
  #video = make('video', { playsInline: true, disablePictureInPicture: true, hidden: true }, { part: 'video' });
  #picture = make('div', { className: 'picture' }, { part: 'picture', role: 'img' });
  #words = make('div', { className: 'words' }, { part: 'words' });
  #text = make('p', {}, { role: 'status', part: 'text' });
  #button = make('button', { type: 'button', hidden: true }, { part: 'button' });
  #action = null;                // what the button does
  #run = null;                   // what belongs to the attributes as they are: closed when they change
  #state = 'idle';
  #renew = false;

  constructor() {
    super();
    const root = this.attachShadow({ mode: 'open' });
    style(root);
    this.#picture.append(this.#video);
    this.#words.append(this.#text, this.#button);
    root.append(this.#picture, this.#words);
    this.#button.addEventListener('click', () => this.#action?.());
    this.addEventListener('click', () => { if (this.connection?.soundBlocked) this.play(); });
  }

  connectedCallback() { this.#anew(); }
  disconnectedCallback() { this.#end(); }

  attributeChangedCallback(name, before, after) {
    if (before === after || !this.isConnected) return;
    if (name === 'label') this.#label();
    else if (name === 'muted') { if (this.connection) this.connection.muted = after !== null; }
    else if (!this.#renew) {                     // several that are set together are one change
      this.#renew = true;
      queueMicrotask(() => { this.#renew = false; if (this.isConnected) this.#anew(); });
    }
  }

  /** idle (waits for a click), connecting, waiting, live, reconnecting, ended or refused. */
  get state() { return this.#state; }
  /** The Connection; null while there is none. */
  get connection() { return this.#run?.connection ?? null; }
  /** The renderer; null with video. */
  get renderer() { return this.#run?.renderer ?? null; }

  /** Plays the sound, where the browser waits for a gesture of the user's; call it from one. */
  async play() {
    const { connection } = this;
    if (!connection) return;
    await connection.play();
  }

  /** Begins the conversation that `agent` names: asks for the microphone. */
  async start() {
    const run = this.#run;
    if (!run?.options?.agent || run.begun) return;
    run.begun = true;
    await this.#attempt(run, () => this.#talk(run));
  }

  /** Ends it: the microphone is off, and the button is there again. */
  stop() { if (this.#run?.begun) this.#anew(); }

  #anew() {
    this.#end();
    const run = this.#run = { closed: false, connection: null, renderer: null, drawn: new Map(), nap: new Nap() };
    this.#label();
    this.#attempt(run, async () => {
      run.options = read(this);
      run.server = new Server(run.options.url, run.options.token);
      if (run.options.agent) await this.#offer(run);
      else await this.#watch(run);
    });
  }

  #end() {
    const run = this.#run;
    if (!run) return;
    run.closed = true;
    run.nap.wake();
    cancelAnimationFrame(run.frame);
    run.seen?.disconnect();
    this.#hangUp(run);
    run.renderer = null;
    this.#drop(run, null);
    this.#video.srcObject = null;
    this.#canvas?.remove();                      // of a renderer that was not made yet
    this.#canvas = this.#run = null;
  }

  // Nothing comes any more, and nobody is heard.
  #hangUp(run) {
    run?.connection?.close();
    this.#hush(run);
  }

  // The microphone is off.
  #hush(run) {
    for (const track of run?.tracks ?? []) track.stop();
  }

  // Whatever fails in there is said where the face would be.
  async #attempt(run, what) {
    try {
      await what();
    } catch (error) {
      if (!run.closed) this.#refuse(error);
    }
  }

  // ---- what is shown

  // The session after one that has ended.
  async #next(run, pause) {
    this.#set('ended');
    await run.nap.take(pause);                   // the server names as running what it does not have? Then not at once
    if (!run.closed) await this.#watch(run);
  }

  async #watch(run) {
    this.#set('connecting');
    const face = await this.#find(run);
    if (face) await this.#show(run, face);
  }

  // {session | room, avatar}; null where the element is gone meanwhile.
  async #find(run) {
    const { session, room, avatar, token } = run.options;
    if (room) return { room, avatar: avatar || first(await this.#answer(run, 'api/config')) };
    const hasBeen = subjectOf(token).kind === 'session';   // a token is made for one that there is
    for (let pause = WAIT_MS; !run.closed;) {
      const reply = await this.#answer(run, session ? `api/sessions/${encodeURIComponent(session)}` : 'api/sessions', session);
      if (run.closed) break;
      const found = reply?.sessions.filter(({ state }) => state !== 'ended').at(-1);   // the newest
      if (found) return { session: found.session_id, avatar: avatar || found.avatar };
      if (hasBeen) {
        this.#set('ended');
        pause = Math.min(2 * pause, ENDED_MS);
      } else {
        await this.#wait(run);
      }
      await run.nap.take(pause);
    }
    return null;
  }

  // Asks until there is an answer. null: there is no such session, or the element is gone meanwhile.
  async #answer(run, path, mayBeMissing) {
    while (!run.closed) {
      const reply = await this.#ask(run, path, mayBeMissing);
      if (reply !== undefined) return reply;
      if (run.closed) break;
      this.#set('connecting', UNREACHABLE);
      await run.nap.take(WAIT_MS);
    }
    return null;
  }

  // Who speaks here is there at rest, before anybody does.
  async #wait(run) {
    this.#set('waiting');
    if (run.renderer || run.options.mode === 'video' || run.options.renderer === '3d') return;
    const avatar = run.options.avatar || first(await this.#ask(run, 'api/config').catch(() => null));
    if (avatar && !run.closed && !run.renderer) await this.#draw(run, avatar);
  }

  // null: there is no such session yet; undefined: nobody answers.
  async #ask(run, path, mayBeMissing) {
    try {
      return await (await run.server.ask(path, {})).json();
    } catch (error) {
      if (mayBeMissing && error.status === 404) return null;
      if (error.unreachable || error.status >= 500 || error.status === 429) return undefined;
      throw error;
    }
  }

  async #show(run, { session, room, avatar, microphone }) {
    if (run.closed) return;
    const { url, token, user, mode, carrier, renderer } = run.options;
    if (mode !== 'video') await this.#draw(run, avatar);
    if (run.closed) return;
    // Where data is to be saved, nobody is sent video who has not asked for it.
    const asked = mode === 'auto' && savesData() ? 'motion' : mode;
    const before = run.connection;
    run.connection = null;                       // nothing that it still says concerns us
    before?.close();
    const connection = run.connection = connect({ url, token, session, room, user, mode: asked, carrier, sets: SETS[renderer], microphone, audio: this.#video });
    connection.muted = this.hasAttribute('muted');
    for (const type of ['cue', 'message']) connection.addEventListener(type, ({ detail }) => this.#tell(type, detail));
    connection.addEventListener('error', ({ detail }) => { if (connection.state === 'live') this.#tell('error', detail); });     // others: #followed
    connection.addEventListener('cue', ({ detail: { kind, value } }) => { if (kind === 'state' && value.startsWith('avatar:')) this.#face(run, value.slice(7)); });
    connection.addEventListener('state', () => this.#followed(run, connection));
    connection.addEventListener('media', () => this.#followed(run, connection));
    this.#followed(run, connection);
    this.#loop(run);
  }

  // Makes a renderer for this avatar, on a canvas of its own. What was drawn before is seen until it has drawn.
  async #draw(run, avatar) {
    if (run.renderer && run.avatar === avatar) return;
    const { url, token, renderer, head } = run.options;
    const canvas = this.#canvas = make('canvas', {}, { part: 'canvas' });
    this.#video.before(canvas);
    run.avatar = avatar;
    if (renderer === '3d') {
      const { Draw3D } = await import('./draw3d.js');
      if (run.closed) return;
      run.renderer = new Draw3D(canvas, { url: head ? new URL(head, document.baseURI).href : new URL('client/head.glb', url).href });
    } else {
      run.renderer = new Draw2D(canvas, { avatar, url, token, most: savesData() ? SAVED : undefined });
    }
    const mine = run.renderer;
    run.drawn.set(mine, canvas);
    mine.ready.then(() => this.#drawn(run, mine), (error) => { if (run.renderer === mine && !run.closed) this.#refuse(error); });
  }

  #drawn(run, mine) {
    if (run.closed) return;
    run.pictured = true;
    this.#drop(run, mine);
    if (run.connection) this.#followed(run, run.connection);
  }

  // All renderers but this one, unless another one is about to take its place, too.
  #drop(run, mine) {
    if (run.renderer !== mine) return;
    for (const [renderer, canvas] of run.drawn) {
      if (renderer === mine) continue;
      renderer.close();
      canvas.remove();
      run.drawn.delete(renderer);
    }
  }

  // A room shows another face.
  #face(run, avatar) {
    if (!avatar || run.options.renderer !== '2d' || run.options.avatar || !run.renderer) return;
    this.#attempt(run, () => this.#draw(run, avatar));
  }

  // Draws while the element is seen.
  #loop(run) {
    if (run.seen) return;
    let seen = true;
    run.seen = new IntersectionObserver((entries) => { seen = entries.at(-1).isIntersecting; });
    run.seen.observe(this);
    const next = () => {
      run.frame = requestAnimationFrame(next);
      if (!seen || run.connection?.mode !== 'motion') return;
      const pose = run.connection.player.pose();
      if (pose) run.renderer?.draw(pose);
    };
    next();
  }

  // ---- a conversation

  async #offer(run) {
    this.#set('connecting');
    const config = await this.#answer(run, 'api/config');
    if (run.closed) return;
    const avatar = run.face = run.options.avatar || first(config);
    if (run.options.mode !== 'video') await this.#draw(run, avatar);
    if (run.closed) return;
    this.#set('idle', '', 'Talk', () => this.start());
  }

  async #talk(run) {
    const { agent: room } = run.options;
    this.#set('connecting');
    let microphone;
    try {
      const media = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true } });
      run.tracks = media.getTracks();
      [microphone] = run.tracks;
    } catch (error) {
      run.begun = false;
      const why = navigator.mediaDevices ? `${error.message}. Allow it, and press Talk again.` : 'it gives one to pages that come over https, or from localhost.';
      throw new MotionError('NO_MICROPHONE', `The browser gives this page no microphone: ${why}`);
    }
    if (run.closed) return this.#hush(run);
    await this.#show(run, { room, avatar: run.face, microphone });
    const { connection } = run;
    try {
      const body = JSON.stringify({ channel: room, ...(run.face ? { avatar: run.face } : {}) });
      await run.server.ask('api/agents', { method: 'POST', kind: 'application/json', body, timeout: 40000 });
    } catch (error) {
      if (error.status !== 409 && run.connection === connection) throw error;     // 409: it is there already
    }
  }

  // ---- what is said about it

  #followed(run, connection) {
    if (run.closed || connection !== run.connection) return;
    const { state, soundBlocked } = connection, video = connection.mode === 'video';
    this.#video.hidden = !video;
    if (this.#canvas) this.#canvas.hidden = video && state === 'live';
    if (['ended', 'failed', 'closed'].includes(state)) this.#hush(run);
    const { session, room, agent } = run.options, newest = !(session || room || agent);
    const isGone = state === 'failed' && connection.error.status === 404;     // by a server that was started anew
    if (newest && (state === 'ended' || isGone)) {
      this.#attempt(run, () => this.#next(run, isGone ? WAIT_MS : 0));
    } else if (state === 'failed') {
      this.#refuse(connection.error);
    } else if (state === 'ended' && agent) {
      run.begun = false;
      this.#set('ended', WORDS.ended, 'Talk', () => this.start());
    } else if (state === 'reconnecting' && connection.error && !connection.media) {
      this.#set(state, connection.error.unreachable ? UNREACHABLE : `${said(connection.error)} Trying again…`);
    } else if (state === 'live' && soundBlocked) {
      this.#set('live', 'The browser plays sound after a click.', 'Play sound', () => this.play());
    } else if (state === 'live' && !video && !run.pictured) {
      this.#set('live', WORDS.loading);
    } else if (state !== 'closed') {
      this.#set(state);
    }
  }

  #refuse(error) {
    const text = said(error);
    if (!(error instanceof MotionError)) console.error(error);
    const run = this.#run;
    this.#hangUp(run);
    if (error.code === 'NO_MOTION' && run?.options?.mode === 'auto' && run.options.carrier !== 'websocket') this.#set('refused', text, 'Show the video', () => this.setAttribute('mode', 'video'), error);
    else if (error.code === 'NO_MICROPHONE') this.#set('idle', text, 'Talk', () => this.start(), error);
    else this.#set('refused', text, 'Try again', () => this.#anew(), error);
    this.#tell('error', error);
  }

  #set(state, text = WORDS[state] ?? '', button = '', action = null, error = null) {
    const before = `${this.#state}|${this.#text.textContent}`;
    this.#state = state;
    this.#action = action;
    if (this.#text.textContent !== text) this.#text.textContent = text;      // a status speaks on every write
    this.#button.textContent = button;
    this.#button.hidden = !button;
    this.#words.hidden = !text && !button;
    if (this.getAttribute('state') !== state) this.setAttribute('state', state);
    if (before !== `${state}|${text}`) this.#tell('state', { state, text, error });
  }

  #label() {
    const label = this.getAttribute('label') || this.getAttribute('aria-label') || 'Live picture of the avatar';
    this.#picture.setAttribute('aria-label', label);
  }

  #tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}

if (!customElements.get('lipwire-avatar')) customElements.define('lipwire-avatar', LipwireAvatar);
