// The parts that the page is made of.
'use strict';

const { h, render, Component } = preact;
const { useEffect, useMemo, useRef, useState } = preactHooks;
const html = htm.bind(h);

// tones are how a state looks; its word says it too.
const tones = {
  running: 'good', synced: 'good', working: 'good', done: 'good',
  degraded: 'warn', silent: 'warn', waiting: 'warn', retrying: 'warn', paused: 'warn', incomplete: 'warn', 'waits for you': 'warn',
  lost: 'bad', unreadable: 'bad', blocked: 'bad', failed: 'bad', fenced: 'bad', fatal: 'bad',
};

function State({ of, testid }) {
  return html`<span class="state ${tones[of] || 'calm'}" data-testid=${testid}>${plain(of)}</span>`;
}

// Dialog is the browser's own, which keeps the focus and ends with Escape.
function Dialog({ testid, label, onClose, wide, children, ...more }) {
  const ref = useRef(null);
  const alive = useRef(true);
  useEffect(() => {
    ref.current.showModal();
    const first = ref.current.querySelector('[data-first]'); // else it is the first that can have it
    if (first) first.focus();
    return () => { // the focus goes back to where it was only when a dialog is closed, not when it is taken away
      alive.current = false;
      if (ref.current && ref.current.open) ref.current.close();
    };
  }, []);
  return html`<dialog ref=${ref} class=${wide ? 'wide' : ''} data-testid=${testid} aria-label=${label} onClose=${() => alive.current && onClose()} ...${more}>${children}</dialog>`;
}

function Problem({ error }) {
  return html`<div class="problem" role="alert" data-testid="problem">
    <p class="lines">${lines(error.message)}</p>
    ${(error.hints || []).map((x) => html`<p class="hint">${lines(x)}</p>`)}
  </div>`;
}

// useAnswer asks, again whenever one of the words or when is another one, and when again is called.
// at is when it was answered.
function useAnswer(order, args, when) {
  const [state, set] = useState({});
  const [turn, next] = useState(0);
  useEffect(() => {
    if (!order) return undefined;
    const stop = new AbortController();
    set((old) => ({ ...old, busy: true }));
    api.ask(order, args, stop.signal).then(
      (data) => set({ data, at: Date.now() }),
      (error) => { if (!stop.signal.aborted) set({ error }); },
    );
    return () => stop.abort();
  }, [order, JSON.stringify(args), when, turn]);
  return { ...state, again: () => next(turn + 1) };
}

// Answer shows what was asked, once it is there.
function Answer({ of, children }) {
  if (of.error) return html`<${Problem} error=${of.error} />`;
  if (of.data === undefined) return html`<p class="quiet" aria-busy="true">asking …</p>`;
  return children(of.data);
}

// argOf is how a workspace is named to coltec.
const argOf = (row) => row.folder || row.workspace;
const keyOf = (row) => `${row.workspace}\n${row.folder || ''}`;
const needy = (row) => Boolean(row.needs);

// placeOf says where a workspace is. A machine may be called "here", too.
const isHere = (row) => row.where === 'here' && Boolean(row.folder);
const placeOf = (row) => (isHere(row) ? 'on this machine' : row.where ? `on ${plain(row.where)}` : row.state === 'unreadable' ? 'nobody can tell where' : 'on no machine');

function Name({ of }) {
  const [org, project, ...env] = plain(of).split('/');
  return project === undefined ? html`<span>${org}</span>` : html`<span class="org">${org}/</span><wbr/><b>${project}</b><wbr/><span class="org">/${env.join('/')}</span>`;
}

// underWay is whether something is being done to a workspace.
const underWay = (deed) => Boolean(deed && deed.code === undefined);

// Buttons do what the orders of these names do.
function Buttons({ row, orders, names, act, allowed, live, deed }) {
  const why = !allowed ? 'this page is read-only: coltec ui --allow-actions starts one whose buttons do things' : !live ? 'not connected to coltec ui' : '';
  return html`<div class="buttons">${names.map((name) => {
    const o = orders.get(name);
    return o && html`<button type="button" key=${name} data-testid=${`button-${name}`} class=${o.destroys ? 'careful' : ''} disabled=${why !== '' || underWay(deed)}
      title=${why || plain(o.text)} onClick=${() => act(o, row)}>${plain(name)}</button>`;
  })}</div>`;
}

