/**
 * Fits the polynomials of native/backend/cpu/simd/math.h and prints their coefficients, lowest power first:
 *
 *     node dev/fit-polynomials.mjs
 *
 * Each is a least-squares fit in Chebyshev's basis of the *relative* error, sampled at Chebyshev's nodes, which is within
 * a small factor of the best one. Double precision is plenty: the results are rounded to f32.
 */

/** Coefficients c of p(x) = Σ c[i]·x^i, so that p ≈ target over [low, high], relative to `target`. */
function fit(target, low, high, degree) {
  const samples = 400;
  const rows = [];
  const right = [];
  for (let i = 0; i < samples; i++) {
    const u = Math.cos((Math.PI * (i + 0.5)) / samples);
    const value = target(low + ((high - low) * (u + 1)) / 2);
    rows.push(chebyshev(u, degree).map((t) => t / value));
    right.push(1);
  }
  return monomials(leastSquares(rows, right), low, high);
}

function chebyshev(u, degree) {
  const values = [1, u];
  for (let i = 2; i <= degree; i++) values.push(2 * u * values[i - 1] - values[i - 2]);
  return values.slice(0, degree + 1);
}

/** Solves the normal equations by Gauss with pivoting: Chebyshev's basis keeps them well conditioned. */
function leastSquares(rows, right) {
  const n = rows[0].length;
  const system = Array.from({ length: n }, (_, i) => [
    ...Array.from({ length: n }, (_, j) => rows.reduce((sum, row) => sum + row[i] * row[j], 0)),
    rows.reduce((sum, row, index) => sum + row[i] * right[index], 0),
  ]);
  for (let i = 0; i < n; i++) {
    const pivot = system
      .slice(i)
      .reduce((best, row, at) => (Math.abs(row[i]) > Math.abs(system[i + best][i]) ? at : best), 0);
    [system[i], system[i + pivot]] = [system[i + pivot], system[i]];
    for (let j = 0; j < n; j++) {
      if (j === i) continue;
      const factor = system[j][i] / system[i][i];
      for (let k = i; k <= n; k++) system[j][k] -= factor * system[i][k];
    }
  }
  return system.map((row, i) => row[n] / row[i]);
}

/** Chebyshev's coefficients in u = (2x - low - high) / (high - low) → powers of x. */
function monomials(coefficients, low, high) {
  const scale = 2 / (high - low);
  const shift = -(high + low) / (high - low);
  const timesU = (p) => {
    const result = new Array(p.length + 1).fill(0);
    for (const [i, c] of p.entries()) {
      result[i] += c * shift;
      result[i + 1] += c * scale;
    }
    return result;
  };
  let [previous, current] = [[1], timesU([1])];
  const sum = new Array(coefficients.length).fill(0);
  for (const [i, c] of coefficients.entries()) {
    for (const [power, value] of previous.entries()) sum[power] += c * value;
    if (i === coefficients.length - 1) break;
    const next = timesU(current).map((value, power) => 2 * value - (previous[power] ?? 0));
    [previous, current] = [current, next];
  }
  return sum;
}

/** exp(z²)·erfc(z) for z ≥ 0: below 2 from erf's series of positive terms, above by its continued fraction. */
function erfcx(z) {
  if (z < 2) {
    let term = z;
    let sum = z;
    for (let n = 1; n < 200; n++) {
      term *= (2 * z * z) / (2 * n + 1);
      sum += term;
    }
    return Math.exp(z * z) - (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 400; n >= 1; n--) fraction = n / 2 / (z + fraction);
  return 1 / (Math.sqrt(Math.PI) * (z + fraction));
}

function worst(coefficients, target, low, high) {
  const f32 = coefficients.map(Math.fround);
  let largest = 0;
  for (let i = 0; i <= 100_000; i++) {
    const x = low + ((high - low) * i) / 100_000;
    const value = f32.reduceRight((sum, c) => sum * x + c, 0);
    largest = Math.max(largest, Math.abs(value / target(x) - 1));
  }
  return largest;
}

function report(name, target, low, high, degree) {
  const coefficients = fit(target, low, high, degree);
  console.log(
    `${name}: relative error ${worst(coefficients, target, low, high).toExponential(1)} with f32 coefficients`,
  );
  console.log(coefficients.map((c) => `${Math.fround(c).toPrecision(9)}f`).join(", "));
}

// exp(f) for what is left of an argument after whole powers of two are taken out.
report("exp, degree 6", Math.exp, -Math.LN2 / 2, Math.LN2 / 2, 6);
report("exp2, degree 6", (f) => 2 ** f, -0.5, 0.5, 6);

// erfcx(z) = t·q(t) with t = 1/(1 + z/2), over z from 0 to 14: beyond it, exp(-z²) is 0 in f32.
const t = (z) => 1 / (1 + z / 2);
const ratio = (at) => erfcx(2 * (1 / at - 1)) / at;
for (const degree of [8, 9, 10, 11]) report(`erfcx / t, degree ${degree}`, ratio, t(14), 1, degree);
