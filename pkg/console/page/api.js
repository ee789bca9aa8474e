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

  async function get(path, signal) {
    return (await checked(await fetch(path, { headers: headers(), signal, cache: 'no-store', credentials: 'omit' }))).json();
  }

  // lines gives each line of an answer as it comes.
  async function lines(response, each) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let held = '';
    for (;;) {
      const { value, done } = await reader.read();
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
    ask: (order, args, signal) => get(`/api/ask?${new URLSearchParams({ ...args, order })}`, signal),
    // run has something done, and tells each line of how it goes.
    async run(order, args, each) {
      const response = await checked(await fetch('/api/run', {
        method: 'POST', headers: headers({ 'Content-Type': 'application/json' }), body: JSON.stringify({ order, args }), credentials: 'omit',
      }));
      await lines(response, (line) => { if (line) each(JSON.parse(line)); });
    },
    // follow tells each picture until the way is lost, which is an error.
    async follow(signal, hello, each) {
      const way = new AbortController();
      signal.addEventListener('abort', () => way.abort());
      let silence;
      const heard = () => { clearTimeout(silence); silence = setTimeout(() => way.abort(), 30000); };
      heard();
      try {
        const response = await checked(await fetch('/api/events', { headers: headers(), signal: way.signal, cache: 'no-store', credentials: 'omit' }));
        let data = '';
        await lines(response, (line) => {
          heard();
          if (line.startsWith('data: ')) data += line.slice(6);
          else if (line.startsWith(':')) hello();
          else if (line === '' && data) { const text = data; data = ''; each(JSON.parse(text)); }
        });
      } finally { clearTimeout(silence); }
      throw new Error('coltec ui has ended, or cannot be reached');
    },
  };
})();
