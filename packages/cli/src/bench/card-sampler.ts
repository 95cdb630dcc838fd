/**
 * A GPU's SM clock, power and temperature during a measurement. Load and heat lower the clocks by more than kernels
 * differ, so each time is reported with its clock.
 *
 * `nvidia-smi` samples every {@link SAMPLE_MS} while the bench runs. No GPU settings are changed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** Means over an interval. */
export interface CardState {
  readonly smClockMhz: number;
  readonly powerWatts: number;
  readonly temperatureCelsius: number;
}

const SAMPLE_MS = 20;
const FIELDS = "clocks.sm,power.draw.instant,temperature.gpu";

interface Sample extends CardState {
  /** In the time of `performance.now()`. */
  readonly at: number;
}

export class CardSampler implements Disposable {
  readonly #samples: Sample[] = [];
  readonly #process: ChildProcess;

  /** @param ordinal CUDA's. Without nvidia-smi nothing is sampled. */
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

  /** Means of the samples between two times of `performance.now()`; null if there are none. */
  between(from: number, to: number): CardState | null {
    return meanState(this.#samples.filter(({ at }) => at >= from && at <= to));
  }

  [Symbol.dispose](): void {
    this.#process.kill();
  }
}

/** nvidia-smi's id of a GPU. It counts all GPUs of the machine, regardless of CUDA_VISIBLE_DEVICES. */
export function cardOf(ordinal: number, visible = process.env.CUDA_VISIBLE_DEVICES): string {
  return visible?.split(",")[ordinal]?.trim() || String(ordinal);
}

/** A figure that the GPU does not report ("[N/A]") is NaN. */
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
