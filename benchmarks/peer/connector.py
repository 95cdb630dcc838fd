"""vLLM's connector on a real GPU: rows by CUDA IPC, held to the rows by shared memory, and timed beside the other routes.

    python3 connector.py [--rounds 10000]       in an unpacked bundle, or in the repository with the CUDA addon built

Starts vitgraph as a user does, on a random tower whose rows are as wide as those of Qwen3-VL-8B (4 · 4096 columns, bf16) and
whose patches and blocks are small, so that the way of the rows is what takes the time. vLLM's base class is stubbed; the
connector is the package's own. Rows come from vitgraph's output cache. Ends with 1 on a wrong row, on memory that is not
given back, and on a failure that reaches vLLM.
"""
from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import random
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PACKAGE = next(path for path in (ROOT / "vllm-connector", ROOT / "packages/vllm-connector") if path.exists())
sys.path.insert(0, str(PACKAGE / "test"))
import stubs  # noqa: E402  before the connector, which imports vLLM
import torch  # noqa: E402
from stubs import ECConnectorRole, Request  # noqa: E402
from vitgraph_vllm import VitgraphECConnector  # noqa: E402

PATCH = 4
HIDDEN, COLUMNS, LEVELS = 144, 4096, 3
SIZES = {64: 8, 256: 16, 1024: 32, 4096: 64}
"""Tokens, and tokens of a side."""
MIB = 2**20
SHARED_MEMORY = "/dev/shm"
UNMAP_S = 60
"""After which vitgraph frees what a killed vLLM had mapped."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--backend", default="cuda", choices=["cuda", "cpu"], help="cpu has no IPC")
    parser.add_argument("--seconds", type=int, default=145, help="after which it gives up")
    parser.add_argument("--holder", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.holder:
        hold(args.holder)
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"gave up after {args.seconds} s"))
    signal.alarm(args.seconds)
    with contextlib.ExitStack() as stack:
        shared = SHARED_MEMORY if shutil.disk_usage(SHARED_MEMORY).free > 4096 * MIB else None
        folder = pathlib.Path(tempfile.mkdtemp(dir=shared, prefix="vitgraph-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        Bench(args, folder, stack).run()


class Bench:
    def __init__(self, args: argparse.Namespace, folder: pathlib.Path, stack: contextlib.ExitStack) -> None:
        self.args = args
        self.folder = folder
        self.stack = stack
        self.cuda = args.backend == "cuda"
        self.device = "cuda:0" if self.cuda else "cpu"
        if self.cuda:
            use_cuda()
        self.socket = str(folder / "socket")
        self.failures: list[str] = []
        write_checkpoint(folder / "model")

    def run(self) -> None:
        free_before = self.free()
        upstream = Upstream(self.device)
        self.stack.callback(upstream.shutdown)
        encoder = Vitgraph(self, "encoder", *self.encoder_options())
        gateway = Vitgraph(self, "gateway", "--upstream", f"http://127.0.0.1:{upstream.port}")
        self.vllm = Vllm(self.socket, "bench")
        self.stack.callback(self.vllm.shutdown)
        shm = Vllm(self.socket, "bench", cuda_ipc=False)
        self.stack.callback(shm.shutdown)
        print(f"{torch.cuda.get_device_name() if self.cuda else 'CPU'}, torch {torch.__version__}")

        killed_at = self.kill_client() if self.cuda else None
        if self.cuda:
            self.wait_for_ipc(self.vllm)
            self.compare_rows(shm, encoder)
        self.time_routes(shm, encoder, gateway, upstream)
        if killed_at is not None:
            self.check_freed(killed_at)
            encoder = self.kill_server(encoder, shm)
        encoder.stop()
        gateway.stop()
        self.vllm.shutdown()
        shm.shutdown()
        left = free_before - self.free()
        self.check(not self.cuda or left < 64 * MIB, f"GPU memory in use at the end: {left / MIB:+.0f} MiB")
        for failure in self.failures:
            print(f"FAILED {failure}")
        sys.exit(1 if self.failures else 0)

    def encoder_options(self) -> tuple[str, ...]:
        return ("--connector-socket", self.socket, "--vllm-encode", "--shared-storage-path", str(self.folder / "ec"))

    def check(self, is_right: bool, fact: str) -> None:
        print(("ok      " if is_right else "WRONG   ") + fact, flush=True)
        if not is_right:
            self.failures.append(fact)

    def free(self) -> int:
        """Free bytes of GPU memory."""
        if not self.cuda:
            return 0
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info()[0]

    def wait_for_ipc(self, vllm: Vllm) -> None:
        """The first rows come through shared memory, and start the mapping."""
        end = time.monotonic() + 20
        while not vllm.load({"warm": picture(8, 0)}).by_ipc:
            if time.monotonic() > end:
                sys.exit("the worker did not map vitgraph's memory within 20 s: see its log above")
            time.sleep(0.05)

    def compare_rows(self, shm: Vllm, encoder: Vitgraph) -> None:
        """Rows of eight sizes, eight keys at once, so that places in the mapped memory are reused in any order."""
        sides = [8, 9, 10, 7, 6, 11, 5, 4]
        pictures = [picture(side, seed) for seed, side in enumerate(sides)]
        expected = [shm.load({f"reference {index}": item}).only for index, item in enumerate(pictures)]
        order = random.Random(1)
        wrong = other = 0
        started = time.monotonic()
        free = host = 0
        rounds = max(1, self.args.rounds // len(sides))
        for number in range(rounds):
            keys = {f"{number} {index}": pictures[index] for index in order.sample(range(len(sides)), len(sides))}
            loaded = self.vllm.load(keys)
            for key, rows in loaded.rows.items():
                wrong += not torch.equal(rows, expected[int(key.split()[1])])
            other += len(sides) - loaded.by_ipc
            if number == rounds // 10:
                free, host = self.free(), encoder.resident()
        leak, growth = free - self.free(), encoder.resident() - host
        count = rounds * len(sides)
        seconds = time.monotonic() - started
        fact = f"{count} rows by IPC in {seconds:.0f} s: {wrong} differ from shared memory's, {other} came another way"
        self.check(wrong == 0 and other == 0, fact)
        self.check(leak < 32 * MIB, f"GPU memory grew by {leak / MIB:.0f} MiB in the last nine tenths")
        self.check(growth < 256 * MIB, f"vitgraph's host memory grew by {growth / MIB:.0f} MiB in the last nine tenths")

    def time_routes(self, shm: Vllm, encoder: Vitgraph, gateway: Vitgraph, upstream: Upstream) -> None:
        """Medians, from the request to rows on the device."""
        print("\nms an image, median (answer + load)\n")
        print(f"{'tokens':>7} {'MiB':>6} {'CUDA IPC':>20} {'shared memory':>20} {'file':>8} {'image_embeds':>13}")
        for tokens, side in SIZES.items():
            item = picture(side, 100)
            png = data_url(side * 2 * PATCH)
            routes = {
                "ipc": lambda item=item: self.vllm.time(item),
                "shm": lambda item=item: shm.time(item),
                "file": lambda png=png: encoder.time_file(png, self.folder / "ec", self.device),
                "embeds": lambda png=png: gateway.time_embeds(png, upstream),
            }
            size = tokens * COLUMNS * (1 + LEVELS) * 2
            if not self.cuda:
                del routes["ipc"]
            # The connector keeps the files of its last five seconds.
            if shutil.disk_usage(SHARED_MEMORY).free < (self.args.repetitions + 4) * size:
                del routes["shm"]
            medians = {}
            for name, once in routes.items():
                # Rows of HTTP go slowly at 4096 tokens.
                slow = name == "embeds" and tokens > 256
                once()
                times = [once() for _ in range(3 if slow else self.args.repetitions)]
                medians[name] = [statistics.median(column) for column in zip(*times)]
            cells = []
            for name in ("ipc", "shm"):
                answer, load = medians.get(name, (float("nan"), float("nan")))
                cells.append(f"{answer + load:>8.2f} ({answer:.2f} + {load:.2f})")
            file, embeds = medians["file"][0], medians["embeds"][0]
            print(f"{tokens:>7} {size / MIB:>6.0f} {cells[0]:>20} {cells[1]:>20} {file:>8.2f} {embeds:>13.2f}", flush=True)
        print()

    def kill_client(self) -> float:
        """A vLLM that has mapped memory and holds rows in it is killed. When."""
        command = [sys.executable, __file__, "--holder", self.socket]
        holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said = holder.stdout.readline().strip()
        self.check(said == "holding rows by IPC", f"a second vLLM: {said or 'ended'}")
        holder.kill()
        holder.wait()
        return time.monotonic()

    def check_freed(self, killed_at: float) -> None:
        time.sleep(max(0.0, killed_at + UNMAP_S - 3 - time.monotonic()))
        before = self.free()
        waited = time.monotonic() - killed_at
        if waited > UNMAP_S:
            # The other steps took longer: nothing to compare with.
            print(f"        (memory of the killed vLLM was due {waited - UNMAP_S:.0f} s ago)")
            return
        time.sleep(killed_at + UNMAP_S + 3 - time.monotonic())
        freed = self.free() - before
        self.check(freed >= 200 * MIB, f"a minute after a vLLM was killed, vitgraph freed {freed / MIB:.0f} MiB")

    def kill_server(self, encoder: Vitgraph, shm: Vllm) -> Vitgraph:
        """vitgraph is killed between vLLM's promise and its load; then a new one takes over."""
        item = picture(9, 1)
        expected = shm.load({"expected": item}).only
        step = self.vllm.promise({"promised": item})
        by_ipc = step.metadata.loads["promised"].slot is not None
        encoder.kill()
        time.sleep(0.5)
        rows = self.vllm.run(step).only
        self.check(by_ipc and torch.equal(rows, expected), "rows that were promised are right after vitgraph was killed")
        gone = self.vllm.load({"after the kill": item})
        self.check(gone.rows == {}, "the next image is left to vLLM")
        encoder = Vitgraph(self, "encoder", *self.encoder_options())
        time.sleep(1.5)
        self.wait_for_ipc(self.vllm)
        again = self.vllm.load({"again": item})
        self.check(again.by_ipc == 1 and torch.equal(again.only, expected), "a new vitgraph is found, and mapped")
        return encoder