function Deed({ of, now }) {
  if (!of) return null;
  if (underWay(of)) return html`<p class="deed" data-testid="busy"><span class="spin" aria-hidden="true"></span>${plain(of.order)} under way, begun ${ago(of.since, now)}</p>`;
  return html`<p class="deed ${of.code ? 'bad' : ''}" data-testid="last-deed" data-code=${of.code} title=${clock(of.until)}>${plain(of.order)} ${of.code ? `ended with exit code ${of.code}` : 'done'}, ${ago(of.until, now)}</p>`;
}

// Card is a workspace. It is drawn anew only when something about it is another way.
class Card extends Component {
  shouldComponentUpdate(next) {
    const p = this.props;
    return next.row !== p.row || next.now !== p.now || next.allowed !== p.allowed || next.live !== p.live || next.orders !== p.orders || next.deedText !== p.deedText;
  }

  render({ row, orders, allowed, live, deed, now, show, act }) {
    const names = isHere(row) && row.container && row.state !== 'down' ? ['sync', 'checkpoint'] : ['hop'];
    const needs = row.attention || [];
    return html`<article class="card ${needy(row) ? 'needy' : ''} ${row.asOf ? 'old' : ''}" data-testid="card" data-workspace=${row.workspace} data-folder=${row.folder || ''} data-state=${row.state} data-needs=${String(needy(row))}>
      <header><h2><button type="button" class="name" data-testid="open" onClick=${() => show(row)}><${Name} of=${row.workspace} /></button></h2><${State} of=${row.state} testid="state" /></header>
      <p class="facts">
        ${row.asOf && html`<span data-testid="as-of">as of ${clock(row.asOf)}</span>`}
        <span data-testid="where">${placeOf(row)}</span>
        ${row.last_save && html`<span data-testid="last-save" title=${clock(row.last_save)}>saved ${ago(row.last_save, now)}</span>`}
        ${!row.last_save && row.last_seen && html`<span data-testid="last-save" title=${clock(row.last_seen)}>seen ${ago(row.last_seen, now)}</span>`}
        ${row.lag_seconds > 0 && html`<span data-testid="lag">unsaved for ${span(row.lag_seconds * 1000)}</span>`}
        ${row.conflicts > 0 && html`<span data-testid="conflict-count">${many(row.conflicts, 'conflict')}</span>`}
        ${(row.only_here || []).length > 0 && html`<span data-testid="only-here" title=${row.only_here.map((x) => `${x.count} ${plain(x.reason)}`).join(', ')}>${row.only_here.reduce((n, x) => n + x.count, 0)} only ${row.folder ? 'here' : 'there'}</span>`}
        ${row.checkpoint && html`<span data-testid="newest-checkpoint" title=${clock(row.checkpoint.made)}>checkpoint ${plain(row.checkpoint.name)}</span>`}
        ${row.cost_month > 0 && html`<span data-testid="cost">${row.cost_month < 0.01 ? 'less than $0.01' : `$${row.cost_month.toFixed(2)}`} a month</span>`}
      </p>
      ${(row.agents || []).length > 0 && html`<ul class="agents" data-testid="agents">${row.agents.map((a) => html`<li data-testid="agent" data-state=${a.state}>
        <b>${plain(a.name)}</b> <${State} of=${a.state} /> ${a.since && html`<span class="quiet">${ago(a.since, now)}</span>`}</li>`)}</ul>`}
      ${needy(row) && html`<p class="needs" data-testid="needs">${plain(row.needs)}</p>`}
      ${needs.length > 0 && html`<ul class="attention" data-testid="attention">
        ${needs.slice(0, 3).map((x) => html`<li data-testid="need">${lines(x)}</li>`)}
        ${needs.length > 3 && html`<li class="quiet">and ${needs.length - 3} more</li>`}</ul>`}
      <${Deed} of=${deed} now=${now} />
      <footer><${Buttons} row=${row} orders=${orders} names=${names} act=${act} allowed=${allowed} live=${live} deed=${deed} /></footer>
    </article>`;
  }
}

