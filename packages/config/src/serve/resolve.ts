/**
 * Resolves the given settings to one config: layers in order of precedence, and the modes that vLLM sets after parsing.
 */

import { isRecord } from "@vitgraph/errors";
import { valueDocument } from "../document.js";
import type { CompilationConfig } from "../generated/types.js";
import { type Layer, mergeLayers } from "../layers.js";
import { type ConfigOrigin, type LayeredConfig, type ResolvedConfig, resolveLayers } from "../parse.js";
import { toPointer } from "../pointer.js";
import { type ConfigNote, formatPlace, limitNotes } from "../problem.js";
import { plain, show } from "../value.js";
import type { GivenSettings, SettingName } from "./given.js";
import type { OptimizationLevel, ServeArguments } from "./types.js";

/** Default of `cudagraph_mode` by optimization level. */
const CUDAGRAPH_MODE_BY_LEVEL = ["NONE", "PIECEWISE", "FULL_AND_PIECEWISE", "FULL_AND_PIECEWISE"] as const;
/** vLLM's default. */
const DEFAULT_LEVEL: OptimizationLevel = 2;

export function resolveGiven(given: GivenSettings): ServeArguments {
  const { file, argument } = given.layers;
  const optimizationLevel = readLevel(given);
  const sizes = sizeLayers(given);
  const layers = [...file, ...argument, ...given.dotted, ...sizes];
  const resolved = resolveLayers(layers, "compilation config");
  const enforceEager = readEnforceEager(given);
  given.problems.addAll(resolved.problems);
  given.problems.throwIfAny();
  return {
    compilationConfig: {
      ...withModes(resolved, given, optimizationLevel, enforceEager),
      notes: limitNotes([...mergeNotes(given), ...given.notes, ...dottedNotes(given), ...resolved.notes]),
    },
    optimizationLevel,
    enforceEager,
    dotted: Object.fromEntries(
      [...given.otherDotted].map(([option, parts]) => [
        option.replace(/^--?/, ""),
        plain(mergeLayers(parts).value) as Record<string, unknown>,
      ]),
    ),
    fileOptions: Object.fromEntries(given.fileOptions),
    rest: given.rest,
  };
}

function readLevel(given: GivenSettings): OptimizationLevel {
  const level = given.settings.get("--optimization-level");
  if (level === undefined) return DEFAULT_LEVEL;
  const text = typeof level.value === "string" ? level.value : show(level.value);
  if (/^\s*[0-3]\s*$/.test(text)) return Number(text) as OptimizationLevel;
  given.problem(
    level.place,
    `the optimization level cannot be ${show(level.value)}`,
    "0, 1, 2 or 3",
    // The short form of --compilation-config until vLLM 0.11.
    /^\s*\{/.test(text) ? "use -cc for a compilation config" : "use -O0 to -O3",
  );
  return DEFAULT_LEVEL;
}

function readEnforceEager(given: GivenSettings): boolean {
  const eager = given.settings.get("--enforce-eager");
  if (eager === undefined || typeof eager.value === "boolean") return eager?.value === true;
  given.problem(
    eager.place,
    `enforce-eager cannot be ${show(eager.value)}`,
    "true or false",
    "use true or false",
  );
  return false;
}

/** Sizes from their own options, as layers. Giving a size as an option and in the config is an error, as in vLLM. */
function sizeLayers(given: GivenSettings): Layer[] {
  const configured = [...given.layers.file, ...given.layers.argument, ...given.dotted];
  return (["cudagraph_capture_sizes", "max_cudagraph_capture_size"] as const).flatMap((key) => {
    const name = `--${key.replaceAll("_", "-")}` as SettingName;
    const setting = given.settings.get(name);
    if (setting === undefined) return [];
    const twin = configured.find(
      ({ document }) => isRecord(document.value) && document.value[key] !== undefined,
    );
    if (twin !== undefined) {
      given.problem(
        setting.place,
        `${name} and compilation_config.${key} of ${formatPlace(twin.document.locate(toPointer([key])))} exclude each other`,
        "one of the two",
        `remove ${name}`,
      );
    }
    const document = {
      ...valueDocument({ [key]: setting.value }, setting.place.source),
      locate: () => setting.place,
    };
    return [{ rank: setting.rank, form: "json", document } satisfies Layer];
  });
}

/** Sets the modes that vLLM sets after parsing. */
function withModes(
  resolved: LayeredConfig,
  { settings }: GivenSettings,
  level: OptimizationLevel,
  enforceEager: boolean,
): Omit<ResolvedConfig, "notes"> {
  const place = settings.get(enforceEager ? "--enforce-eager" : "--optimization-level")?.place;
  const reason: ConfigOrigin = {
    ...(enforceEager ? { kind: "enforce-eager" } : { kind: "optimization-level", level }),
    ...(place === undefined ? {} : { place }),
  };
  const decided = new Set<string>();
  const decide = <K extends "mode" | "cudagraph_mode">(key: K, byLevel: CompilationConfig[K]) => {
    const given = resolved.config[key];
    if (!enforceEager && given !== null) return given;
    decided.add(`/${key}`);
    return enforceEager ? "NONE" : byLevel;
  };
  const mode = decide("mode", level > 0 ? "VLLM_COMPILE" : "NONE");
  const cudagraphMode = decide("cudagraph_mode", CUDAGRAPH_MODE_BY_LEVEL[level]);
  return {
    config: { ...resolved.config, mode, cudagraph_mode: cudagraphMode } as CompilationConfig,
    origin: (pointer) => (decided.has(pointer) ? reason : resolved.origin(pointer)),
    edits: resolved.edits,
  };
}

/** Notes on settings that are merged here, and of which vLLM would keep only a part. */
function mergeNotes(given: GivenSettings): ConfigNote[] {
  const { file, argument } = given.layers;
  const note = (source: string, message: string): ConfigNote => ({
    source,
    kind: "merged",
    level: "warning",
    pointer: "",
    message,
  });
  const notes: ConfigNote[] = [];
  const [json] = argument;
  if (json !== undefined && given.dotted.length > 0) {
    notes.push(
      note(
        json.document.source,
        "the JSON and the dotted arguments are merged: vLLM would keep only the dotted ones",
      ),
    );
  } else if (json !== undefined && argument.length > 1) {
    notes.push(
      note(json.document.source, "the JSON arguments are merged: vLLM would keep only the last one"),
    );
  }
  if (file[0] !== undefined && (json !== undefined || given.dotted.length > 0)) {
    notes.push(
      note(
        file[0].document.source,
        "the file's compilation config and the arguments are merged: vLLM would keep only the arguments",
      ),
    );
  }
  return notes;
}

/** Keys of other dotted options that were given twice. */
function dottedNotes(given: GivenSettings): ConfigNote[] {
  return [...given.otherDotted].flatMap(([option, parts]) =>
    mergeLayers(parts).overridden.map(
      ({ pointer, before, after }): ConfigNote => ({
        ...after.place,
        kind: "duplicate",
        level: "warning",
        pointer: "",
        message: `duplicate ${option}${pointer.replaceAll("/", ".")}: ${show(after.value)} here replaces ${show(before.value)}`,
      }),
    ),
  );
}
