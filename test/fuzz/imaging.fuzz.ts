/**
 * Resizing and cutting of pixels, called as native code exports it: sizes that are no sizes, lengths that do not fit, memory
 * of every kind, and callers that change or take their arrays away during the call and after it. A request that is sound is
 * answered with what the reference says of the bytes at the time of the call; any other is refused with a code.
 */
import { RESIZE_FILTERS, type ResizeFilter } from "@vitgraph/cuda-kernels";
import { referencePatchify, referenceResize } from "@vitgraph/cuda-kernels/testing";
import fc from "fast-check";
import type { FuzzTarget } from "./fuzz-target.js";
import { codeOf, openNativeDoor } from "./native-door.js";

const door = openNativeDoor();

const NO_SIZES = [
  0,
  -1,
  0.5,
  2 ** 24 + 1,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  "3",
  null,
  undefined,
  {},
];

/** Mostly small, sometimes nothing that is a size. */
const side = fc.oneof(
  { weight: 30, arbitrary: fc.integer({ min: 1, max: 40 }) },
  { weight: 1, arbitrary: fc.constantFrom(...NO_SIZES) },
);
const few = fc.oneof(
  { weight: 30, arbitrary: fc.integer({ min: 1, max: 4 }) },
  { weight: 1, arbitrary: fc.constantFrom(...NO_SIZES) },
);

/** An array of bytes, and how it is held. */
const frame = fc.record({
  seed: fc.nat(),
  /** Bytes more than the sizes ask for. */
  excess: fc.oneof(
    { weight: 15, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: -3, max: 3 }) },
  ),
  memory: fc.constantFrom("own", "own", "offset", "shared", "resizable"),
  type: fc.oneof(
    { weight: 30, arbitrary: fc.constant("Uint8Array" as const) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        "Int8Array" as const,
        "Uint16Array" as const,
        "DataView" as const,
        "object" as const,
      ),
    },
  ),
});

const input = fc.record({
  patchify: fc.boolean(),
  height: side,
  width: side,
  filter: fc.oneof(
    { weight: 30, arbitrary: fc.constantFrom(...RESIZE_FILTERS) },
    { weight: 1, arbitrary: fc.constantFrom("lanczos", "", 3, null, undefined) },
  ),
  /** For cutting, in blocks. */
  toHeight: side,
  toWidth: side,
  patchSize: few,
  mergeSize: few,
  temporalPatchSize: few,
  wholeBlocks: fc.oneof(
    { weight: 9, arbitrary: fc.constant(true) },
    { weight: 1, arbitrary: fc.constant(false) },
  ),
  frames: fc.array(frame, { maxLength: 4 }),
  /** What the caller does to his arrays once the call has returned. */
  afterwards: fc.constantFrom("nothing", "overwrite", "take away"),
  /** The property whose reading takes the arrays away. */
  trap: fc.oneof(
    { weight: 15, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.constantFrom("height", "toWidth", "temporalPatchSize", "frames", "rgb") },
  ),
});
type Input = typeof input extends fc.Arbitrary<infer T> ? T : never;

