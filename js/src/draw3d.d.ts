// Types of lipwire-client/draw3d.js; docs/client.md.

import type { Pose, Renderer } from './index.js';

export interface Draw3DOptions {
  /** A .glb with a head that has ARKit's morph targets; by default the server's own, `head.glb` beside this module. */
  url?: string | URL;
  /** In its place a head that has been loaded: the `scene` of what GLTFLoader gives. */
  model?: object;
  /** three.js, where the page has no import map for "three". */
  THREE?: object;
  /** Its loader, where the page has none for "three/addons/". */
  GLTFLoader?: new () => { loadAsync(url: string): Promise<{ scene: object }> };
  /** A CSS colour; transparent by default. */
  background?: string;
  /** false: the head throws no shadows, which saves some work. */
  shadows?: boolean;
}

/** ARKit's name for a morph target, however a program spells it, in small letters: what two spellings have in common. */
export function arkitName(name: string): string;

/** A 3D head with ARKit's morph targets, drawn with the page's own three.js. Wants the sets `arkit` and `head`. */
export class Draw3D implements Renderer {
  /** On a canvas; or in a scene (a THREE.Object3D) of the page's own, which the page draws itself. */
  constructor(target: HTMLCanvasElement | OffscreenCanvas | object, options?: Draw3DOptions);
  /**
   * Settled when the head has been loaded. Rejects with a MotionError: NO_THREE, NO_WEBGL; BAD_HEAD where it cannot be loaded, or
   * has no such targets.
   */
  readonly ready: Promise<this>;
  /** ARKit's names that the head has no target for. */
  readonly missing: string[];
  /** What was loaded; null until then. */
  readonly model: object | null;
  /** A pose of a Player; null = the face at rest. Nothing happens before `ready`. */
  draw(pose: Pose | null): void;
  /** Fits the picture to the canvas's place on the page; a canvas of a page is watched, and needs no call. */
  resize(): void;
  /** Gives back what the graphics card holds. */
  close(): void;
}