class Vllm:
    """One vLLM: the scheduler's connector and the worker's, called as vLLM calls them in a step."""

    def __init__(self, socket: str, engine: str, cuda_ipc: bool = True) -> None:
        settings = stubs.config(socket, columns=COLUMNS, levels=LEVELS, timeout_s=30, cuda_ipc=cuda_ipc)
        settings.ec_transfer_config.engine_id = engine
        self.scheduler = VitgraphECConnector(settings, ECConnectorRole.SCHEDULER)
        self.worker = VitgraphECConnector(settings, ECConnectorRole.WORKER)
        self.count = 0

    def promise(self, items: dict[str, dict]) -> Step:
        request = Request(f"r{self.count}", items, next(iter(items.values()))["tokens"])
        tokens = [item["tokens"] for item in items.values()]
        request.get_num_encoder_embeds = lambda index: tokens[index]
        self.count += 1
        while not self.scheduler.ensure_cache_available(request, 0):
            time.sleep(0.0001)
        for index, key in enumerate(items):
            if self.scheduler.has_cache_item(key):
                self.scheduler.update_state_after_alloc(request, index)
        return Step(request, self.scheduler.build_connector_meta(None))

    def run(self, step: Step) -> Loaded:
        cache: dict[str, torch.Tensor] = {}
        self.worker.bind_connector_metadata(step.metadata)
        self.worker.start_load_caches(cache)
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        self.scheduler.request_finished(step.request)
        return Loaded(cache, sum(rows.slot is not None for rows in step.metadata.loads.values()))

    def load(self, items: dict[str, dict]) -> Loaded:
        return self.run(self.promise(items))

    def time(self, item: dict) -> tuple[float, float]:
        started = time.perf_counter()
        step = self.promise({f"timed {self.count}": item})
        answered = time.perf_counter()
        self.run(step)
        return (answered - started) * 1e3, (time.perf_counter() - answered) * 1e3

    def shutdown(self) -> None:
        self.scheduler.shutdown()
        self.worker.shutdown()


