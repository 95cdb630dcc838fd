/** Compiles a loaded model's graph for the kernels and dtypes of a device. */
import type { Device } from "@vitgraph/cuda-kernels";
import { type CompiledGraph, compile } from "../compiler/compile.js";
import type { LoadedModel } from "../models/load-model.js";
import { weightDTypes } from "../weights/load-weights.js";

export function compileForDevice(
  model: LoadedModel,
  device: Pick<Device, "activationDType" | "weightDType" | "kernels" | "info">,
  fuse: boolean,
): CompiledGraph {
  return compile(model.graph, {
    fuse,
    target: {
      activationDType: device.activationDType,
      weightDType: device.weightDType,
      kernels: device.kernels,
      // On the CPU weights would have to be copied to f32, and a norm is next to nothing there.
      foldsNorms: device.info.backend === "cuda",
      // CUDA's fast products ask for 16. All backends have it, so that what is verified on the CPU is verified for them all.
      rowAlignment: 64,
    },
    weightDTypes: weightDTypes(model.weights),
  });
}
