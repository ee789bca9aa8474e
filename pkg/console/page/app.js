// The page: all workspaces, those first that need somebody.
'use strict';

const themes = ['auto', 'light', 'dark'];

function useTheme() {
  const [theme, set] = useState(document.documentElement.dataset.theme);
  const turn = () => set((old) => {
    const next = themes[(themes.indexOf(old) + 1) % themes.length];
    document.documentElement.dataset.theme = next;
    try { localStorage.setItem('theme', next); } catch { /* the browser keeps nothing */ }
    return next;
  });
  return [theme, turn];
}

// usePictures follows coltec ui as long as the page is seen. The link is live once there is a picture
// of now; until then what is there is of the time of the last sign of life.
function usePictures(denied) {
  const [picture, set] = useState(null);
  const [link, turn] = useState('looking');
  const [why, blame] = useState('');
  const heard = useRef(0);
  useEffect(() => {
    if (!api.has()) return undefined;
    let stop, timer, ended = false, failed = 0;
    const follow = async () => {
      clearTimeout(timer);
      if (ended || stop) return;
      const way = stop = new AbortController();
      const [stay, leave] = await streams();
      let told = false;
      try {
        if (!way.signal.aborted) await api.follow(way.signal, () => { if (told) heard.current = Date.now(); }, (next) => {
          const before = heard.current;
          told = true;
          failed = 0;
          heard.current = Date.now();
          turn('live');
          set((old) => keep(old, next, before));
          if (!stay) way.abort();
        });
      } catch (error) {
        if (error.status === 401) { turn('denied'); denied(); return; }
        blame(error.name === 'AbortError' ? '' : error.message);
      } finally { leave(); }
      stop = undefined;
      const looks = !stay && told; // it has a picture, and takes the next one soon
      if (!looks) turn(document.hidden ? 'looking' : 'lost');
      if (!ended && !document.hidden) timer = setTimeout(follow, looks ? 2000 : Math.min(8000, 1000 * 2 ** failed++));
    };
    const seen = () => {
      clearTimeout(timer);
      failed = 0;
      if (!document.hidden) follow();
      else timer = setTimeout(() => stop && stop.abort(), 5000); // a browser has few ways to one address: tabs behind give theirs back
    };
    document.addEventListener('visibilitychange', seen);
    follow();
    return () => { ended = true; document.removeEventListener('visibilitychange', seen); clearTimeout(timer); if (stop) stop.abort(); };
  }, []);
  return [picture, link, why, heard.current];
}

// streamsMost is how many pages that are seen follow at once. A browser has six ways to one address, and
// what a page asks needs one, too; other pages take a picture now and then.
const streamsMost = 3;

// streams says whether this page may follow all the time, and gives what ends that.
async function streams() {
  if (!navigator.locks) return [true, () => {}];
  for (let i = 0; i < streamsMost; i++) {
    const leave = await new Promise((done) => {
      navigator.locks.request(`stream ${i}`, { ifAvailable: true }, (lock) => (lock ? new Promise((free) => done(free)) : done(null))).catch(() => done(null));
    });
    if (leave) return [true, leave];
  }
  return [false, () => {}];
}

// keep takes the rows that are as they were from the old picture: what shows them is not drawn anew. Where
// the bucket has not answered yet, what it told before stays, as of the time when that was heard.
function keep(old, next, heard) {
  if (old && next.part) {
    const told = new Set(next.rows.map((r) => r.workspace));
    next.rows.push(...old.rows.filter((r) => !r.folder && !told.has(r.workspace)).map((r) => (r.asOf ? r : { ...r, asOf: heard })));
  }
  const had = new Map(old ? old.rows.map((r) => [keyOf(r), [r, JSON.stringify(r)]]) : []);
  next.rows = next.rows.map((r) => { const [row, text] = had.get(keyOf(r)) || []; return text === JSON.stringify(r) ? row : r; });
  next.rows.sort((a, b) => Number(needy(b)) - Number(needy(a))); // those of a kind stay in the order of coltec ls
  return next;
}

// useNow is the time, as often as ages are shown anew.
function useNow() {
  const [now, set] = useState(Date.now());
  useEffect(() => { const timer = setInterval(() => set(Date.now()), 5000); return () => clearInterval(timer); }, []);
  return now;
}

