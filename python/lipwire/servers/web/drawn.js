// The face drawn in this page, from motion, in the place of the server's video.

import { ArrivalClock } from './client/clock.js';
import { Draw2D } from './client/draw2d.js';
import { LABEL, MotionChannel } from './client/motion-channel.js';
import { Player } from './client/player.js';

const MOST = 1920;              // pixels of artwork: on a stage that stands upright most of a wide picture is not seen
const SILENT_MS = 10000;        // motion comes with every frame: a channel that is open for so long without any has none

export class Drawn {
  #frame = 0;

  // On a connection that has not been offered yet. `on`: {seen(): the first picture is there, failed(error): there will be none}.
  constructor(canvas, { pc, sound, session, token, on }) {
    this.player = new Player({ clock: new ArrivalClock() });
    const onError = (error) => { if (error.code === 'NO_MOTION') on.failed(error); };   // a damaged message is followed by whole ones
    this.motion = new MotionChannel(pc, { player: this.player, sets: ['pose'], onError });
    this.motion.follow(sound);
    this.face = new Draw2D(canvas, { avatar: session.avatar, url: document.baseURI, token, aspect: session.width / session.height, most: MOST });
    this.face.ready.catch(on.failed);
    this.pictures = 0;                           // that differed from the one before
    this.seen = false;
    const next = () => {
      this.#frame = requestAnimationFrame(next);
      if (!(this.motion.firstAt > 0) && performance.now() - this.motion.openedAt > SILENT_MS) on.failed(new Error('No motion comes from the server'));
      this.pose = this.player.pose();
      if (!this.pose || !this.face.size) return;
      if (this.face.draw(this.pose)) this.pictures++;
      if (!this.seen) { this.seen = true; on.seen(); }
    };
    next();
  }

  close() {
    cancelAnimationFrame(this.#frame);
    this.motion.close();
    this.face.close();
  }
}

// Bytes of motion that came, by a connection's report.
export function motionBytes(report) {
  let bytes = 0;
  for (const entry of report.values()) if (entry.type === 'data-channel' && entry.label === LABEL) bytes += entry.bytesReceived ?? 0;
  return bytes;
}

// Bytes of artwork that came over the network for this page: 0 where the browser had kept it.
export function artworkBytes() {
  const place = new URL('avatars/', document.baseURI).href;
  return performance.getEntriesByType('resource').filter(({ name }) => name.startsWith(place)).reduce((sum, { transferSize }) => sum + transferSize, 0);
}
