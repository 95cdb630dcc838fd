/**
 * Encode instances behind a router, on a virtual clock: the scheduler's queue and packing in front of a device that
 * only takes time. The same seed gives the same figures.
 *
 * The device's time is the only cost. Decoding, HTTP, the shared directory and vLLM itself take none.
 */
import {
  commonGrids,
  createCostPacker,
  EncoderQueue,
  type Grid,
  itemSpecOfGrid,
  type Packable,
  type PackItems,
  type PackLimits,
  powerOfTwoBudgets,
  type QueuedItem,
} from "@vitgraph/scheduler";
import { seededRandom, VirtualClock } from "@vitgraph/scheduler/testing";

export interface SimulatedImage extends Packable {
  readonly grid: Grid;
}

export interface SimulatedRequest {
  readonly arrivedAtMs: number;
  readonly images: readonly SimulatedImage[];
}

/** Milliseconds on the device. */
export interface DeviceCost {
  /** A batch of this many tokens whose images are so small that attention within them costs nothing. */
  readonly tokensMs: (tokens: number) => number;
  /** A token's share of a full batch of such images. */
  readonly msPerToken: number;
  /** Attention within one image, in any batch. */
  readonly attentionMs: (grid: Grid) => number;
}

/**
 * Items of 64 tokens on an H100, as an engine measured them at a start on 2026-11-25: the cheapest of eager and the
 * smallest budget that holds them.
 */
const SMALL_ITEMS_MS: readonly (readonly [tokens: number, ms: number])[] = [
  [64, 1.5],
  [128, 1.87],
  [256, 2.6],
  [512, 4.25],
  [1024, 7.95],
  [2048, 14.4],
  [4096, 28.7],
  [8192, 58.8],
  [16_384, 119],
];

/**
 * Attention is quadratic in an image's patches: 1 × 2048² (16 384 patches) takes 85.65 ms at commit 5493486, and 4096
 * tokens of small items 28.7 ms.
 */
const ATTENTION_MS_PER_SQUARED_PATCH = (85.65 - 28.7) / 16_384 ** 2;

/** The tower of Qwen3-VL-8B in bf16 on one H100. */
export const qwen3Vl8bOnH100: DeviceCost = {
  tokensMs: interpolated(SMALL_ITEMS_MS),
  msPerToken: 119 / 16_384,
  attentionMs: ({ t, h, w }) => t * (h * w) ** 2 * ATTENTION_MS_PER_SQUARED_PATCH,
};

/** Straight lines between the points; constant below the first, and the last slope beyond the last. */
function interpolated(points: readonly (readonly [x: number, y: number])[]): (x: number) => number {
  return (x) => {
    const [firstX, firstY] = points[0]!;
    if (x <= firstX) return firstY;
    const next = points.findIndex(([end]) => end >= x);
    const upper = next < 0 ? points.length - 1 : next;
    const [x0, y0] = points[upper - 1]!;
    const [x1, y1] = points[upper]!;
    return y0 + ((x - x0) / (x1 - x0)) * (y1 - y0);
  };
}

/** Time of one batch on the device. */
export function batchMs(images: readonly SimulatedImage[], cost: DeviceCost): number {
  const tokens = images.reduce((sum, { spec }) => sum + spec.outputTokens, 0);
  return images.reduce((sum, { grid }) => sum + cost.attentionMs(grid), cost.tokensMs(tokens));
}

/** The device time that an image adds to a full batch. */
export function shareMs({ spec, grid }: SimulatedImage, cost: DeviceCost): number {
  return spec.outputTokens * cost.msPerToken + cost.attentionMs(grid);
}

export interface TraceOptions {
  readonly seed: number;
  readonly requests: number;
  /** Requests per second, bursts included. */
  readonly requestsPerSecond: number;
  /** Requests that arrive at the same moment; 1: a Poisson process of single requests. */
  readonly burstSize: number;
  /** Mean of a geometric distribution. */
  readonly imagesPerRequest: number;
}

