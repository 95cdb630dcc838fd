"""The worker's side of CUDA IPC: maps GPU memory of a vitgraph on the same GPU once, and copies rows from it.

A thread has its own connection to vitgraph: it requests memory, maps it, and releases rows once they are copied. Until it has
told vitgraph that the memory is mapped, rows come through shared memory.
"""

from __future__ import annotations

import base64
import contextlib
import queue
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from vitgraph_vllm import tensors
from vitgraph_vllm.client import CONNECT_TIMEOUT_S, RETRY_AFTER_S, Rows, Slot, logger, receive_frame, send_frame

if TYPE_CHECKING:
    import torch

CHECK_CONNECTION_S = 1.0
UNMAP_AFTER_S = 30.0
"""Time between the end of the connection and unmapping: rows in the memory may be promised to vLLM. vitgraph frees the memory
after a minute."""


class Refused(Exception):
    """vitgraph exports no memory to this worker, or it cannot be mapped."""


class DeviceMemory:
    def __init__(self, path: str, engine: str, device: str) -> None:
        """
        Args:
            path: the Unix socket.
            engine: names vLLM's engine, as its scheduler does.
            device: this worker's device: "cuda:0".
        """
        self._path = path
        self._engine = engine
        self._device = device
        self._lock = threading.Lock()
        self._mapped: dict[str, tensors.MappedMemory] = {}
        self._ended: dict[str, float] = {}
        """Times at which the connections of mapped memory ended."""
        self._copied: queue.SimpleQueue[tuple[Any, Slot] | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vitgraph-ipc", daemon=True)
        self._thread.start()

    def load(self, rows: Rows) -> torch.Tensor:
        """bf16 [tokens, columns], copied on the device by its current stream. The rows are released afterwards."""
        with self._lock:
            memory = self._mapped[rows.slot.memory]
        tensor, copied = memory.copy(rows.slot.offset, rows.tokens, rows.columns)
        self._copied.put((copied, rows.slot))
        return tensor

    def skip(self, rows: Rows) -> None:
        """Releases rows that are not needed."""
        self._copied.put((None, rows.slot))

    def close(self) -> None:
        self._closing.set()
        self._copied.put(None)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        problem = None
        while not self._closing.is_set():
            try:
                self._serve()
                problem = None
            except Refused as refusal:
                logger.info("rows come through shared memory: %s", refusal)
                break
            except RuntimeError as error:
                # vitgraph frees the rows when the connection closes. CUDA returns the error again, so do not retry.
                logger.warning("the GPU failed a copy of rows, and rows come through shared memory: %s", error)
                break
            except (OSError, ValueError) as error:
                if str(error) != problem:
                    logger.info("rows come through shared memory until vitgraph answers: %s", error)
                problem = str(error)
            self._closing.wait(RETRY_AFTER_S)
            self._unmap_ended()
        while self._ended and not self._closing.wait(RETRY_AFTER_S):
            # Rows in memory that was mapped before may be promised.
            self._unmap_ended()
        self._unmap_ended(now=float("inf"))

    def _serve(self) -> None:
        """Maps memory and releases rows until the connection ends.

        Raises:
            Refused: memory cannot be mapped, and a retry would not help.
            OSError, ValueError: vitgraph does not run, or its answer is malformed.
            RuntimeError: of torch: the device failed a copy.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(CONNECT_TIMEOUT_S)
            connection.connect(self._path)
            memory = self._map(connection)
            try:
                send_frame(connection, {"op": "mapped", "memory": memory})
                while not self._closing.is_set():
                    self._release_copied(connection)
                    self._unmap_ended()
                    if select.select([connection], [], [], 0)[0]:
                        # vitgraph sends nothing here, so a readable socket means that the connection has ended.
                        return
            finally:
                with self._lock:
                    self._ended[memory] = time.monotonic()

    def _map(self, connection: socket.socket) -> str:
        """Maps memory, and returns its id."""
        try:
            gpu = tensors.pci_bus_id(self._device)
            send_frame(connection, {"id": 1, "op": "map", "engine": self._engine, "gpu": gpu})
            answer = receive_frame(connection)
            try:
                if "error" in answer:
                    raise Refused(answer["error"].get("message"))
                memory, size = answer["memory"], int(answer["bytes"])
                handle = base64.b64decode(answer["handle"])
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"vitgraph sent a malformed answer: {error!r}") from error
            mapped = tensors.MappedMemory(handle, size, self._device)
        except (tensors.CudaError, RuntimeError) as error:
            # torch raises RuntimeError if the device has no memory left.
            raise Refused(str(error)) from error
        with self._lock:
            self._mapped[memory] = mapped
        logger.info("rows come through %d MiB of GPU memory that vitgraph exports", size >> 20)
        return memory

    def _release_copied(self, connection: socket.socket) -> None:
        with contextlib.suppress(queue.Empty):
            entry = self._copied.get(timeout=CHECK_CONNECTION_S)
            if entry is None:
                return
            copied, slot = entry
            if copied is not None:
                copied.synchronize()
            send_frame(connection, {"op": "release", "memory": slot.memory, "rows": slot.rows})

    def _unmap_ended(self, now: float | None = None) -> None:
        now = time.monotonic() if now is None else now
        with self._lock:
            ids = [memory for memory, ended in self._ended.items() if now - ended >= UNMAP_AFTER_S]
            unmapped = [self._mapped.pop(memory) for memory in ids]
            for memory in ids:
                del self._ended[memory]
        for memory in unmapped:
            try:
                memory.close()
            except (tensors.CudaError, RuntimeError) as error:
                logger.warning("GPU memory that vitgraph exported stays mapped until this process ends: %s", error)
