// Requests to the server, for every page, and the token that they carry.
//
// A link brings it in its fragment (#token=...), which no browser sends to a server or in a Referer. It goes from the address
// bar into this tab's storage at once, so that it is in no bookmark and on no screenshot, and a reload finds it.

import { Server } from './client/requests.js';
import { subjectOf } from './client/token.js';

const STORE = 'lipwire.token';

// What this tab (sessionStorage) or this browser (localStorage) keeps. Nothing where that is not allowed: in a frame of another
// site's page, or a private window.
export function kept(area, name) {
  try { return window[area].getItem(name); } catch { return null; }
}
export function keep(area, name, value) {
  try { window[area].setItem(name, value); } catch { /* until the next reload */ }
}

function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const brought = fragment.get('token');
  if (brought !== null) {
    history.replaceState(history.state, '', location.pathname + location.search);
    keep('sessionStorage', STORE, brought);
    return brought;
  }
  return kept('sessionStorage', STORE) ?? '';
}

export const token = takeToken();
window.addEventListener('hashchange', () => { if (location.hash.startsWith('#token=')) location.reload(); });   // a new link, pasted

export const subject = subjectOf(token);                  // what it is for

export const REFUSED = 'This page opens with a link';
const WORDS = {
  MISSING_TOKEN: () => 'Whoever runs this server can make one for you (lipwire token).',
  INVALID_TOKEN: (why) => `Yours no longer does: ${why}. Ask for a new one.`,
  INVALID_API_KEY: () => 'The API key in the settings is not one of this server’s.',
  NOT_ALLOWED: (why) => `${why}.`,
};
// Why the server does not let us in, in words; '' = its answer was about something else.
export const refusal = (error) => WORDS[error.code]?.(error.message) ?? '';

// Asks the server for whatever it is; what it answers. Errors are for people to read; `status` is there where the server answered.
const server = new Server(document.baseURI, token);
export const { ask } = server;

// JSON in, JSON out.
export async function request(path, body, { timeout, headers = {} }) {
  const how = body === undefined ? {} : { method: 'POST', kind: 'application/json', body: JSON.stringify(body) };
  const reply = await ask(path, { ...how, headers: { Accept: 'application/json', ...headers }, timeout });
  return reply.json().catch(() => null);
}

// A picture, as a Blob. Not by <img>, which could not carry the token.
export async function picture(path, headers = {}) {
  const reply = await fetch(new URL(path, document.baseURI), { headers: server.headers(headers), signal: AbortSignal.timeout(20000) });
  if (!reply.ok) throw new Error(`The server answered ${reply.status}.`);
  return reply.blob();
}