class Step:
    def __init__(self, request: Request, metadata: object) -> None:
        self.request = request
        self.metadata = metadata


class Loaded:
    def __init__(self, rows: dict[str, torch.Tensor], by_ipc: int) -> None:
        self.rows = rows
        self.by_ipc = by_ipc

    @property
    def only(self) -> torch.Tensor:
        (rows,) = self.rows.values()
        return rows


class Vitgraph:
    """A child process that runs `vitgraph serve`."""

    def __init__(self, bench: Bench, name: str, *options: str) -> None:
        launcher = [str(ROOT / "vitgraph")]
        if not os.path.exists(launcher[0]):
            launcher = ["node", str(ROOT / "packages/cli/bin/vitgraph.mjs")]
        pixels = json.dumps({"min_pixels": 1024, "max_pixels": 2**24})
        model = ["--model", str(bench.folder / "model"), "--backend", bench.args.backend, "--max-batch-tokens", "4096"]
        room = ["--max-response-bytes", "1024M", "--max-request-memory", "8192M", "--mm-processor-kwargs", pixels]
        command = [*launcher, "serve", *model, *room, "--port", "0", "--log-level", "warn", *options]
        self.log = bench.folder / f"{name}.log"
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log.open("a"), text=True)
        bench.stack.callback(self.process.kill)
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            sys.exit(f"vitgraph did not start:\n{self.log.read_text()[-4000:]}")
        self.port = int(line.rsplit(":", 1)[1])
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def resident(self) -> int:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def post(self, part: dict) -> None:
        body = {"model": None, "messages": [{"role": "user", "content": [part]}]}
        self.connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            sys.exit(f"vitgraph answered {answer.status}: {text[:1000]!r}")

    def time_file(self, png: str, storage: pathlib.Path, device: str) -> tuple[float]:
        """To the file of vLLM's ECExampleConnector, and from there to the device."""
        key = f"{random.getrandbits(256):064x}"
        started = time.perf_counter()
        self.post({"type": "image_url", "image_url": {"url": png}, "uuid": key})
        load_file(storage / key / "encoder_cache.safetensors", device)
        elapsed = (time.perf_counter() - started) * 1e3
        shutil.rmtree(storage / key)
        return (elapsed,)

    def time_embeds(self, png: str, upstream: Upstream) -> tuple[float]:
        """To the upstream's `image_embeds`, and from there to the device."""
        started = time.perf_counter()
        self.post({"type": "image_url", "image_url": {"url": png}})
        if upstream.loaded_at < started:
            sys.exit(f"the gateway sent no image_embeds:\n{self.log.read_text()[-4000:]}")
        return ((upstream.loaded_at - started) * 1e3,)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.wait(timeout=20)


