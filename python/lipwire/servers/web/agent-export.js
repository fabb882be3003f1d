// A conversation as a file: text, WebVTT, JSON. No DOM but for the download itself.

const NAMES = { user: 'You', agent: 'Agent' };
const MIN_CUE_MS = 1000;

const pad = (value, digits = 2) => String(Math.floor(value)).padStart(digits, '0');
const clock = (ms) => `${ms >= 3600000 ? `${pad(ms / 3600000)}:` : ''}${pad(ms / 60000 % 60)}:${pad(ms / 1000 % 60)}`;
const stamp = (ms) => `${pad(ms / 3600000)}:${pad(ms / 60000 % 60)}:${pad(ms / 1000 % 60)}.${pad(ms % 1000, 3)}`;
// A cue ends at an empty line, and "-->" is an arrow wherever it stands (WebVTT, 4.1 and 6.4).
const cueText = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replace(/\s*\n\s*/g, '\n').trim();

export function asText({ items, began, channel }) {
  const head = `Conversation in ${channel}, ${new Date(began).toLocaleString()}`;
  return [head, '', ...items.map((item) => `[${clock(item.at)}] ${NAMES[item.role]}: ${item.text}${item.interrupted ? ' (interrupted)' : ''}`), ''].join('\n');
}

export function asVtt({ items }) {
  const cues = items.map((item, n) => {
    const end = Math.max(item.until, item.at + MIN_CUE_MS);
    return `${n + 1}\n${stamp(item.at)} --> ${stamp(end)}\n<v ${NAMES[item.role]}>${cueText(item.text)}`;
  });
  return ['WEBVTT', ...cues, ''].join('\n\n').replace(/\n+$/, '\n');
}

export function asJson({ items, began, channel }) {
  const said = items.map(({ role, text, interrupted, at, until }) => ({ role, text, interrupted, start_ms: Math.round(at), end_ms: Math.round(Math.max(until, at)) }));
  return `${JSON.stringify({ channel, began: new Date(began).toISOString(), items: said }, null, 2)}\n`;
}

export const FORMATS = {
  txt: ['text/plain', asText],
  vtt: ['text/vtt', asVtt],
  json: ['application/json', asJson],
};

export function download(format, conversation) {
  const [type, make] = FORMATS[format];
  const url = URL.createObjectURL(new Blob([make(conversation)], { type: `${type};charset=utf-8` }));
  const day = new Date(conversation.began).toISOString().slice(0, 16).replace(/[T:]/g, '-');
  const name = `${conversation.channel.replace(/[^\p{L}\p{N}_-]+/gu, '-') || 'conversation'}-${day}.${format}`;
  Object.assign(document.createElement('a'), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
