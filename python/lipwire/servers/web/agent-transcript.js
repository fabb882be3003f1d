// What data messages mean: objects -> a conversation and its figures. No DOM, no network.
//
// protocol.md E: v2 objects (told apart by `object`) and v0.3 ones (`data_type: "transcribe"`).

const MAX_ITEMS = 500;         // of the conversation that stay on the page
const MAX_TURNS = 12;          // whose latency is kept

const string = (value) => (typeof value === 'string' ? value : '');
const finite = (value) => (Number.isFinite(value) ? value : null);

// Items, oldest first: {key, role: 'user' | 'agent', text, final, interrupted, pending, at, until}; the last two in ms since
// the conversation began, by the clock that is given.
export class Conversation {
  items = [];
  began = Date.now();          // wall clock, ms since 1970
  turns = [];                  // {id, total, parts: [[name, ms]...]}, oldest first
  state = null;                // what the agent does, null until it said so
  paused = false;
  #byKey = new Map();
  #v2 = false;
  #clock;
  #zero;

  constructor(clock = () => performance.now()) {
    this.#clock = clock;
    this.#zero = clock();
  }

  get #now() { return this.#clock() - this.#zero; }

  // Applies an object; returns what changed: 'items', 'state', 'turns', an {error}, or null.
  apply(body) {
    if (typeof body.object === 'string') this.#v2 = true;
    switch (body.object) {
      case 'user.transcription':
        return this.#put(`u ${body.user_id || body.stream_id} ${body.turn_id}`, 'user', body, body.final !== false);
      case 'assistant.transcription':
        return this.#assistant(body);
      case 'message.interrupt':
        return this.#interrupted(`a ${body.turn_id}`);
      case 'message.state':
        this.state = string(body.state) || null;
        this.paused = body.paused === true;
        return 'state';
      case 'message.metrics':
        return this.#metrics(body);
      case 'message.error':
        return { error: body };
    }
    if (body.data_type === 'transcribe' && !this.#v2) {
      const agent = Number(body.stream_id) === 0;
      return this.#put(`t ${body.stream_id} ${body.text_ts}`, agent ? 'agent' : 'user', body, body.is_final !== false);
    }
    return null;
  }

  // A message that was typed here: shown at once, and made one with what the agent says that it heard.
  typed(text) {
    this.#add({ key: `typed ${performance.now()}`, role: 'user', text, final: true, pending: true });
    return 'items';
  }

  clear() {
    this.items.length = this.turns.length = 0;
    this.began = Date.now();
    this.#zero = this.#clock();
    this.#byKey.clear();
    this.#v2 = false;
    this.left();
  }

  // The agent is gone: nothing goes on.
  left() {
    this.state = null;
    this.paused = false;
    for (const item of this.items) item.final = true;
  }

  #put(key, role, body, final) {
    const text = string(body.text);
    let item = this.#byKey.get(key);
    if (!item && role === 'user') {
      item = this.items.findLast((other) => other.pending && other.text.trim() === text.trim());
      if (item) { item.pending = false; this.#byKey.set(key, item); }
    }
    if (!item) {
      if (!text.trim()) return null;
      item = this.#add({ key, role, text, final });
    }
    if (item.final && !final) return null;       // a late partial
    item.text = text || item.text;
    item.final = final;
    item.until = this.#now;
    return 'items';
  }

  #assistant(body) {
    const key = `a ${body.turn_id}`, sequence = finite(body.turn_seq_id) ?? 0;
    const item = this.#byKey.get(key);
    if (item && item.sequence > sequence) return null;
    const changed = this.#put(key, 'agent', body, body.turn_status !== 0);
    const now = this.#byKey.get(key);
    if (now) {
      now.sequence = sequence;
      now.interrupted ||= body.turn_status === 2;
    }
    return changed;
  }

  #interrupted(key) {
    const item = this.#byKey.get(key);
    if (!item) return null;
    item.interrupted = item.final = true;
    return 'items';
  }

  #add(item) {
    const at = this.#now;
    this.items.push({ final: false, interrupted: false, pending: false, sequence: -1, at, until: at, ...item });
    const added = this.items.at(-1);
    this.#byKey.set(item.key, added);
    if (this.items.length > MAX_ITEMS) {
      const old = this.items.shift();
      for (const [key, value] of this.#byKey) if (value === old) this.#byKey.delete(key);
    }
    return added;
  }

  // One with `segments` has all the parts of a turn; others add one part each.
  #metrics(body) {
    const latency = finite(body.latency_ms);
    if (latency === null) return null;
    let turn = this.turns.find((other) => other.id === body.turn_id);
    if (!turn) {
      this.turns.push(turn = { id: body.turn_id, total: null, parts: [], whole: false });
      if (this.turns.length > MAX_TURNS) this.turns.shift();
    }
    const segments = body.segments && typeof body.segments === 'object' ? Object.entries(body.segments) : [];
    if (segments.length) {
      turn.parts = segments.filter(([, ms]) => Number.isFinite(ms));
      turn.total = latency;
      turn.whole = true;
    } else if (!turn.whole) {
      const name = [body.module, body.metric_name].filter((part) => typeof part === 'string').join(' ');
      turn.parts = [...turn.parts.filter(([other]) => other !== name), [name, latency]];
      turn.total = turn.parts.reduce((sum, [, ms]) => sum + ms, 0);
    }
    return 'turns';
  }
}
