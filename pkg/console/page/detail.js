// One workspace: how it is, its past, and what is done to it.
'use strict';

const tabs = ['overview', 'history', 'checkpoints', 'conflicts', 'logs'];

// samples are of the transfers of workspaces, as long as the page is open.
const samples = new Map();

// useStatus asks coltecd again and again, while the page is connected. What it said last stays, beside
// an error of now.
function useStatus(row, live) {
  const [state, set] = useState({});
  const arg = argOf(row);
  useEffect(() => {
    if (!live) return undefined;
    const stop = new AbortController();
    let timer;
    const look = async () => {
      try {
        const data = await api.ask('status', { workspace: arg }, stop.signal);
        note(arg, data);
        set({ data, at: Date.now() });
      } catch (error) {
        if (!stop.signal.aborted) set((old) => ({ ...old, error }));
      }
      if (!stop.signal.aborted) timer = setTimeout(look, 3000);
    };
    look();
    return () => { stop.abort(); clearTimeout(timer); };
  }, [arg, live]);
  return state;
}

// note keeps what coltecd has moved so far; one that began anew counts from nothing.
function note(arg, doc) {
  const costs = [doc.lease && doc.lease.cost, ...(doc.replicas || []).map((r) => r.cost)].filter(Boolean);
  const sum = (name) => costs.reduce((n, c) => n + (c[name] || 0), 0);
  const s = { time: Date.now(), sent: sum('sent_bytes'), received: sum('received_bytes'), requests: sum('requests') };
  s.bytes = s.sent + s.received;
  const list = samples.get(arg) || [];
  if (list.length > 0 && list[list.length - 1].bytes > s.bytes) list.length = 0;
  list.push(s);
  samples.set(arg, list.slice(-49));
}

// usual are the orders that are given often, which come first.
const usual = ['sync', 'checkpoint', 'rewind', 'fork', 'join', 'hop', 'pause', 'resume'];
const rank = (name) => (usual.includes(name) ? usual.indexOf(name) : usual.length);

function Overview({ row, orders, act, allowed, live, deed, now }) {
  const status = useStatus(row, live);
  const past = useAnswer('history', { workspace: argOf(row) }, deed && deed.until);
  const doc = status.data;
  const names = [...orders.values()].filter((o) => o.changes && !decisions.includes(o.name)).map((o) => o.name).sort((a, b) => rank(a) - rank(b));
  return html`
    <${Buttons} row=${row} orders=${orders} names=${names} act=${act} allowed=${allowed} live=${live} deed=${deed} />
    <${Deed} of=${deed} now=${now} />
    ${(row.attention || []).length > 0 && html`<ul class="attention">${row.attention.map((x) => html`<li>${lines(x)}</li>`)}</ul>`}
    <div class="charts">
      <${Answer} of=${past}>${(list) => html`<${Saves} of=${list || []} at=${past.at} />`}</${Answer}>
      ${doc && html`<${Transfers} of=${samples.get(argOf(row))} />`}
    </div>
    ${status.error && html`<${Problem} error=${status.error} />`}
    ${doc && status.error && html`<p class="quiet">What coltecd said last, at ${clock(status.at)}:</p>`}
    ${doc && html`<${Members} doc=${doc} now=${now} />`}
    <${Facts} row=${row} />`;
}

function Facts({ row }) {
  return html`<dl class="facts-list">
      <dt>folder</dt><dd>${plain(row.folder || 'not on this machine')}</dd>
      ${row.container && html`<dt>container</dt><dd>${plain(row.container)}</dd>`}
      ${row.since && html`<dt>since</dt><dd>${clock(row.since)}</dd>`}
      ${row.last_seen && html`<dt>last seen</dt><dd>${clock(row.last_seen)}</dd>`}
    </dl>`;
}

// Elsewhere is a workspace that this machine knows from the bucket alone: coltec is asked nothing of it.
function Elsewhere({ row, orders, act, allowed, live, deed, now }) {
  return html`
    <${Buttons} row=${row} orders=${orders} names=${['hop']} act=${act} allowed=${allowed} live=${live} deed=${deed} />
    <${Deed} of=${deed} now=${now} />
    <p data-testid="elsewhere">${row.state === 'unreadable' ? 'What the bucket has of it cannot be read.' : `It is ${placeOf(row)}.`} Its history, conflicts and logs are shown where it has a folder; hop brings it here.</p>
    ${(row.attention || []).length > 0 && html`<ul class="attention">${row.attention.map((x) => html`<li>${lines(x)}</li>`)}</ul>`}
    <${Facts} row=${row} />`;
}

