// <lipwire-avatar> on a live session, which a test stops at the sample of a frame: installs window.live.
async ({ attributes, style }) => {
  const { FixedClock, connect } = await import('/client/index.js');
  await import('/client/element.js');
  const face = document.createElement('lipwire-avatar');
  for (const [name, value] of Object.entries(attributes)) face.setAttribute(name, value);
  face.style = style;
  document.body.style.margin = 0;
  document.body.replaceChildren(face);
  const after = (look) => new Promise((resolve, reject) => {
    const begun = performance.now();
    const next = () => {
      const found = look();
      if (found) resolve(found);
      else if (performance.now() - begun > 40000) reject(new Error(`not after 40 s: ${look}; ${face.state} ${face.shadowRoot.textContent}`));
      else requestAnimationFrame(next);
    };
    next();
  });
  const weight = (pose, set, name) => pose.sets[set]?.[pose.names[set].indexOf(name)] ?? 0;
  const MOUTH = {
    open: (pose) => weight(pose, 'pose', 'aa') > 0.6 || weight(pose, 'arkit', 'jawOpen') - weight(pose, 'arkit', 'mouthClose') > 0.2,
    shut: (pose) => (pose.sets.pose ? weight(pose, 'pose', 'PP') > 0.6 : weight(pose, 'arkit', 'mouthClose') > 0.05 && weight(pose, 'arkit', 'jawOpen') - weight(pose, 'arkit', 'mouthClose') < 0.02),
  };
  await after(() => face.renderer?.draw && face.connection?.state === 'live' && face.connection.player.clock.follows);
  await face.renderer.ready;
  const { connection: { player }, renderer } = face, samples = [], put = player.put.bind(player), draw = renderer.draw.bind(renderer);
  let clock = player.clock, drawn = NaN;
  player.put = (records) => {
    for (const { type, frames } of records) if (type === 'frames') samples.push(...frames.map(({ sample }) => sample));
    put(records);
  };
  renderer.draw = (pose) => {          // only what is looked at: without a graphics card each picture of a head takes long
    if (!(player.clock instanceof FixedClock) || drawn === pose.sample) return;
    drawn = pose.sample;
    draw(pose);
  };
  window.live = {
    // Somebody who is sent the server's pictures of the same session.
    watch: () => { live.other = connect({ session: attributes.session, token: attributes.token, url: attributes.src, mode: 'video', audio: null }); },
    // Stops at a frame of the last moments, as soon as one has its mouth so; the sample that is drawn since. For a while nobody
    // looks at the player, so that nothing is left of what it has to make good in small steps.
    stop: async (mouth) => {
      if (player.clock instanceof FixedClock) player.clock = clock;
      const at = await after(() => {
        const { sample: now, speaking } = player.pose(), late = samples.filter((sample) => sample <= now && now - sample < 14400);
        return speaking && late.find((sample) => MOUTH[mouth](player.pose(sample)));
      });
      clock = player.clock;
      player.clock = new FixedClock(at);
      player.pose = () => null;
      const until = performance.now() + 300;
      await after(() => performance.now() > until);
      delete player.pose;
      await after(() => drawn === at);
      return drawn;
    },
    // Of a head of three.js: its morph targets' weights and how it is turned, and where its mouth is on the page.
    head: () => {
      const { node } = renderer._nodes.head, box = face.getBoundingClientRect();
      const on = (x, y, z) => {
        const at = renderer.model.localToWorld(renderer.camera.position.clone().set(x, y, z)).project(renderer.camera);
        return [(at.x + 1) / 2 * box.width, (1 - at.y) / 2 * box.height];
      };
      return {
        weights: Object.fromEntries([...renderer._drives].map(([key, [[influences, index]]]) => [key, influences[index]])),
        turn: node.quaternion.toArray(),
        mouth: [...on(-0.03, -0.052, 0.09), ...on(0.03, -0.102, 0.09)],
      };
    },
    // Draws these weights and angles, and nothing else from now on.
    draw: (weights, angles) => {
      renderer.draw = () => {};
      const set = (values) => [Object.keys(values), Float32Array.from(Object.values(values))];
      const [[arkit, a], [head, h]] = [set(weights), set(angles)];
      draw({ sample: 0, speaking: true, sets: { arkit: a, head: h }, names: { arkit, head } });
    },
  };
}