// where the page is: the workspace that is open, and its tab, are in the address.
function useOpened() {
  const read = () => { const q = new URLSearchParams(location.hash.slice(1)); return { key: q.get('w'), tab: tabs.includes(q.get('tab')) ? q.get('tab') : 'overview' }; };
  const [opened, set] = useState(read);
  useEffect(() => { const changed = () => set(read()); addEventListener('popstate', changed); return () => removeEventListener('popstate', changed); }, []);
  const go = (key, tab) => { history.pushState(null, '', key === null ? '/' : `#${new URLSearchParams({ w: key, tab })}`); set(read()); };
  return [opened, go];
}

const matches = (row, words) => { const text = [row.workspace, row.folder, row.where, row.state, row.needs, ...(row.attention || []), ...(row.agents || []).map((a) => `${a.name} ${a.state}`)].join(' ').toLowerCase(); return words.every((w) => text.includes(w)); };

function App() {
  const [about, setAbout] = useState(null);
  const [denied, deny] = useState(!api.has());
  const [picture, link, why, heard] = usePictures(() => deny(true));
  const [theme, turnTheme] = useTheme();
  const [search, setSearch] = useState('');
  const [needsOnly, setNeedsOnly] = useState(false);
  const [form, setForm] = useState(null);
  const [keys, setKeys] = useState(false);
  const [opened, go] = useOpened();
  const last = useRef({});
  const now = useNow();
  useEffect(() => { if (!denied && link === 'live') api.about().then(setAbout, () => {}); }, [denied, link]);
  const [single, turnSingle] = useSingle();
  useKeys({ single, turnTheme, setSearch, setNeedsOnly, setKeys });

  const orders = useMemo(() => new Map((about ? about.orders : []).map((o) => [o.name, o])), [about]);

  if (denied) return html`<main class="login" data-testid="login"><h1>Coltec</h1><p>This page needs the token of the <code>coltec ui</code> that serves it.</p><p>Open the address that it printed.</p></main>`;
  const rows = picture ? picture.rows : [];
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = rows.filter((r) => (!needsOnly || needy(r)) && matches(r, words));
  const needing = rows.filter(needy).length;
  const found = rows.find((r) => keyOf(r) === opened.key) || rows.find((r) => `${r.workspace}\n` === opened.key); // it may have got a folder meanwhile
  if (found) last.current = { key: opened.key, row: found };
  const row = found || (last.current.key === opened.key ? last.current.row : null); // what is read is not taken away
  const allowed = Boolean(about && about.actions);
  const live = link === 'live';
  const act = (order, of, first) => setForm({ order, row: of, first });
  const deedOf = (r) => (Object.hasOwn(picture.deeds, r.workspace) ? picture.deeds[r.workspace] : undefined);
  return html`<div data-testid="app" data-ready=${String(Boolean(picture && about))}>
    <header class="top">
      <h1>Coltec</h1>
      <input type="search" data-testid="search" aria-label="search workspaces" placeholder=${single ? 'search  /' : 'search'} value=${search} onInput=${(e) => setSearch(e.target.value)} />
      <label class="check"><input type="checkbox" data-testid="needs-only" checked=${needsOnly} onChange=${(e) => setNeedsOnly(e.target.checked)} /> needs you (${needing})</label>
      <span class="grow"></span>
      <span class="pill ${link}" data-testid="link" data-state=${link} role="status">${{ live: 'live', looking: 'looking …' }[link] || 'not connected'}</span>
      ${about && html`<span class="pill" data-testid="mode" data-actions=${String(about.actions)} title=${about.actions ? 'the buttons do things' : 'coltec ui --allow-actions starts a page whose buttons do things'}>${about.actions ? 'actions allowed' : 'read-only'}</span>`}
      <button type="button" data-testid="theme" aria-label=${`theme: ${theme}`} title=${single ? 'theme  t' : 'theme'} onClick=${turnTheme}>${{ auto: '◐', light: '☀', dark: '☾' }[theme]}</button>
      <button type="button" data-testid="help" aria-label="keys" title=${single ? 'keys  ?' : 'keys'} onClick=${() => setKeys(true)}>?</button>
    </header>
    ${(link === 'lost' || (picture && link === 'looking' && now - heard > 3000)) && html`<div class="notes" data-testid="stale" role="status"><p>${link === 'lost' ? `${plain(why || 'coltec ui does not answer')}: trying again.` : 'Looking …'} ${picture ? `What is shown is as of ${clock(heard)}.` : ''}</p></div>`}
    ${picture && (picture.error || picture.notes.length > 0) && html`<div class="notes" data-testid="notes" role="status">${[picture.error, ...picture.notes].filter(Boolean).map((x) => html`<p class="lines">${lines(x)}</p>`)}</div>`}
    <main class=${live || !picture ? '' : 'old'}>
      <p class="quiet count" data-testid="count" aria-live="polite">${picture ? `${shown.length === rows.length ? '' : `${shown.length} of `}${many(rows.length, 'workspace')}` : 'looking …'}</p>
      ${picture && shown.length === 0 && html`<p class="empty" data-testid="empty">${rows.length === 0 ? 'There are no workspaces. coltec new makes one.' : 'No workspace matches.'}</p>`}
      <div class="cards">${shown.map((r) => html`<${Card} key=${keyOf(r)} row=${r} orders=${orders} allowed=${allowed} live=${live && !r.asOf} deed=${deedOf(r)} deedText=${JSON.stringify(deedOf(r))} now=${now} show=${(of) => go(keyOf(of), 'overview')} act=${act} />`)}</div>
    </main>
    ${row && html`<${Detail} key=${opened.key} row=${row} gone=${!found || Boolean(found.asOf)} tab=${opened.tab} single=${single} turn=${(t) => go(opened.key, t)} close=${() => go(null)} orders=${orders} act=${act} allowed=${allowed} live=${live && Boolean(found) && !found.asOf} deed=${deedOf(row)} now=${now} />`}
    ${form && html`<${Form} ...${form} live=${live} close=${() => setForm(null)} />`}
    ${keys && html`<${Keys} single=${single} turn=${turnSingle} close=${() => setKeys(false)} />`}
  </div>`;
}

