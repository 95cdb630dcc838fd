"""transformers' Qwen3-VL vision tower at a given size with random weights, and its inputs for a workload.

What peer.py and accuracy.py share. Needs torch 2.11 and transformers 5; nothing is downloaded.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLVisionConfig
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel

DEVICE = "cuda"
# transformers' `initializer_range`.
STANDARD_DEVIATION = 0.02
SMALLEST_BUDGET = 64

# The tower of Qwen3-VL-8B: for when no --vision-config is given.
DEFAULT_VISION_CONFIG = {
    "depth": 27,
    "hidden_size": 1152,
    "hidden_act": "gelu_pytorch_tanh",
    "intermediate_size": 4304,
    "num_heads": 16,
    "in_channels": 3,
    "patch_size": 16,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 4096,
    "num_position_embeddings": 2304,
    "deepstack_visual_indexes": [8, 16, 24],
}


@dataclass(frozen=True)
class Workload:
    name: str
    # (height, width) of each item, in pixels.
    sizes: list[tuple[int, int]]
    # Frames of each item; None for images.
    frames: int | None
    # In tokens; None for the power of two that holds the workload.
    budget: int | None
    # The peers to time it with; None for all.
    peers: list[str] | None = None


def read_workloads(path: str, only: list[str] | None) -> list[Workload]:
    """The workloads of a file as `vitgraph bench --print-workloads` writes it; those named in `only`, if given."""
    entries = json.loads(Path(path).read_text())
    unknown = [name for name in only or [] if name not in entries]
    if unknown:
        raise SystemExit(f"there is no workload {unknown[0]!r} in {path}: choose from {', '.join(entries)}")
    return [
        Workload(
            name,
            [tuple(size) for size in entry["sizes"]],
            entry.get("frames"),
            entry.get("budget"),
            entry.get("peers"),
        )
        for name, entry in entries.items()
        if not only or name in only
    ]


def read_vision_config(path: str | None) -> dict:
    """A config.json's `vision_config`, or a file that holds a whole config.json."""
    if path is None:
        return dict(DEFAULT_VISION_CONFIG)
    config = json.loads(Path(path).read_text())
    return config.get("vision_config", config)


def make_tower(vision_config: dict, seed: int) -> Qwen3VLVisionModel:
    """The tower in float32 with weights that bfloat16 can hold, as those of real checkpoints."""
    fields = {name: vision_config[name] for name in DEFAULT_VISION_CONFIG if name in vision_config}
    config = Qwen3VLVisionConfig(**fields)
    theta = rope_theta(vision_config)
    if theta is not None:
        config.rope_parameters = {**config.rope_parameters, "rope_theta": theta}
    config._attn_implementation = "sdpa"
    tower = Qwen3VLVisionModel(config).to(DEVICE).eval()
    generator = torch.Generator(device=DEVICE).manual_seed(seed)
    with torch.no_grad():
        for name, parameter in tower.named_parameters():
            parameter.normal_(0, STANDARD_DEVIATION, generator=generator)
            if parameter.ndim == 1 and name.endswith("weight"):
                parameter.add_(1)  # the scale of a norm
            parameter.copy_(parameter.bfloat16())
    return tower


def rope_theta(vision_config: dict) -> float | None:
    """vitgraph's report has it as a field of its own, checkpoints among the RoPE parameters."""
    return vision_config.get("rope_theta") or (vision_config.get("rope_parameters") or {}).get("rope_theta")


def to_bfloat16(tower: Qwen3VLVisionModel) -> Qwen3VLVisionModel:
    """In place, as `from_pretrained(dtype=torch.bfloat16)` has it: parameters alone.

    `tower.bfloat16()` would round the RoPE frequencies too, which nobody who loads a checkpoint gets.
    """
    for parameter in tower.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    return tower


def grids_of(workload: Workload, config: Qwen3VLVisionConfig) -> list[tuple[int, int, int]]:
    """(t, h, w) of each item, in patches."""
    patch = config.patch_size
    block = patch * config.spatial_merge_size
    slices = math.ceil((workload.frames or 1) / config.temporal_patch_size)
    for height, width in workload.sizes:
        if height % block or width % block:
            raise SystemExit(f"workload {workload.name!r}: {height} x {width} is no multiple of {block} pixels")
    return [(slices, height // patch, width // patch) for height, width in workload.sizes]


def random_pixel_values(workload: Workload, config: Qwen3VLVisionConfig, seed: int) -> torch.Tensor:
    """bfloat16 [patches, channels * temporal * patch * patch]: random uint8 pixels, normalised to [-1, 1].

    The temporal slices of an image repeat, as transformers' image processor makes them.
    """
    patches = sum(t * h * w for t, h, w in grids_of(workload, config))
    distinct = config.temporal_patch_size if workload.frames else 1
    shape = (patches, config.in_channels, distinct, config.patch_size, config.patch_size)
    generator = torch.Generator(device=DEVICE).manual_seed(seed)
    pixels = torch.randint(0, 256, shape, generator=generator, device=DEVICE)
    values = (pixels.float() / 127.5 - 1).to(torch.bfloat16)
    return values.expand(-1, -1, config.temporal_patch_size, -1, -1).reshape(patches, -1)


def segment_lengths(grids: list[tuple[int, int, int]]) -> list[int]:
    """Patches of each segment that attends within itself: every frame is one."""
    return [h * w for t, h, w in grids for _ in range(t)]


def budget_of(workload: Workload, tokens: int) -> int:
    budget = workload.budget or max(SMALLEST_BUDGET, 1 << math.ceil(math.log2(tokens)))
    if budget < tokens:
        raise SystemExit(f"workload {workload.name!r} has {tokens} tokens, more than its budget of {budget}")
    return budget


def useful_flops(grids: list[tuple[int, int, int]], config: Qwen3VLVisionConfig) -> int:
    """Matrix products and attention over the real rows; multiplications and additions both count."""
    lengths = segment_lengths(grids)
    patches = sum(lengths)
    hidden = config.hidden_size
    embed = 2 * patches * config.in_channels * config.temporal_patch_size * config.patch_size**2 * hidden
    linears = 2 * patches * (4 * hidden**2 + 2 * hidden * config.intermediate_size)
    attention = sum(4 * length**2 * hidden for length in lengths)
    area = config.spatial_merge_size**2
    merged = hidden * area
    merger = 2 * (patches // area) * (merged**2 + merged * config.out_hidden_size)
    mergers = 1 + len(config.deepstack_visual_indexes)
    return embed + config.depth * (linears + attention) + mergers * merger


def run_tower(tower: Qwen3VLVisionModel, pixel_values: torch.Tensor, grid_thw: torch.Tensor) -> torch.Tensor:
    """[tokens, out_hidden * (1 + deepstack levels)]: the merged embedding's columns, then each level's."""
    output = tower(pixel_values, grid_thw=grid_thw)
    return torch.cat([output.pooler_output, *output.deepstack_features], dim=1)
