// Drives a 3D head with ARKit's morph targets by poses, with three.js, which the page brings along: as an argument, or by
// its import map ("three" and "three/addons/"). docs/client.md.

import { MotionError } from './errors.js';

/**
 * A morph target's name as all programs' spellings have it in common: `jawOpen`, `JawOpen`, `jaw_open` and
 * `blendShape1.jawOpen` are one, `eyeBlinkLeft` and `eyeBlink_L` another. lipwire/motion/glb.py has the same.
 */
export function arkitName(name) {
  const last = name.slice(name.lastIndexOf('.') + 1);
  const whole = last.replace(/(?:[_\s-]([LR])|(?<=[a-z])([LR])|[_\s-]([lr]))$/, (end) => (/l$/i.test(end) ? 'Left' : 'Right'));
  return whole.toLowerCase().replace(/[^a-z0-9]/g, '');
}

// GLTFLoader takes dots and colons out of names: "mixamorig:Head" is "mixamorigHead" by then.
const NODES = {
  head: /(^|[:_.\s|-]|mixamorig\d*)head$/i,
  leftEye: /(^|[:_.\s|-]|mixamorig\d*)(left_?eye|eye_?left|eye_?l|l_?eye)$/i,
  rightEye: /(^|[:_.\s|-]|mixamorig\d*)(right_?eye|eye_?right|eye_?r|r_?eye)$/i,
};
const LOOK = { up: 0.42, down: 0.45, aside: 0.52 }; // radians of an eye that looks as far as it can

/**
 * A head on a canvas, or in a scene of the page's own.
 *
 * `draw(pose)` takes what a Player gives: the sets "arkit" and "head". Until the head has been loaded it does nothing;
 * `ready` says when, or why not.
 */
export class Draw3D {
  /**
   * @param target a canvas, which is drawn on, or a THREE.Object3D, which the head is added to and the page draws itself.
   * @param options `url` of a .glb (default: the server's own head); or `model`, a loaded glTF's scene; `THREE` and
   *   `GLTFLoader` where there is no import map; `background`: a CSS colour, else transparent; `shadows`: false for none.
   */
  constructor(target, options = {}) {
    this.options = options;
    this.model = null;
    this.missing = [];
    this._names = null;
    this._drives = new Map(); // arkit name -> [influences, index] of every mesh that has it
    this._closed = false;
    this.ready = this._open(target);
    this.ready.catch(() => {}); // whoever waits for it hears of it
  }

  async _open(target) {
    const THREE = this.options.THREE ?? (await brought(() => import('three')));
    this.THREE = THREE;
    const model = this.options.model ?? (await this._load());
    if (this._closed) return this;
    this.model = model;
    this._find(model);
    if (!this._drives.size) {
      throw new MotionError('BAD_HEAD', `This head has no morph target of ARKit's names (jawOpen, eyeBlinkLeft, ...); it has: ${this._others.slice(0, 8).join(', ') || 'none'}`);
    }
    if (target.isObject3D) target.add(model);
    else this._stage(target);
    return this;
  }

  async _load() {
    const Loader = this.options.GLTFLoader ?? (await brought(() => import('three/addons/loaders/GLTFLoader.js'))).GLTFLoader;
    const url = String(this.options.url ?? new URL('head.glb', import.meta.url));
    try {
      return (await new Loader().loadAsync(url)).scene;
    } catch (error) {
      throw new MotionError('BAD_HEAD', `The head ${url} cannot be loaded, as a .glb that this page may read: ${error.message}`, { cause: error });
    }
  }

  // ---- what there is to move -----------------------------------------------------------------------------------------

  _find(model) {
    this._others = [];
    this._nodes = {};
    model.updateMatrixWorld(true);
    model.traverse((node) => {
      if (node.morphTargetDictionary) node.frustumCulled = false; // what moves can be where its box is not
      for (const [name, index] of Object.entries(node.morphTargetDictionary ?? {})) {
        const key = arkitName(name);
        const drives = this._drives.get(key) ?? [];
        drives.push([node.morphTargetInfluences, index]);
        this._drives.set(key, drives);
        this._others.push(name);
      }
    });
    for (const [part, pattern] of Object.entries(NODES)) {
      const found = [];
      model.traverse((node) => pattern.test(node.name) && found.push(node));
      const node = found.find(({ isBone }) => isBone) ?? found.find(({ isMesh }) => !isMesh) ?? found[0];
      if (node) this._nodes[part] = this._joint(node);
    }
    for (const key of this._drives.keys()) if (!KNOWN.has(key)) this._drives.delete(key);
    this.missing = [...KNOWN].filter(([key]) => !this._drives.has(key)).map(([, name]) => name);
    for (const side of ['leftEye', 'rightEye']) {
      // Eyes that have morph targets of their own for it are not turned as well.
      this._nodes[side]?.node.traverse((node) => {
        if (Object.keys(node.morphTargetDictionary ?? {}).some((name) => arkitName(name).startsWith('eyelook'))) this._nodes[side].morphs = true;
      });
    }
    if (!this._nodes.head) this._nodes.head = this._joint(model);
  }

