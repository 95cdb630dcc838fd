/** Resizing and cutting of pixels, slowly: what the native code must compute, byte for byte. */
import type { FrameSize, PatchLayout, ResizeFilter } from "../imaging.js";

/** As `resizeFrame`: for each axis the weights as torch describes them, in fixed point, then the sums. */
export function referenceResize(
  rgb: Uint8Array,
  from: FrameSize,
  to: FrameSize,
  filter: ResizeFilter = "bicubic",
): Uint8Array {
  const across = alongAxis(filter, rgb, { outer: from.height, length: from.width, inner: 3 }, to.width);
  return alongAxis(filter, across, { outer: 1, length: from.height, inner: to.width * 3 }, to.height);
}

function alongAxis(
  filter: ResizeFilter,
  values: Uint8Array,
  { outer, length, inner }: { outer: number; length: number; inner: number },
  to: number,
): Uint8Array {
  if (to === length) return values;
  const scale = length / to;
  const stretch = Math.max(scale, 1);
  const [weightAt, width] = FILTERS[filter];
  const support = width * stretch;
  const taps = Array.from({ length: to }, (_, i) => {
    const center = scale * (i + 0.5);
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), length);
    const weights = Array.from({ length: end - first }, (_, j) =>
      weightAt((j + first - center + 0.5) / stretch),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
  const largest = Math.max(...taps.flatMap(({ weights }) => weights));
  let precision = 0;
  while (precision < 22 && Math.trunc(0.5 + largest * 2 ** (precision + 1)) < 2 ** 15) precision++;
  const result = new Uint8Array(outer * to * inner);
  for (let o = 0; o < outer; o++) {
    for (const [i, { first, weights }] of taps.entries()) {
      for (let k = 0; k < inner; k++) {
        let sum = 2 ** (precision - 1);
        for (const [j, weight] of weights.entries()) {
          const fixed = Math.sign(weight) * Math.floor(Math.abs(weight) * 2 ** precision + 0.5);
          sum += fixed * (values[(o * length + first + j) * inner + k] as number);
        }
        result[(o * to + i) * inner + k] = Math.min(Math.max(Math.floor(sum / 2 ** precision), 0), 255);
      }
    }
  }
  return result;
}

function cubic(x: number): number {
  const a = -0.5;
  const d = Math.abs(x);
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

const triangle = (x: number): number => Math.max(0, 1 - Math.abs(x));

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const lanczos = (x: number): number => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0);

/** Each filter, and the input pixels to each side beyond which it is zero. */
const FILTERS: Readonly<Record<ResizeFilter, readonly [(x: number) => number, number]>> = {
  bilinear: [triangle, 1],
  bicubic: [cubic, 2],
  lanczos: [lanczos, 3],
};

/** As `patchifyFrames` without a resize: transformers' reshape and transpose, written as loops over the result. */
export function referencePatchify(
  frames: readonly Uint8Array[],
  { height, width }: FrameSize,
  { patchSize, mergeSize, temporalPatchSize }: PatchLayout,
): Uint8Array {
  const bytes: number[] = [];
  const range = (count: number) => Array.from({ length: count }, (_, i) => i);
  const block = patchSize * mergeSize;
  for (const t of range(Math.ceil(frames.length / temporalPatchSize)))
    for (const blockRow of range(height / block))
      for (const blockColumn of range(width / block))
        for (const row of range(mergeSize))
          for (const column of range(mergeSize))
            for (const channel of range(3))
              for (const slice of range(temporalPatchSize))
                for (const y of range(patchSize))
                  for (const x of range(patchSize)) {
                    const frame = frames[
                      Math.min(t * temporalPatchSize + slice, frames.length - 1)
                    ] as Uint8Array;
                    const imageY = (blockRow * mergeSize + row) * patchSize + y;
                    const imageX = (blockColumn * mergeSize + column) * patchSize + x;
                    bytes.push(frame[(imageY * width + imageX) * 3 + channel] as number);
                  }
  return Uint8Array.from(bytes);
}
