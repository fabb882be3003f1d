// HeadAudio's own processor and model, as its worklet drives them; what is scored are its decisions, before the easing
// of its animation, which would only blur them.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { RATE, VISEMES, answer, readJob, run } from "./common.mjs";

const job = readJob();
const load = (name) => import(pathToFileURL(join(job.package, "modules", name)));
const { Processor } = await load("processor.mjs");
const { Training } = await load("training.mjs");
const ORDER = ["aa", "E", "I", "O", "U", "PP", "SS", "TH", "DD", "FF", "kk", "nn", "RR", "CH", "sil"];
const TO_VISEME = ORDER.map((name) => VISEMES.indexOf(name));
const bytes = readFileSync(join(job.package, "dist", "model-en-mixed.bin"));

async function open() {
  // Loaded afresh: a message gives its buffers away.
  const { model } = await new Training().loadModel("data:application/octet-stream;base64," + bytes.toString("base64"));
  let current = 0;
  const port = {
    postMessage(message) {
      if (message.event === "viseme" && message.viseme !== null) current = TO_VISEME[message.viseme];
      else if (message.event === "ended") current = 0;
    },
  };
  const processor = new Processor({ sampleRate: RATE }, { port });
  processor._onmessage({ data: { event: "model", model } });
  return { push: (samples) => processor.process(samples), get: () => current };
}

answer(await run(job.files, open));