class Upstream(http.server.ThreadingHTTPServer):
    """The way of `image_embeds` in vLLM: JSON, strict base64, .npy, to the device in bf16."""

    daemon_threads = True

    def __init__(self, device: str) -> None:
        super().__init__(("127.0.0.1", 0), UpstreamHandler)
        self.device = device
        self.port = self.server_address[1]
        self.loaded_at = 0.0
        threading.Thread(target=self.serve_forever, daemon=True).start()


class UpstreamHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        (part,) = body["messages"][0]["content"]
        if part["type"] == "image_embeds":
            npy = base64.b64decode(part["image_embeds"]["image_embeds"], validate=True)
            (header,) = struct.unpack("<H", npy[8:10])
            rows = torch.frombuffer(bytearray(npy), dtype=torch.float32, offset=10 + header)
            rows.to(self.server.device, torch.bfloat16)
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            self.server.loaded_at = time.perf_counter()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: object) -> None:
        pass


def hold(socket: str) -> None:
    """A vLLM that holds rows by IPC until it is killed."""
    use_cuda()
    vllm = Vllm(socket, "holder")
    end = time.monotonic() + 20
    while time.monotonic() < end and not vllm.load({"warm": picture(8, 0)}).by_ipc:
        time.sleep(0.05)
    step = vllm.promise({"held": picture(8, 0)})
    print("holding rows by IPC" if step.metadata.loads["held"].slot else "rows came another way", flush=True)
    time.sleep(60)


