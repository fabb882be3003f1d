// What a program in TypeScript may write: it is compiled, not run (tests/servers/test_client.py). A line behind @ts-expect-error has to be
// refused.

import { ArrivalClock, Player, connect } from 'lipwire-client';
import type { Connection, MotionError, Pose, Renderer } from 'lipwire-client';
import { Draw2D } from 'lipwire-client/draw2d.js';
import { Draw3D } from 'lipwire-client/draw3d.js';
import { LipwireAvatar } from 'lipwire-client/element.js';
import { toolkitEngines } from 'lipwire-client/toolkit.js';
import { AgoraVoiceAI } from 'agora-agent-client-toolkit';

const canvas = document.createElement('canvas');
const connection: Connection = connect({ session: 'id', carrier: 'sei', sets: ['pose'], delay: 5 });

connection.addEventListener('state', ({ detail }) => { if (detail === 'live') console.log(connection.media?.id); });
connection.addEventListener('cue', ({ detail: { kind, value, sample } }) => console.log(kind.length, value.length, sample.toFixed()));
connection.addEventListener('media', ({ detail }) => detail?.getTracks());
connection.addEventListener('message', ({ detail }) => (typeof detail === 'string' ? detail.length : detail.byteLength));
connection.addEventListener('error', ({ detail }) => { const error: MotionError = detail; console.log(error.code, error.status?.toFixed()); });
const heard = ({ detail }: CustomEvent<MotionError>) => console.log(detail.message);
connection.addEventListener('error', heard, { once: true });
connection.removeEventListener('error', heard);

const flat: Renderer = new Draw2D(canvas, { avatar: 'aria' });
const head: Renderer = new Draw3D(canvas, { url: 'head.glb' });
const pose: Pose | null = connection.player.pose();
if (pose) for (const renderer of [flat, head]) renderer.draw(pose);
new Player({ clock: new ArrivalClock(), onCue: (cue) => console.log(cue.value) }).put([]);

const face: LipwireAvatar = document.createElement('lipwire-avatar');
face.addEventListener('state', ({ detail: { state, text, error } }) => console.log(state === 'refused', text, error?.message));
face.addEventListener('click', (event) => event.preventDefault());
face.connection?.change('video');

const engines = toolkitEngines(connection, { agent: '9000' });
AgoraVoiceAI.init(engines).then((ai) => ai.subscribeMessage('lobby'));
toolkitEngines(new RTCPeerConnection().createDataChannel('lipwire')).close();
connection.send(JSON.stringify({ type: 'interrupt' }));

// @ts-expect-error a name is no line
toolkitEngines('lobby');
// @ts-expect-error there is no such carrier
connect({ session: 'id', carrier: 'pigeon' });
// @ts-expect-error a state is no number
connection.addEventListener('state', ({ detail }) => detail.toFixed());
// @ts-expect-error only the connection says so
connection.state = 'live';
