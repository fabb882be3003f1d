// Requests to a Lipwire server, and the token that they carry.

import { MotionError } from './errors.js';

export class Server {
  /**
   * @param {string | URL} url where its pages are; they may be mounted under a prefix
   * @param {string} [token] of whoever asks; '' = none
   */
  constructor(url, token = '') {
    this.url = new URL(url, globalThis.document?.baseURI);
    this.token = token;
    this.ask = this.ask.bind(this);
  }

  /** An address of it; `scheme` ws: of a WebSocket. */
  address(path, scheme = 'http') {
    const address = new URL(path, this.url);
    if (scheme === 'ws') address.protocol = address.protocol.replace('http', 'ws');
    return address;
  }

  headers(more = {}) { return this.token ? { ...more, Authorization: `Bearer ${this.token}` } : { ...more }; }

  /** Its answer. Errors are for people to read; they have a `status` where the server answered, else they are `unreachable`. */
  async ask(path, { method = 'GET', body, kind, headers = {}, timeout = 8000, keepalive = false }) {
    const init = { method, body, keepalive, cache: 'no-store', headers: this.headers(headers), signal: AbortSignal.timeout(timeout) };
    if (kind) init.headers['Content-Type'] = kind;
    let response;
    try {
      response = await fetch(this.address(path), init);
    } catch (error) {
      const why = error.name === 'TimeoutError' ? 'The server took too long to answer.' : 'The server does not answer.';
      throw new MotionError('UNREACHABLE', why, { unreachable: true });
    }
    if (response.ok) return response;
    const data = await response.json().catch(() => null);
    throw new MotionError(data?.code ?? 'REFUSED', data?.message || `The server answered ${response.status}.`, { status: response.status });
  }
}
