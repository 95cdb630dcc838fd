/** The results of continuous load, as tables for people. */
import type { PackingRule } from "@vitgraph/core";
import { percent, renderTable } from "../table.js";
import type { MeasuredLoad } from "./continuous-load.js";

export interface LoadedWorkload extends MeasuredLoad {
  readonly name: string;
}

/** One stream of all workloads, under one rule. */
export interface LoadedPacking extends MeasuredLoad {
  readonly packing: PackingRule;
}

const right = { align: "right" } as const;

/** A row per workload: wall and device time of one call under load. The ratio is 1 if every device is always busy. */
export function renderLoads(loads: readonly LoadedWorkload[]): string {
  return renderTable(
    [
      { title: "workload" },
      { title: "devices", ...right },
      { title: "callers", ...right },
      { title: "calls", ...right },
      { title: "items a batch", ...right },
      { title: "padding", ...right },
      { title: "device ms a call", ...right },
      { title: "wall ms a call", ...right },
      { title: "wall / device", ...right },
    ],
    loads.map((load) => [
      load.name,
      String(load.devices),
      String(load.callers),
      String(load.calls),
      (load.items / load.batches).toFixed(1),
      percent(load.padding),
      (load.deviceMs / load.calls).toPrecision(3),
      (load.wallMs / load.calls).toPrecision(3),
      ((load.wallMs * load.devices) / load.deviceMs).toFixed(2),
    ]),
  );
}

/** A row per rule, over one stream of all workloads. */
export function renderPackings(packings: readonly LoadedPacking[]): string {
  return renderTable(
    [
      { title: "packing" },
      { title: "devices", ...right },
      { title: "callers", ...right },
      { title: "calls", ...right },
      { title: "batches", ...right },
      { title: "padding", ...right },
      { title: "device ms", ...right },
      { title: "wall ms", ...right },
      { title: "device µs per token", ...right },
    ],
    packings.map((load) => [
      load.packing,
      String(load.devices),
      String(load.callers),
      String(load.calls),
      String(load.batches),
      percent(load.padding),
      load.deviceMs.toFixed(1),
      load.wallMs.toFixed(1),
      ((1000 * load.deviceMs) / load.tokens).toFixed(2),
    ]),
  );
}