def use_cuda() -> None:
    """As in vLLM's worker."""
    torch.cuda.set_device(0)
    torch.zeros(1, device="cuda")
    platform = sys.modules["vllm.platforms"].current_platform
    platform.device_type = "cuda"
    platform.is_cuda_alike = lambda: True
    platform.current_device = lambda: 0


def load_file(path: pathlib.Path, device: str) -> torch.Tensor:
    """As vLLM's ECExampleConnector, where safetensors is installed."""
    with contextlib.suppress(ImportError):
        import safetensors.torch

        rows = safetensors.torch.load_file(path, device=device)["ec_cache"]
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return rows
    data = bytearray(path.read_bytes())
    (header,) = struct.unpack("<Q", data[:8])
    rows = torch.frombuffer(data, dtype=torch.bfloat16, offset=8 + header).to(device)
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return rows


def picture(side: int, seed: int) -> dict:
    """Processed data of an image of side × side tokens."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(4 * side * side, 3 * 2 * PATCH * PATCH, generator=generator) * 2 - 1
    return {"pixel_values": pixels, "image_grid_thw": torch.tensor([1, 2 * side, 2 * side]), "tokens": side * side}


def data_url(side: int) -> str:
    """A PNG of side × side pixels of noise."""
    generator = random.Random(side)
    lines = b"".join(b"\0" + generator.randbytes(3 * side) for _ in range(side))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 1)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(png).decode()


def write_checkpoint(folder: pathlib.Path) -> None:
    """The tower of samples/qwen3-vl-tiny with small patches, wide rows and random weights."""
    places = (ROOT / "samples/qwen3-vl-tiny", ROOT / "test/fixtures/qwen3-vl-tiny")
    source = next(path for path in places if path.exists())
    folder.mkdir()
    config = json.loads((source / "config.json").read_text())
    config["text_config"]["hidden_size"] = COLUMNS
    config["vision_config"].update(
        patch_size=PATCH, out_hidden_size=COLUMNS, deepstack_visual_indexes=list(range(LEVELS))
    )
    (folder / "config.json").write_text(json.dumps(config))
    processor = {
        "image_processor_type": "Qwen2VLImageProcessorFast",
        "patch_size": PATCH,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "size": {"shortest_edge": 1024, "longest_edge": 2**24},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    data = (source / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    shapes = {
        name: value["shape"] for name, value in json.loads(data[8 : 8 + length]).items() if "visual" in name
    }
    for name, shape in list(shapes.items()):
        if "merger" in name and "linear_fc2" in name:
            shapes[name] = [COLUMNS, *shape[1:]]
        if "deepstack_merger_list.0" in name:
            for level in range(LEVELS):
                shapes[name.replace("list.0", f"list.{level}")] = shapes[name]
    shapes["model.visual.patch_embed.proj.weight"] = [HIDDEN, 3, 2, PATCH, PATCH]
    generator = torch.Generator().manual_seed(0)
    header, parts, offset = {}, [], 0
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=generator) * 0.1 + ("norm" in name and name.endswith("weight"))
        part = values.to(torch.bfloat16).view(torch.uint8).numpy().tobytes()
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + len(part)]}
        parts.append(part)
        offset += len(part)
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


if __name__ == "__main__":
    main()
