"""Times PyTorch on the workloads that `vitgraph bench` times: the peer that vitgraph is compared with.

    python3 peer.py --workload workloads.json [--vision-config config.json] [--json peer.json]

Peers, all in bfloat16 with the same weights and inputs:

  transformers-eager   transformers' own tower with SDPA attention, as a user calls it: wall time
  padded-graph-fa2     the tower as one function under torch.compile, varlen FlashAttention-2, captured
                       in one CUDA graph for the token budget, its cu_seqlens padded: what a server can do
  exact-graph-cudnn    the same captured for exactly these sizes, one dense cuDNN attention call a
                       segment: no server can use it, since every mix of sizes needs a graph of its own

Times are medians in milliseconds; graphs are timed by events around one replay. The padded graph is
captured with the real longest segment, where a server would need the longest that the budget allows:
an advantage for it. torch.compile takes some 15 s for each shape: choose with --only and --peers, or
end in time with --time-limit.
"""

import argparse
import itertools
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import torch
import torch.nn.functional as F
import transformers
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.varlen import varlen_attn
from transformers.vision_utils import get_vision_interpolation_indices_and_weights, get_vision_position_ids

from card import CardSampler
from measure import SMALLEST_SLOTS, relative_l2, time_events, time_graph, time_wall
from tower import (
    DEVICE,
    Workload,
    budget_of,
    grids_of,
    make_tower,
    random_pixel_values,
    read_vision_config,
    read_workloads,
    run_tower,
    segment_lengths,
    to_bfloat16,
    useful_flops,
)

MATMUL_SIDE = 8192

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]


@dataclass
class Inputs:
    """What the flat tower takes: one row a patch, and the segments' bounds."""

    pixel_values: torch.Tensor
    position_embeddings: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor
    cu_seqlens: torch.Tensor
    longest: int

    def arguments(self) -> tuple:
        rows = (self.pixel_values, self.position_embeddings, self.cos, self.sin)
        return (*rows, self.cu_seqlens, self.longest)


