"""Asks a real vitgraph server through the connector, and prints sha256 of the rows that a worker loaded.

usage: ask_vitgraph.py SOCKET PIXELS T,H,W TOKENS COLUMNS LEVELS      PIXELS: a file of f32
"""

import hashlib
import pathlib
import sys
import time

import stubs  # noqa: F401  before the connector, which imports vLLM
from stubs import ECConnectorRole, Request, config, image, row_bytes
from vitgraph_vllm import VitgraphECConnector

path, pixels, grid, tokens, columns, levels = sys.argv[1:]
grid = tuple(int(side) for side in grid.split(","))
settings = config(path, columns=int(columns), levels=int(levels), timeout_s=30)
scheduler = VitgraphECConnector(settings, ECConnectorRole.SCHEDULER)
worker = VitgraphECConnector(settings, ECConnectorRole.WORKER)
request = Request("r", {"a": image(grid, pathlib.Path(pixels).read_bytes())}, int(tokens))
while not scheduler.ensure_cache_available(request, 0):
    time.sleep(0.005)
assert scheduler.has_cache_item("a"), scheduler._client.poll("a")
scheduler.update_state_after_alloc(request, 0)
worker.bind_connector_metadata(scheduler.build_connector_meta(None))
cache = {}
worker.start_load_caches(cache)
print(hashlib.sha256(row_bytes(cache["a"])).hexdigest(), flush=True)
if sys.stdin.read() == "release":
    scheduler.request_finished(request)
    scheduler.shutdown()
