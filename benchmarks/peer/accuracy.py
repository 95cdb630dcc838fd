"""Writes a reference of the real size for `vitgraph verify`: random weights, inputs, float32 outputs.

    python3 accuracy.py --workload workloads.json --output reference [--vision-config config.json]
    vitgraph verify --backend cuda --model reference --reference reference/cases.safetensors

The outputs are those of transformers in float32. Printed for each case is how far transformers' own
bfloat16 run is from them: what rounding alone costs. 1.1 times that is stored as the case's tolerance.

Writes in --output: config.json and model.safetensors, a checkpoint of the vision tower in bfloat16;
cases.safetensors with `i.pixel_values` bf16, `i.grid_thw` i64, `i.output` f32, `i.row_stride` i64 and
`i.tolerance` f32 for the case i; cases.json with their names. Of large outputs every row_stride-th row
is kept.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from measure import relative_l2
from tower import (
    DEFAULT_VISION_CONFIG,
    DEVICE,
    grids_of,
    make_tower,
    random_pixel_values,
    read_vision_config,
    read_workloads,
    rope_theta,
    run_tower,
    to_bfloat16,
)

# A bfloat16 tower may round in other places than transformers', but not lose more.
TOLERANCE_FACTOR = 1.1


def write_checkpoint(output: Path, tower, vision_config: dict) -> None:
    """In the layout of the hub's checkpoints, without the language model."""
    fields = {name: vision_config[name] for name in DEFAULT_VISION_CONFIG if name in vision_config}
    theta = rope_theta(vision_config)
    if theta is not None:
        fields["rope_parameters"] = {"rope_theta": theta}
    config = {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "vision_config": fields,
    }
    (output / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tensors = {
        f"model.visual.{name}": parameter.detach().bfloat16().cpu().contiguous()
        for name, parameter in tower.named_parameters()
    }
    save_file(tensors, output / "model.safetensors")


def main():
    parser = argparse.ArgumentParser(description="Write a float32 reference of the real size for vitgraph verify.")
    parser.add_argument("--workload", required=True, help="a file as `vitgraph bench --print-workloads` writes it")
    parser.add_argument("--output", required=True, help="directory for the checkpoint and the cases")
    parser.add_argument("--vision-config", help="JSON with the vision_config; default: that of Qwen3-VL-8B")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these workloads alone")
    parser.add_argument("--max-rows", type=int, default=512, help="rows of an output to keep, about (default: 512)")
    options = parser.parse_args()

    torch.set_grad_enabled(False)
    # Float32 means float32: convolutions would otherwise run in TF32.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False

    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    vision_config = read_vision_config(options.vision_config)
    workloads = read_workloads(options.workload, options.only)
    tower = make_tower(vision_config, seed=0)
    write_checkpoint(output, tower, vision_config)

    inputs = [random_pixel_values(workload, tower.config, seed=index) for index, workload in enumerate(workloads)]
    grids = [torch.tensor(grids_of(workload, tower.config), device=DEVICE) for workload in workloads]
    strides, references = [], []
    for pixel_values, grid_thw in zip(inputs, grids):
        rows = run_tower(tower, pixel_values.float(), grid_thw)
        strides.append(max(1, rows.shape[0] // options.max_rows))
        references.append(rows[:: strides[-1]].cpu().contiguous())
        del rows
        torch.cuda.empty_cache()

    to_bfloat16(tower)
    tensors, cases = {}, []
    for index, (workload, pixel_values, grid_thw) in enumerate(zip(workloads, inputs, grids)):
        stride, reference = strides[index], references[index]
        rounded = run_tower(tower, pixel_values, grid_thw)[::stride].float().cpu()
        error = relative_l2(rounded, reference)
        tensors[f"{index}.pixel_values"] = pixel_values.cpu().contiguous()
        tensors[f"{index}.grid_thw"] = grid_thw.cpu()
        tensors[f"{index}.output"] = reference
        tensors[f"{index}.row_stride"] = torch.tensor([stride], dtype=torch.int64)
        tensors[f"{index}.tolerance"] = torch.tensor([TOLERANCE_FACTOR * error], dtype=torch.float32)
        cases.append(
            {
                "index": index,
                "name": workload.name,
                "grid_thw": grid_thw.tolist(),
                "row_stride": stride,
                "output_shape": list(reference.shape),
                "bfloat16_relative_l2": error,
                "tolerance": TOLERANCE_FACTOR * error,
            }
        )
        print(
            f"{index} {workload.name}: bfloat16 relative L2 {error:.3e}, tolerance {TOLERANCE_FACTOR * error:.3e}",
            flush=True,
        )
    save_file(tensors, output / "cases.safetensors")
    (output / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