function Members({ doc, now }) {
  return html`
    <h3>Replicas</h3>
    <div class="scroll" tabindex="0" role="region" aria-label="replicas"><table data-testid="replicas"><thead><tr><th>name</th><th>state</th><th>files</th><th>size</th><th>saved</th><th>only here</th><th>sent</th><th>requests</th></tr></thead>
      <tbody>${(doc.replicas || []).map((r) => html`<tr><td>${plain(r.name)}</td><td><${State} of=${r.state} /></td><td>${r.files}</td><td>${size(r.bytes)}</td>
        <td>${r.last_sync ? ago(r.last_sync, now) : '–'}</td><td>${(r.only_here || []).map((x) => `${x.count} ${plain(x.reason)}`).join(', ') || r.pending || ''}</td>
        <td>${size(r.cost && r.cost.sent_bytes)}</td><td>${(r.cost && r.cost.requests) || 0}</td></tr>`)}</tbody></table></div>
    ${(doc.units || []).length > 0 && html`<h3>Units</h3>
    <div class="scroll" tabindex="0" role="region" aria-label="units"><table data-testid="units"><thead><tr><th>name</th><th>kind</th><th>state</th><th>since</th><th>restarts</th><th>last error</th></tr></thead>
      <tbody>${doc.units.map((u) => html`<tr><td>${plain(u.name)}</td><td>${plain(u.kind)}</td><td><${State} of=${u.state} /></td><td>${u.since ? ago(u.since, now) : '–'}</td><td>${u.restarts}</td><td class="wrap">${lines(u.last_error || u.last_exit || '')}</td></tr>`)}</tbody></table></div>`}`;
}

const filesOf = (g) => Object.values(g.replicas || {}).reduce((n, t) => n + (t.files || 0), 0);
const bytesOf = (g) => Object.values(g.replicas || {}).reduce((n, t) => n + (t.bytes || 0), 0);

function Rewind({ row, orders, act, allowed, live, deed, at }) {
  const o = orders.get('rewind');
  return o && html`<button type="button" class="small careful" disabled=${!allowed || !live || underWay(deed)} data-testid="rewind-to" onClick=${() => act(o, row, { at: String(at) })}>rewind</button>`;
}

// listed is how many generations are shown, the newest.
const listed = 500;

function History(props) {
  const { row, now, deed } = props;
  const past = useAnswer('history', { workspace: argOf(row) }, deed && deed.until);
  const [a, setA] = useState('');
  const [b, setB] = useState('now');
  const [asked, compare] = useState(null);
  return html`
    <form class="line" onSubmit=${(e) => { e.preventDefault(); if (a) compare({ args: { workspace: argOf(row), a, b, diff: 'true' }, turn: asked ? asked.turn + 1 : 1 }); }}>
      <label>compare <input data-testid="compare-a" value=${a} onInput=${(e) => setA(e.target.value)} size="12" placeholder="a generation" /></label>
      <label>with <input data-testid="compare-b" value=${b} onInput=${(e) => setB(e.target.value)} size="12" /></label>
      <button data-testid="compare-go" disabled=${!a}>compare</button>
      <button type="button" onClick=${past.again}>look again</button>
    </form>
    ${asked && html`<${Compared} asked=${asked.args} key=${JSON.stringify(asked)} />`}
    <${Answer} of=${past}>${(list) => html`<div class="scroll" tabindex="0" role="region" aria-label="generations"><table data-testid="history"><thead><tr><th>generation</th><th>time</th><th class="extra">files</th><th>size</th><td></td></tr></thead>
      <tbody>${[...(list || [])].reverse().slice(0, listed).map((g) => html`<tr key=${g.generation} data-testid="generation" data-number=${g.generation}><td>${g.generation}</td><td title=${clock(g.time)}>${ago(g.time, now)}</td><td class="extra">${filesOf(g)}</td><td>${size(bytesOf(g))}</td>
        <td class="end"><button type="button" class="small" data-testid="pick-a" onClick=${() => setA(String(g.generation))}>compare</button> <${Rewind} ...${props} at=${g.generation} /></td></tr>`)}</tbody></table></div>
      ${(list || []).length > listed && html`<p class="quiet">and ${list.length - listed} older ones</p>`}`}</${Answer}>`;
}

