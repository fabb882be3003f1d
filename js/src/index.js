// lipwire-client: a Lipwire avatar's speech and motion in a browser. No dependencies, no build step. docs/client.md.

export { agoraMessage } from './agora.js';
export { ArrivalClock, FixedClock, ReceiverClock, Timeline } from './clock.js';
export { Connection, connect } from './connect.js';
export { MotionError } from './errors.js';
export { MotionChannel } from './motion-channel.js';
export { Player } from './player.js';
export { EVENTS, KINDS, Reader, readFile } from './reader.js';
export { followSei, motionIn } from './sei.js';
export { SoundQueue } from './sound.js';