async function check(drawn: Input): Promise<void> {
  const { patchify, height, width, filter, patchSize, mergeSize, temporalPatchSize } = drawn;
  const block =
    patchify && drawn.wholeBlocks && isSize(patchSize) && isSize(mergeSize) ? patchSize * mergeSize : 1;
  const blocks = (length: unknown) =>
    block > 1 && isSize(length) ? Math.ceil(length / block) * block : length;
  const [toHeight, toWidth] = [blocks(drawn.toHeight), blocks(drawn.toWidth)];
  const sizes = patchify
    ? [height, width, toHeight, toWidth, patchSize, mergeSize, temporalPatchSize]
    : [height, width, toHeight, toWidth];
  const asked = isSize(height) && isSize(width) ? height * width * 3 : 9;
  const frames = drawn.frames.map((one) => makeFrame(one, Math.max(0, asked + one.excess)));
  const arrays = frames.map(({ value }) => value);
  const used = patchify ? frames : frames.slice(0, 1);
  const sound =
    sizes.every(isSize) &&
    isFilter(filter) &&
    used.length > 0 &&
    used.every(({ value, bytes }) => value instanceof Uint8Array && bytes.length === asked) &&
    (!patchify ||
      ((toHeight as number) % ((patchSize as number) * (mergeSize as number)) === 0 &&
        (toWidth as number) % ((patchSize as number) * (mergeSize as number)) === 0));

  const request = {
    height,
    width,
    filter,
    toHeight,
    toWidth,
    patchSize,
    mergeSize,
    temporalPatchSize,
    frames: arrays,
    rgb: arrays[0],
  };
  const trap =
    drawn.trap !== undefined &&
    (patchify ? drawn.trap !== "rgb" : drawn.trap !== "frames" && drawn.trap !== "temporalPatchSize")
      ? drawn.trap
      : undefined;
  if (trap !== undefined) {
    const value = request[trap as keyof typeof request];
    Object.defineProperty(request, trap, {
      get: () => {
        for (const array of arrays) takeAway(array);
        return value;
      },
    });
  }
  let result: Uint8Array;
  try {
    const work = patchify ? door.patchifyFrames(request) : door.resizeFrame(request);
    for (const array of arrays) {
      if (drawn.afterwards === "overwrite") overwrite(array);
      if (drawn.afterwards === "take away") takeAway(array);
    }
    result = await work;
  } catch (error) {
    if (codeOf(error) !== "VG_ARGUMENT_INVALID" || (sound && trap === undefined)) throw error;
    return;
  }
  // Shared memory can't be taken away, so a trap may leave a sound request sound.
  if (!sound) throw new Error("a request that is not sound was answered");
  const [from, to] = [
    { height: height as number, width: width as number },
    { height: toHeight as number, width: toWidth as number },
  ];
  const resized = used.map(({ bytes }) => referenceResize(bytes, from, to, filter as ResizeFilter));
  const layout = {
    patchSize: patchSize as number,
    mergeSize: mergeSize as number,
    temporalPatchSize: temporalPatchSize as number,
  };
  const expected = patchify ? referencePatchify(resized, to, layout) : resized[0]!;
  if (Buffer.compare(result, expected) !== 0) throw new Error("the result differs from the reference's");
}

export default {
  name: "imaging",
  property: fc.asyncProperty(input, check),
  shortRunInputs: 300,
} satisfies FuzzTarget;

function isFilter(value: unknown): value is ResizeFilter {
  return RESIZE_FILTERS.includes(value as ResizeFilter);
}

function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value <= 2 ** 24;
}

/** The array, or what is passed in its place, and a copy of its bytes. */
function makeFrame(
  { seed, memory, type }: Input["frames"][number],
  sizeBytes: number,
): { value: unknown; bytes: Uint8Array } {
  let state = seed >>> 0;
  const bytes = Uint8Array.from({ length: sizeBytes }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
  if (type === "object") return { value: { ...bytes, length: sizeBytes }, bytes };
  if (type === "DataView") return { value: new DataView(bytes.slice().buffer), bytes };
  if (type !== "Uint8Array") return { value: new { Int8Array, Uint16Array }[type](bytes), bytes };
  const array = new Uint8Array(makeBuffer(memory, sizeBytes), memory === "offset" ? 5 : 0, sizeBytes);
  array.set(bytes);
  return { value: array, bytes };
}

function makeBuffer(memory: Input["frames"][number]["memory"], sizeBytes: number): ArrayBuffer {
  if (memory === "shared") return new SharedArrayBuffer(sizeBytes) as unknown as ArrayBuffer;
  const Resizable = ArrayBuffer as new (size: number, options: { maxByteLength: number }) => ArrayBuffer;
  if (memory === "resizable") return new Resizable(sizeBytes, { maxByteLength: sizeBytes + 64 });
  return new ArrayBuffer(sizeBytes + (memory === "offset" ? 12 : 0));
}

function overwrite(value: unknown): void {
  if (!(value instanceof Uint8Array)) return;
  try {
    value.fill(0xa5);
  } catch (error) {
    // It was taken away before.
    if (!(error instanceof TypeError)) throw error;
  }
}

function takeAway(value: unknown): void {
  if (!ArrayBuffer.isView(value) || !(value.buffer instanceof ArrayBuffer)) return;
  const buffer = value.buffer as ArrayBuffer & { readonly resizable?: boolean; resize(size: number): void };
  if (buffer.resizable) buffer.resize(0);
  else structuredClone(buffer, { transfer: [buffer] });
}