function Compared({ asked }) {
  const found = useAnswer('compare', asked);
  return html`<section class="result" data-testid="compare" aria-label="what differs"><${Answer} of=${found}>${(c) => {
    const all = Object.entries(c.replicas || {}).flatMap(([replica, list]) => (list || []).map((d) => ({ replica, ...d })));
    return html`<p>${all.length === 0 ? 'nothing differs' : many(all.length, 'difference')} between ${plain(asked.a)} and ${plain(asked.b)}</p>
      ${Object.entries(c.without || {}).map(([r, why]) => html`<p class="quiet">${plain(r)} is left out: ${plain(why)}</p>`)}
      ${all.slice(0, 1000).map((d) => html`<${Difference} of=${d} names=${[asked.a, asked.b]} />`)}
      ${all.length > 1000 && html`<p class="quiet">and ${all.length - 1000} more</p>`}`;
  }}</${Answer}></section>`;
}

function Difference({ of, names }) {
  const head = html`<span class="what ${of.what}">${plain(of.what)}</span> <code>${plain(of.replica)}: ${plain(of.path)}</code> <span class="quiet">${plain(of.kind)}${of.kind !== 'directory' && of.before !== of.after ? `, ${size(of.before)} → ${size(of.after)}` : ''}</span>`;
  const refs = (of.refs || []).map((r) => html`<p class="quiet"><code>${plain(r.ref)}</code>: ${plain((r.before || 'none').slice(0, 12))} → ${plain((r.after || 'none').slice(0, 12))}</p>`);
  const [unfolded, unfold] = useState(false);
  return html`<div data-testid="difference" data-path=${of.path} class="difference">
    ${of.diff ? html`<details onToggle=${(e) => unfold(e.target.open)}><summary>${head}</summary>${unfolded && html`<${Sides} diff=${of.diff} names=${names} />`}</details>` : html`<p>${head}</p>`}
    ${refs}${of.note && html`<p class="quiet">${plain(of.note)}</p>`}</div>`;
}

function Checkpoints(props) {
  const { row, now, deed } = props;
  const found = useAnswer('checkpoints', { workspace: argOf(row) }, deed && deed.until);
  return html`<${Answer} of=${found}>${(list) => ((list || []).length === 0 ? html`<p class="quiet" data-testid="checkpoints">no state has a name yet</p>`
    : html`<div class="scroll" tabindex="0" role="region" aria-label="checkpoints"><table data-testid="checkpoints"><thead><tr><th>name</th><th>generation</th><th>made</th><th>size</th><th>text</th><td></td></tr></thead>
      <tbody>${[...list].reverse().map((k) => html`<tr data-testid="checkpoint" data-name=${k.name}><td><b>${plain(k.name)}</b></td><td>${k.generation}</td><td title=${clock(k.made)}>${ago(k.made, now)}</td><td>${size(bytesOf(k))}</td><td class="wrap">${plain(k.text || '')}</td><td class="end"><${Rewind} ...${props} at=${k.name} /></td></tr>`)}</tbody></table></div>`)}</${Answer}>`;
}

// useLogs has the log of a unit, and follows it while the page is connected: coltec ui answers when
// there is something else to say, or is asked again where it cannot know.
function useLogs(args, follow, live) {
  const [state, set] = useState({});
  const key = JSON.stringify(args);
  useEffect(() => set({}), [key]);
  useEffect(() => {
    if (!live) return undefined;
    const stop = new AbortController();
    let timer, tag;
    const look = async () => {
      try {
        const next = await api.newer('logs', args, tag, stop.signal);
        tag = next.tag;
        if (next.data) set({ data: next.data });
      } catch (error) {
        if (stop.signal.aborted) return;
        tag = undefined;
        set((old) => ({ ...old, error }));
      }
      if (follow && !stop.signal.aborted) timer = setTimeout(look, tag ? 500 : 2000);
    };
    look();
    return () => { stop.abort(); clearTimeout(timer); };
  }, [key, follow, live]);
  return state;
}

