/** Compiles a loaded model's graph for the kernels and dtypes of a device. */
import type { Device } from "@vitgraph/cuda-kernels";
import { type CompiledGraph, compile } from "../compiler/compile.js";
import type { LoadedModel } from "../models/load-model.js";
import { weightDTypes } from "../weights/load-weights.js";

/** A loaded model's graph, compiled for the kernels and dtypes of a device. `fuse` is vLLM's `compile_mm_encoder`. */
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
      // On the CPU folded weights would be copied as f32, and a norm costs next to nothing.
      foldsNorms: device.info.backend === "cuda",
      // CUDA's fast products need 16. Used on all backends, so that the CPU verifies the same layout.
      rowAlignment: 64,
    },
    weightDTypes: weightDTypes(model.weights),
  });
}