  /** A node, and what turns an axis of the model into one of its own. */
  _joint(node) {
    const { Quaternion } = this.THREE;
    const above = node.parent ? node.parent.getWorldQuaternion(new Quaternion()) : new Quaternion();
    return { node, rest: node.quaternion.clone(), above, back: above.clone().invert(), turn: new Quaternion() };
  }

  _turn(joint, pitch, yaw, roll) {
    if (!joint) return;
    const { Euler } = this.THREE;
    this._euler ??= new Euler();
    joint.turn.setFromEuler(this._euler.set(pitch, yaw, roll, 'YXZ'));
    joint.node.quaternion.copy(joint.back).multiply(joint.turn).multiply(joint.above).multiply(joint.rest);
  }

  // ---- each picture --------------------------------------------------------------------------------------------------

  /** Shows a pose; null = the face at rest. */
  draw(pose) {
    if (!this.model) return;
    if (pose) this._move(pose);
    else this._rest();
    this._render();
  }

  _render() {
    if (this.renderer) this.renderer.render(this.scene, this.camera);
  }

  _rest() {
    for (const drives of this._drives.values()) for (const [influences, index] of drives) influences[index] = 0;
    for (const joint of Object.values(this._nodes)) this._turn(joint, 0, 0, 0);
  }

  _move(pose) {
    const { arkit, head } = pose.sets;
    if (arkit) {
      const names = pose.names.arkit;
      if (this._names !== names) {
        this._names = names;
        this._keys = names.map(arkitName);
      }
      this._keys.forEach((key, channel) => {
        for (const [influences, index] of this._drives.get(key) ?? []) influences[index] = arkit[channel];
      });
    }
    const of = (set, name) => (pose.sets[set] ? (pose.sets[set][pose.names[set].indexOf(name)] ?? 0) : 0);
    if (head) this._turn(this._nodes.head, of('head', 'headPitch'), of('head', 'headYaw'), of('head', 'headRoll'));
    for (const [side, Side, sign] of [['left', 'Left', 1], ['right', 'Right', -1]]) {
      const eye = this._nodes[`${side}Eye`];
      if (!eye) continue;
      const look = eye.morphs ? () => 0 : (way) => of('arkit', `eyeLook${way}${Side}`);
      this._turn(eye, look('Down') * LOOK.down - look('Up') * LOOK.up, sign * (look('Out') - look('In')) * LOOK.aside, of('head', `${side}EyeRoll`));
    }
  }

  // ---- a stage of our own --------------------------------------------------------------------------------------------

  _stage(canvas) {
    const { THREE, options } = this;
    const renderer = webgl(THREE, { canvas, antialias: true, alpha: !options.background });
    this.renderer = renderer;
    renderer.toneMapping = THREE.NeutralToneMapping;
    const scene = (this.scene = new THREE.Scene());
    if (options.background) scene.background = new THREE.Color(options.background);
    scene.add(this.model);
    this._light(THREE, renderer, scene);
    this.camera = new THREE.PerspectiveCamera(22, 1, 0.01, 100);
    this._box = this._frame(THREE);
    this._canvas = canvas;
    if (canvas.isConnected !== undefined) {
      this._watch = new ResizeObserver(() => this.resize());
      this._watch.observe(canvas);
    }
    this.resize();
  }

  /** A soft box for what shines, a key light from the upper left with shadows, a rim from behind. */
  _light(THREE, renderer, scene) {
    const room = new THREE.Scene();
    const shell = new THREE.SphereGeometry(10, 32, 16);
    room.add(new THREE.Mesh(shell, new THREE.MeshBasicMaterial({ color: new THREE.Color(0.62, 0.60, 0.60), side: THREE.BackSide })));
    const panel = (w, h, strength, x, y, z) => {
      const light = new THREE.Color(strength, strength * 0.97, strength * 0.93);
      const mesh = new THREE.Mesh(new THREE.PlaneGeometry(w, h), new THREE.MeshBasicMaterial({ color: light, side: THREE.DoubleSide }));
      mesh.position.set(x, y, z);
      mesh.lookAt(0, 0, 0);
      room.add(mesh);
    };
    panel(4, 4, 7, -4, 4.5, 5);
    panel(3, 5, 2.2, 6, 1, 3);
    panel(8, 3, 1.2, 0, 6, -4);
    panel(10, 10, 0.35, 0, -6, 0);
    const maker = new THREE.PMREMGenerator(renderer);
    this._around = maker.fromScene(room, 0.02);
    maker.dispose();
    scene.environment = this._around.texture;
    scene.environmentIntensity = 0.62;
    const key = new THREE.DirectionalLight(0xfff1e4, 1.75);
    const rim = new THREE.DirectionalLight(0xdfe9ff, 0.45);
    this._lights = { key, rim };
    scene.add(key, key.target, rim, rim.target);
    if (this.options.shadows !== false) {
      renderer.shadowMap.enabled = true;
      renderer.shadowMap.type = THREE.PCFShadowMap;
      key.castShadow = true;
      key.shadow.mapSize.set(1024, 1024);
      key.shadow.radius = 4;
      this.model.traverse((node) => {
        if (!node.isMesh) return;
        node.castShadow = ![node.material].flat().every(({ transparent }) => transparent);
        node.receiveShadow = true;
      });
    }
  }

