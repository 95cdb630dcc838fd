"""Times PyTorch on the towers that `vitgraph bench --graph-json` wrote: a peer of every family.

    vitgraph bench --arch pixtral-12b --only 1x1024 --graph-json pixtral-12b.json
    python3 generic.py pixtral-12b.json [more.json ...] [--exact] [--json peers.json]

Runs vitgraph's own graph, before its fusions, as PyTorch ops in bfloat16 with random weights: one function under
torch.compile(dynamic=False), varlen FlashAttention-2 over the workload's segments, captured in one CUDA graph. Products
of one input (q, k and v; gate and up) are one product. Rows are padded to the token budget, as in peer.py; --exact
captures the workload's own rows instead. A server can't do that: it would need one graph for each mix of sizes.

Not timed: unpacking pixels to bfloat16 patches, and everything that does not depend on pixels, such as interpolated
position embeddings and RoPE's cosines and sines. vitgraph's time has the first, and without the grid cache the second.

Times are medians in milliseconds of one replay, by events. torch.compile takes some 15 s for each tower.
"""

import argparse
import json
import math
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import torch
import torch.nn.functional as F

from measure import SMALLEST_SLOTS, time_graph

STANDARD_DEVIATION = 0.02

# q, k, v [rows, heads, head size], cu_seqlens, longest segment, scale → as q
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, int, float], torch.Tensor]

ACTIVATIONS = {
    "none": lambda x: x,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_erf": F.gelu,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": F.silu,
}


def attend_varlen(q, k, v, cu_seqlens, longest, scale):
    from torch.nn.attention.varlen import varlen_attn

    return varlen_attn(q, k, v, cu_seqlens, cu_seqlens, longest, longest, scale=scale)


def attend_dense(q, k, v, cu_seqlens, longest, scale):
    """One call a segment: for a CPU, which has no varlen attention. Rows behind the last segment are zeros."""
    result = torch.zeros_like(q)
    bounds = cu_seqlens.tolist()
    for start, end in zip(bounds, bounds[1:]):
        if start == end:
            continue
        heads_first = [x[start:end].transpose(0, 1).unsqueeze(0) for x in (q, k, v)]
        attended = F.scaled_dot_product_attention(*heads_first, scale=scale)
        result[start:end] = attended.squeeze(0).transpose(0, 1)
    return result


def rms_norm(x, epsilon):
    wide = x.float()
    return wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)


@dataclass(frozen=True)
class Step:
    """One op of the compiled function: reads and writes values by their ids."""

    run: Callable
    inputs: list
    outputs: list


