#!/usr/bin/env python3
"""How far transformers' own bfloat16 run of a vision tower is from a float32 reference.

    model_error.py CHECKPOINT... [--device cuda]

Each directory holds a checkpoint and cases.safetensors, as `vitgraph verify --reference` reads it. Prints the relative L2
of each case: vitgraph's errors on a GPU should be no more than 1.1 times these.
"""
import argparse
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from safetensors import safe_open
from transformers import AutoModelForImageTextToText


def embeddings(model, pixels, grids):
    """[tokens, columns]: the embeddings of the items, and the deepstack levels beside them."""
    if model.config.model_type == "gemma3":
        side, patch = int(grids[0, 1]), model.config.vision_config.patch_size
        images = pixels.reshape(-1, side, side, 3, patch, patch).permute(0, 3, 1, 4, 2, 5)
        images = images.reshape(-1, 3, side * patch, side * patch)
        return model.model.get_image_features(images, return_dict=True).pooler_output.flatten(0, -2)
    out = model.model.get_image_features(pixels, grids, return_dict=True)
    parts = [torch.cat(list(out.pooler_output))]
    return torch.cat(parts + list(getattr(out, "deepstack_features", None) or []), dim=-1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", nargs="+")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    for directory in args.checkpoint:
        model = AutoModelForImageTextToText.from_pretrained(directory, dtype=torch.bfloat16)
        model = model.eval().to(args.device)
        errors = []
        with safe_open(os.path.join(directory, "cases.safetensors"), "pt") as cases:
            keys = set(cases.keys())
            index = 0
            while f"{index}.output" in keys:
                pixels = cases.get_tensor(f"{index}.pixel_values").to(args.device, torch.bfloat16)
                grids = cases.get_tensor(f"{index}.grid_thw").to(args.device)
                expected = cases.get_tensor(f"{index}.output").double()
                stride = int(cases.get_tensor(f"{index}.row_stride")) if f"{index}.row_stride" in keys else 1
                actual = embeddings(model, pixels, grids)[::stride].cpu().double()
                errors.append(((actual - expected).norm() / expected.norm()).item())
                index += 1
        name = os.path.basename(os.path.normpath(directory))
        print(f"{name:20}", *(f"{error:.2e}" for error in errors), flush=True)


if __name__ == "__main__":
    main()
