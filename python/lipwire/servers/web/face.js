// The still picture of the stage: an avatar at rest, as the server draws it, or the last picture of a line that was lost.

import { picture } from './server.js';

export class Still {
  #canvas;
  #asked = '';                 // name and shape of what is shown, or on its way
  #kept = false;               // it is the last picture of a video

  constructor(canvas) { this.#canvas = canvas; }

  get there() { return this.#canvas.classList.contains('there'); }

  // The avatar of that name; '' = none. What is there already is not asked for again.
  async show(name, headers = {}) {
    const { clientWidth, clientHeight } = this.#canvas.parentElement;
    const shape = clientHeight > clientWidth ? 'tall' : 'wide', wanted = name && `${name} ${shape}`;
    if (wanted === this.#asked && !this.#kept) return;
    this.#asked = wanted;
    if (!name) { this.clear(); return; }
    try {
      const drawn = await createImageBitmap(await picture(`api/faces/${encodeURIComponent(name)}?shape=${shape}`, headers));
      if (this.#asked !== wanted) return;
      this.#draw(drawn, drawn.width, drawn.height);
      this.#kept = false;
    } catch {                                    // no such picture: the page is usable without
      if (this.#asked === wanted) this.#asked = '';
    }
  }

  // What a video or a canvas shows now. A browser shows black once a video's tracks have ended.
  keep(source) {
    const { videoWidth: width = source.width, videoHeight: height = source.height, readyState = 4 } = source;
    if (!width || readyState < 2) return;
    this.#draw(source, width, height);
    this.#kept = true;
  }

  clear() {
    this.#asked = '';
    this.#kept = false;
    this.#canvas.classList.remove('there');
  }

  #draw(source, width, height) {
    Object.assign(this.#canvas, { width, height });
    this.#canvas.getContext('2d').drawImage(source, 0, 0, width, height);
    this.#canvas.classList.add('there');
  }
}

// Pixels that a picture on this element should have: 1280x720, or half of that where its size and the density of the screen
// can show no more; upright on a stage that is.
const STEPS = [640, 1280];
export function pictureSize(element) {
  const { clientWidth, clientHeight } = element, density = window.devicePixelRatio || 1;
  const tall = clientHeight > clientWidth;
  const needed = density * Math.max(clientWidth, clientHeight, (16 / 9) * Math.min(clientWidth, clientHeight));
  const long = STEPS.find((step) => step >= needed) ?? STEPS.at(-1), short = long * 9 / 16;
  return tall ? { width: short, height: long } : { width: long, height: short };
}
