// Draws a pose with the server's own artwork on a canvas: the same layers, chosen, placed and turned by the same rules.

import { MotionError } from './errors.js';
import { Server } from './requests.js';
import { Rig } from './rig.js';
import { Surface, item } from './surface.js';

// What a server makes artwork for, at most: pixels a side, and in all.
const MAX_SIDE = 2560, MAX_PIXELS = 2560 * 1600, MIN_SIDE = 16;
const FORMAT = 1;
const SETTLED_MS = 250;        // a canvas that is being resized is asked for when it stands still
const AGAIN_MS = [1000, 2000, 4000, 8000];

/**
 * The size, in whole even pixels, that artwork should have for a picture that covers a box of width x height pixels, within what a
 * server makes.
 *
 * @param {number} [aspect] width / height of the picture, where that is not the box's own
 * @param {number} [longest] pixels that its longer side has at most
 */
export function artworkSize(width, height, aspect = width / height, longest = MAX_SIDE) {
  const across = Math.max(width, height * aspect), tall = across / aspect;
  const part = Math.min(1, Math.min(longest, MAX_SIDE) / Math.max(across, tall), Math.sqrt(MAX_PIXELS / (across * tall)));
  const even = (side) => Math.max(MIN_SIDE, part < 1 ? 2 * Math.floor(side * part / 2 + 1e-6) : 2 * Math.round(side / 2));
  return { width: even(across), height: even(tall) };
}

/** An avatar's artwork of one size, drawn on a canvas of that size. */
export class Artwork {
  #rig; #frame; #images; #sheets; #head = null; #pieces;

  /** The canvas gets the artwork's size. `images`: what the manifest's background and sheets show, in this order. */
  constructor(canvas, { manifest, images }) {
    const [background, ...sheets] = images;
    Object.assign(canvas, { width: manifest.width, height: manifest.height });
    if (manifest.fit !== 'cover' && canvas.style) Object.assign(canvas.style, { objectFit: manifest.fit, backgroundColor: manifest.matte });
    this.manifest = manifest;
    this.#rig = new Rig(manifest);
    this.#images = images;
    this.#sheets = sheets;
    this.#frame = new Surface(canvas, background);
    this.#pieces = manifest.layers.map((layer) => layer.images);
  }

