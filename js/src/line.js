// Whether the server is still there, and when to try again.

const LOOK_MS = 400;
const QUIET_MS = 900;          // nothing received for so long: ask the server whether it is there
const ASK_MS = 1500;
const SILENT_MS = 4000;        // it answers, but nothing comes over this connection: a server that was started anew, or a changed network;
const SILENT_MOST_MS = 9000;   // longer where a browser checks its path so seldom that this says nothing: Firefox, every 4 to 6 s
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

// What has come: bytes, and answers to the browser's own checks of the path (RFC 7675), which are none of those bytes.
async function received(pc) {
  let bytes = 0, checks = 0;
  for (const entry of (await pc.getStats()).values()) {
    if (entry.type === 'candidate-pair' || entry.type === 'inbound-rtp' || entry.type === 'data-channel') bytes += entry.bytesReceived ?? 0;
    if (entry.type === 'candidate-pair') checks += entry.responsesReceived ?? 0;
  }
  return { bytes, checks };
}

// Calls `lost` once where a connection that was made is dead. ICE alone would need 10 s and more to miss a killed server. Where there
// is nothing to send, as in a room where nobody speaks, the path is checked all the same.
export class Watch {
  constructor(pc, lost, base = document.baseURI) {
    Object.assign(this, { pc, lost, base, bytes: -1, checks: 0, checked: -Infinity, every: Infinity, at: performance.now(), asking: false });
    this.heard = this.asked = this.at;
    this.timer = setInterval(() => this.#look(), LOOK_MS);
  }

  async #look() {
    const now = performance.now(), slept = now - this.at > ASLEEP_MS;
    this.at = now;
    const { bytes, checks } = await received(this.pc).catch(() => ({ bytes: -1, checks: this.checks }));
    if (!this.timer) return;
    if (slept || bytes !== this.bytes) {
      this.bytes = bytes;
      this.heard = this.asked = now;
    }
    if (checks !== this.checks) Object.assign(this, { checks, every: now - this.checked, checked: now, heard: now });
    if (now - this.heard > Math.max(SILENT_MS, Math.min(SILENT_MOST_MS, 1.5 * this.every))) {
      this.#end();
    } else if (now - this.asked > QUIET_MS && !this.asking) {
      this.asking = true;
      const there = await answers(this.base);
      this.asking = false;
      this.asked = there ? Infinity : performance.now();         // until bytes come again: from here on the path tells
      if (there === false && this.timer && this.bytes === bytes) this.#end();
    }
  }

  #end() { this.close(); this.lost(); }

  close() {
    clearInterval(this.timer);
    this.timer = null;
  }
}

// Calls `lost` once where nothing has come for SILENT_MS: `heard()` whenever something does. `pauses`: the server may have nothing to
// say, so it is asked whether it is there.
export class Silence {
  constructor(lost, { pauses = false, base = document.baseURI } = {}) {
    Object.assign(this, { lost, pauses, base, at: performance.now(), asking: false });
    this.heard();
    this.timer = setInterval(() => this.#look(), LOOK_MS);
  }

  heard() { this.last = performance.now(); }

  async #look() {
    const now = performance.now();
    if (now - this.at > ASLEEP_MS) this.heard();
    this.at = now;
    if (now - this.last <= SILENT_MS || this.asking) return;
    if (this.pauses && await this.#answered()) return;
    if (this.timer) { this.close(); this.lost(); }
  }

  async #answered() {
    const { last } = this;
    this.asking = true;
    const there = await answers(this.base);
    this.asking = false;
    if (there) this.heard();
    return this.last > last;
  }

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

// Waits that `wake()` ends: by hand, when the network is back, or when somebody looks at the page again. Only while it waits does it
// listen for that.
export class Nap {
  #naps = new Set();
  take(ms) {
    return new Promise((resolve) => {
      const seen = () => { if (!document.hidden) done(); };
      const done = () => {
        clearTimeout(timer);
        window.removeEventListener('online', done);
        document.removeEventListener('visibilitychange', seen);
        this.#naps.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      window.addEventListener('online', done);
      document.addEventListener('visibilitychange', seen);
      this.#naps.add(done);
    });
  }
  wake() { for (const done of this.#naps) done(); }
}
