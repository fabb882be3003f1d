// wLipSync's own audio processor (the package's dist/audio-processor.js and .wasm), in the few names of a browser that
// it asks for. It comes without a profile, so it is calibrated by examples, as uLipSync's instructions say:
// `calibration` is [{file, visemes: [index of each 10 ms]}], and a viseme's coefficients are the mean over the windows
// whose centre has it. The answer holds the profile, for the next job's `profile`.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { HOP, RATE, VISEMES, answer, readJob, readSamples, run } from "./common.mjs";

const job = readJob();
// Of the profile's ways to compare, cosine similarity (2) did best on the human dev sets.
const COEFFICIENTS = 12, BLOCK = 512; // a decision every 32 ms, its default
const SETTINGS = {
  targetSampleRate: RATE, sampleCount: 1024, melFilterBankChannels: 30, compareMethod: 2,
  mfccDataCount: 1, useStandardization: false,
};
const MIN_VOLUME = -2.5; // log10 of the root mean square: silence below, its default

let Worklet = null;
globalThis.AudioWorkletProcessor = class {
  port = { postMessage: () => {} };
};
globalThis.registerProcessor = (_, made) => (Worklet = made);
globalThis.sampleRate = RATE;
globalThis.currentTime = 0;

// One memory for a copy of the script, and the WebAssembly never frees: each utterance has a copy of its own.
let copies = 0;
const source = readFileSync(join(job.package, "dist", "audio-processor.js"), "utf8");
const wasmModule = new WebAssembly.Module(readFileSync(join(job.package, "dist", "wlipsync.wasm")));

async function open(profile, heard) {
  await import(`data:text/javascript;base64,${Buffer.from(`${source}\n// ${copies++}`).toString("base64")}`);
  const worklet = new Worklet({ processorOptions: { wasmModule, profile } });
  while (worklet.inputBufferIndex === -1) await new Promise((resolve) => setImmediate(resolve));
  worklet.port.postMessage = (message) => heard(message, worklet);
  const parameters = { blockSize: [BLOCK] };
  return (samples) => worklet.process([[samples]], [[]], parameters);
}

async function calibrate(examples) {
  const sums = VISEMES.map(() => new Float64Array(COEFFICIENTS)), counts = new Float64Array(VISEMES.length);
  const empty = profileOf(sums);
  for (const { file, visemes } of examples) {
    const samples = readSamples(file);
    let at = 0;
    const push = await open(empty, (_, worklet) => {
      const row = Math.floor((at + 128 - SETTINGS.sampleCount / 2) / HOP);
      const viseme = visemes[row];
      if (row < 0 || viseme === undefined || visemes[row - 1] !== viseme || visemes[row + 1] !== viseme) return;
      const found = new Float32Array(worklet.inputBuffer.buffer, worklet.exports.mfccOut.value, COEFFICIENTS);
      if (!found.every(Number.isFinite)) return;
      found.forEach((value, i) => (sums[viseme][i] += value));
      counts[viseme]++;
    });
    for (; at + 128 <= samples.length; at += 128) push(samples.subarray(at, at + 128));
  }
  return profileOf(sums.map((sum, v) => sum.map((value) => value / Math.max(1, counts[v]))), counts);
}

function profileOf(means, counts) {
  const mfccs = VISEMES.map((name, v) => ({ name, mfccCalibrationDataList: [{ array: Array.from(means[v]) }] }));
  // What was never heard cannot be said.
  const known = counts ? mfccs.filter((_, v) => counts[v] > 0) : mfccs;
  return { ...SETTINGS, mfccNum: known.length, mfccs: known };
}

const profile = job.profile ?? (await calibrate(job.calibration));
const result = await run(job.files, async () => {
  let current = 0;
  const push = await open(profile, ({ name, volume }) => {
    current = Math.log10(volume) > MIN_VOLUME ? VISEMES.indexOf(name) : 0;
  });
  return { push, get: () => current };
});
answer({ ...result, profile });