  /** Returns whether anything changed. */
  draw(pose) {
    const places = this.#rig.place(pose), { head } = this.#rig;
    this.places = places;
    if (!head || !places[head.anchor][3]) return this.#frame.paint(places.map((place, i) => this.#piece(i, place)));
    const items = [];
    for (let i = 0; i < places.length; i++) {
      if (i < head.first || i >= head.first + head.count) items.push(this.#piece(i, places[i]));
      else if (i === head.first) items.push(this.#turned(head, places));
    }
    return this.#frame.paint(items);
  }

  // Of a layer alone.
  #piece(i, [pick, x8, y8, angle]) {
    const piece = this.#pieces[i][pick];
    if (!piece) return null;
    const [sheet, sx, sy, w, h, dx, dy] = piece, { pivot_x8, pivot_y8 } = this.#rig.layers[i];
    return item(this.#sheets[sheet], sx, sy, w, h, x8 / 8 + dx, y8 / 8 + dy, angle, (x8 + pivot_x8) / 8, (y8 + pivot_y8) / 8);
  }

  // The head that tilts: composed upright, on the pixels of the layer that the others lie on, and then turned as one.
  #turned(head, places) {
    const [, x8, y8, angle] = places[head.anchor], { pivot_x8, pivot_y8 } = this.#rig.layers[head.anchor];
    this.#head ??= new Surface(Object.assign(document.createElement('canvas'), { width: head.w, height: head.h }));
    const items = [];
    for (let i = head.first; i < head.first + head.count; i++) {
      const [pick, x, y] = places[i];
      items.push(this.#piece(i, [pick, x - x8 - 8 * head.x, y - y8 - 8 * head.y, 0]));
    }
    this.#head.paint(items);
    const { canvas, version } = this.#head;
    return item(canvas, 0, 0, head.w, head.h, x8 / 8 + head.x, y8 / 8 + head.y, angle, (x8 + pivot_x8) / 8, (y8 + pivot_y8) / 8, version);
  }

  close() {
    for (const image of this.#images) image.close();
  }
}

// Not by Server.ask, which keeps nothing: artwork stays in the browser's cache.
async function get(server, address, signal) {
  const reply = await fetch(address, { headers: server.headers(), signal });
  if (reply.ok) return reply;
  const { message, code } = await reply.json().catch(() => ({}));
  const again = Number(reply.headers.get('retry-after')) * 1000;
  throw new MotionError(code ?? 'REFUSED', message || `The server answered ${reply.status}.`, { status: reply.status, again });
}

// Straight from the file: no profile changes a colour, and edges are as the server blends them.
async function decode(blob) {
  try {
    return await createImageBitmap(blob, { premultiplyAlpha: 'premultiply', colorSpaceConversion: 'none' });
  } catch {
    return createImageBitmap(blob);
  }
}

/**
 * {manifest, images}: an avatar's artwork for pictures of width x height pixels. The server has it in a few sizes: the manifest says
 * which this is. `had`: a manifest; null where it is that one. `server`: a Server. Throws MotionError.
 */
export async function loadArtwork(server, { avatar, width, height, signal, had }) {
  const place = server.address(`avatars/${encodeURIComponent(avatar)}.json?size=${width}x${height}`);
  const manifest = await (await get(server, place, signal)).json();
  if (manifest.format !== FORMAT) throw new MotionError('BAD_DATA', `The server's artwork has format ${manifest.format}, and this client reads ${FORMAT}: take the client from that server.`, { status: 0 });
  if (had && JSON.stringify(manifest) === JSON.stringify(had)) return null;
  const sources = [manifest.background, ...manifest.sheets];
  const images = await Promise.all(sources.map(async (source) => decode(await (await get(server, new URL(source, place), signal)).blob())));
  signal?.throwIfAborted();
  return { manifest, images };
}

/**
 * A renderer: draws poses on a canvas at the canvas's real size, in pixels of the display, and asks for other artwork where that
 * changes. `ready` resolves with the first picture, or rejects where there will be none.
 */
export class Draw2D {
  #canvas; #options; #server; #art = null; #pose = null; #loading = null; #watch; #settle = 0; #size = null; #onready; #onfailed;

  /**
   * @param {HTMLCanvasElement} canvas laid out by the page; it should have `object-fit: cover`
   * @param {object} options
   * @param {string} options.avatar its name
   * @param {string | URL} [options.url] where the server's pages are; by default where this module came from
   * @param {string} [options.token]
   * @param {number} [options.aspect] width / height of the picture; the canvas's own by default
   * @param {{width: number, height: number}} [options.size] that artwork is asked for, whatever the canvas has
   * @param {number} [options.most] pixels that the longer side is asked for at most: less to load
   */
  constructor(canvas, { avatar, url = new URL('../', import.meta.url), token = '', aspect, size, most = Infinity }) {
    this.#canvas = canvas;
    this.#options = { avatar, aspect, most };
    this.#server = new Server(url, token);
    this.ready = new Promise((resolve, reject) => { this.#onready = resolve; this.#onfailed = reject; });
    this.ready.catch(() => {});                  // who does not ask is not told
    if (size) {
      this.#load(size);
    } else {
      this.#watch = new ResizeObserver(([entry]) => this.#resized(entry));
      try {
        this.#watch.observe(canvas, { box: 'device-pixel-content-box' });   // is told of another display's density, too
      } catch {
        this.#watch.observe(canvas);
      }
    }
  }

  /** {width, height} of what is drawn, null before the first picture. */
  get size() { return this.#art && { width: this.#art.manifest.width, height: this.#art.manifest.height }; }

  /** Of each layer [image, x8, y8, angle], as the last picture has it; null before. */
  get places() { return this.#art?.places ?? null; }

  /** Draws a pose with the set `pose`; null = the face at rest. Returns whether the picture changed. */
  draw(pose) {
    if (pose && !pose.sets.pose) throw new MotionError('NO_MOTION', "Draw2D draws the set 'pose': ask for it, connect({sets: ['pose']}).");
    this.#pose = pose;
    return this.#art?.draw(pose) ?? false;
  }

  close() {
    this.#watch?.disconnect();
    clearTimeout(this.#settle);
    this.#loading?.abort();
    this.#art?.close();
    this.#art = null;
  }

  #resized(entry) {
    clearTimeout(this.#settle);
    const { clientWidth, clientHeight } = this.#canvas, density = window.devicePixelRatio || 1;
    const [exact] = entry.devicePixelContentBoxSize ?? [];
    // The exact one knows on which pixel it begins; where a density is only emulated it does not know that.
    const side = (about, told) => (Math.abs(told - about) < 2 ? told : about);
    const width = side(clientWidth * density, exact?.inlineSize), height = side(clientHeight * density, exact?.blockSize);
    if (!(width >= 1 && height >= 1)) return;    // not shown: when it is, we are told
    const { aspect, most } = this.#options, wanted = artworkSize(width, height, aspect, most);
    this.#settle = setTimeout(() => this.#load(wanted), this.#size ? SETTLED_MS : 0);
  }

  async #load(size) {
    if (this.#size?.width === size.width && this.#size.height === size.height) return;
    this.#size = size;
    this.#loading?.abort();
    const { signal } = this.#loading = new AbortController();
    for (let tries = 0; !signal.aborted; tries++) {
      try {
        const made = await loadArtwork(this.#server, { avatar: this.#options.avatar, ...size, signal, had: this.#art?.manifest });
        if (made) this.#show(made);
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (!passes(error)) {
          this.#onfailed(error);
          return;
        }
        const pause = error.again || AGAIN_MS[Math.min(tries, AGAIN_MS.length - 1)];
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  }

  #show(made) {
    this.#art?.close();
    this.#art = new Artwork(this.#canvas, made);
    this.#art.draw(this.#pose);                  // at once: a canvas of another size is empty
    this.#onready();
  }
}

// Whether trying again may help: fetch throws a TypeError where nothing answers.
const passes = (error) => (error instanceof MotionError ? error.status >= 500 || error.status === 429 : error instanceof TypeError);
