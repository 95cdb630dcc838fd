/**
 * The engine in a worker thread: the main thread sends images and gets embeddings. Their memory is transferred between the
 * threads, not copied.
 *
 *     node worker-threads.mjs CHECKPOINT_DIR photo.jpg
 */
import { readFile } from "node:fs/promises";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { EncoderEngine } from "@vitgraph/core";

if (isMainThread) {
  const [model, path] = process.argv.slice(2);
  if (model === undefined || path === undefined) {
    console.error("usage: node worker-threads.mjs CHECKPOINT_DIR IMAGE");
    process.exit(2);
  }
  const worker = new Worker(new URL(import.meta.url), { workerData: { model } });
  const answer = new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  const image = new Uint8Array(await readFile(path));
  worker.postMessage(image, [image.buffer]);
  const rows = await answer;
  if ("error" in rows) throw new Error(rows.error);
  console.log(`${rows.tokens} tokens of ${rows.columns} numbers, the first ${rows.data[0]}`);
} else {
  const engine = await EncoderEngine.create({ model: workerData.model });
  parentPort.once("message", async (image) => {
    const [outcome] = await engine.encode([{ image }]);
    await engine.close();
    if (outcome.status !== "fulfilled") return parentPort.postMessage({ error: outcome.reason.message });
    const { tokens, columns, data } = outcome.value;
    return parentPort.postMessage({ tokens, columns, data }, [data.buffer]);
  });
}
