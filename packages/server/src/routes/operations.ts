/** Routes for operators: models, health, metrics, version, OpenAPI. None of them encodes. */
import type { FastifyInstance } from "fastify";
import type { ResolvedServerOptions } from "../server-options.js";
import { serverVersion } from "../version.js";
import { ERROR, MODELS, STATUS, VERSION } from "./schemas.js";

export function registerOperations(
  app: FastifyInstance,
  { engine, chat, metrics, modelName, gateway, chatModelName = chat?.name }: ResolvedServerOptions,
  isDraining: () => boolean,
): void {
  const created = Math.floor(Date.now() / 1000);
  const version = serverVersion();
  const model = (id: string, facts: object) => ({
    id,
    object: "model",
    created,
    owned_by: "vitgraph",
    ...facts,
  });
  const embedding = { output_columns: engine.model.vision.outputColumns };
  const chatting = { max_model_len: chat?.contextSize };
  const models =
    chatModelName === modelName
      ? [model(modelName, { ...embedding, ...chatting })]
      : [
          model(modelName, embedding),
          ...(chatModelName === undefined ? [] : [model(chatModelName, chatting)]),
        ];

  // A gateway forwards /v1/models to vLLM.
  if (gateway === undefined) {
    app.get(
      "/v1/models",
      { schema: { summary: "The served models", response: { 200: MODELS, "4xx": ERROR } } },
      async () => ({ object: "list", data: models }),
    );
  }

  const ready = { schema: { summary: "200 if requests are served", response: { 200: STATUS, 503: STATUS } } };
  for (const path of ["/health", "/health/ready"]) {
    app.get(path, ready, async (_request, reply) => {
      const status = isDraining() ? "draining" : engine.state;
      return reply.code(status === "ready" ? 200 : 503).send({ status });
    });
  }
  const live = { schema: { summary: "200 if the process answers", response: { 200: STATUS } } };
  app.get("/health/live", live, async () => ({ status: "live" }));

  app.get(
    "/version",
    { schema: { summary: "The server's version", response: { 200: VERSION } } },
    async () => ({
      version,
    }),
  );

  if (metrics !== undefined) {
    app.get("/metrics", { schema: { summary: "Metrics for Prometheus" } }, async (_request, reply) =>
      reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
    );
  }
  app.get("/openapi.json", { schema: { hide: true } }, async () => app.swagger());
}