/** Moments of bursts are a Poisson process; grids are the common ones, weighted 1 / rank. */
export function makeTrace(options: TraceOptions): readonly SimulatedRequest[] {
  const { seed, requests, requestsPerSecond, burstSize, imagesPerRequest } = options;
  const random = seededRandom(seed);
  const burstsPerMs = requestsPerSecond / burstSize / 1000;
  const drawGrid = gridDrawer(random);
  let now = 0;
  return Array.from({ length: requests }, (_, index): SimulatedRequest => {
    if (index % burstSize === 0) now -= Math.log(1 - random()) / burstsPerMs;
    const images = [drawGrid()];
    while (random() >= 1 / imagesPerRequest) images.push(drawGrid());
    return { arrivedAtMs: now, images };
  });
}

function gridDrawer(random: () => number): () => SimulatedImage {
  const ends: number[] = [];
  for (const index of commonGrids.keys()) ends.push((ends.at(-1) ?? 0) + 1 / (index + 1));
  return () => {
    const drawn = random() * ends.at(-1)!;
    const grid = commonGrids[ends.findIndex((end) => drawn < end)]!;
    return { grid, spec: itemSpecOfGrid(grid, 2) };
  };
}

/** Mean device time of a trace's images, milliseconds in a full batch. */
export function meanShareMs(requests: readonly SimulatedRequest[], cost: DeviceCost): number {
  const images = requests.flatMap((request) => request.images);
  return images.reduce((sum, image) => sum + shareMs(image, cost), 0) / images.length;
}

/** What a router knows of an instance: the images that it sent there, and which were answered. */
interface InstanceLoad {
  /** Tokens of images that were not answered yet. */
  outstandingTokens: number;
  outstandingImages: number;
  /** The router's estimate of when the instance will have computed everything sent to it. */
  expectedFreeAtMs: number;
}

/** The place of the instance that gets the image. */
type Route = (
  image: SimulatedImage,
  loads: readonly InstanceLoad[],
  nowMs: number,
  cost: DeviceCost,
) => number;

/**
 * `round-robin`: image by image, as vLLM's disaggregation proxy deals them. `least-loaded`: fewest outstanding tokens.
 * `cost-aware`: earliest expected finish by the measured costs.
 */
export type Routing = "round-robin" | "least-loaded" | "cost-aware";

const ROUTES: Readonly<Record<Routing, () => Route>> = {
  "round-robin": () => {
    let next = 0;
    return (_image, loads) => next++ % loads.length;
  },
  "least-loaded": () => (_image, loads) => leastBy(loads, ({ outstandingTokens }) => outstandingTokens),
  "cost-aware": () => (image, loads, nowMs, cost) =>
    leastBy(loads, (load) => expectedFinishMs(image, load, nowMs, cost)),
};

export const ROUTINGS = Object.keys(ROUTES) as readonly Routing[];

/** Alone on an idle instance, or a share of a batch behind everything that waits there. */
function expectedFinishMs(
  image: SimulatedImage,
  { outstandingImages, expectedFreeAtMs }: InstanceLoad,
  nowMs: number,
  cost: DeviceCost,
): number {
  const alone = nowMs + batchMs([image], cost);
  if (outstandingImages === 0) return alone;
  return Math.max(alone, expectedFreeAtMs + shareMs(image, cost));
}

function leastBy(loads: readonly InstanceLoad[], value: (load: InstanceLoad) => number): number {
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const [index, load] of loads.entries()) {
    const own = value(load);
    if (own < least) [best, least] = [index, own];
  }
  return best;
}

export interface SimulationOptions {
  readonly instances: number;
  readonly routing: Routing;
  readonly cost: DeviceCost;
  readonly requests: readonly SimulatedRequest[];
  /** Default: vLLM's nine budgets up to 16 384 tokens, at most 64 images. */
  readonly limits?: PackLimits;
}

export interface SimulationResult {
  /** From a request's arrival to its last image's rows, in the requests' order. */
  readonly latenciesMs: readonly number[];
  /** From an image's arrival to its rows. */
  readonly imageLatenciesMs: readonly number[];
  readonly batches: number;
  /** Share of the time from the first arrival to the last answer in which devices compute. */
  readonly busy: number;
  /** Images per second over the same time. */
  readonly imagesPerSecond: number;
}

