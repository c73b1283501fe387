// The tiny app that each bundler builds: it answers one request with the embedded model and writes the answer on the page.
import { EyasError, load } from "eyas";
import { nano } from "eyas/nano";

const answers = {};
for (const device of ["auto", "cpu"]) {
  try {
    const eyas = await load({ model: nano, device });
    const { text } = await eyas.chat("book a table for two tomorrow", { maxTokens: 100 });
    answers[device] = { text, kind: eyas.info.device.kind };
    await eyas.dispose();
  } catch (error) {
    answers[device] = { error: `${error instanceof EyasError ? error.code : error.name}: ${error.message}` };
  }
}
globalThis.answers = answers;