class FlatTower:
    """The tower as a function of tensors, without modules and without reading anything back to the host."""

    def __init__(self, tower, attend: Attend):
        self.config = tower.config
        self.weights = {name: parameter.detach() for name, parameter in tower.named_parameters()}
        self.patch_weight = self.weights["patch_embed.proj.weight"].flatten(1).contiguous()
        self.gelu = {"gelu_pytorch_tanh": "tanh", "gelu": "none"}[tower.config.hidden_act]
        self.attend = attend

    def linear(self, x, name):
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, x, name):
        return F.layer_norm(x, (x.shape[-1],), self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], 1e-6)

    def merge(self, x, name):
        return self.linear(F.gelu(self.linear(x, f"{name}.linear_fc1")), f"{name}.linear_fc2")

    def forward(self, pixel_values, position_embeddings, cos, sin, cu_seqlens, longest):
        config = self.config
        hidden = config.hidden_size
        merged = hidden * config.spatial_merge_size**2
        x = F.linear(pixel_values, self.patch_weight, self.weights["patch_embed.proj.bias"]) + position_embeddings
        levels = []
        for layer in range(config.depth):
            block = f"blocks.{layer}"
            qkv = self.linear(self.norm(x, f"{block}.norm1"), f"{block}.attn.qkv")
            q, k, v = qkv.view(-1, 3, config.num_heads, hidden // config.num_heads).unbind(1)
            attended = self.attend(rotate(q, cos, sin), rotate(k, cos, sin), v.contiguous(), cu_seqlens, longest)
            x = x + self.linear(attended.reshape(-1, hidden), f"{block}.attn.proj")
            inner = self.linear(self.norm(x, f"{block}.norm2"), f"{block}.mlp.linear_fc1")
            x = x + self.linear(F.gelu(inner, approximate=self.gelu), f"{block}.mlp.linear_fc2")
            if layer in config.deepstack_visual_indexes:
                name = f"deepstack_merger_list.{config.deepstack_visual_indexes.index(layer)}"
                levels.append(self.merge(self.norm(x.view(-1, merged), f"{name}.norm"), name))
        result = self.merge(self.norm(x, "merger.norm").view(-1, merged), "merger")
        return torch.cat([result, *levels], dim=1)


def rotate(x, cos, sin):
    """RoPE in float32, as transformers."""
    wide = x.float()
    first, second = wide.chunk(2, dim=-1)
    return (wide * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


def attend_varlen(q, k, v, cu_seqlens, longest):
    return varlen_attn(q, k, v, cu_seqlens, cu_seqlens, longest, longest)


def attend_dense(lengths: list[int]) -> Attend:
    """One call a segment. The lengths are baked in."""
    ends = list(itertools.accumulate(lengths))
    spans = list(zip([0, *ends[:-1]], ends))

    def attend(q, k, v, cu_seqlens, longest):
        parts = []
        for start, end in spans:
            heads_first = [x[start:end].transpose(0, 1).unsqueeze(0) for x in (q, k, v)]
            part = F.scaled_dot_product_attention(heads_first[0], heads_first[1], heads_first[2])
            parts.append(part.squeeze(0).transpose(0, 1))
        return torch.cat(parts)

    return attend


def flat_inputs(tower, pixel_values, grids) -> Inputs:
    config = tower.config
    grid_thw = torch.tensor(grids, device=DEVICE)
    indices, weights = get_vision_interpolation_indices_and_weights(
        grid_thw,
        num_grid_per_side=tower.num_grid_per_side,
        mode=tower.interpolation_mode,
        align_corners=tower.interpolation_align_corners,
        spatial_merge_size=config.spatial_merge_size,
    )
    positions = (tower.pos_embed(indices) * weights[:, :, None]).sum(1).to(torch.bfloat16)
    position_ids = get_vision_position_ids(grid_thw, config.spatial_merge_size)
    tables = tower.rotary_pos_emb(pixel_values, position_ids)
    cos, sin = (table.float().unsqueeze(1).contiguous() for table in tables)
    lengths = segment_lengths(grids)
    bounds = [0, *itertools.accumulate(lengths)]
    cu_seqlens = torch.tensor(bounds, device=DEVICE, dtype=torch.int32)
    return Inputs(pixel_values, positions, cos, sin, cu_seqlens, max(lengths))


def pad_inputs(inputs: Inputs, rows: int) -> Inputs:
    """Zeros up to the budget, and empty segments up to the slots."""

    def pad(x):
        padded = torch.zeros(rows, *x.shape[1:], device=DEVICE, dtype=x.dtype)
        padded[: x.shape[0]] = x
        return padded

    bounds = inputs.cu_seqlens
    slots = max(SMALLEST_SLOTS + 1, len(bounds))
    cu_seqlens = torch.full((slots,), int(bounds[-1]), device=DEVICE, dtype=torch.int32)
    cu_seqlens[: len(bounds)] = bounds
    row_tables = [pad(x) for x in (inputs.pixel_values, inputs.position_embeddings, inputs.cos, inputs.sin)]
    return Inputs(*row_tables, cu_seqlens, inputs.longest)


@dataclass
class Context:
    tower: object
    workload: Workload
    grids: list[tuple[int, int, int]]
    inputs: Inputs
    budget: int
    repetitions: int


def time_transformers_eager(context: Context):
    grid_thw = torch.tensor(context.grids, device=DEVICE)

    def call():
        return run_tower(context.tower, context.inputs.pixel_values, grid_thw)

    return time_wall(call, context.repetitions), call()


def time_padded_graph(context: Context):
    area = context.tower.config.spatial_merge_size**2
    inputs = pad_inputs(context.inputs, context.budget * area)
    tokens = context.inputs.pixel_values.shape[0] // area
    times, output = time_graph(FlatTower(context.tower, attend_varlen), inputs, context.repetitions)
    return times, output[:tokens]


def time_exact_graph(context: Context):
    flat = FlatTower(context.tower, attend_dense(segment_lengths(context.grids)))
    with sdpa_kernel([SDPBackend.CUDNN_ATTENTION]):
        return time_graph(flat, context.inputs, context.repetitions)


PEERS = {
    "transformers-eager": time_transformers_eager,
    "padded-graph-fa2": time_padded_graph,
    "exact-graph-cudnn": time_exact_graph,
}


def time_workload(
    tower, workload: Workload, names: list[str], repetitions: int, card: CardSampler, deadline: float
) -> dict:
    config = tower.config
    grids = grids_of(workload, config)
    pixel_values = random_pixel_values(workload, config, seed=1)
    patches = pixel_values.shape[0]
    tokens = patches // config.spatial_merge_size**2
    budget = budget_of(workload, tokens)
    flops = useful_flops(grids, config)
    reference = run_tower(tower, pixel_values, torch.tensor(grids, device=DEVICE))
    context = Context(tower, workload, grids, flat_inputs(tower, pixel_values, grids), budget, repetitions)
    peers = {}
    for name in names:
        if workload.peers is not None and name not in workload.peers:
            continue
        started = time.perf_counter()
        if started > deadline:
            peers[name] = {"error": "skipped: the time limit is over"}
            continue
        try:
            times, output = PEERS[name](context)
            # The timed runs are the last work of a peer, but for one more call of the eager one.
            state = card.since(time.perf_counter() - sum(times) / 1e3)
            ms = statistics.median(times)
            peers[name] = {
                "ms": ms,
                "times_ms": times,
                "tflops": flops / ms / 1e9,
                "card": state,
                "relative_l2_to_transformers": relative_l2(output, reference),
                "took_s": time.perf_counter() - started,
            }
            del output
        except Exception as error:  # one peer that fails must not lose the others' times
            peers[name] = {"error": f"{type(error).__name__}: {error}"}
        torch.cuda.empty_cache()
        summary = {key: value for key, value in peers[name].items() if key != "times_ms"}
        print(workload.name, name, json.dumps(summary), flush=True)
    return {"patches": patches, "tokens": tokens, "budget": budget, "gflop": flops / 1e9, "peers": peers}


def time_matmul(repetitions: int) -> dict:
    a, b = (torch.randn(MATMUL_SIDE, MATMUL_SIDE, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    ms = statistics.median(time_events(lambda: a @ b, repetitions))
    return {"side": MATMUL_SIDE, "ms": ms, "tflops": 2 * MATMUL_SIDE**3 / ms / 1e9}


def main():
    parser = argparse.ArgumentParser(description="Time PyTorch on the workloads of vitgraph bench.")
    parser.add_argument("--workload", required=True, help="a file as `vitgraph bench --print-workloads` writes it")
    parser.add_argument("--vision-config", help="JSON with the vision_config; default: that of Qwen3-VL-8B")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these workloads alone")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument(
        "--time-limit", type=float, default=float("inf"), metavar="SECONDS", help="no peer starts after it"
    )
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured")
    options = parser.parse_args()

    deadline = time.perf_counter() + options.time_limit
    torch.set_grad_enabled(False)
    workloads = read_workloads(options.workload, options.only)
    vision_config = read_vision_config(options.vision_config)
    report = {
        "machine": {
            "gpu": torch.cuda.get_device_name(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "transformers": transformers.__version__,
        },
        "vision_config": vision_config,
        "repetitions": options.repetitions,
        "matmul": time_matmul(options.repetitions),
        "workloads": {},
    }
    print(json.dumps({key: report[key] for key in ("machine", "matmul")}), flush=True)
    tower = to_bfloat16(make_tower(vision_config, seed=0))
    card = CardSampler()
    # One peer on all workloads, then the next: a time limit leaves out the last peer first, and no workload.
    for name in options.peers:
        for workload in workloads:
            timed = time_workload(tower, workload, [name], options.repetitions, card, deadline)
            known = report["workloads"].setdefault(workload.name, timed)
            known["peers"].update(timed["peers"])
            # After each workload, so that an interrupted run keeps its results.
            if options.json:
                Path(options.json).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