export const DEFAULT_LIMITS: PackLimits = { tokenBudgets: powerOfTwoBudgets(64, 16_384), maxItems: 64 };
/** As the engine's: one batch is uploaded and one downloaded while one computes. */
const BATCHES_IN_FLIGHT = 3;
/** All images have one priority and one caller, so that it does not count. */
const AGING_MS = 1000;

export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const { instances, routing, cost, requests, limits = DEFAULT_LIMITS } = options;
  const clock = new VirtualClock();
  // Attention within images is the same in any batch, so that packing does not weigh it.
  const pack: PackItems = createCostPacker(limits, (tokens) => cost.tokensMs(tokens));
  const devices = Array.from({ length: instances }, () => new SimulatedDevice(clock, cost));
  const queues = devices.map(
    (device) =>
      new EncoderQueue<SimulatedImage, number>({
        limits,
        pack,
        clock,
        maxInFlight: BATCHES_IN_FLIGHT,
        agingMs: AGING_MS,
        run: ({ items }) => device.run(items),
      }),
  );
  const loads = devices.map(
    (): InstanceLoad => ({
      outstandingTokens: 0,
      outstandingImages: 0,
      expectedFreeAtMs: 0,
    }),
  );
  const route = ROUTES[routing]();
  const { signal } = new AbortController();
  const latenciesMs: number[] = [];
  const imageLatenciesMs: number[] = [];

  const encode = async (image: SimulatedImage): Promise<number> => {
    const sentAt = clock.now();
    const chosen = route(image, loads, sentAt, cost);
    const load = loads[chosen]!;
    load.expectedFreeAtMs = expectedFinishMs(image, load, sentAt, cost);
    load.outstandingTokens += image.spec.outputTokens;
    load.outstandingImages += 1;
    const doneAt = await queues[chosen]!.submit(image, { priority: 0, caller: "proxy", windowMs: 0, signal });
    load.outstandingTokens -= image.spec.outputTokens;
    load.outstandingImages -= 1;
    imageLatenciesMs.push(doneAt - sentAt);
    return doneAt;
  };

  const arrive = async ({ images, arrivedAtMs }: SimulatedRequest, index: number): Promise<void> => {
    latenciesMs[index] = Math.max(...(await Promise.all(images.map(encode)))) - arrivedAtMs;
  };
  // One timer at a time: the clock searches all of them for the next.
  const arriveFrom = (index: number): void => {
    const request = requests[index];
    if (request === undefined) return;
    clock.after(request.arrivedAtMs - clock.now(), () => {
      void arrive(request, index);
      arriveFrom(index + 1);
    });
  };
  arriveFrom(0);
  await clock.runAll();

  const lastsMs = clock.now() - (requests[0]?.arrivedAtMs ?? 0);
  return {
    latenciesMs,
    imageLatenciesMs,
    batches: devices.reduce((sum, { batches }) => sum + batches, 0),
    busy: devices.reduce((sum, { busyMs }) => sum + busyMs, 0) / (instances * lastsMs),
    imagesPerSecond: (1000 * imageLatenciesMs.length) / lastsMs,
  };
}

/** Runs batches one after the other. */
class SimulatedDevice {
  readonly #clock: VirtualClock;
  readonly #cost: DeviceCost;
  #freeAtMs = 0;
  batches = 0;
  busyMs = 0;

  constructor(clock: VirtualClock, cost: DeviceCost) {
    this.#clock = clock;
    this.#cost = cost;
  }

  /** The moment of the batch's end, for each item. */
  async run(items: readonly QueuedItem<SimulatedImage>[]): Promise<readonly PromiseSettledResult<number>[]> {
    const durationMs = batchMs(
      items.map(({ item }) => item),
      this.#cost,
    );
    const now = this.#clock.now();
    this.#freeAtMs = Math.max(now, this.#freeAtMs) + durationMs;
    const doneAt = this.#freeAtMs;
    this.batches += 1;
    this.busyMs += durationMs;
    await this.#clock.sleep(doneAt - now);
    return items.map(() => ({ status: "fulfilled", value: doneAt }));
  }
}

/** The smallest number that `share` of them do not exceed. */
export function quantile(numbers: readonly number[], share: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}
