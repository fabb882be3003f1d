// Whether the server is still there, and when to try again.

const LOOK_MS = 400;
const QUIET_MS = 900;          // nothing received for so long: ask the server whether it is there
const ASK_MS = 1500;
const SILENT_MS = 4000;        // it answers, but nothing comes over this connection: a server that was started anew, or a changed network
const ASLEEP_MS = 3000;        // between two looks: this machine slept, which says nothing of the server
const FIRST_MS = 300, CAP_MS = 1600;

// Whether anything answers at `base`, by default our own address: true, false, or null = it takes too long to tell.
export async function answers(base = document.baseURI) {
  try {
    const reply = await fetch(new URL('favicon.svg', base), { cache: 'no-store', signal: AbortSignal.timeout(ASK_MS) });
    return reply.status < 500;                   // a proxy in front of a dead server says 502 to 504
  } catch (error) {
    return error.name === 'TimeoutError' ? null : false;
  }
}

async function received(pc) {
  let bytes = 0;
  for (const entry of (await pc.getStats()).values()) {
    if (entry.type === 'candidate-pair' || entry.type === 'inbound-rtp' || entry.type === 'data-channel') bytes += entry.bytesReceived ?? 0;
  }
  return bytes;
}

// Calls `lost` once where a connection that was made is dead. ICE alone would need 10 s and more to miss a killed server.
export class Watch {
  constructor(pc, lost, base = document.baseURI) {
    Object.assign(this, { pc, lost, base, bytes: -1, at: performance.now(), asking: false });
    this.heard = this.asked = this.at;
    this.timer = setInterval(() => this.#look(), LOOK_MS);
  }

  async #look() {
    const now = performance.now(), slept = now - this.at > ASLEEP_MS;
    this.at = now;
    const bytes = await received(this.pc).catch(() => -1);
    if (!this.timer) return;
    if (slept || bytes !== this.bytes) {
      this.bytes = bytes;
      this.heard = this.asked = now;
    } else if (now - this.heard > SILENT_MS) {
      this.#end();
    } else if (now - this.asked > QUIET_MS && !this.asking) {
      this.asking = true;
      const there = await answers(this.base);
      this.asking = false;
      this.asked = performance.now();
      if (there === false && this.timer && this.bytes === bytes) this.#end();
    }
  }

  #end() { this.close(); this.lost(); }

  close() {
    clearInterval(this.timer);
    this.timer = null;
  }
}

// How long to wait before the next try: longer each time up to a cap, and not all pages at once.
export class Backoff {
  #tries = 0;
  next() { return Math.min(CAP_MS, FIRST_MS * 1.6 ** this.#tries++) * (0.8 + 0.4 * Math.random()); }
  reset() { this.#tries = 0; }
}

// A wait that `wake()` ends: by hand, when the network is back, or when somebody looks at the page again.
export class Nap {
  #done = () => {};
  constructor() {
    window.addEventListener('online', () => this.wake());
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.wake(); });
  }
  take(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#done = () => { clearTimeout(timer); resolve(); };
    });
  }
  wake() { this.#done(); }
}
