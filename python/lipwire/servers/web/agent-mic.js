// The microphone and the camera of this machine: asking for them, muting, how loud it is, and what went wrong in words.

const FLOOR_DB = -60;

const AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const VIDEO = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 5, max: 15 } };   // the agent looks once a second

export const isBlocked = (error) => ['NotAllowedError', 'SecurityError'].includes(error?.name);

export function describe(error, what) {
  if (!navigator.mediaDevices) return `Browsers give a page the ${what} only over https, or on localhost.`;
  switch (error?.name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return `The ${what} is blocked${what === 'microphone' ? ': the agent does not hear you' : ''}. Allow it beside the page’s address. You can type meanwhile.`;
    case 'NotFoundError':
    case 'OverconstrainedError':
      return `No ${what} was found. Plug one in, then try again. You can type meanwhile.`;
    case 'NotReadableError':
    case 'AbortError':
      return `The ${what} is in use by another program. Close that, then try again.`;
  }
  return `The ${what} cannot be used: ${error?.message || 'unknown error'}`;
}

async function ask(constraints) {
  if (!navigator.mediaDevices) throw new Error('no media devices');
  return navigator.mediaDevices.getUserMedia(constraints);
}

export class Microphone {
  track = null;
  muted = false;
  onended = null;              // it was unplugged, or taken away
  #stream = null;
  #context = null;
  #analyser = null;
  #samples = null;

  async open(deviceId = '') {
    this.close();
    const audio = deviceId ? { ...AUDIO, deviceId: { exact: deviceId } } : AUDIO;
    try {
      this.#stream = await ask({ audio });
    } catch (error) {
      if (error.name !== 'OverconstrainedError' || !deviceId) throw error;
      this.#stream = await ask({ audio: AUDIO });       // the chosen one is gone
    }
    [this.track] = this.#stream.getAudioTracks();
    this.track.enabled = !this.muted;
    this.track.onended = () => { this.close(); this.onended?.(); };
    this.#context = new AudioContext();
    this.#analyser = this.#context.createAnalyser();
    this.#analyser.fftSize = 1024;
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#context.createMediaStreamSource(this.#stream).connect(this.#analyser);
    return this.track;
  }

  close() {
    if (this.track) this.track.onended = null;
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#context?.close();
    this.track = this.#stream = this.#context = this.#analyser = null;
  }

  mute(muted) {
    this.muted = muted;
    if (this.track) this.track.enabled = !muted;
  }

  // 0..1, by decibels.
  get level() {
    return this.#analyser && !this.muted ? loudness(this.#analyser, this.#samples) : 0;
  }
}

export async function openCamera() {
  const stream = await ask({ video: VIDEO });
  return stream.getVideoTracks()[0];
}

export async function microphones() {
  const devices = await navigator.mediaDevices?.enumerateDevices().catch(() => []) ?? [];
  return devices.filter((device) => device.kind === 'audioinput' && device.label && device.deviceId !== 'default');
}

// How loud what comes from the agent is, 0..1.
export class Loudness {
  #context = null;
  #analyser = null;
  #source = null;
  #samples = new Float32Array(1024);

  listen(stream) {
    this.close();
    if (!stream?.getAudioTracks().length) return;
    this.#context = new AudioContext();
    this.#analyser = this.#context.createAnalyser();
    this.#analyser.fftSize = this.#samples.length;
    this.#source = this.#context.createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
  }

  close() {
    this.#context?.close();
    this.#context = this.#analyser = this.#source = null;
  }

  get level() { return this.#analyser ? loudness(this.#analyser, this.#samples) : 0; }
}

function loudness(analyser, samples) {
  analyser.getFloatTimeDomainData(samples);
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / samples.length + 1e-12);
  return Math.max(0, Math.min(1, 1 - db / FLOOR_DB));
}