function Logs({ row, live }) {
  const [unit, setUnit] = useState('');
  const [named, name] = useState('');
  const [follow, setFollow] = useState(true);
  const found = useLogs({ workspace: argOf(row), unit: named, lines: '300' }, follow, live);
  const box = useRef(null);
  const atEnd = useRef(true);
  const text = useMemo(() => found.data && ends(lines(found.data.text)), [found.data]);
  useEffect(() => { if (box.current && atEnd.current) box.current.scrollTop = box.current.scrollHeight; }, [text]);
  return html`
    <form class="line" onSubmit=${(e) => { e.preventDefault(); name(unit.trim()); }}>
      <label>unit <input data-testid="log-unit" value=${unit} onInput=${(e) => setUnit(e.target.value)} placeholder="all" size="14" /></label>
      <button>show</button>
      <label class="check"><input type="checkbox" data-testid="log-follow" checked=${follow} onChange=${(e) => setFollow(e.target.checked)} /> follow</label>
    </form>
    ${found.error && html`<${Problem} error=${found.error} />`}
    ${text === undefined ? !found.error && html`<p class="quiet" aria-busy="true">asking …</p>`
    : html`<pre class="log" tabindex="0" role="log" aria-label=${named ? `log of ${plain(named)}` : 'log of all units'} data-testid="log" ref=${box} onScroll=${(e) => { const t = e.currentTarget; atEnd.current = t.scrollHeight - t.scrollTop - t.clientHeight < 24; }}>${text || 'nothing was logged yet'}</pre>`}`;
}

const panels = { overview: Overview, history: History, checkpoints: Checkpoints, conflicts: Conflicts, logs: Logs };

function Detail(props) {
  const { row, gone, tab, single, turn, close } = props;
  const onKey = (e) => {
    if (e.ctrlKey || e.altKey || e.metaKey || /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)) return;
    const at = tabs.indexOf(tab);
    const to = (single && tabs[Number(e.key) - 1]) || (e.target.role === 'tab' && { ArrowLeft: tabs[(at + tabs.length - 1) % tabs.length], ArrowRight: tabs[(at + 1) % tabs.length] }[e.key]);
    if (!to) return;
    e.preventDefault();
    turn(to);
    if (e.target.role === 'tab') document.getElementById(`tab-${to}`).focus();
  };
  const Panel = row.folder ? panels[tab] : Elsewhere;
  return html`<${Dialog} wide testid="detail" label=${`workspace ${plain(row.workspace)}`} data-workspace=${row.workspace} data-state=${row.state} onClose=${close} onKeyDown=${onKey}>
    <header class="detail-head"><h2><${Name} of=${row.workspace} /></h2><${State} of=${row.state} /><button type="button" class="close" data-testid="close" aria-label="close" onClick=${close}>✕</button></header>
    ${gone && html`<p class="problem" role="alert" data-testid="gone">This workspace is not listed at the moment. What is shown is as it was.</p>`}
    <div role="tablist" aria-label="about this workspace">${tabs.map((t) => html`<button type="button" role="tab" id=${`tab-${t}`} data-testid=${`tab-${t}`} aria-selected=${String(t === tab)} aria-controls="panel" tabindex=${t === tab ? 0 : -1} data-first=${t === tab ? "" : null} onClick=${() => turn(t)}>${t}</button>`)}</div>
    <div role="tabpanel" id="panel" data-testid="panel" aria-labelledby=${`tab-${tab}`}><${Panel} ...${props} key=${tab} /></div>
  </${Dialog}>`;
}

// lostOnTheWay is what to say where the way was lost while something was done.
const lostOnTheWay = 'The connection was lost before the end was told. What was begun goes on as long as coltec ui does; the card of the workspace says how it ended.';

