// `lipwire top` as a page: asks GET /api/cluster, which says what GET /cluster does, and shows it.
//
// Text from the server only ever reaches the page as text nodes, as in viewer.js.

import { keep, kept, refusal, request } from './server.js';

const EVERY_MS = 1000;         // from one look to the next
const UNIT = 1000;             // of weight: a face of 640x360 at 25 frames a second
const SPARK_POINTS = 60;
const KEY_STORE = 'lipwire.key';
const WARN = { skew: 45, late: 0.01, lag: 100 };      // as in cli/top.py

const $ = (id) => document.getElementById(id);
const count = (number, name) => `${number} ${name}${number === 1 ? '' : 's'}`;
const total = (workers, name) => workers.reduce((all, worker) => all + worker.figures[name], 0);
const most = (workers, name) => workers.reduce((all, worker) => Math.max(all, worker.figures[name]), 0);
const sum = (workers, name) => workers.reduce((all, worker) => all + worker[name], 0);
const percent = (part, digits = 0) => `${(100 * part).toFixed(digits)}%`;

// Of a row, which is one worker or all of a node: [name, text, whether it is to be looked at].
const COLUMNS = [
  ['sessions', (w) => [total(w, 'sessions')]],
  ['agents', (w) => [total(w, 'agents')]],
  ['rooms', (w) => [total(w, 'rooms')]],
  ['viewers', (w) => [total(w, 'viewers')]],
  ['talking', (w) => [total(w, 'talking')]],
  ['used', (w) => [`${(sum(w, 'used') / UNIT).toFixed(1)} / ${+(sum(w, 'capacity') / UNIT).toFixed(1)}`, false, sum(w, 'used') / sum(w, 'capacity')]],
  ['CPU', (w) => [percent(total(w, 'cpu'))]],
  ['MiB', (w) => [total(w, 'memory_mb')]],
  ['skew', (w) => [`${most(w, 'skew_ms').toFixed(0)} ms`, most(w, 'skew_ms') > WARN.skew]],
  ['late', (w, late) => [percent(late, 1), late > WARN.late]],
  ['lag', (w) => [`${most(w, 'lag_ms').toFixed(0)} ms`, most(w, 'lag_ms') > WARN.lag]],
  ['buffer', (w) => [`${(most(w, 'buffered_ms') / 1000).toFixed(1)} s`]],
  ['queue', (w) => [total(w, 'queued')]],
  ['restarts', (w) => [sum(w, 'restarts'), sum(w, 'restarts') > 0]],
  ['pid', (w) => [w.length === 1 ? w[0].pid : '']],
];

let before = new Map();        // worker -> its counters at the look before
const trails = { sessions: [], used: [], cpu: [], late: [] };

const keyOf = (node, worker) => `${node.name} ${worker.index} ${worker.pid}`;

// Which part of the pictures of these workers were late since the look before, or since they began.
function lateOf(rows) {
  let made = 0, late = 0;
  for (const [node, worker] of rows) {
    const then = before.get(keyOf(node, worker)) ?? { frames: 0, late: 0 };
    made += Math.max(0, worker.figures.frames - then.frames);
    late += Math.max(0, worker.figures.late - then.late);
  }
  return made + late ? late / (made + late) : 0;
}

