// A canvas that knows what it shows: painting draws anew the rectangle around what differs, and no more.

// Something that is drawn: pixels (sx, sy) to (sx + w, sy + h) of `source`, whose corner lies at (x, y), and which are turned
// clockwise by `angle` 65536ths of a turn about (px, py). `version` differs where the source shows something else.
export const item = (source, sx, sy, w, h, x, y, angle = 0, px = 0, py = 0, version = 0) => ({ source, sx, sy, w, h, x, y, angle, px, py, version });

const same = (a, b) => a === b || (a !== null && b !== null && a.source === b.source && a.sx === b.sx && a.sy === b.sy && a.x === b.x && a.y === b.y
  && a.angle === b.angle && a.px === b.px && a.py === b.py && a.version === b.version);

// As setTransform takes it; (0, 0) of it is the corner.
function matrix({ x, y, angle, px, py }) {
  const turn = angle * 2 * Math.PI / 65536, c = Math.cos(turn), s = Math.sin(turn);
  const ox = px - x, oy = py - y;
  return [c, s, -s, c, px - c * ox + s * oy, py - s * ox - c * oy];
}

// [left, top, right, bottom] of the pixels that it may touch.
function box(it) {
  if (!it.angle) return [Math.floor(it.x), Math.floor(it.y), Math.ceil(it.x + it.w), Math.ceil(it.y + it.h)];
  const [a, b, c, d, e, f] = matrix(it);
  const xs = [e, e + a * it.w, e + c * it.h, e + a * it.w + c * it.h], ys = [f, f + b * it.w, f + d * it.h, f + b * it.w + d * it.h];
  return [Math.floor(Math.min(...xs)) - 1, Math.floor(Math.min(...ys)) - 1, Math.ceil(Math.max(...xs)) + 1, Math.ceil(Math.max(...ys)) + 1];
}

export class Surface {
  #context; #under; #shown = null;

  // `under` lies below everything, of the canvas's size; null = nothing does.
  constructor(canvas, under = null) {
    this.canvas = canvas;
    this.#under = under;
    this.#context = canvas.getContext('2d', { alpha: under === null });
    this.#context.imageSmoothingEnabled = true;
    this.#context.imageSmoothingQuality = 'low';   // bilinear: nothing is scaled here
    this.version = 0;            // grows with each painting
  }

  // Shows these, bottom to top; null = nothing in that place. Returns whether anything differed.
  paint(items) {
    const dirty = this.#differing(items);
    this.#shown = items;
    if (!dirty) return false;
    this.version++;
    const context = this.#context, [left, top, right, bottom] = dirty, w = right - left, h = bottom - top;
    context.save();
    context.beginPath();
    context.rect(left, top, w, h);
    context.clip();
    if (this.#under) context.drawImage(this.#under, left, top, w, h, left, top, w, h);
    else context.clearRect(left, top, w, h);
    for (const it of items) {
      if (!it) continue;
      const [x0, y0, x1, y1] = box(it);
      if (x0 >= right || x1 <= left || y0 >= bottom || y1 <= top) continue;
      if (it.angle) {
        context.setTransform(...matrix(it));
        context.drawImage(it.source, it.sx, it.sy, it.w, it.h, 0, 0, it.w, it.h);
        context.setTransform(1, 0, 0, 1, 0, 0);
      } else {
        context.drawImage(it.source, it.sx, it.sy, it.w, it.h, it.x, it.y, it.w, it.h);
      }
    }
    context.restore();
    return true;
  }

  // The rectangle around what differs, within the canvas; null = nothing does.
  #differing(items) {
    const { width, height } = this.canvas, shown = this.#shown;
    if (shown?.length !== items.length) return [0, 0, width, height];
    let left = width, top = height, right = 0, bottom = 0;
    for (let i = 0; i < items.length; i++) {
      if (same(items[i], shown[i])) continue;
      for (const it of [items[i], shown[i]]) {
        if (!it) continue;
        const [x0, y0, x1, y1] = box(it);
        left = Math.min(left, x0); top = Math.min(top, y0); right = Math.max(right, x1); bottom = Math.max(bottom, y1);
      }
    }
    left = Math.max(0, left); top = Math.max(0, top); right = Math.min(width, right); bottom = Math.min(height, bottom);
    return left < right && top < bottom ? [left, top, right, bottom] : null;
  }
}
