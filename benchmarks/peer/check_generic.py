"""Is the generic peer the same function as vitgraph? Runs generic.py's tower on the CPU in float32.

    python3 check_generic.py DIRECTORY...

Each directory holds graph.json, as `vitgraph bench --graph-json` writes it with one workload, and tensors.safetensors:
the graph's weights by name as it loads them, `patches` f32 in the tower's order, and `expected` f32, vitgraph's rows.
Prints the relative L2 of each, with padded rows and without. test/generic-peer.test.ts writes them and calls this.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from generic import GenericTower, attend_dense
from measure import relative_l2

torch.set_grad_enabled(False)
for directory in map(Path, sys.argv[1:]):
    described = json.loads((directory / "graph.json").read_text())
    [workload] = described["workloads"].values()
    tensors = load_file(directory / "tensors.safetensors")
    patches, expected = tensors.pop("patches"), tensors.pop("expected")
    errors = []
    for exact in (False, True):
        tower = GenericTower(
            described["graph"], workload,
            device="cpu", dtype=torch.float32, attend=attend_dense, exact=exact, weights=tensors,
        )  # fmt: skip
        padded = torch.zeros(tower.rows["patches"], patches.shape[1])
        padded[: len(patches)] = patches
        errors.append(relative_l2(tower.forward(padded)[: tower.tokens], expected))
    print(json.dumps({"directory": directory.name, "padded": errors[0], "exact": errors[1]}))
