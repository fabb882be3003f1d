// What the runners share. A job comes on stdin as JSON {package, files: [16 kHz mono PCM16], ...}; one answer goes to
// stdout: {rows: [[class index of each 10 ms, as a live player knows it then]], cpu_seconds}.
import { readFileSync, writeSync } from "node:fs";

export const RATE = 16000, HOP = 160;
export const VISEMES = ["sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U"];

export function readJob() {
  return JSON.parse(readFileSync(0, "utf8"));
}

export function readSamples(path) {
  const bytes = readFileSync(path);
  const pcm = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1);
  return Float32Array.from(pcm, (sample) => sample / 32768);
}

// Runs every file through `open()`, a fresh system each: push(samples) of 128, the block of browsers; get() the class.
export async function run(files, open) {
  const rows = [];
  let cpu = 0;
  for (const file of files) {
    const samples = readSamples(file);
    const system = await open();
    const said = [];
    const before = process.cpuUsage();
    let at = 0;
    for (let end = HOP; end <= samples.length; end += HOP) {
      for (; at + 128 <= end; at += 128) system.push(samples.subarray(at, at + 128));
      said.push(system.get());
    }
    const used = process.cpuUsage(before);
    cpu += (used.user + used.system) / 1e6;
    rows.push(said);
  }
  return { rows, cpu_seconds: cpu };
}

// Not process.stdout.write: a pipe takes it piece by piece, and whoever exits loses the rest.
export function answer(result) {
  const bytes = Buffer.from(JSON.stringify(result));
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}
