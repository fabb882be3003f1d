// lipwire-client: a Lipwire avatar's speech and motion in a browser. No dependencies, no build step. docs/client.md.

export { ArrivalClock, FixedClock, ReceiverClock, Timeline } from './clock.js';
export { MotionError } from './errors.js';
export { Player } from './player.js';
export { Reader, readFile } from './reader.js';
