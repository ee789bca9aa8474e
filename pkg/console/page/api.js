// What is asked of coltec ui. The token is in the address that it printed; it is kept for this
// tab alone, and is sent in a header, as a cookie would go to every port of this machine.
'use strict';

const api = (() => {
  let token = null;
  const key = 'token';
  const said = /^#token=([A-Za-z0-9_-]+)$/.exec(location.hash);
  try {
    if (said) sessionStorage.setItem(key, said[1]);
    token = sessionStorage.getItem(key);
  } catch { token = said && said[1]; }
  if (said) history.replaceState(null, '', '/');

  // The address of a new coltec ui, opened where an older page is.
  addEventListener('hashchange', () => { if (location.hash.startsWith('#token=')) location.reload(); });

  const headers = (more) => ({ Authorization: `Bearer ${token}`, ...more });

  class Refused extends Error {
    constructor(status, said) {
      super((said && said.error && said.error.message) || `coltec ui answered ${status}`);
      this.status = status;
      this.hints = (said && said.error && said.error.hints) || [];
    }
  }

  async function checked(response) {
    if (response.ok) return response;
    throw new Refused(response.status, await response.json().catch(() => null));
  }

  // asked is the answer of coltec ui; that there is none is said in words for a person.
  async function asked(path, options) {
    try {
      return await fetch(path, { cache: 'no-store', credentials: 'omit', ...options });
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Error('coltec ui cannot be reached');
    }
  }

  async function get(path, signal) {
    return (await checked(await asked(path, { headers: headers(), signal }))).json();
  }

  const asking = (order, args) => `/api/ask?${new URLSearchParams({ ...args, order })}`;

  // silence is how long a stream may say nothing, in milliseconds: it says something each five seconds.
  const silence = 12000;

  // linesOf gives each line of an answer as it comes.
  async function linesOf(response, each) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let held = '';
    for (;;) {
      const { value, done } = await reader.read().catch((error) => { throw error.name === 'AbortError' ? error : new Error('the connection to coltec ui was lost'); });
      if (done) break;
      const parts = (held + value).split('\n');
      held = parts.pop();
      parts.forEach(each);
    }
    if (held) each(held);
  }

  return {
    Refused,
    has: () => Boolean(token),
    about: () => get('/api/about'),
    ask: (order, args, signal) => get(asking(order, args), signal),
    // newer waits for an answer that is not the one of a tag, and gives none where there was none for a while.
    async newer(order, args, tag, signal) {
      const response = await asked(asking(order, args), { headers: headers(tag ? { 'If-None-Match': tag, Prefer: 'wait=25' } : {}), signal });
      if (response.status === 304) return { tag };
      await checked(response);
      return { data: await response.json(), tag: response.headers.get('ETag') };
    },
    // run has something done, and tells each line of how it goes. To stop listening does not stop it.
    async run(order, args, each, signal) {
      const response = await checked(await asked('/api/run', {
        method: 'POST', headers: headers({ 'Content-Type': 'application/json' }), body: JSON.stringify({ order, args }), signal,
      }));
      await linesOf(response, (line) => { if (line) each(JSON.parse(line)); });
    },
    // follow tells each picture, and each sign of life, until the way is lost, which is an error.
    async follow(signal, heard, each) {
      const way = new AbortController();
      signal.addEventListener('abort', () => way.abort());
      let wall, ran; // by two clocks: one may stand still while the machine sleeps, the other one may be set
      const hear = () => { wall = Date.now(); ran = performance.now(); heard(); };
      wall = Date.now(); ran = performance.now();
      const watch = setInterval(() => { if (Math.max(Date.now() - wall, performance.now() - ran) > silence) way.abort(); }, 1000);
      try {
        const response = await checked(await asked('/api/events', { headers: headers(), signal: way.signal }));
        let data = '';
        await linesOf(response, (line) => {
          hear();
          if (line.startsWith('data: ')) data += line.slice(6);
          else if (line === '' && data) { const text = data; data = ''; each(JSON.parse(text)); }
        });
      } finally { clearInterval(watch); }
      throw new Error('coltec ui has ended');
    },
  };
})();
