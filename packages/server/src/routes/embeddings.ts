/** POST /v1/embeddings: images in (JSON or a form), embeddings out (JSON, `.npy`, safetensors, or a stream of parts). */
import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import { type Embedding, type EncodeOptions, embeddingColumns, encodeNpy } from "@vitgraph/core";
import type { FastifyInstance, FastifyRequest } from "fastify";
import {
  answerMemory,
  JSON_TYPE,
  jsonChunks,
  NPY_TYPE,
  outputFormat,
  PARTS_TYPE,
  partChunks,
  SAFETENSORS_TYPE,
  sizeOf,
  tensorPieces,
} from "../embedding-formats.js";
import { readFormImages, readJsonImages } from "../embedding-input.js";
import { checkModel, itemError, StatusError } from "../http-errors.js";
import type { MediaPolicy } from "../media/read-media.js";
import { dropNulls } from "../null-members.js";
import { encodeOptions, requestState } from "../request-state.js";
import type { ResolvedServerOptions } from "../server-options.js";
import { EMBEDDINGS_ANSWERS, embeddingsBody } from "./schemas.js";

const F32_BYTES = 4;

export function registerEmbeddings(
  app: FastifyInstance,
  { engine, limits, modelName }: ResolvedServerOptions,
  policy: MediaPolicy,
): void {
  const columns = embeddingColumns(engine.model.vision);
  const schema = {
    summary: "Embeddings of images",
    body: { content: { "application/json": { schema: embeddingsBody(limits.maxItems) } } },
    response: EMBEDDINGS_ANSWERS,
  };

  const preValidation = async ({ body }: FastifyRequest) => dropNulls(body);

  app.post("/v1/embeddings", { schema, preValidation }, async (request, reply) => {
    const state = requestState(request);
    const format = outputFormat(request.headers.accept);
    const { images, model, encoding } = request.isMultipart()
      ? await readFormImages(request, limits)
      : await readJsonImages(request, policy);
    checkModel(model, modelName);
    if (format.type === NPY_TYPE && images.length > 1) {
      throw new StatusError(
        400,
        `.npy holds one embedding, and the request has ${images.length} images`,
        `accept ${SAFETENSORS_TYPE}, or ${PARTS_TYPE}; type=${NPY_TYPE}`,
      );
    }
    const items = images.map((image) => ({ image }));
    const options: EncodeOptions = {
      ...encodeOptions(state, limits),
      onItemSpecs: (specs) => {
        // In a stream, an image that fails is a part of it.
        const known =
          format.type === PARTS_TYPE ? specs.filter(({ status }) => status === "fulfilled") : specs;
        const values = allFulfilled(known).map(({ outputTokens }) => outputTokens * columns);
        checkSize(values.reduce((sum, count) => sum + count, 0) * F32_BYTES);
        state.memory.take(answerMemory(format, values));
      },
    };
    if (format.type === PARTS_TYPE) {
      const boundary = randomUUID();
      const outcomes = engine.encodeEach(items, options);
      // The first outcome, or the error of the call, comes before the status.
      const first = await outcomes.next();
      const all = (async function* () {
        if (!first.done) yield first.value;
        yield* outcomes;
      })();
      const stream = Readable.from(partChunks(all, format.part, boundary), { objectMode: false });
      return reply.type(`${PARTS_TYPE}; boundary=${boundary}`).send(stream);
    }
    const embeddings = allFulfilled(await engine.encode(items, options));
    switch (format.type) {
      case NPY_TYPE: {
        const embedding = embeddings[0] as Embedding;
        const { t, h, w } = embedding.grid;
        return reply
          .type(NPY_TYPE)
          .header("x-vitgraph-grid-thw", `${t},${h},${w}`)
          .send(encodeNpy(embedding));
      }
      case SAFETENSORS_TYPE: {
        const pieces = tensorPieces(new Map(embeddings.entries()));
        return reply
          .type(SAFETENSORS_TYPE)
          .header("content-length", sizeOf(pieces))
          .send(Readable.from(pieces, { objectMode: false }));
      }
      case JSON_TYPE: {
        const chunks = jsonChunks({ model: modelName, encoding, embeddings, turn: state.turn });
        return reply.type(JSON_TYPE).send(Readable.from(chunks, { objectMode: false }));
      }
    }
  });

  function checkSize(bytes: number): void {
    if (bytes <= limits.maxResponseBytes) return;
    throw new StatusError(
      413,
      `the embeddings have ${bytes} bytes, more than the limit of ${limits.maxResponseBytes}`,
      "send fewer images, or raise maxResponseBytes of the server",
    );
  }
}

/** The values, or the first item's error. @throws ParamError */
function allFulfilled<T>(outcomes: readonly PromiseSettledResult<T>[]): readonly T[] {
  return outcomes.map((outcome, index) => {
    if (outcome.status === "fulfilled") return outcome.value;
    throw itemError(`input[${index}]`, outcome.reason);
  });
}