class GenericTower:
    """Runs a graph on patches, [rows, columns of a patch]. The timed call is `forward(*arguments())`.

    `weights` by tensor name; random ones where it is None. Raises NotImplementedError for an op that it does not know.
    """

    def __init__(self, graph: dict, workload: dict, *, device, dtype, attend: Attend, exact: bool, weights=None):
        self.nodes = graph["nodes"]
        self.outputs = graph["outputs"]
        self.device, self.dtype, self.attend = device, dtype, attend
        self.tokens = workload["dims"]["tokens"]
        self.rows = workload["dims"] if exact else workload["capacity"]
        self.tables = workload["tables"]
        self.weights = weights
        self.longest = {}
        self.values = {}
        self.pixels = None
        self.generator = torch.Generator(device=device).manual_seed(0)
        with torch.no_grad():
            self.steps = self._steps()

    def random_patches(self) -> torch.Tensor:
        columns = self.nodes[self.pixels]["type"]["columns"]
        return self._random((self.rows["patches"], columns), 1)

    def arguments(self) -> tuple:
        return (self.random_patches(),)

    def forward(self, patches):
        values = dict(self.values)
        values[self.pixels] = patches
        for step in self.steps:
            results = step.run(*[values[each] for each in step.inputs])
            for each, result in zip(step.outputs, results):
                values[each] = result
        return torch.cat([values[each] for each in self.outputs], dim=1)

    def _steps(self) -> list[Step]:
        """Values that do not depend on pixels are computed here."""
        steps = []
        joined = self._products_of_one_input()
        done = set()
        for node in self.nodes:
            op, name = node["op"], node["id"]
            if op == "unpack_patches":
                self.pixels = name
                continue
            if op == "input":
                if node["name"] in self.tables:
                    self.values[name] = self._table(node)
                continue
            if op == "weight":
                self._leaf(name)
                continue
            if op == "constant":
                data = torch.tensor(node["attributes"]["data"], dtype=torch.float32, device=self.device)
                self.values[name] = data.view(-1, node["attributes"]["columns"])
                continue
            if name in done:
                continue
            if name in joined:
                step = self._joined_product(joined[name])
                done.update(step.outputs)
            else:
                step = self._step(node)
            if all(each in self.values for each in step.inputs):
                results = step.run(*[self.values[each] for each in step.inputs])
                self.values.update(zip(step.outputs, results))
            else:
                steps.append(step)
        read = {each for step in steps for each in step.inputs}.union(self.outputs)
        self.values = {name: value for name, value in self.values.items() if name in read}
        return steps

    def _products_of_one_input(self) -> dict[int, list[dict]]:
        """By the id of each product: all that read the same rows, where there are several."""
        groups = {}
        for node in self.nodes:
            if node["op"] == "linear" and node["inputs"][3] is None and node["attributes"]["activation"] == "none":
                x, _, bias, _ = node["inputs"]
                groups.setdefault((x, bias is None), []).append(node)
        return {node["id"]: group for group in groups.values() if len(group) > 1 for node in group}

    def _joined_product(self, nodes: list[dict]) -> Step:
        weight = torch.cat([self._leaf(node["inputs"][1]) for node in nodes])
        biased = nodes[0]["inputs"][2] is not None
        bias = torch.cat([self._leaf(node["inputs"][2]).flatten() for node in nodes]) if biased else None
        columns = [node["type"]["columns"] for node in nodes]
        run = lambda x: F.linear(x, weight, bias).split(columns, dim=1)
        return Step(run, [nodes[0]["inputs"][0]], [node["id"] for node in nodes])

    def _leaf(self, name: int) -> torch.Tensor:
        """A weight, which may stand behind the first of the products that it is joined with."""
        if name not in self.values:
            self.values[name] = self._weight(self.nodes[name])
        return self.values[name]

    def _step(self, node: dict) -> Step:
        op, attributes, inputs = node["op"], node["attributes"], node["inputs"]
        present = [each for each in inputs if each is not None]
        one = lambda run: Step(lambda *x: (run(*x),), present, [node["id"]])
        columns = node["type"]["columns"]
        if op == "linear":
            activate = ACTIVATIONS[attributes["activation"]]
            biased, added = inputs[2] is not None, inputs[3] is not None

            def product(x, weight, *more):
                y = activate(F.linear(x, weight, more[0].flatten() if biased else None))
                return y + more[-1] if added else y

            return one(product)
        if op == "layernorm":
            epsilon = attributes["epsilon"]
            return one(lambda x, weight, bias: F.layer_norm(x, (columns,), weight.flatten(), bias.flatten(), epsilon))
        if op == "rmsnorm":
            epsilon, offset = attributes["epsilon"], attributes["weightOffset"]
            return one(lambda x, weight: (rms_norm(x, epsilon) * (weight.float() + offset)).to(x.dtype))
        if op == "rmsnorm_groups":
            groups, epsilon = attributes["groups"], attributes["epsilon"]

            def norm_groups(x, weight=None):
                y = rms_norm(x.reshape(-1, groups, columns // groups), epsilon)
                return (y if weight is None else y * weight.flatten().float()).reshape(-1, columns).to(x.dtype)

            return one(norm_groups)
        if op == "activation":
            return one(ACTIVATIONS[attributes["function"]])
        if op == "gate":
            activate = ACTIVATIONS[attributes["function"]]
            return one(lambda gate, up: activate(gate) * up)
        if op == "add":
            return one(lambda a, b: a + b)
        if op == "interpolate_rows":
            dtype = self.dtype
            return one(lambda table, index, weights: (table[index] * weights[:, :, None]).sum(1).to(dtype))
        if op == "rope":
            return self._rope(node)
        if op == "attention":
            heads, scale = attributes["heads"], attributes["scale"]
            attend, longest = self.attend, self.longest[inputs[3]]

            def attention(q, k, v, cu_seqlens):
                q, k, v = (x.unflatten(1, (heads, columns // heads)) for x in (q, k, v))
                return attend(q, k, v, cu_seqlens, longest, scale).flatten(1)

            return one(attention)
        if op == "mean_groups":
            groups = attributes["groups"]
            return one(lambda x: x.unflatten(1, (groups, columns)).mean(1))
        if op == "gather_rows":
            return one(lambda table, index: table[index.flatten()])
        if op == "assemble_rows":

            def assemble(x, learned, index):
                # A negative index names a learned row, -1 the first.
                return torch.where(index < 0, learned[(-1 - index).clamp(min=0).flatten()], x[index.clamp(min=0).flatten()])

            return one(assemble)
        if op == "clamp":
            return one(lambda x, low, high: torch.clamp(x, low.view(()), high.view(())))
        if op == "standardize":
            factor = attributes["factor"]
            return one(lambda x, shift, scale: ((x.float() * factor - shift) * scale).to(x.dtype))
        if op == "slice_columns":
            start, end = attributes["start"], attributes["start"] + attributes["count"]
            return one(lambda x: x[:, start:end])
        if op == "merge_rows":
            return one(lambda x: x.reshape(-1, columns))
        raise NotImplementedError(f"op {op} of {node['name']}")

    def _rope(self, node: dict) -> Step:
        """Pairs (i, i + head size / 2), in float32; the first half of them turns by the row, the other by the column."""
        x, positions, angles = node["inputs"]
        heads = node["attributes"]["heads"]
        key = f"turns of {positions} and {angles}"
        if f"cos, {key}" not in self.values:
            rows = self.values[angles][self.values[positions]]
            quarter = rows.shape[-1] // 2
            for label, part in (("cos", rows[..., :quarter]), ("sin", rows[..., quarter:])):
                self.values[f"{label}, {key}"] = part.flatten(1).unsqueeze(1).contiguous()

        def rotate(x, cos, sin):
            first, second = x.float().unflatten(1, (heads, -1)).chunk(2, dim=-1)
            turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
            return (turned.to(x.dtype).flatten(1),)

        return Step(rotate, [x, f"cos, {key}", f"sin, {key}"], [node["id"]])

    def _table(self, node: dict) -> torch.Tensor:
        """Zeros up to the rows of the dim; of a segment list, empty segments up to a server's slots."""
        dim, plus = node["type"]["rows"]["dim"], node["type"]["rows"]["plus"]
        columns = node["type"]["columns"]
        element = torch.float32 if node["type"]["element"] == "f32" else torch.int64
        table = torch.tensor(self.tables[node["name"]], dtype=element, device=self.device).view(-1, columns)
        if plus == 1:
            bounds = table.flatten().int()
            self.longest[node["id"]] = int(bounds.diff().max())
            slots = max(len(bounds), SMALLEST_SLOTS + 1)
            return torch.cat([bounds, bounds[-1:].expand(slots - len(bounds))]).contiguous()
        padded = torch.zeros(self.rows[dim], columns, dtype=element, device=self.device)
        padded[: len(table)] = table
        return padded

    def _weight(self, node: dict) -> torch.Tensor:
        shape = node["attributes"]["shape"]
        matrix = (1, shape[0]) if len(shape) == 1 else (shape[0], math.prod(shape[1:]))
        dtype = torch.float32 if node["type"]["element"] == "f32" else self.dtype
        if self.weights is None:
            return self._random(matrix, STANDARD_DEVIATION).to(dtype)
        return self.weights[node["attributes"]["tensor"]].to(self.device, dtype).view(matrix)

    def _random(self, shape: tuple, deviation: float) -> torch.Tensor:
        values = torch.randn(shape, generator=self.generator, device=self.device, dtype=torch.float32)
        return (values * deviation).to(self.dtype)


def time_tower(graph: dict, workload: dict, exact: bool, repetitions: int) -> dict:
    started = time.perf_counter()
    tower = GenericTower(graph, workload, device="cuda", dtype=torch.bfloat16, attend=attend_varlen, exact=exact)
    times, output = time_graph(tower, tower, repetitions)
    return {
        "ms": statistics.median(times),
        "times_ms": times,
        "rows": tower.rows["patches"],
        "output": list(output.shape),
        "took_s": time.perf_counter() - started,
    }


def main():
    parser = argparse.ArgumentParser(description="Time PyTorch on the towers that vitgraph bench --graph-json wrote.")
    parser.add_argument("graphs", nargs="+", metavar="FILE", help="written by vitgraph bench --graph-json")
    parser.add_argument("--exact", action="store_true", help="without padding: a graph for each mix of sizes")
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument(
        "--time-limit", type=float, default=float("inf"), metavar="SECONDS", help="no tower starts after it"
    )
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured")
    options = parser.parse_args()

    deadline = time.perf_counter() + options.time_limit
    torch.set_grad_enabled(False)
    machine = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "cuda": torch.version.cuda}
    report = {"machine": machine, "repetitions": options.repetitions, "exact": options.exact, "towers": {}}
    for path in options.graphs:
        described = json.loads(Path(path).read_text())
        times = report["towers"][Path(path).stem] = {}
        for name, workload in described["workloads"].items():
            try:
                if time.perf_counter() > deadline:
                    raise TimeoutError("skipped: the time limit is over")
                times[name] = time_tower(described["graph"], workload, options.exact, options.repetitions)
            except Exception as error:  # one tower that fails must not lose the others' times
                times[name] = {"error": f"{type(error).__name__}: {error}"}
            torch.cuda.empty_cache()
            summary = {key: value for key, value in times[name].items() if key != "times_ms"}
            print(Path(path).stem, name, json.dumps(summary), flush=True)
            # After each tower, so that an interrupted run keeps its results.
            if options.json:
                Path(options.json).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