// Bars is a small chart: a bar for each stretch of time, as high as what happened in it.
function Bars({ testid, title, label, values, hints }) {
  const top = Math.max(1, ...values);
  const w = 6, gap = 2, high = 48;
  return html`<figure class="chart"><figcaption>${title}</figcaption>
    <svg data-testid=${testid} role="img" aria-label=${label} viewBox=${`0 0 ${values.length * (w + gap)} ${high}`} preserveAspectRatio="none">
      <line x1="0" x2=${values.length * (w + gap)} y1=${high - 0.5} y2=${high - 0.5} class="ground" />
      ${values.map((v, i) => v > 0 && html`<rect x=${i * (w + gap)} y=${high - Math.max(2, (v / top) * (high - 2))} width=${w} height=${Math.max(2, (v / top) * (high - 2))} rx="1"><title>${hints[i]}</title></rect>`)}
    </svg><p class="quiet">${label}</p></figure>`;
}

// Saves are the generations that are kept, by their times, as of when that was asked.
function Saves({ of, at: now }) {
  const bins = 48;
  const times = of.map((g) => Date.parse(g.time)).filter((t) => !Number.isNaN(t));
  if (times.length === 0) return html`<p class="quiet" data-testid="chart-saves">nothing was saved yet</p>`;
  const first = Math.min(...times), step = Math.max(1, (now - first) / bins);
  const values = Array(bins).fill(0);
  times.forEach((t) => { values[Math.min(bins - 1, Math.max(0, Math.floor((t - first) / step)))]++; });
  const hints = values.map((v, i) => `${many(v, 'save')} around ${clock(first + (i + 0.5) * step)}`);
  return html`<${Bars} testid="chart-saves" title="Saves that are kept" values=${values} hints=${hints}
    label=${`${many(times.length, 'save')} kept, the first ${span(now - first)} ago, the last ${span(now - Math.max(...times))} ago, as of ${clock(now)}`} />`;
}

// Transfers are what was moved while the page looked on, at each look.
function Transfers({ of }) {
  const values = of.slice(1).map((s, i) => Math.max(0, s.bytes - of[i].bytes));
  const last = of[of.length - 1];
  const hints = values.map((v, i) => `${size(v)} at ${clock(of[i + 1].time)}`);
  while (values.length < 48) { values.unshift(0); hints.unshift(''); }
  return html`<${Bars} testid="chart-transfers" title="Transfers while this page is open" values=${values} hints=${hints}
    label=${`${size(last.sent)} sent, ${size(last.received)} received, ${many(last.requests, 'request')} since coltecd began`} />`;
}

// Sides shows a unified diff with its two sides beside each other.
function Sides({ diff, names }) {
  const rows = useMemo(() => sides(diff, 3000), [diff]);
  const cell = (x, kind) => html`<td class=${`n ${kind}`}>${x ? x.n : ''}</td><td class=${`text ${x ? kind : 'none'}`}>${x ? lines(x.text) : ''}</td>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="the two versions side by side"><table class="sides" data-testid="side-by-side">
    <colgroup><col class="n" /><col /><col class="n" /><col /></colgroup>
    <thead><tr><th colspan="2">${plain(names[0])}</th><th colspan="2">${plain(names[1])}</th></tr></thead>
    <tbody>${rows.map((r) => {
      if (r.cut) return html`<tr class="hunk"><td colspan="4">more differs, and is not shown</td></tr>`;
      if (r.hunk) return html`<tr class="hunk"><td colspan="4">${plain(r.hunk)}</td></tr>`;
      return html`<tr>${cell(r.old, r.same ? 'same' : 'old')}${cell(r.now, r.same ? 'same' : 'new')}</tr>`;
    })}</tbody></table></div>`;
}
