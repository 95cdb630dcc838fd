/**
 * A GPU's SM clock, power and temperature while something is timed. Clocks fall under load and with heat, by more than
 * kernels differ: a time without its clock says little.
 *
 * `nvidia-smi` samples beside the bench, every {@link SAMPLE_MS}. Nothing is set on the card.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** Means over a stretch of time. */
export interface CardState {
  readonly smClockMhz: number;
  readonly powerWatts: number;
  readonly temperatureCelsius: number;
}

const SAMPLE_MS = 20;
const FIELDS = "clocks.sm,power.draw.instant,temperature.gpu";

interface Sample extends CardState {
  /** On `performance.now()`. */
  readonly at: number;
}

export class CardSampler implements Disposable {
  readonly #samples: Sample[] = [];
  readonly #process: ChildProcess;

  /** @param ordinal as CUDA counts. Where there is no nvidia-smi, nothing is sampled. */
  constructor(ordinal: number) {
    const query = [`--query-gpu=${FIELDS}`, "--format=csv,noheader,nounits", "-lms", String(SAMPLE_MS)];
    this.#process = spawn("nvidia-smi", ["-i", cardOf(ordinal), ...query], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    this.#process.on("error", () => {});
    this.#process.unref();
    const { stdout } = this.#process;
    if (stdout === null) return;
    createInterface({ input: stdout }).on("line", (line) => {
      const [smClockMhz = Number.NaN, powerWatts = Number.NaN, temperatureCelsius = Number.NaN] = line
        .split(",")
        .map(Number);
      this.#samples.push({ at: performance.now(), smClockMhz, powerWatts, temperatureCelsius });
    });
  }

  /** Of the samples between two moments of `performance.now()`; null where there are none. */
  between(from: number, to: number): CardState | null {
    return meanState(this.#samples.filter(({ at }) => at >= from && at <= to));
  }

  [Symbol.dispose](): void {
    this.#process.kill();
  }
}

/** What nvidia-smi calls a card: it numbers all of the machine's, whatever CUDA_VISIBLE_DEVICES shows. */
export function cardOf(ordinal: number, visible = process.env.CUDA_VISIBLE_DEVICES): string {
  return visible?.split(",")[ordinal]?.trim() || String(ordinal);
}

/** A card that does not report a figure ("[N/A]") has NaN there. */
export function meanState(samples: readonly CardState[]): CardState | null {
  if (samples.length === 0) return null;
  const mean = (field: keyof CardState) =>
    samples.reduce((sum, sample) => sum + sample[field], 0) / samples.length;
  return {
    smClockMhz: mean("smClockMhz"),
    powerWatts: mean("powerWatts"),
    temperatureCelsius: mean("temperatureCelsius"),
  };
}