  /** The box of what is looked at: the meshes with a jaw that opens, else all. */
  _frame(THREE) {
    const box = new THREE.Box3();
    this.model.traverse((node) => {
      if (Object.keys(node.morphTargetDictionary ?? {}).some((name) => arkitName(name) === 'mouthsmileleft')) box.expandByObject(node);
    });
    if (box.isEmpty()) box.setFromObject(this.model);
    const size = box.getSize(new THREE.Vector3()).length();
    const middle = box.getCenter(new THREE.Vector3());
    const { key, rim } = this._lights;
    key.position.copy(middle).add(new THREE.Vector3(-0.55, 0.75, 1.15).multiplyScalar(size));
    rim.position.copy(middle).add(new THREE.Vector3(0.9, 0.8, -1.1).multiplyScalar(size));
    for (const light of [key, rim]) light.target.position.copy(middle);
    const shade = key.shadow;
    Object.assign(shade.camera, { left: -size * 0.7, right: size * 0.7, top: size * 0.7, bottom: -size * 0.7, near: size * 0.2, far: size * 3.5 });
    shade.camera.updateProjectionMatrix();
    shade.normalBias = size * 0.008;
    shade.bias = -0.001;
    return box;
  }

  /** Fits the picture to the canvas's place on the page. Called where that changes. */
  resize() {
    const { THREE, camera, renderer } = this;
    if (!renderer) return;
    const width = this._canvas.clientWidth || this._canvas.width;
    const height = this._canvas.clientHeight || this._canvas.height;
    renderer.setPixelRatio(Math.min(globalThis.devicePixelRatio || 1, 2));
    renderer.setSize(width, height, false);
    const size = this._box.getSize(new THREE.Vector3());
    const middle = this._box.getCenter(new THREE.Vector3());
    const half = Math.tan((camera.fov * Math.PI) / 360);
    camera.aspect = width / height;
    const far = Math.max((size.y * 1.06) / 2 / half, (size.x * 1.25) / 2 / half / camera.aspect);
    camera.position.set(middle.x, middle.y + size.y * 0.10, middle.z + size.z / 2 + far);
    camera.lookAt(middle.x, middle.y + size.y * 0.045, middle.z);
    camera.near = far / 20;
    camera.far = far * 20;
    camera.updateProjectionMatrix();
    this._render();
  }

  /** Gives back what the graphics card holds. */
  close() {
    this._closed = true;
    this._watch?.disconnect();
    this.model?.removeFromParent();
    if (!this.options.model) this.model?.traverse(dispose); // what the page has loaded is the page's
    this.model = null;
    this._around?.dispose();
    this.renderer?.dispose();
    this.renderer = null;
  }
}

// What the page has to bring along.
async function brought(load) {
  try {
    return await load();
  } catch (error) {
    throw new MotionError('NO_THREE', `A head in 3D is drawn with three.js, which this page does not bring along: its import map must name "three" and "three/addons/" (${error.message})`, { cause: error });
  }
}

function webgl(THREE, options) {
  try {
    return new THREE.WebGLRenderer(options);
  } catch (error) {
    throw new MotionError('NO_WEBGL', `The browser draws nothing in 3D here: ${error.message}`, { cause: error });
  }
}

function dispose({ geometry, skeleton, material }) {
  geometry?.dispose();
  skeleton?.dispose();
  for (const one of [material ?? []].flat()) {
    for (const part of Object.values(one)) if (part?.isTexture) part.dispose();
    one.dispose();
  }
}

/** ARKit's 52, by how `arkitName` spells them. */
const KNOWN = new Map(
  [
    ...['browInnerUp', 'cheekPuff', 'jawForward', 'jawLeft', 'jawOpen', 'jawRight', 'mouthClose', 'mouthFunnel', 'mouthLeft'],
    ...['mouthPucker', 'mouthRight', 'mouthRollLower', 'mouthRollUpper', 'mouthShrugLower', 'mouthShrugUpper', 'tongueOut'],
    ...[
      ...['browDown', 'browOuterUp', 'cheekSquint', 'eyeBlink', 'eyeLookDown', 'eyeLookIn', 'eyeLookOut', 'eyeLookUp', 'eyeSquint'],
      ...['eyeWide', 'mouthDimple', 'mouthFrown', 'mouthLowerDown', 'mouthPress', 'mouthSmile', 'mouthStretch', 'mouthUpperUp', 'noseSneer'],
    ].flatMap((name) => [`${name}Left`, `${name}Right`]),
  ].map((name) => [arkitName(name), name]),
);
