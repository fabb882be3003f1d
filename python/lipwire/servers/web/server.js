// Requests to the server, for every page.

// JSON in, JSON out. Errors are for people to read; `status` is there where the server answered.
export async function request(path, body, { timeout, headers = {} }) {
  const init = { cache: 'no-store', headers: { Accept: 'application/json', ...headers }, signal: AbortSignal.timeout(timeout) };
  if (body !== undefined) {
    Object.assign(init, { method: 'POST', body: JSON.stringify(body) });
    init.headers['Content-Type'] = 'application/json';
  }
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), init);   // relative: the app may be mounted under a prefix
  } catch (error) {
    throw new Error(error.name === 'TimeoutError' ? 'The server took too long to answer.' : 'The server does not answer.');
  }
  const data = await response.json().catch(() => null);
  if (!response.ok) throw Object.assign(new Error(data?.message || `The server answered ${response.status}.`), { status: response.status });
  return data;
}
