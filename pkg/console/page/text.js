// Texts: what a workspace says is shown as text, and what cannot be seen is shown as a sign.
'use strict';

// plain is for what is one line, such as a name: control characters, what cannot be seen, and what
// turns the direction of what follows are shown as signs.
function plain(value) {
  return lines(value).replace(/[\t\n]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)));
}

// lines is plain for what may have several lines, and tabs.
function lines(value) {
  return String(value ?? '')
    .replace(/\r\n/g, '\n')
    .replace(/[\u0000-\u0008\u000b-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replace(/[\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu, '\ufffd');
}

// ends is the end of a long text, and of each line its beginning: no browser shows megabytes at
// the pace in which they come.
function ends(text, most = 400000, line = 4000) {
  const short = text.split('\n').map((l) => (l.length > line ? `${l.slice(0, line)} … (${l.length - line} more characters)` : l)).join('\n');
  return short.length > most ? `… earlier lines are left out\n${short.slice(short.indexOf('\n', short.length - most) + 1)}` : short;
}

// span is a time for people, in its largest unit.
function span(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} days`;
}

// ago is how long ago a time was.
function ago(time, now) {
  const t = Date.parse(time);
  return Number.isNaN(t) ? '–' : `${span(now - t)} ago`;
}

function clock(time) {
  const t = new Date(time);
  return Number.isNaN(t.getTime()) ? '–' : t.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}

function size(n) {
  if (!(n >= 1024)) return `${Math.round(n || 0)} B`;
  let i = -1;
  do { n /= 1024; i++; } while (n >= 1024 && i < 4);
  return `${n.toFixed(n < 10 ? 1 : 0)} ${['KiB', 'MiB', 'GiB', 'TiB', 'PiB'][i]}`;
}

function many(n, one, more = `${one}s`) { return `${n} ${n === 1 ? one : more}`; }

// sides makes rows of an old and a new side from a unified diff, at most so many.
function sides(diff, most) {
  const rows = [];
  let from = 0, to = 0, gone = [], come = [];
  const flush = () => {
    for (let i = 0; i < Math.max(gone.length, come.length); i++) rows.push({ old: gone[i], now: come[i] });
    gone = []; come = [];
  };
  for (const line of diff.replace(/\n$/, '').split('\n')) {
    if (rows.length >= most) { rows.push({ cut: true }); return rows; }
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/.exec(line);
    if (hunk) {
      flush();
      from = Number(hunk[1]); to = Number(hunk[2]);
      rows.push({ hunk: line });
    } else if (from + to === 0) {
      if (/^(---|\+\+\+) /.test(line)) rows.push({ hunk: line });
    } else if (line[0] === '-') {
      gone.push({ n: from++, text: line.slice(1) });
    } else if (line[0] === '+') {
      come.push({ n: to++, text: line.slice(1) });
    } else if (line[0] === '\\') {
      (come.length ? come : gone).push({ n: '', text: line });
    } else {
      flush();
      rows.push({ old: { n: from++, text: line.slice(1) }, now: { n: to++, text: line.slice(1) }, same: true });
    }
  }
  flush();
  return rows;
}
