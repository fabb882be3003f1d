// What a pose shows of an avatar, and where: the rules of csrc/compose.c, head.c and avatar.c in the same whole numbers, so that
// the same images are chosen as by the server. Doubles hold every sum here exactly: they stay below 2 ** 53.

const ONE = 32767;               // a pose's 1, as the engine has it (Q15)
const FARTHEST = 8 * 65536;      // eighths of a pixel; what is clamped lies far outside any picture

export const q15 = (value) => Math.max(-ONE, Math.min(ONE, Math.round(value * ONE)));

export class Rig {
  #layers; #head; #mouth; #axes; #visemes; #rest; #fallback;
  #names = null; #from = [];

  // `manifest`: what GET /avatars/NAME.json answers.
  constructor(manifest) {
    const { axes, visemes, layers, head, mouth, rest } = manifest;
    this.#axes = axes;
    this.#visemes = visemes;
    const row = (gains) => axes.map((axis) => gains[axis] ?? 0);
    this.#layers = layers.map((layer) => ({
      ...layer, axis: axes.indexOf(layer.select), kx8: row(layer.kx8), ky8: row(layer.ky8), kangle: row(layer.kangle),
    }));
    this.#head = head;
    if (head) {
      const anchor = this.#layers[head.anchor];
      for (const layer of this.#layers.slice(head.first, head.first + head.count)) {
        layer.beside = {
          x8: layer.x8 - anchor.x8, y8: layer.y8 - anchor.y8,
          kx8: layer.kx8.map((gain, i) => gain - anchor.kx8[i]), ky8: layer.ky8.map((gain, i) => gain - anchor.ky8[i]),
        };
      }
    }
    this.#mouth = mouth;
    this.#rest = new Map([...axes.map((name) => [name, rest[name] ?? 0]), ...visemes.map((name) => [name, 0])]);
    this.#fallback = [...this.#rest.values()];
  }

  get layers() { return this.#layers; }
  get head() { return this.#head; }

  // Of each layer [number of the image in its bank, x, y of its corner in eighths of a pixel, 65536ths of a turn]. `pose`: what a
  // Player gives, with the set `pose`; null = the face at rest.
  place(pose) {
    const values = this.#read(pose), anchor = this.#head && this.#layers[this.#head.anchor];
    const x8 = anchor ? place(anchor.x8, anchor.kx8, values) : 0, y8 = anchor ? place(anchor.y8, anchor.ky8, values) : 0;
    return this.#layers.map((layer) => {
      const { beside } = layer;
      return [
        this.#pick(layer, values),
        beside ? x8 + beside.x8 + along(beside.kx8, values) : place(layer.x8, layer.kx8, values),
        beside ? y8 + beside.y8 + along(beside.ky8, values) : place(layer.y8, layer.ky8, values),
        along(layer.kangle, values) & 65535,
      ];
    });
  }

  // The axes and then the visemes, in Q15. What the pose does not name rests.
  #read(pose) {
    const set = pose?.sets?.pose;
    if (!set) return this.#fallback;
    if (this.#names !== pose.names.pose) {
      this.#names = pose.names.pose;
      const at = new Map(this.#names.map((name, i) => [name, i]));
      this.#from = [...this.#rest].map(([name, rest]) => [at.get(name) ?? -1, rest]);
    }
    return this.#from.map(([i, rest]) => (i < 0 ? rest : q15(set[i])));
  }

  #pick(layer, values) {
    if (layer.select === 'mouth') return this.#nearestMouth(values);
    if (layer.axis < 0) return 0;
    const value = Math.max(0, values[layer.axis]);
    return Math.floor((value * (layer.images.length - 1) + 16384) / 32768);
  }

  // The image whose coordinates are nearest to those of the visemes, what is missing to their sum of 1 being rest.
  #nearestMouth(values) {
    const { images, visemes } = this.#mouth, weights = values.slice(this.#axes.length);
    weights[0] += Math.max(0, ONE - weights.reduce((sum, weight) => sum + weight, 0));
    const point = visemes[0].map((_, d) => Math.floor(visemes.reduce((sum, row, i) => sum + weights[i] * row[d], 0) / 32768));
    let best = 0, least = Infinity;
    for (let i = 0; i < images.length; i++) {
      let distance = 0;
      for (let d = 0; d < point.length; d++) distance += (point[d] - images[i][d]) ** 2;
      if (distance < least) { best = i; least = distance; }
    }
    return best;
  }
}

function along(gains, values) {
  let sum = 16384;
  for (let i = 0; i < gains.length; i++) sum += gains[i] * values[i];
  return Math.floor(sum / 32768);
}

const place = (at8, gains, values) => Math.max(-FARTHEST, Math.min(FARTHEST, at8 + along(gains, values)));
