/**
 * Every kernel in plain float64, as its signature's comment says it: the twin that all backends are held to.
 *
 * Written to be read, not to be fast. Inputs are what the kernel is given (already rounded to its dtypes); the result is
 * exact up to float64's rounding, so a backend's whole error shows in the comparison. The scalars alone are single precision
 * on purpose, because they *define* the value.
 */
import { ACTIVATIONS, type Activation, type KernelName, NORMS, PIXEL_FORMATS } from "../kernels.js";
import { decodeValues } from "./element-values.js";

/** A row-major matrix of real rows. */
export interface ReferenceMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

/** The operands and scalars of a kernel, in float64. */
export interface ReferenceInputs {
  /** By operand name, without "?". Operands that are left out are absent. An output that is only written has no rows. */
  readonly operands: Readonly<Record<string, ReferenceMatrix>>;
  readonly scalars: Readonly<Record<string, number>>;
}

/** The output `y` of a kernel. */
export function referenceKernel(kernel: KernelName, inputs: ReferenceInputs): ReferenceMatrix {
  return REFERENCES[kernel](new Inputs(inputs));
}

const REFERENCES: Readonly<Record<KernelName, (inputs: Inputs) => ReferenceMatrix>> = {
  unpack_patches(inputs) {
    const { channels, temporal, patch_area: area } = inputs.scalars as Record<string, number>;
    const pixels = inputs.matrix("pixels");
    const sources = inputs.matrix("patch_sources");
    const channelScale = inputs.matrix("channel_scale");
    return build(sources.rows, channels! * temporal! * area!, (patch, column) => {
      const source = sources.values[patch]! >>> 0;
      const start = (source >>> 2) * 4;
      const format = source & 3;
      if (format === PIXEL_FORMATS.normalized) {
        const bytes = Uint8Array.from(pixels.values.subarray(start + 4 * column, start + 4 * column + 4));
        return decodeValues("f32", bytes)[0]!;
      }
      const channel = Math.floor(column / (temporal! * area!));
      const inFrame = column % area!;
      const index = format === PIXEL_FORMATS.u8_still ? channel * area! + inFrame : column;
      const [scale, shift] = [channelScale.values[2 * channel]!, channelScale.values[2 * channel + 1]!];
      return pixels.values[start + index]! * scale + shift;
    });
  },

  linear(inputs) {
    const residual = inputs.optional("residual");
    const activate = referenceActivation(inputs.activation());
    const product = multiply(inputs);
    return build(product.rows, product.columns, (row, column) => {
      return activate(at(product, row, column)) + (residual === undefined ? 0 : at(residual, row, column));
    });
  },

  linear_statistics(inputs) {
    const residual = inputs.optional("residual");
    const index = inputs.optional("index");
    const product = multiply(inputs);
    return build(product.rows, product.columns, (row, column) => {
      const added =
        index === undefined
          ? residual && at(residual, row, column)
          : at(inputs.matrix("table"), index.values[row]!, column);
      return at(product, row, column) + (added ?? 0);
    });
  },

  linear_norm(inputs) {
    const product = multiplyNormalised(inputs);
    const activate = referenceActivation(inputs.activation());
    return build(product.rows, product.columns, (row, column) => activate(at(product, row, column)));
  },

  linear_norm_rope: (inputs) => turnPairs(inputs, multiplyNormalised(inputs)),

  linear_rope: (inputs) => turnPairs(inputs, multiply(inputs)),

  layernorm(inputs) {
    const x = inputs.matrix("x");
    const weight = inputs.matrix("weight");
    const bias = inputs.matrix("bias");
    const epsilon = inputs.scalar("epsilon");
    const rows = Array.from({ length: x.rows }, (_, row) => {
      const values = x.values.subarray(row * x.columns, (row + 1) * x.columns);
      const mean = values.reduce((sum, value) => sum + value, 0) / x.columns;
      const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.columns;
      return { mean, deviation: Math.sqrt(variance + epsilon) };
    });
    return build(x.rows, x.columns, (row, column) => {
      const { mean, deviation } = rows[row]!;
      return ((at(x, row, column) - mean) / deviation) * weight.values[column]! + bias.values[column]!;
    });
  },

  activation(inputs) {
    const x = inputs.matrix("x");
    const activate = referenceActivation(inputs.activation());
    return build(x.rows, x.columns, (row, column) => activate(at(x, row, column)));
  },

  add(inputs) {
    const a = inputs.matrix("a");
    const b = inputs.matrix("b");
    return build(a.rows, a.columns, (row, column) => at(a, row, column) + at(b, row, column));
  },

  interpolate_rows(inputs) {
    const [table, index, weights] = ["table", "index", "weights"].map((name) => inputs.matrix(name)) as [
      ReferenceMatrix,
      ReferenceMatrix,
      ReferenceMatrix,
    ];
    return build(index.rows, table.columns, (row, column) => {
      let sum = 0;
      for (let tap = 0; tap < index.columns; tap++)
        sum += at(weights, row, tap) * at(table, at(index, row, tap), column);
      return sum;
    });
  },

  rope: (inputs) => rotate(inputs, "x", 1, 1),
  rope_qk: (inputs) => rotate(inputs, "qkv", 2, 3),

  attention(inputs) {
    const [q, k, v, bounds] = ["q", "k", "v", "cu_seqlens"].map((name) => inputs.matrix(name)) as [
      ReferenceMatrix,
      ReferenceMatrix,
      ReferenceMatrix,
      ReferenceMatrix,
    ];
    const heads = inputs.scalar("heads");
    const scale = inputs.scalar("scale");
    const headSize = q.columns / heads;
    const values = new Float64Array(q.rows * q.columns);
    for (let segment = 0; segment + 1 < bounds.rows; segment++) {
      const [first, end] = [bounds.values[segment]!, bounds.values[segment + 1]!];
      for (let head = 0; head < heads; head++) {
        for (let row = first; row < end; row++) {
          const logits = Array.from({ length: end - first }, (_, j) => {
            let dot = 0;
            for (let i = head * headSize; i < (head + 1) * headSize; i++)
              dot += at(q, row, i) * at(k, first + j, i);
            return dot * scale;
          });
          const largest = logits.reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY);
          const weights = logits.map((logit) => Math.exp(logit - largest));
          const total = weights.reduce((sum, weight) => sum + weight, 0);
          for (let i = head * headSize; i < (head + 1) * headSize; i++) {
            let sum = 0;
            for (const [j, weight] of weights.entries()) sum += weight * at(v, first + j, i);
            values[row * q.columns + i] = sum / total;
          }
        }
      }
    }
    return { rows: q.rows, columns: q.columns, values };
  },

  rmsnorm(inputs) {
    const x = inputs.matrix("x");
    const weight = inputs.matrix("weight");
    const epsilon = inputs.scalar("epsilon");
    const offset = inputs.scalar("weight_offset");
    const scales = Array.from({ length: x.rows }, (_, row) => {
      const values = x.values.subarray(row * x.columns, (row + 1) * x.columns);
      return 1 / Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / x.columns + epsilon);
    });
    return build(
      x.rows,
      x.columns,
      (row, column) => at(x, row, column) * scales[row]! * (weight.values[column]! + offset),
    );
  },

  gate(inputs) {
    const gate = inputs.matrix("gate");
    const up = inputs.matrix("up");
    const activate = referenceActivation(inputs.activation());
    return build(
      gate.rows,
      gate.columns,
      (row, column) => activate(at(gate, row, column)) * at(up, row, column),
    );
  },

  gather_rows(inputs) {
    const table = inputs.matrix("table");
    const index = inputs.matrix("index");
    return build(index.rows, table.columns, (row, column) => at(table, index.values[row]!, column));
  },

  scatter_rows(inputs) {
    const x = inputs.matrix("x");
    const index = inputs.matrix("index");
    const before = inputs.matrix("y");
    const values = before.values.slice();
    for (const [row, target] of index.values.entries()) {
      values.set(x.values.subarray(row * x.columns, (row + 1) * x.columns), target * x.columns);
    }
    return { ...before, values };
  },

  linear_gather_rows(inputs) {
    const table = inputs.matrix("table");
    const index = inputs.matrix("index");
    const { rows, columns, values } = REFERENCES.linear(inputs);
    return build(
      rows,
      columns,
      (row, column) => values[row * columns + column]! + at(table, index.values[row]!, column),
    );
  },

  assemble_rows(inputs) {
    const [x, learned, index] = [inputs.matrix("x"), inputs.matrix("learned"), inputs.matrix("index")];
    return build(index.rows, x.columns, (row, column) => {
      const target = index.values[row]!;
      return target < 0 ? at(learned, -1 - target, column) : at(x, target, column);
    });
  },

  rmsnorm_groups(inputs) {
    const x = inputs.matrix("x");
    const weight = inputs.optional("weight");
    const epsilon = inputs.scalar("epsilon");
    const size = x.columns / inputs.scalar("groups");
    return build(x.rows, x.columns, (row, column) => {
      const start = row * x.columns + Math.floor(column / size) * size;
      const squares = x.values.subarray(start, start + size).reduce((sum, value) => sum + value * value, 0);
      const scale = 1 / Math.sqrt(squares / size + epsilon);
      return at(x, row, column) * scale * (weight === undefined ? 1 : weight.values[column % size]!);
    });
  },

  clamp(inputs) {
    const x = inputs.matrix("x");
    const [low, high] = [inputs.matrix("low").values[0]!, inputs.matrix("high").values[0]!];
    return build(x.rows, x.columns, (row, column) => Math.min(Math.max(at(x, row, column), low), high));
  },

  standardize(inputs) {
    const [x, shift, scale] = [inputs.matrix("x"), inputs.matrix("shift"), inputs.matrix("scale")];
    const factor = inputs.scalar("factor");
    return build(
      x.rows,
      x.columns,
      (row, column) => (at(x, row, column) * factor - shift.values[column]!) * scale.values[column]!,
    );
  },

  mean_groups(inputs) {
    const x = inputs.matrix("x");
    const { columns } = inputs.matrix("y");
    const groups = x.columns / columns;
    return build(x.rows, columns, (row, column) => {
      let sum = 0;
      for (let group = 0; group < groups; group++) sum += at(x, row, group * columns + column);
      return sum / groups;
    });
  },
};

