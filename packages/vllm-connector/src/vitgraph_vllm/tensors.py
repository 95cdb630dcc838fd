"""torch tensors to bytes, and rows in shared memory to tensors: the one module that needs torch."""

from __future__ import annotations

import mmap
from typing import Any

import torch

from vitgraph_vllm.client import Pixels, Rows

_FIELDS = (("pixel_values", "image_grid_thw"), ("pixel_values_videos", "video_grid_thw"))
_DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def pixels_of(data: dict[str, Any]) -> Pixels | None:
    """What vLLM's processor made of one image or video; None for what vitgraph does not take."""
    for values_name, grid_name in _FIELDS:
        values, grid = data.get(values_name), data.get(grid_name)
        if not isinstance(values, torch.Tensor) or not isinstance(grid, torch.Tensor):
            continue
        grid = grid.flatten().tolist()
        if values.dim() != 2 or len(grid) != 3:
            return None
        if values.dtype not in _DTYPES:
            values = values.float()
        values = values.detach().cpu().contiguous()
        return Pixels(tuple(grid), _DTYPES[values.dtype], values.view(torch.uint8).numpy().tobytes())
    return None


def load_rows(rows: Rows, device: Any) -> torch.Tensor:
    """bf16 [tokens, columns] on the device, in memory of its own."""
    with open(rows.path, "rb") as file:
        # Copy on write: torch warns of memory that cannot be written to.
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    tensor = torch.frombuffer(memory, dtype=torch.bfloat16).reshape(rows.tokens, rows.columns)
    return tensor.to(device, copy=True)
