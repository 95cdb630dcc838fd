/** A process that writes to a shared storage until it is killed: `ec-writer.ts DIRECTORY`. */
import { EcStorage } from "../src/index.js";
import { EC_OPTIONS, patterned } from "./ec-files.js";

const [path = ""] = process.argv.slice(2);
const storage = new EcStorage({ ...EC_OPTIONS, path });
for (let round = 0; ; round++) {
  // Several at a time, new keys and keys that other writers have.
  await Promise.all([0, 1, 2, 3].map((part) => storage.store(`key-${(4 * round + part) % 97}`, patterned())));
}
