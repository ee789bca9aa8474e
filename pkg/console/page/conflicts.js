// Versions that are kept aside: beside what has their name, and what is decided about them.
'use strict';

// decisions are the orders that decide about such versions: they are given beside each.
const decisions = ['take', 'drop'];

function Conflicts({ row, orders, allowed, live, deed, now }) {
  const found = useAnswer('conflicts', { workspace: argOf(row) });
  const [shown, show] = useState(null);
  const [asked, ask] = useState(null);
  const first = useRef(true);
  useEffect(() => { if (first.current) first.current = false; else found.again(); }, [row.conflicts]); // somebody else decided
  const off = !allowed || live === false || Boolean(deed && deed.code === undefined);
  const button = (what, of, text) => orders.get(what) && html`<button type="button" key=${what} class="small careful" disabled=${off} data-testid=${of ? `conflict-${what}` : `conflicts-${what}-all`}
    title=${allowed ? plain(orders.get(what).text) : 'this page only shows: start it with coltec ui --allow-actions'} onClick=${() => ask({ what, of })}>${text}</button>`;
  const close = (changed) => {
    ask(null);
    if (changed) { found.again(); document.getElementById('tab-conflicts').focus(); }
  };
  return html`<${Answer} of=${found}>${(list) => ((list || []).length === 0 ? html`<p class="quiet" data-testid="conflicts">no conflicts</p>`
    : html`<div data-testid="conflicts">
      ${list.length > 1 && html`<div class="buttons">${button('take', null, 'take all: what was aside')}${button('drop', null, 'drop all: what has the names')}</div>`}
      ${list.map((k) => html`<section class="conflict" key=${`${k.replica} ${k.id}`} data-testid="conflict" data-id=${k.id}>
      <p><code>${plain(k.replica)}: ${plain(k.path)}</code></p>
      <p class="quiet">of ${plain(k.host)}, ${ago(k.time, now)}, ${size(k.size)}${k.agent ? `, of ${plain(k.agent)} ${plain(k.talk || '')}` : ''}${k.here ? '' : ', in the bucket'}</p>
      <div class="buttons">
        <button type="button" class="small" data-testid="conflict-show" aria-expanded=${String(shown === k.id)} onClick=${() => show(shown === k.id ? null : k.id)}>${shown === k.id ? 'hide' : 'side by side'}</button>
        ${button('take', k, 'take')}${button('drop', k, 'drop')}
      </div>
      ${shown === k.id && html`<${Aside} row=${row} of=${k} />`}</section>`)}</div>`)}</${Answer}>
    ${asked && html`<${Decide} row=${row} ...${asked} close=${close} />`}`;
}

function Aside({ row, of }) {
  const found = useAnswer('conflicts', { workspace: argOf(row), path: of.id, replica: of.replica });
  return html`<${Answer} of=${found}>${(k) => html`${k.diff ? html`<${Sides} diff=${k.diff} names=${['has the name now', `kept aside, of ${k.host}`]} />` : ''}<${Words} of=${k} />`}</${Answer}>`;
}

// Words say what no lines can say of two versions.
function Words({ of }) {
  return html`
    ${(of.tables || []).map((t) => html`<p class="quiet" data-testid="table">table <code>${plain(t.table)}</code>: ${t.what === 'added' ? 'not there now' : `${many(t.before, 'row')} now`}, ${t.what === 'removed' ? 'and not kept aside' : `${many(t.after, 'row')} kept aside`}</p>`)}
    ${of.commits && html`<p class="quiet" data-testid="commits">${many(of.commits.ahead, 'commit')} that what has the name now does not have, and without ${of.commits.behind} of that</p>
      ${(of.commits.subjects || []).map((s) => html`<p class="quiet"><code>${plain(s)}</code></p>`)}`}
    ${of.note && html`<p class="quiet">${plain(of.note)}</p>`}`;
}

// linesOf counts the lines of a diff that begin with a sign: those of one side alone.
const linesOf = (diff, sign) => (diff || '').split('\n').filter((l) => l[0] === sign && !/^(---|\+\+\+) /.test(l)).length;

// lost says what a decision about one version takes away, and where it is then.
function lost(take, k) {
  const only = linesOf(k.diff, take ? '-' : '+');
  const lines = only > 0 ? `, with ${many(only, 'line')} that the other one does not have` : '';
  const kept = 'It goes to .coltec/replaced in the workspace, and stays there as long as history.keep says.';
  if (take && (!k.now || k.now.kind === 'nothing')) return 'Nothing is lost: nothing has its name now.';
  if (take) return `What is lost: the ${plain(k.now.kind)} that has its name now (${size(k.now.size)})${lines}. ${kept}`;
  if (k.kind === 'ref') return 'What is lost: the ref. Its commits stay until git prunes what nothing leads to.';
  return `What is lost: the version of ${plain(k.host)} (${size(k.size)})${lines}. ${k.here ? kept : 'It is in the bucket alone, and is in older generations then.'}`;
}

