// WHEP (draft-ietf-wish-whep), and the room's door for both ways, which is like it: one POST begins. Any other player can do the
// same.

const ANSWER_MS = 12000;       // the server has 10 s for it
const END_MS = 1000;           // that it has to hear of the end
const SDP = 'application/sdp', FRAGMENT = 'application/trickle-ice-sdpfrag';

// The STUN and TURN servers that Link headers name, as RTCPeerConnection takes them.
export function iceServers(headers) {
  const found = [];
  for (const [, urls, parameters] of (headers.get('Link') ?? '').matchAll(/<([^>]*)>((?:\s*;\s*[\w-]+=(?:"(?:[^"\\]|\\.)*"|[^",;\s]*))*)/g)) {
    const named = {};
    for (const [, name, quoted, plain] of parameters.matchAll(/;\s*([\w-]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;\s]*))/g)) {
      named[name] = quoted === undefined ? plain : quoted.replace(/\\(.)/g, '$1');
    }
    if (named.rel !== 'ice-server') continue;
    found.push(named.username === undefined ? { urls } : { urls, username: named.username, credential: named.credential });
  }
  return found;
}

// One connection, for an RTCPeerConnection that has what it wants to receive, and to send. `ask`: of a Server (requests.js).
export class Whep {
  #ask; #path; #pc; #location = ''; #tag = ''; #waiting = []; #sending = false; #closed = false;

  constructor(ask, path, pc) {
    this.#ask = ask;
    this.#path = path;
    this.#pc = pc;
    pc.onicecandidate = ({ candidate }) => this.#found(candidate);
  }

  // Where the servers are known before the offer, the browser need not ask again for them.
  async servers() {
    const reply = await this.#ask(this.#path, { method: 'OPTIONS' });
    await reply.text();          // which is empty; a browser calls an answer that nobody reads aborted
    return iceServers(reply.headers);
  }

  // Offers at once: candidates follow as they are found. To a server that we reach without help none are needed.
  async open() {
    await this.#pc.setLocalDescription();
    const reply = await this.#ask(this.#path, { method: 'POST', kind: SDP, body: this.#pc.localDescription.sdp, timeout: ANSWER_MS });
    this.#location = new URL(reply.headers.get('Location'), reply.url).href;
    this.#tag = reply.headers.get('ETag') ?? '*';
    if (this.#closed) return this.#end();
    await this.#pc.setRemoteDescription({ type: 'answer', sdp: await reply.text() });
    this.#send();
  }

  // A browser hides its own addresses behind names that only its own network knows: those are not worth a request.
  #found(candidate) {
    if (!candidate?.candidate || candidate.address?.endsWith('.local') || candidate.protocol !== 'udp') return;
    this.#waiting.push(candidate);
    this.#send();
  }

  async #send() {
    if (!this.#location || !this.#waiting.length || this.#sending || this.#closed) return;
    this.#sending = true;
    const taken = this.#waiting.splice(0), [{ sdpMid, usernameFragment }] = taken;
    const password = /a=ice-pwd:(.*)/.exec(this.#pc.localDescription.sdp)[1].trim();
    const media = /m=.*/.exec(this.#pc.localDescription.sdp)[0].trim();
    const lines = [`a=ice-ufrag:${usernameFragment}`, `a=ice-pwd:${password}`, media, `a=mid:${sdpMid}`];
    const body = [...lines, ...taken.map(({ candidate }) => `a=${candidate}`), ''].join('\r\n');
    await this.#ask(this.#location, { method: 'PATCH', kind: FRAGMENT, body, headers: { 'If-Match': this.#tag } }).catch(() => {});   // others may do
    this.#sending = false;
    this.#send();
  }

  // Closes the connection, too. `tells`: the server shall end it at once, so it hears of that first; whoever is gone without a word is
  // waited for, in a room.
  async close(tells) {
    if (this.#closed) return;
    this.#closed = true;
    this.#pc.onicecandidate = null;
    if (tells) await this.#end();
    this.#pc.close();
  }

  async #end() {
    if (!this.#location) return;
    await this.#ask(this.#location, { method: 'DELETE', keepalive: true, timeout: END_MS }).then((reply) => reply.text()).catch(() => {});
  }
}