/** The activation function in float64. */
export function referenceActivation(activation: Activation): (x: number) => number {
  return ACTIVATION_FUNCTIONS[activation];
}

const ACTIVATION_FUNCTIONS: Readonly<Record<Activation, (x: number) => number>> = {
  none: (x) => x,
  gelu_tanh: (x) => x * sigmoid(2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)),
  gelu_erf: (x) => x * (x < 0 ? erfc(-x * Math.SQRT1_2) / 2 : 1 - erfc(x * Math.SQRT1_2) / 2),
  quick_gelu: (x) => x * sigmoid(1.702 * x),
  silu: (x) => x * sigmoid(x),
};

/** (1 + tanh(x / 2)) / 2, which keeps its digits where tanh is close to -1. */
function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** For z ≥ 0: below 2 from erf's series of positive terms, above by the continued fraction of erfc. */
function erfc(z: number): number {
  if (z < 2) {
    let term = z;
    let sum = z;
    for (let n = 1; n < 100; n++) {
      term *= (2 * z * z) / (2 * n + 1);
      sum += term;
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * sum;
  }
  let fraction = 0;
  for (let n = 200; n >= 1; n--) fraction = n / 2 / (z + fraction);
  return Math.exp(-z * z) / (Math.sqrt(Math.PI) * (z + fraction));
}

/** x · weightᵀ + bias. */
function multiply(inputs: Inputs): ReferenceMatrix {
  const x = inputs.matrix("x");
  const weight = inputs.matrix("weight");
  const bias = inputs.optional("bias");
  return build(x.rows, weight.rows, (row, column) => {
    let sum = bias?.values[column] ?? 0;
    for (let i = 0; i < x.columns; i++) sum += at(x, row, i) * at(weight, column, i);
    return sum;
  });
}

/** Cosine and sine of a patch's rotation pair: the first half of the pairs turn by its row, the others by its column. */
function turnsOf(
  inputs: Inputs,
  headSize: number,
): (row: number, pair: number) => { cosine: number; sine: number } {
  const positions = inputs.matrix("positions");
  const angles = inputs.matrix("angles");
  const quarter = headSize / 4;
  return (row, pair) => {
    const position = at(positions, row, pair < quarter ? 0 : 1);
    return {
      cosine: at(angles, position, pair % quarter),
      sine: at(angles, position, quarter + (pair % quarter)),
    };
  };
}

/** Rotates the first `parts` of the `allParts` equal column ranges of x; the others stay. */
function rotate(inputs: Inputs, operand: string, parts: number, allParts: number): ReferenceMatrix {
  const x = inputs.matrix(operand);
  const headSize = x.columns / allParts / inputs.scalar("heads");
  const half = headSize / 2;
  const turns = turnsOf(inputs, headSize);
  const rotated = (x.columns * parts) / allParts;
  return build(x.rows, x.columns, (row, column) => {
    if (column >= rotated) return at(x, row, column);
    const inHead = column % headSize;
    const { cosine, sine } = turns(row, inHead % half);
    return inHead < half
      ? at(x, row, column) * cosine - at(x, row, column + half) * sine
      : at(x, row, column) * cosine + at(x, row, column - half) * sine;
  });
}

/** `linear_rope`'s rotation of a product. */
function turnPairs(inputs: Inputs, product: ReferenceMatrix): ReferenceMatrix {
  const headSize = product.columns / 3 / inputs.scalar("heads");
  const turns = turnsOf(inputs, headSize);
  return build(product.rows, product.columns, (row, column) => {
    if (column >= (product.columns / 3) * 2) return at(product, row, column);
    const { cosine, sine } = turns(row, Math.floor((column % headSize) / 2));
    return column % 2 === 0
      ? at(product, row, column) * cosine - at(product, row, column + 1) * sine
      : at(product, row, column) * cosine + at(product, row, column - 1) * sine;
  });
}

/** (x · weightᵀ − mean · u) / σ + v */
function multiplyNormalised(inputs: Inputs): ReferenceMatrix {
  const x = inputs.matrix("x");
  const [u, v] = [inputs.matrix("u"), inputs.matrix("v")];
  const product = multiply(inputs);
  const centred = inputs.scalar("norm") === NORMS.layernorm;
  const rows = Array.from({ length: x.rows }, (_, row) => {
    const values = x.values.subarray(row * x.columns, (row + 1) * x.columns);
    const mean = centred ? values.reduce((sum, value) => sum + value, 0) / x.columns : 0;
    const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.columns;
    return { mean, deviation: Math.sqrt(square + inputs.scalar("epsilon")) };
  });
  return build(product.rows, product.columns, (row, column) => {
    const { mean, deviation } = rows[row]!;
    return (at(product, row, column) - mean * u.values[column]!) / deviation + v.values[column]!;
  });
}

class Inputs {
  readonly scalars: Readonly<Record<string, number>>;
  readonly #operands: Readonly<Record<string, ReferenceMatrix>>;

  constructor({ operands, scalars }: ReferenceInputs) {
    this.scalars = scalars;
    this.#operands = operands;
  }

  matrix(name: string): ReferenceMatrix {
    const matrix = this.#operands[name];
    if (matrix === undefined) throw new Error(`the reference was given no ${name}`);
    return matrix;
  }

  optional(name: string): ReferenceMatrix | undefined {
    return this.#operands[name];
  }

  scalar(name: string): number {
    const value = this.scalars[name];
    if (value === undefined) throw new Error(`the reference was given no ${name}`);
    return value;
  }

  activation(): Activation {
    return ACTIVATIONS[this.scalar("activation")]!;
  }
}

function at({ values, columns }: ReferenceMatrix, row: number, column: number): number {
  return values[row * columns + column]!;
}

function build(
  rows: number,
  columns: number,
  value: (row: number, column: number) => number,
): ReferenceMatrix {
  const values = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) values[row * columns + column] = value(row, column);
  }
  return { rows, columns, values };
}