// printed has an order carried out, and gives what it printed: an answer in JSON, and lines.
async function printed(order, args, signal) {
  const out = [], said = [];
  let code;
  await api.run(order, args, (l) => {
    if (l.out !== undefined) out.push(l.out);
    if (l.err !== undefined) said.push(...errorLines(l.err));
    if (l.end) code = l.end.code;
  }, signal);
  if (code === undefined) throw new Error(lostOnTheWay);
  let answer;
  try { answer = JSON.parse(out.join('\n')); } catch { /* it failed before it had one */ }
  if (answer === undefined) throw Object.assign(new Error(said.filter((l) => !l.startsWith('hint: ')).join('\n') || `it ended with ${code}`), { hints: said.filter((l) => l.startsWith('hint: ')).map((l) => l.slice(6)) });
  return { code, answer };
}

// Decide says what a decision about a version, or all (of is null), takes away, asks, and tells what
// came of it. What is decided about is what was shown: anything else is refused.
function Decide({ row, what, of, close }) {
  const take = what === 'take';
  const [state, set] = useState({});
  const stop = useRef(new AbortController());
  useEffect(() => () => stop.current.abort(), []); // a browser has few connections: what nobody looks at gives its own back
  const args = of ? { workspace: argOf(row), path: of.id, replica: of.replica } : { workspace: argOf(row), all: 'true' };
  const look = async () => {
    set({});
    try {
      if (of) { const k = await api.ask('conflicts', args, stop.current.signal); set({ seen: k.seen, list: [k] }); return; }
      const { answer } = await printed(what, { ...args, dry_run: 'true' }, stop.current.signal);
      set({ seen: answer.seen, list: answer.done || [], left: answer.left || [] });
    } catch (error) { if (!stop.current.signal.aborted) set({ error }); }
  };
  useEffect(() => { look(); }, []);
  const go = async (e) => {
    e.preventDefault();
    set({ ...state, busy: true });
    try {
      const { answer } = await printed(what, { ...args, ...(state.seen ? { seen: state.seen } : {}) }, stop.current.signal);
      set({ ended: true, list: of ? [answer] : answer.done || [], left: of ? [] : answer.left || [] });
    } catch (error) { if (!stop.current.signal.aborted) set({ error }); }
  };
  const title = of ? `${take ? 'Take' : 'Drop'} a version` : `${take ? 'Take' : 'Drop'} all versions`;
  const hand = (e) => { if (e.key !== 'Escape') e.stopPropagation(); }; // the keys of what is behind are not meant
  return html`<${Dialog} testid="decide" label=${title} data-what=${what} onClose=${() => close(Boolean(state.ended || state.error))} onKeyDown=${hand}>
    <form onSubmit=${go}>
      <h2>${title}</h2>
      <p><${Name} of=${row.workspace} /></p>
      ${state.list === undefined && !state.error && html`<p class="quiet" aria-busy="true">looking …</p>`}
      ${state.list && !state.ended && html`<div data-testid="question">
        ${of && html`<p>${take ? html`<code>${plain(of.path)}</code> becomes the version of ${plain(of.host)} again.` : html`<code>${plain(of.path)}</code> stays as it is.`}</p>
          <p class="warning">${lost(take, state.list[0])}</p><${Words} of=${state.list[0]} />`}
        ${!of && html`<p>${take ? `${many(state.list.length, 'version')} that ${state.list.length === 1 ? 'is' : 'are'} kept aside get their names back.` : `What has the names now stays; ${many(state.list.length, 'version')} kept aside ${state.list.length === 1 ? 'goes' : 'go'} away.`}</p>
          <ul class="losses" tabindex="0" aria-label="what goes away">${state.list.slice(0, 200).map((k) => html`<li><code>${plain(k.path)}</code> <span class="warning">${lost(take, k)}</span></li>`)}</ul>
          ${state.list.length > 200 && html`<p class="quiet">and ${state.list.length - 200} more</p>`}`}
      </div>`}
      ${(state.left || []).map((k) => html`<p class="quiet" data-testid="left">left as it is: <code>${plain(k.path)}</code>: ${plain(k.note)}</p>`)}
      <div aria-live="polite">
        ${state.busy && html`<p class="deed"><span class="spin" aria-hidden="true"></span>under way …</p>`}
        ${state.ended && html`<div data-testid="outcome" data-code=${(state.left || []).length > 0 ? 1 : 0} class=${(state.left || []).length > 0 ? 'problem' : 'success'}>
          <p>${take ? 'taken' : 'dropped'}: ${state.list.length === 1 ? plain(state.list[0].path) : many(state.list.length, 'version')}</p>
          ${state.list.slice(0, 200).map((k) => k.undo && html`<p class="hint" data-testid="undo">back again: <code>${plain(k.undo)}</code></p>`)}</div>`}
        ${state.error && html`<div data-testid="outcome" data-code="error"><${Problem} error=${state.error} /></div>`}
      </div>
      <p class="buttons end">
        <button type="button" data-testid="decide-close" data-first="" onClick=${() => close(Boolean(state.ended || state.error))}>${state.ended || state.error ? 'close' : state.busy ? 'close; it goes on' : 'cancel'}</button>
        ${state.error && html`<button type="button" data-testid="decide-again" onClick=${look}>look again</button>`}
        ${!state.ended && !state.error && html`<button data-testid="decide-go" class="main careful" disabled=${state.list === undefined || state.list.length === 0 || Boolean(state.busy)}>${what}</button>`}
      </p>
    </form>
  </${Dialog}>`;
}
