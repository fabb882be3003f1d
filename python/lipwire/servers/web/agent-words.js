// What the agent page says in words of its own: states, failures, what an echo is. No DOM, no network.

export const STATES = { idle: 'Ready', listening: 'Listening', thinking: 'Thinking', speaking: 'Speaking' };

export const CHIPS = {
  ...STATES, connecting: 'Connecting', reconnecting: 'Connection lost', starting: 'The agent is coming', alone: 'No agent here', paused: 'Paused',
};

// The chip of a state in which the agent would listen, where nothing can be heard of us.
export function unheard(microphone, failed) {
  if (microphone.track) return microphone.muted ? 'You are muted' : '';
  return failed === 'blocked' ? 'Microphone blocked' : failed ? 'No microphone' : 'Microphone off';
}

export const BRAINS = { realtime: 'OpenAI Realtime', cascade: 'Cascade (speech to text, LLM, voice)', guide: 'Guide (a script)', echo: 'Echo', script: 'Script' };

// Brains that are no agent yet: [what to know, what an empty transcript says, what leads to the help page].
export const STAND_INS = {
  guide: [
    'This is the guide: it hears and answers questions about Lipwire by a script. No model is connected to this server yet.',
    'Say hello, or ask: what is Lipwire? What you say and what the guide answers appears here.',
    'Only a guide: how to get a real agent',
  ],
  echo: [
    'This is an echo: you hear your own voice back. No model is connected to this server yet.',
    'An echo repeats your voice and writes nothing down. What you type is spoken, and stands here.',
    'Only an echo: how to get a real agent',
  ],
  script: [
    'This is a script: it says the same few sentences whatever you ask. No model is connected to this server yet.',
    'The sentences of the script appear here.',
    'Only a script: how to get a real agent',
  ],
};

// What went wrong, for who talks, where the server has no sentence for them.
const FAILURES = {
  LLM: 'The agent cannot think just now: its language model does not answer. Say it again in a moment.',
  TTS: 'The agent has lost its voice just now. Its answers still appear in writing where there are any.',
  STT: 'The agent cannot hear just now: its speech recognition does not answer. You can type meanwhile.',
  ASR: 'The agent cannot hear just now: its speech recognition does not answer. You can type meanwhile.',
  REALTIME: 'The agent’s service does not answer just now. Say it again in a moment.',
  TOOL: 'Something that the agent wanted to use failed. It goes on without.',
  TOKEN: 'The agent’s access to this channel ends soon.',
};
const OTHER = 'Something went wrong on the agent’s side. Say it again in a moment.';
// What only an operator can use: addresses, statuses, braces, names of exceptions.
const TECHNICAL = /:\/\/|\b\d{1,3}(\.\d{1,3}){3}\b|\blocalhost\b|\bHTTP\b|[{}]|\b[A-Z][A-Za-z]*(Error|Exception)\b/;

export function failure({ message, reason, module }) {
  const text = typeof message === 'string' ? message.trim() : '';
  if (text && !TECHNICAL.test(text)) return text.replace(/^./u, (c) => c.toUpperCase()).replace(/[^\p{P}]$/u, '$&.');
  const kind = Object.keys(FAILURES).find((name) => `${reason ?? ''} ${module ?? ''}`.toUpperCase().includes(name));
  return FAILURES[kind] ?? OTHER;
}
