// The worker of sei.js: takes the motion out of each encoded picture, which goes on as it came.

import { motionIn } from './sei.js';

self.onrtctransform = async ({ transformer: { readable, writable } }) => {
  const look = new TransformStream({
    transform(frame, controller) {
      for (const message of motionIn(new Uint8Array(frame.data))) self.postMessage(message);
      controller.enqueue(frame);
    },
  });
  await readable.pipeThrough(look).pipeTo(writable);
};
