// Types of lipwire-client/draw2d.js; docs/client.md.

import type { MotionError, Pose, Renderer } from './index.js';

export interface Size { width: number; height: number }
/** Of a layer: number of the image in its bank, x and y of its corner in eighths of a pixel, 65536ths of a turn. */
export type Place = [image: number, x8: number, y8: number, angle: number];

/** In whole even pixels, within what a server makes artwork for, for a picture that covers a box. */
export function artworkSize(width: number, height: number, aspect?: number, longest?: number): Size;

/** What GET /avatars/NAME.json answers: docs/avatars.md, "In a browser". */
export interface Manifest extends Size {
  format: 1;
  name: string;
  /** How it lies in a place of another shape, as CSS's `object-fit`, and what is beside it. */
  fit: 'cover' | 'contain' | 'fill';
  matte: string;
  axes: string[];
  visemes: string[];
  rest: { [axis: string]: number };
  background: string;
  sheets: string[];
  layers: Layer[];
  head: { first: number; count: number; anchor: number; x: number; y: number; w: number; h: number } | null;
  mouth: { images: number[][]; visemes: number[][] };
}
export interface Layer {
  name: string;
  select: string;
  x8: number; y8: number; pivot_x8: number; pivot_y8: number;
  kx8: { [axis: string]: number }; ky8: { [axis: string]: number }; kangle: { [axis: string]: number };
  images: ([sheet: number, x: number, y: number, w: number, h: number, dx: number, dy: number] | null)[];
}
export interface Made { manifest: Manifest; images: ImageBitmap[] }

/**
 * An avatar's artwork for pictures of this size, in the size that the server has for it. `server` is a Server of requests.js; null
 * where it is what `had` tells of. Rejects with a MotionError.
 */
export function loadArtwork(server: object, options: Size & { avatar: string; signal?: AbortSignal; had?: undefined }): Promise<Made>;
export function loadArtwork(server: object, options: Size & { avatar: string; signal?: AbortSignal; had?: Manifest }): Promise<Made | null>;

/** Artwork on a canvas, which gets its size. */
export class Artwork {
  constructor(canvas: HTMLCanvasElement, made: Made);
  readonly manifest: Manifest;
  /** Of the last picture. */
  readonly places: Place[];
  /** A pose with the set `pose`; null = the face at rest. Returns whether the picture changed. */
  draw(pose: Pose | null): boolean;
  close(): void;
}

export interface Draw2DOptions {
  /** The avatar's name. */
  avatar: string;
  /** Where the server's pages are; by default where this module came from. */
  url?: string | URL;
  token?: string;
  /** width / height of the picture; the canvas's own by default. */
  aspect?: number;
  /** That artwork is asked for, whatever the canvas has. */
  size?: Size;
  /** Pixels that the longer side is asked for at most. */
  most?: number;
}

/** Draws poses with the server's artwork, at the size that the canvas has in pixels of the display. */
export class Draw2D implements Renderer {
  constructor(canvas: HTMLCanvasElement, options: Draw2DOptions);
  /** The first picture is there; rejects with a MotionError where there will be none. */
  readonly ready: Promise<void>;
  readonly size: Size | null;
  readonly places: Place[] | null;
  /** Throws MotionError (NO_MOTION) for a pose without the set `pose`. */
  draw(pose: Pose | null): boolean;
  close(): void;
}
export type { MotionError };
