#!/bin/sh
# Agora's client toolkit for agents never shows a transcript whose JSON has exactly three bars ("|") in it.
#
# Expected: a message that comes whole, as one JSON object, is shown whatever text is in it: a bar is an ordinary character
# of JSON.
# What happens: the toolkit tells packets from whole messages by counting bars in the bytes that came. What has three is
# taken for a packet `id|index|total|base64`, cannot be read as one, and is dropped without an event. "a|b|c" is shown,
# "a|b|c|d" is not, "a|b|c|d|e" is. An agent that reads out a small table loses that line.
# Seen with: agora-agent-client-toolkit 2.9.1, node 20.20, Linux x86-64.
# What to do: who sends such objects whole writes "\u007c" in place of a bar, which JSON reads as one, or sends packets.
set -eu
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
npm install --silent --no-audit --no-fund --ignore-scripts agora-agent-client-toolkit@2.9.1
cat > bars.mjs <<'END'
import { readFileSync } from 'node:fs';
import { AgoraVoiceAI } from 'agora-agent-client-toolkit';

const version = JSON.parse(readFileSync('node_modules/agora-agent-client-toolkit/package.json')).version;
console.log('agora-agent-client-toolkit', version, 'node', process.versions.node.replace(/\.\d+$/, ''));

async function shown(text, escaped) {
  const heard = {};
  const rtcEngine = { on: (name, tell) => { heard[name] = tell; }, off: () => {} };
  const ai = await AgoraVoiceAI.init({ rtcEngine });
  let lines = [];
  ai.on('transcript-updated', (all) => { lines = all.map((one) => one.text); });
  ai.subscribeMessage('channel');
  const message = {
    object: 'assistant.transcription', text, turn_id: 1, turn_seq_id: 1, turn_status: 1, stream_id: 0, user_id: '9000',
  };
  let json = JSON.stringify(message);
  if (escaped) json = json.replaceAll('|', '\\u007c');
  heard['stream-message'](9000, new TextEncoder().encode(json));
  ai.destroy();
  return lines;
}

const seen = {};
for (const text of ['a|b|c', 'a|b|c|d', 'a|b|c|d|e']) {
  seen[text] = await shown(text, false);
  console.log(`${text}: ${JSON.stringify(seen[text])}`);
}
seen.escaped = await shown('a|b|c|d', true);
console.log(`a|b|c|d as \\u007c: ${JSON.stringify(seen.escaped)}`);
const wanted = { 'a|b|c': ['a|b|c'], 'a|b|c|d': [], 'a|b|c|d|e': ['a|b|c|d|e'], escaped: ['a|b|c|d'] };
if (JSON.stringify(seen) !== JSON.stringify(wanted)) {
  console.log('CHANGED: it is no longer as this script describes');
  process.exitCode = 1;
}
END
node bars.mjs
# Output as seen:
#   agora-agent-client-toolkit 2.9.1 node 20.20
#   a|b|c: ["a|b|c"]
#   a|b|c|d: []
#   a|b|c|d|e: ["a|b|c|d|e"]
#   a|b|c|d as \u007c: ["a|b|c|d"]