const keyWords = [['/', 'search'], ['j  k', 'next, previous workspace'], ['Enter', 'open it'], ['1 … 5', 'its tabs'], ['Esc', 'close, or empty the search'], ['n', 'only what needs you'], ['t', 'theme'], ['?', 'these keys']];

// useSingle is whether keys of one character do things here: who speaks to a browser, or presses keys by
// accident, turns them off, in all pages of this browser at this address.
function useSingle() {
  const read = () => { try { return localStorage.getItem('single-keys') !== 'off'; } catch { return true; } };
  const [single, set] = useState(read);
  useEffect(() => { const changed = () => set(read()); addEventListener('storage', changed); return () => removeEventListener('storage', changed); }, []);
  const turn = (on) => {
    try { localStorage.setItem('single-keys', on ? 'on' : 'off'); } catch { /* the browser keeps nothing */ }
    set(on);
  };
  return [single, turn];
}

function Keys({ single, turn, close }) {
  const words = keyWords.filter(([k]) => single || !/^\S( |$)/.test(k));
  return html`<${Dialog} testid="keys" label="keys" onClose=${close}><h2>Keys</h2><dl class="facts-list">${words.map(([k, text]) => html`<dt><kbd>${k}</kbd></dt><dd>${text}</dd>`)}</dl>
    <p><label class="check"><input type="checkbox" data-testid="single-keys" checked=${single} onChange=${(e) => turn(e.target.checked)} /> keys of one character do things</label></p><p class="buttons end"><button type="button" onClick=${close}>close</button></p></${Dialog}>`;
}

// useKeys listens to keys that are pressed on the page itself.
function useKeys({ single, turnTheme, setSearch, setNeedsOnly, setKeys }) {
  useEffect(() => {
    const move = (by) => {
      const all = [...document.querySelectorAll('[data-testid=card] [data-testid=open]')];
      const at = all.indexOf(document.activeElement);
      const to = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by))];
      if (to) { to.focus(); to.scrollIntoView({ block: 'nearest' }); }
    };
    const keys = {
      '/': () => document.querySelector('[data-testid=search]').focus(),
      j: () => move(1), k: () => move(-1),
      n: () => setNeedsOnly((v) => !v), t: turnTheme, '?': () => setKeys(true),
    };
    const arrows = { ArrowDown: 1, ArrowUp: -1 }; // from a card to the next; elsewhere they scroll
    const pressed = (e) => {
      if (e.ctrlKey || e.altKey || e.metaKey || document.querySelector('dialog[open]')) return;
      if (e.key === 'Escape') { setSearch(''); document.activeElement.blur(); return; }
      if (/^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName) && e.target.type !== 'checkbox') return;
      if (arrows[e.key] && e.target.dataset.testid === 'open') { e.preventDefault(); move(arrows[e.key]); return; }
      if (single && Object.hasOwn(keys, e.key)) { e.preventDefault(); keys[e.key](); }
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, [single]);
}

render(html`<${App} />`, document.getElementById('root'));
