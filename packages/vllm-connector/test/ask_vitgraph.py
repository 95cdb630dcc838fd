"""Asks a real vitgraph server through the connector, and prints sha256 of the rows that a worker loaded.

usage: ask_vitgraph.py SOCKET PIXELS T,H,W TOKENS COLUMNS LEVELS [ipc]      PIXELS: a file of f32

With `ipc` it loads rows until they come from mapped memory, which is a file (stubs.py), and prints "ipc" before the hash.
"""

import contextlib
import hashlib
import pathlib
import sys
import time

import stubs  # noqa: F401  before the connector, which imports vLLM
from stubs import ECConnectorRole, Request, config, fake_cuda, image, row_bytes
from vitgraph_vllm import VitgraphECConnector

path, pixels, grid, tokens, columns, levels, *ipc = sys.argv[1:]
grid = tuple(int(side) for side in grid.split(","))
settings = config(path, columns=int(columns), levels=int(levels), timeout_s=30)
scheduler = VitgraphECConnector(settings, ECConnectorRole.SCHEDULER)
worker = VitgraphECConnector(settings, ECConnectorRole.WORKER)


def load(key):
    """One step of vLLM."""
    request = Request("r", {key: image(grid, pathlib.Path(pixels).read_bytes())}, int(tokens))
    while not scheduler.ensure_cache_available(request, 0):
        time.sleep(0.005)
    assert scheduler.has_cache_item(key), scheduler._client.poll(key)
    scheduler.update_state_after_alloc(request, 0)
    metadata = scheduler.build_connector_meta(None)
    worker.bind_connector_metadata(metadata)
    cache = {}
    worker.start_load_caches(cache)
    return request, metadata.loads[key], row_bytes(cache[key])


with fake_cuda() if ipc else contextlib.nullcontext():
    request, rows, data = load("a")
    while ipc and rows.slot is None:
        scheduler.request_finished(request)
        request, rows, data = load("a")
    print(" ".join((*ipc, hashlib.sha256(data).hexdigest())), flush=True)
    if sys.stdin.read() == "release":
        scheduler.request_finished(request)
        scheduler.shutdown()
        worker.shutdown()
