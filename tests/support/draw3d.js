// In the page of support/three.py: a head is loaded, posed, and looked at.
async (options) => {
  const THREE = await import('three');
  const { Draw3D, arkitName } = await import('/client/draw3d.js');
  const canvas = document.querySelector('canvas');
  const head = await new Draw3D(canvas, options).ready;
  const pose = (weights, angles = {}) => ({
    sets: { arkit: Float32Array.from(Object.values(weights)), head: Float32Array.from(Object.values(angles)) },
    names: { arkit: Object.keys(weights), head: Object.keys(angles) },
  });
  const copy = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height });
  const context = copy.getContext('2d', { willReadFrequently: true });

  // How much of a window around a point of the head's own space (in metres) has pixels that `is` says yes to.
  const share = ([x, y, z], [wide, up, down], is) => {
    const on = (dx, dy) => {
      const at = new THREE.Vector3(x + dx, y + dy, z).project(head.camera);
      return [(at.x + 1) / 2 * copy.width, (1 - at.y) / 2 * copy.height];
    };
    const [[left, top], [right, bottom]] = [on(-wide, up), on(wide, -down)];
    const { data } = context.getImageData(left, top, right - left, bottom - top);
    let found = 0;
    for (let i = 0; i < data.length; i += 4) found += is(data[i], data[i + 1], data[i + 2]);
    return found * 4 / data.length;
  };
  const MOUTH = [[0, -0.066, 0.09], [0.030, 0.014, 0.036]], EYE = [0.017, 0.012, 0.010];
  const iris = (r, g, b) => b > r + 12;
  window.t = {
    THREE, head, arkitName,
    draw: (weights, angles) => head.draw(pose(weights, angles)),
    look: (weights) => {
      for (const drives of head._drives.values()) for (const [influences, index] of drives) influences[index] = 0;
      head.draw(pose(weights));
      context.drawImage(canvas, 0, 0);
      return {
        dark: share(...MOUTH, (r, g, b) => r + g + b < 150),
        white: share(...MOUTH, (r, g, b) => b > 130 && r - b < 70),
        left: share([0.0325, 0.005, 0.075], EYE, iris),
        right: share([-0.0325, 0.005, 0.075], EYE, iris),
      };
    },
    turned: (name) => head.model.getObjectByName(name).getWorldQuaternion(new THREE.Quaternion()).toArray(),
  };
}
