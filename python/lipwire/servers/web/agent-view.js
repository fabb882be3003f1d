// What the page shows of a conversation: the chat, the latency of its turns. Text reaches the page as text nodes only.

const $ = (id) => document.getElementById(id);

// Writes only what changed: live regions speak on every write, equal or not.
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

// Chat --------------------------------------------------------------------------------------

const NAMES = { user: 'You', agent: 'Agent' };
const shown = new Map();       // item -> its elements
const spoken = new WeakSet();  // items that a screen reader was told

export function renderChat(conversation) {
  const log = $('log'), list = $('chat');
  const following = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  const items = new Set(conversation.items);
  for (const [item, view] of shown) if (!items.has(item)) { view.row.remove(); shown.delete(item); }
  for (const item of conversation.items) {
    let view = shown.get(item);
    if (!view) {
      const row = make('li', `turn ${item.role}`);
      const who = make('span', 'who', NAMES[item.role]);
      const text = make('p', 'text');
      const note = make('small', 'cut', 'interrupted');
      row.append(who, text, note);
      list.append(row);
      shown.set(item, view = { row, text, note });
    }
    put(view.text, item.text);
    view.row.classList.toggle('live', !item.final);
    view.row.classList.toggle('pending', item.pending);
    view.note.hidden = !item.interrupted;
    // A stream of partial captions would drown a screen reader: it gets each one once, when it is whole.
    if (item.final && item.role === 'agent' && !spoken.has(item)) {
      spoken.add(item);
      put($('captions'), item.text);
    }
  }
  $('empty').hidden = conversation.items.length > 0;
  $('record').hidden = conversation.items.length === 0;
  if (following) log.scrollTop = log.scrollHeight;
}

// The words that are being said, over the picture: the end of the newest item, as far as it fits two lines.
const CAPTION_CHARS = 96;
export function caption(conversation) {
  const item = conversation.items.at(-1);
  if (!item || (item.role === 'agent' && item.final && conversation.state !== 'speaking')) return '';
  if (item.role === 'user' && (item.final || item.pending)) return '';
  const text = item.text.trim();
  if (text.length <= CAPTION_CHARS) return text;
  const tail = text.slice(-CAPTION_CHARS), space = tail.search(/\s/);
  return `…${space < 0 || space > 20 ? tail : tail.slice(space)}`;
}

// Latency -------------------------------------------------------------------------------------

const LABELS = {               // of agents/turns.py; what others send is shown by its own name
  request_ms: 'Request', llm_ms: 'First token', sentence_ms: 'First sentence', tts_ms: 'Text to speech', channel_ms: 'Into the channel',
};
const TONES = 6;
const label = (name) => LABELS[name] ?? name.replace(/_ms$/, '').replaceAll('_', ' ').replace(/^./, (c) => c.toUpperCase());
const whole = (ms) => (Number.isFinite(ms) ? String(Math.round(ms)) : '–');

export function renderTurns(conversation) {
  const { turns } = conversation;
  const newest = turns.at(-1);
  const total = $('latency-total');
  put(total, whole(newest?.total));
  total.classList.toggle('none', !newest);
  const sorted = turns.map((turn) => turn.total).sort((a, b) => a - b);
  put($('latency-note'), !newest ? 'From the end of your speech to the first sound. No turn yet.'
    : turns.length === 1 ? 'From the end of your speech to the first sound.'
      : `Median of ${turns.length} turns: ${whole(sorted[turns.length >> 1])} ms, slowest ${whole(sorted.at(-1))} ms.`);

  // One colour for a part in every turn, in the order in which they first came.
  const names = [...new Set(turns.flatMap((turn) => turn.parts.map(([name]) => name)))];
  const tone = (name) => `tone-${names.indexOf(name) % TONES}`;
  const scale = Math.max(1, ...turns.map((turn) => turn.total));
  $('turns').replaceChildren(...turns.slice(-6).map((turn) => {
    const row = make('li');
    const bar = make('span', 'bar-track');
    for (const [name, ms] of turn.parts) {
      const part = make('i', tone(name));
      part.style.width = `${(100 * Math.max(0, ms) / scale).toFixed(2)}%`;
      part.title = `${label(name)}: ${whole(ms)} ms`;
      bar.append(part);
    }
    row.append(bar, make('span', 'value', whole(turn.total)));
    row.setAttribute('aria-label', `Turn ${turn.id}: ${whole(turn.total)} ms`);
    return row;
  }));
  $('parts').replaceChildren(...(newest?.parts ?? []).map(([name, ms]) => {
    const row = make('div');
    const term = make('dt');
    term.append(make('i', tone(name)), label(name));
    const value = make('dd', '', whole(ms));
    value.append(make('small', '', 'ms'));
    row.append(term, value);
    return row;
  }));
}

export function renderLine(figures) {
  const picture = figures.width ? `${figures.width} × ${figures.height} ${figures.codec}`.trim() : null;
  const rows = [['Picture', picture, ''], ['Round trip', figures.rtt_ms, 'ms'], ['Sound jitter', figures.jitter_ms, 'ms'], ['Packets lost', figures.lost, '']];
  $('line').replaceChildren(...rows.filter(([, value]) => Number.isFinite(value) || (typeof value === 'string' && value)).map(([name, value, unit]) => {
    const row = make('div');
    const cell = make('dd', '', typeof value === 'string' ? value : unit && value < 10 ? value.toFixed(1) : whole(value));
    if (unit) cell.append(make('small', '', unit));
    row.append(make('dt', '', name), cell);
    return row;
  }));
}
