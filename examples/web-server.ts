/**
 * The engine in a web server of your own: POST an image, get its rows as float32. All requests share batches, and a client
 * that hangs up takes its image back. `@vitgraph/server` is this with limits, keys, formats and metrics.
 *
 *     pnpm web-server CHECKPOINT_DIR 8000
 *     curl --data-binary @photo.jpg localhost:8000 -o rows.f32
 */
import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";
import { EncoderEngine } from "@vitgraph/core";

const [model, port = "8000"] = process.argv.slice(2);
if (model === undefined) {
  console.error("usage: web-server CHECKPOINT_DIR [PORT]");
  process.exit(2);
}

const engine = await EncoderEngine.create({ model });
const server = createServer(async (request, response) => {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const image = await buffer(request);
  const [outcome] = await engine.encode([{ image }], { signal: gone.signal, timeoutMs: 30_000 });
  if (outcome?.status !== "fulfilled") {
    return response.writeHead(400).end(`${outcome?.reason.message}\n`);
  }
  const { tokens, columns, data } = outcome.value;
  return response.writeHead(200, { "x-shape": `${tokens}, ${columns}` }).end(new Uint8Array(data.buffer));
});
server.listen(Number(port), "127.0.0.1", () => console.log("listening on", server.address()));
process.once("SIGTERM", () => server.close(() => engine.close()));
