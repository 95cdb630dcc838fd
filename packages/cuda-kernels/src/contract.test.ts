/** TypeScript and native code describe the same ABI. */
import { expect, test } from "vitest";
import { createCpuDevice } from "./cpu-device.js";
import { KERNEL_NAMES, KERNELS, type KernelSignature } from "./kernels.js";
import { requireAddon } from "./native.js";
import { PROGRAM_VERSION } from "./program.js";

test("the addon's kernels are KERNELS, in order, signature by signature", () => {
  const expected = KERNEL_NAMES.map((name) => {
    const { buffers, forms, scalars, inPlace = [], whole = [] }: KernelSignature = KERNELS[name];
    return { name, buffers, forms, scalars, inPlace, whole };
  });
  expect(requireAddon("cpu").kernels).toEqual(expected);
});

test("the order of scalars is the same, since it is the encoding", () => {
  const native = requireAddon("cpu").kernels.map(({ scalars }) => Object.keys(scalars));
  expect(native).toEqual(KERNEL_NAMES.map((name) => Object.keys(KERNELS[name].scalars)));
});

test("the addon reads this version of the program", () => {
  expect(requireAddon("cpu").programVersion).toBe(PROGRAM_VERSION);
});

test("the CPU backend has every kernel", () => {
  using device = createCpuDevice({ threads: 1 });
  expect([...device.kernels]).toEqual(KERNEL_NAMES);
});

test.each(KERNEL_NAMES)("%s has a form for every buffer, and shares only inputs' memory", (name) => {
  const { buffers, forms, inPlace = [] }: KernelSignature = KERNELS[name];
  expect(forms).toHaveLength(buffers.length);
  for (const input of inPlace) expect(buffers.slice(0, -1)).toContain(input);
});
