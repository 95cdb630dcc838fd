/**
 * The settings of serving arguments and a `--config` file, collected with all problems before anything is resolved.
 */
import type { Layer, LayerRank } from "../layers.js";
import {
  type ConfigNote,
  type ConfigProblem,
  formatPlace,
  MAX_NOTES,
  type Place,
  ProblemList,
} from "../problem.js";
import { show } from "../value.js";
import { nearestServeOption } from "./vllm-options.js";

/** vLLM's options that touch the compilation config without being it. */
export const SETTING_NAMES = [
  "--optimization-level",
  "--enforce-eager",
  "--cudagraph-capture-sizes",
  "--max-cudagraph-capture-size",
] as const;

export type SettingName = (typeof SETTING_NAMES)[number];

/** Settings read so far. Weaker sources are read first or kept apart, so that the last one counts. */
export class GivenSettings {
  readonly layers: Record<"file" | "argument", Layer[]> = { file: [], argument: [] };
  readonly dotted: Layer[] = [];
  readonly otherDotted = new Map<string, Layer[]>();
  readonly settings = new Map<SettingName, { value: unknown; rank: LayerRank; place: Place }>();
  readonly fileOptions = new Map<string, unknown>();
  readonly rest: string[] = [];
  readonly problems = new ProblemList();
  readonly notes: ConfigNote[] = [];
  configPath: { path: string; place: Place } | undefined;

  problem(
    place: Place,
    message: string,
    expected: string,
    remedy: string,
    fix: Pick<ConfigProblem, "fix"> = {},
  ): void {
    this.problems.add(() => ({ ...place, pointer: "", message, expected, remedy, ...fix }));
  }

  note(place: Place, kind: ConfigNote["kind"], level: ConfigNote["level"], message: string): void {
    this.notes.push({ ...place, kind, level, pointer: "", message });
  }

  /** Notes an unknown option, which is ignored, since a newer vLLM may have it. */
  noteUnknownOption(place: Place, shown: string, name: string): void {
    // A hint compares with every option of vLLM, so it is only made for notes that are listed.
    const nearest = this.notes.length < MAX_NOTES ? nearestServeOption(name) : undefined;
    const hint = nearest === undefined ? "" : `: did you mean ${nearest}?`;
    this.note(place, "unknown-option", "warning", `unknown option ${shown}, which is ignored${hint}`);
  }

  /** Adds a key that was given in dotted form. Options other than the compilation config are kept apart. */
  addDotted(option: string, layer: Layer): void {
    if (option === "--compilation-config") this.dotted.push(layer);
    else {
      const layers = this.otherDotted.get(option);
      if (layers === undefined) this.otherDotted.set(option, [layer]);
      else layers.push(layer);
    }
  }

  /** Runs a parser and collects its problems with the others. */
  collecting(parse: () => void): void {
    try {
      parse();
    } catch (error) {
      this.problems.addError(error);
    }
  }

  set(name: SettingName, value: unknown, rank: LayerRank, place: Place): void {
    const earlier = this.settings.get(name);
    // The file is read after the arguments, which it must not overrule.
    if (earlier !== undefined && earlier.rank !== rank) return;
    if (earlier !== undefined) {
      this.note(
        place,
        "duplicate",
        "warning",
        `duplicate ${name}: ${show(value)} here replaces ${show(earlier.value)} of ${formatPlace(earlier.place)}`,
      );
    }
    this.settings.set(name, { value, rank, place });
  }
}
