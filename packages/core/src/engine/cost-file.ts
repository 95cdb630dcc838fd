/**
 * Stores measured costs on disk, so that the next start does not measure: one JSON file per device, driver, model,
 * fusion, budgets and version. A missing, damaged or mismatched file is ignored.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type DeviceInfo, PROGRAM_VERSION } from "@vitgraph/cuda-kernels";
import { isRecord } from "@vitgraph/errors";
import manifest from "../../package.json" with { type: "json" };
import type { VisionEncoder } from "../runtime/vision-encoder.js";
import { writeAtomically } from "../write-atomically.js";
import type { LatencySample } from "./cost-model.js";

/** Everything that costs depend on, as JSON. */
export interface CostIdentity {
  readonly version: string;
  readonly programVersion: number;
  readonly device: DeviceInfo;
  readonly visionConfig: Readonly<Record<string, unknown>>;
  /** `compile_mm_encoder`. */
  readonly fused: boolean;
  /** Token budgets with a captured graph. */
  readonly tokenBudgets: readonly number[];
  readonly maxItems: number;
}

export function costIdentity(
  { model, device, budgets, tokenBudgets }: VisionEncoder,
  fused: boolean,
): CostIdentity {
  return {
    version: manifest.version,
    programVersion: PROGRAM_VERSION,
    device: device.info,
    visionConfig: model.vision.config,
    fused,
    tokenBudgets,
    maxItems: budgets.limits.maxItems,
  };
}

/** The file of these costs in a directory. */
export function costFile(directory: string, identity: CostIdentity): string {
  const name = createHash("sha256").update(JSON.stringify(identity)).digest("hex").slice(0, 16);
  return join(directory, `${name}.json`);
}

export function printCosts(identity: CostIdentity, points: readonly LatencySample[]): string {
  return `${JSON.stringify({ identity, points }, null, 1)}\n`;
}

/** The samples; undefined if the text is invalid or has another identity. */
export function parseCosts(text: string, identity: CostIdentity): readonly LatencySample[] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  const { identity: found, points } = value;
  if (JSON.stringify(found) !== JSON.stringify(identity)) return undefined;
  if (!Array.isArray(points) || points.length === 0 || !points.every(isLatencySample)) return undefined;
  return points.map(({ budget, tokens, durationMs }) => ({ budget, tokens, durationMs }));
}

export async function readCosts(
  path: string,
  identity: CostIdentity,
): Promise<readonly LatencySample[] | undefined> {
  const text = await readFile(path, "utf8").catch(() => undefined);
  return text === undefined ? undefined : parseCosts(text, identity);
}

/** Writes the file atomically: engines that start together cannot corrupt it. @throws file system errors */
export async function writeCosts(
  path: string,
  identity: CostIdentity,
  points: readonly LatencySample[],
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeAtomically(path, printCosts(identity, points));
}

function isLatencySample(value: unknown): value is LatencySample {
  if (!isRecord(value)) return false;
  const { budget, tokens, durationMs } = value;
  const isCount = (number: unknown) => Number.isSafeInteger(number) && (number as number) > 0;
  return (
    (budget === null || isCount(budget)) &&
    isCount(tokens) &&
    Number.isFinite(durationMs) &&
    (durationMs as number) >= 0
  );
}
