/** TypeScript and native code describe the same ABI. */
import { expect, test } from "vitest";
import { createCpuDevice } from "./cpu-device.js";
import { KERNEL_NAMES, KERNELS, type KernelSignature } from "./kernels.js";
import { requireAddon } from "./native.js";
import { PROGRAM_VERSION } from "./program.js";

test("the addon reads this version of the program", () => {
  expect(requireAddon("cpu").programVersion).toBe(PROGRAM_VERSION);
});

test("the CPU backend has every kernel", () => {
  using device = createCpuDevice({ threads: 1 });
  expect([...device.kernels]).toEqual(KERNEL_NAMES);
});

test.each(KERNEL_NAMES)("%s has a type for every buffer, and shares only inputs' memory", (name) => {
  const { buffers, operandTypes, inPlace = [], outputs = 1 }: KernelSignature = KERNELS[name];
  expect(operandTypes).toHaveLength(buffers.length);
  for (const input of inPlace) expect(buffers.slice(0, -outputs)).toContain(input);
});
