/** Opens a shared storage when the server starts, and evicts old files while it runs. */
import type { FastifyInstance } from "fastify";
import type { EcStorage } from "./ec-storage.js";

const CLEAN_UP_EVERY_MS = 60_000;

export function keepEcStorage(app: FastifyInstance, storage: EcStorage): void {
  let cleaning: NodeJS.Timeout | undefined;
  app.addHook("onReady", async () => {
    await storage.open();
    await storage.evict();
    cleaning = setInterval(() => void storage.evict(), CLEAN_UP_EVERY_MS).unref();
  });
  app.addHook("onClose", async () => clearInterval(cleaning));
}