function element(kind, text = '', className = '') {
  const made = document.createElement(kind);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function row(name, state, rows, className) {
  const workers = rows.map(([, worker]) => worker), late = lateOf(rows);
  const made = element('tr', '', className);
  name.scope = 'row';
  const cell = element('td');
  cell.append(element('span', state, `state ${state}`));
  made.append(name, cell);
  for (const [title, told] of COLUMNS) {
    const [text, warned, part] = told(workers, late);
    const figure = element('td', '', text === '' ? 'none' : warned ? 'warn' : '');
    figure.dataset.name = title;
    const value = element('span', text);
    if (part >= 0) {
      const meter = element('span', '', 'meter'), bar = element('i');
      bar.style.setProperty('--part', percent(Math.min(1, part)));
      meter.append(bar);
      value.append(meter);
    }
    figure.append(value);
    made.append(figure);
  }
  return made;
}

function body(node, asked) {
  const made = element('tbody'), rows = node.workers.map((worker) => [node, worker]);
  const name = element('th', node.name || 'this machine');
  if (node.seen >= 2 && node.name !== asked) name.append(element('span', `${node.seen.toFixed(0)} s ago`, 'ago'));
  name.title = [node.http_url, node.version].filter(Boolean).join(' · ');
  made.append(row(name, node.state, rows, 'node'));
  if (rows.length > 1) {
    for (const one of rows) made.append(row(element('th', `worker ${one[1].index}`), one[1].state, [one], 'worker'));
  }
  made.lastElementChild.classList.add('last');
  return made;
}

function tile(name, value, text, unit, note, top) {
  const trail = trails[name];
  trail.push(value);
  if (trail.length > SPARK_POINTS) trail.shift();
  const highest = Math.max(top, ...trail);
  const points = trail.map((at, n) => `${SPARK_POINTS - trail.length + n + 1},${(30 - 28 * (at / highest)).toFixed(1)}`);
  $(`${name}-spark`).querySelector('polyline').setAttribute('points', points.join(' '));
  $(name).replaceChildren(text, element('small', unit));
  $(`${name}-note`).textContent = note;
}

function show(view) {
  const rows = view.nodes.flatMap((node) => node.workers.map((worker) => [node, worker]));
  const workers = rows.map(([, worker]) => worker);
  const used = sum(workers, 'used'), capacity = sum(workers, 'capacity'), late = lateOf(rows);
  tile('sessions', total(workers, 'sessions'), `${total(workers, 'sessions')}`, `${total(workers, 'talking')} talking`,
    `${count(total(workers, 'agents'), 'agent')}, ${count(total(workers, 'viewers'), 'viewer')}`, 1);
  tile('used', used / (capacity || 1), percent(used / (capacity || 1)), `of ${+(capacity / UNIT).toFixed(1)} faces`,
    `${view.placed} placed, ${view.refused} refused`, 1);
  tile('cpu', total(workers, 'cpu'), percent(total(workers, 'cpu')), 'of one core',
    `${total(workers, 'memory_mb')} MiB, event loops ${most(workers, 'lag_ms').toFixed(0)} ms late`, 1);
  tile('late', late, percent(late, 1), '', `worst skew ${most(workers, 'skew_ms').toFixed(0)} ms`, 0.05);
  $('late-note').classList.toggle('warn', late > WARN.late || most(workers, 'skew_ms') > WARN.skew);

  $('table').replaceChildren(...$('table').querySelectorAll('caption, thead'), ...view.nodes.map((node) => body(node, view.asked)));
  const reasons = rows.filter(([, worker]) => worker.figures.overloaded);
  $('reasons').replaceChildren(...reasons.map(([node, worker]) => element('li', `${node.name}, worker ${worker.index}: ${worker.figures.overloaded}`)));
  const said = [count(view.nodes.length, 'node'), count(workers.length, 'worker'), `${view.asked || 'this machine'} says so`];
  if (view.reserve_ms) said.push(`a place is found in ${view.reserve_ms.toFixed(1)} ms`);
  if (view.nats !== 'none') said.push(`NATS ${view.nats}`);
  $('sum').textContent = said.join(' · ');
  before = new Map(rows.map(([node, worker]) => [keyOf(node, worker), worker.figures]));
}

function line(text, className = '') {
  if ($('line').textContent !== text) $('line').textContent = text;
  $('line').className = `line ${className}`;
}

// Why nobody is shown anything; '' = somebody is.
function notice(text) {
  $('notice').hidden = !text;
  $('figures').hidden = text !== '';
  $('notice-text').textContent = text;
}

const WORDS = {
  MISSING_TOKEN: 'Open it by the link that lipwire serve prints, or with the operator’s API key.',
  INVALID_API_KEY: 'That is not the API key of this server’s operator.',
  NOT_ALLOWED: 'What you have opens a part of this server. All of it is shown to the operator’s API key.',
};

// Resolves with whether to look again by itself.
async function look() {
  const key = kept('sessionStorage', KEY_STORE);
  let view;
  try {
    view = await request('api/cluster', undefined, { timeout: 8000, headers: key ? { 'x-api-key': key } : {} });
  } catch (error) {
    $('figures').classList.add('stale');
    const why = WORDS[error.code] ?? refusal(error);
    if (why) {
      line('No access', 'bad');
      notice(why);
      return false;
    }
    line(error.unreachable ? 'The server cannot be reached. Trying again…' : error.message, 'bad');
    return true;
  }
  notice('');
  $('figures').classList.remove('stale');
  show(view);
  const states = view.nodes.map((node) => node.state);
  const ill = view.nodes.filter((node) => ['silent', 'down'].includes(node.state)).map((node) => node.name);
  if (ill.length) line(`${ill.join(', ')} ${ill.length === 1 ? 'does' : 'do'} not answer`, 'bad');
  else if (view.nats === 'reconnecting') line('NATS is lost; starts are placed here alone', 'bad');
  else if (states.every((state) => state === 'draining')) line('Draining', 'wait');
  else line('Live');
  return true;
}

$('head').replaceChildren(...['node', 'state', ...COLUMNS.map(([title]) => title)].map((title) => {
  const made = element('th', title);
  made.scope = 'col';
  return made;
}));

let opened = () => {};         // an API key has been typed
$('form').addEventListener('submit', (event) => {
  event.preventDefault();
  keep('sessionStorage', KEY_STORE, $('key').value.trim());
  $('key').value = '';
  opened();
});
line('Connecting', 'wait');
for (;;) {
  const pause = await look() ? (done) => { setTimeout(done, document.hidden ? 5 * EVERY_MS : EVERY_MS); } : (done) => { opened = done; };
  await new Promise(pause);
}