// Form asks what an order takes, and tells how it goes. Once that is under way it needs nobody who
// listens, and a browser has few ways to one address: who closes it gives its own back.
function Form({ order, row, first, live, close }) {
  const [values, set] = useState(first || {});
  const [told, add] = useState([]);
  const [state, turn] = useState({});
  const box = useRef(null);
  const way = useRef({ begun: false, closed: false, stop: null });
  const leave = () => { if (way.current.closed && way.current.begun) way.current.stop.abort(); };
  useEffect(() => { if (box.current) box.current.scrollTop = box.current.scrollHeight; }, [told]);
  useEffect(() => () => { way.current.closed = true; leave(); }, []);
  const params = order.params.filter((p) => p.name !== 'workspace');
  const go = async (e) => {
    e.preventDefault();
    if (state.busy) return;
    add([]);
    turn({ busy: 'asked …' });
    Object.assign(way.current, { begun: false, stop: new AbortController() });
    const tell = (kind, text) => add((old) => [...old, { kind, text }].slice(-2000));
    const begun = (busy) => { way.current.begun = true; turn({ busy, begun: true }); leave(); };
    try {
      let code;
      await api.run(order.name, { ...values, workspace: argOf(row) }, (l) => {
        if (l.waits) begun('waits until something else is done …');
        if (l.argv) { tell('argv', `$ ${l.argv.map(word).join(' ')}`); begun('under way …'); }
        if (l.out !== undefined) tell('out', l.out);
        if (l.err !== undefined) errorLines(l.err).forEach((x) => tell('err', x));
        if (l.end) code = l.end.code;
      }, way.current.stop.signal);
      turn(code === undefined ? { error: new Error(lostOnTheWay) } : { code });
    } catch (error) { turn({ error: error.status ? error : new Error(way.current.begun ? lostOnTheWay : `${error.message}. Whether this was begun is not known: the card of the workspace says it.`) }); }
  };
  const ended = state.code !== undefined || state.error;
  return html`<${Dialog} testid="form" label=${plain(order.title)} data-order=${order.name} onClose=${close}>
    <form onSubmit=${go}>
      <h2>${plain(order.title)}</h2>
      <p><${Name} of=${row.workspace} /></p>
      <p class="quiet">${plain(order.text)}</p>
      ${order.destroys && html`<p class="warning">This changes what somebody may be working on.</p>`}
      ${params.map((p) => html`<${Field} param=${p} key=${p.name} value=${values[p.name]} set=${(v) => set({ ...values, [p.name]: v })} />`)}
      <p class="buttons end">
        ${ended ? html`<button type="button" data-testid="form-close" onClick=${close}>close</button>` : html`<button type="button" data-testid="form-cancel" onClick=${close}>${state.begun ? 'close (it goes on)' : state.busy ? 'close' : 'cancel'}</button>`}
        <button data-testid="form-go" class=${`main ${order.destroys ? 'careful' : ''}`} disabled=${Boolean(state.busy) || !live} data-first=${params.length === 0 ? "" : null}>${plain(order.name)}</button>
      </p>
    </form>
    ${told.length > 0 && html`<pre class="log" tabindex="0" role="log" aria-label="what it says" data-testid="output" ref=${box}>${told.map((l) => html`<span class=${l.kind}>${`${ends(lines(l.text))}\n`}</span>`)}</pre>`}
    <div aria-live="polite">
      ${state.busy && html`<p class="deed" data-testid="progress"><span class="spin" aria-hidden="true"></span>${state.busy}</p>`}
      ${state.code !== undefined && html`<p data-testid="outcome" data-code=${state.code} class=${state.code ? 'problem' : 'success'}>${state.code ? `it ended with exit code ${state.code}` : 'done'}</p>`}
      ${state.error && html`<div data-testid="outcome" data-code="error"><${Problem} error=${state.error} /></div>`}
    </div>
  </${Dialog}>`;
}

// errorLines are an error in JSON as lines for a person; any other line is as it is.
function errorLines(text) {
  if (!text.startsWith('{"error"')) return [text];
  try {
    const { error } = JSON.parse(text);
    return [error.message, ...(error.hints || []).map((x) => `hint: ${x}`)];
  } catch { return [text]; }
}

// word is a word of a command line as a shell takes it.
const word = (w) => (/^[A-Za-z0-9@%+=:,./_-]+$/.test(w) ? w : `'${w.replace(/'/g, "'\\''")}'`);

function Field({ param, value, set }) {
  const id = `arg-${param.name}`;
  const label = plain(param.name.replace(/_/g, ' '));
  if (param.kind === 'flag') {
    return html`<p class="field"><label class="check"><input type="checkbox" id=${id} data-testid=${id} checked=${value === 'true'} aria-describedby=${`${id}-text`} onChange=${(e) => set(e.target.checked ? 'true' : '')} /> ${label}</label><span class="quiet" id=${`${id}-text`}>${plain(param.text)}</span></p>`;
  }
  return html`<p class="field"><label for=${id}>${label}${param.required ? '' : html` <span class="quiet">(may be left out)</span>`}</label>
    <input id=${id} data-testid=${id} type=${param.kind === 'number' ? 'number' : 'text'} min="1" required=${param.required} value=${value || ''} autocomplete="off" autocapitalize="off" spellcheck=${param.kind === 'text'} aria-describedby=${`${id}-text`} onInput=${(e) => set(e.target.value)} />
    <span class="quiet" id=${`${id}-text`}>${plain(param.text)}</span></p>`;
}
