/**
 * The size of an image in tokens: `smart_resize` of transformers' MuseGlimmerImageProcessor, step by step in float64. It
 * takes the grid with the nearest aspect ratio from a Python set. If several are equally near, as for most square
 * images, the first one in the set's order wins.
 */
import { checkAspectRatio, type ImageSize } from "../../images/smart-resize.js";
import { roundHalfEven } from "../../numerics.js";

/** Rows and columns in tokens. */
type TokenGrid = readonly [rows: number, columns: number];

/**
 * @param block pixels along one side of a token
 * @throws VG_IMAGE_ASPECT_RATIO
 */
export function tokenGrid({ height, width }: ImageSize, block: number, maxTokens: number): TokenGrid {
  checkAspectRatio(height, width);
  let [rows, columns] = [height / block, width / block];
  const aspect = columns / rows;
  if (rows * columns > maxTokens) {
    rows = Math.sqrt(maxTokens / aspect);
    columns = rows * aspect;
  }
  const inside = candidates(rows, columns).filter(([h, w]) => h >= 1 && w >= 1 && h * w <= maxTokens);
  const distance = ([h, w]: TokenGrid) => Math.abs(h / w - height / width);
  const nearest = inside.reduce<TokenGrid | undefined>(
    (best, grid) => (best === undefined || distance(grid) < distance(best) ? grid : best),
    undefined,
  );
  return nearest ?? [Math.max(1, roundHalfEven(rows)), Math.max(1, roundHalfEven(columns))];
}

/** Both sides rounded down and up, without duplicates, in the order of a Python set. */
function candidates(rows: number, columns: number): readonly TokenGrid[] {
  const slots = new Array<TokenGrid | undefined>(SLOTS).fill(undefined);
  for (const h of new Set([Math.floor(rows), Math.ceil(rows)])) {
    for (const w of new Set([Math.floor(columns), Math.ceil(columns)])) {
      // CPython's set_add_entry. Four entries do not enlarge a table of eight.
      let perturbation = tupleHash([h, w]);
      let slot = perturbation % SLOTS_BIG;
      while (slots[Number(slot)] !== undefined) {
        perturbation >>= 5n;
        slot = (slot * 5n + 1n + perturbation) % SLOTS_BIG;
      }
      slots[Number(slot)] = [h, w];
    }
  }
  return slots.filter((grid) => grid !== undefined);
}

const SLOTS = 8;
const SLOTS_BIG = BigInt(SLOTS);

/** CPython's hash of a tuple of small integers, each of which is its own hash, in 64 bits: a variant of xxHash. */
function tupleHash(integers: readonly number[]): bigint {
  const word = (value: bigint) => BigInt.asUintN(64, value);
  let hash = PRIME_5;
  for (const integer of integers) {
    hash = word(hash + BigInt(integer) * PRIME_2);
    hash = word((hash << 31n) | (hash >> 33n));
    hash = word(hash * PRIME_1);
  }
  hash = word(hash + (BigInt(integers.length) ^ PRIME_5 ^ 3_527_539n));
  return hash === word(-1n) ? 1_546_275_796n : hash;
}

const PRIME_1 = 11_400_714_785_074_694_791n;
const PRIME_2 = 14_029_467_366_897_019_727n;
const PRIME_5 = 2_870_177_450_012_600_261n;
