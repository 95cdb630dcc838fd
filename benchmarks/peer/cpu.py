"""PyTorch's time for the tower on this CPU, in float32 and bfloat16: the peer of `pnpm bench:cpu`.

The same nine layers of the 27-layer tower's shapes, the same images, random weights; transformers' model as it comes, with
scaled_dot_product_attention. Needs torch 2.11 or newer and transformers 5; nothing is downloaded.

    python3 peer/cpu.py [--threads 2]
"""

import argparse
import os
import statistics
import time

import torch
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLVisionConfig
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel

from tower import DEFAULT_VISION_CONFIG

# Images, and sides in patches: as in cpu.ts.
WORKLOADS = [("1 × 224²", 1, 14), ("4 × 224²", 4, 14), ("1 × 448²", 1, 28), ("1 × 1024²", 1, 64)]
NINE_LAYERS = {**DEFAULT_VISION_CONFIG, "depth": 9, "deepstack_visual_indexes": [2, 5, 8]}
REPETITIONS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    config = Qwen3VLVisionConfig(**NINE_LAYERS)
    config._attn_implementation = "sdpa"
    print(f"torch {torch.__version__}, {threads} threads")
    for dtype in (torch.float32, torch.bfloat16):
        model = Qwen3VLVisionModel(config).to(dtype).eval()
        for name, images, side in WORKLOADS:
            grid = torch.tensor([[1, side, side]] * images)
            columns = config.in_channels * config.temporal_patch_size * config.patch_size**2
            pixels = torch.randn(images * side * side, columns, dtype=dtype)
            times = []
            with torch.inference_mode():
                for repetition in range(REPETITIONS + 1):
                    started = time.perf_counter()
                    model(pixels, grid_thw=grid)
                    # The first run touches every page for the first time.
                    if repetition > 0:
                        times.append(1000 * (time.perf_counter() - started))
            print(f"{name:10} {str(dtype).removeprefix('torch.'):9} {statistics.median(times):.0f} ms")


if __name__ == "__main__":
    main()
