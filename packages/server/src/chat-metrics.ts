/** Chats by state, their tokens and the time to the first one, in the registry of the engine's metrics. */
import type { EngineMetrics } from "@vitgraph/core/observability";
import { Counter, Gauge, Histogram } from "prom-client";
import type { ChatResult, ServedChat } from "./chat-engine.js";

/** Buckets from a short text on a GPU to a long prompt that waits for a CPU. */
const SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

export function countChats({ registry }: EngineMetrics, chat: ServedChat): (result: ChatResult) => void {
  const registers = [registry];
  new Gauge({
    name: "vitgraph_chat_requests",
    help: "Chats by state: preparing (images are encoded), waiting (for a slot), running.",
    labelNames: ["state"],
    registers,
    collect() {
      for (const [state, count] of Object.entries(chat.stats())) this.set({ state }, count);
    },
  });
  const tokens = new Counter({
    name: "vitgraph_chat_tokens_total",
    help: "Tokens of answered chats by kind: prompt (which includes cached and image) and completion.",
    labelNames: ["kind"],
    registers,
  });
  const firstToken = new Histogram({
    name: "vitgraph_chat_first_token_seconds",
    help: "Time from a chat's call to its first token, encoding and queueing included.",
    buckets: SECONDS,
    registers,
  });
  return ({ usage, timings }) => {
    tokens.inc({ kind: "prompt" }, usage.promptTokens);
    tokens.inc({ kind: "cached" }, usage.cachedTokens);
    tokens.inc({ kind: "image" }, usage.imageTokens);
    tokens.inc({ kind: "completion" }, usage.completionTokens);
    firstToken.observe(timings.firstTokenMs / 1000);
  };
}
