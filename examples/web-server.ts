/**
 * The engine in your own web server: POST an image, get its rows as float32. All requests share batches, and the image of a
 * client that disconnects is cancelled. `@vitgraph/server` also has limits, keys, formats and metrics.
 *
 *     pnpm web-server CHECKPOINT_DIR 8000
 *     curl --data-binary @photo.jpg localhost:8000 -o rows.f32
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";
import { EncoderEngine } from "@vitgraph/core";

const [model, port = "8000"] = process.argv.slice(2);
if (model === undefined) {
  console.error("usage: web-server CHECKPOINT_DIR [PORT]");
  process.exit(2);
}

const engine = await EncoderEngine.create({ model });
async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const image = await buffer(request);
  const [outcome] = await engine.encode([{ image }], { signal: gone.signal, timeoutMs: 30_000 });
  if (outcome?.status !== "fulfilled") {
    response.writeHead(400).end(`${outcome?.reason.message}\n`);
    return;
  }
  const { tokens, columns, data } = outcome.value;
  response.writeHead(200, { "x-shape": `${tokens}, ${columns}` }).end(new Uint8Array(data.buffer));
}

const server = createServer((request, response) => {
  // The client disconnected, or the queue is full. An unhandled rejection would end the process.
  answer(request, response).catch((error: Error) => response.writeHead(503).end(`${error.message}\n`));
});
server.listen(Number(port), "127.0.0.1", () => console.log("listening on", server.address()));
process.once("SIGTERM", () => server.close(() => engine.close()));
