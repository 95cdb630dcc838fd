"""The client of `vitgraph serve --connector-socket`. Its methods never block vLLM's scheduler.

One thread writes and one reads. `poll` returns a key's state from memory. When the connection ends, its requests and those of
the next second fail, so that vLLM encodes the images itself; the next request after that connects again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# A child of vLLM's logger, so that vLLM shows its lines.
logger = logging.getLogger("vllm.vitgraph")

PROTOCOL = 1
CONNECT_TIMEOUT_S = 1.0
RETRY_AFTER_S = 1.0
KEEP_FILE_S = 5.0
"""Time that a file is kept after a worker was told to load it: the worker may be a step behind when a request is aborted."""
MAX_JSON_BYTES = 65_536
CLOSED = "the connector was shut down"


@dataclass(frozen=True)
class Slot:
    """Rows in GPU memory that the worker has mapped."""

    memory: str
    rows: int
    offset: int


@dataclass(frozen=True)
class Rows:
    """The rows of an embedding: bf16 [tokens, columns] in a file in shared memory, or in a slot."""

    tokens: int
    columns: int
    path: str | None = None
    slot: Slot | None = None


@dataclass(frozen=True)
class Failed:
    reason: str
    left: Rows | None = None
    """Rows that arrived before the connection ended. vLLM may be about to load them."""


@dataclass(frozen=True)
class Pending:
    since: float


Outcome = Rows | Failed | Pending


@dataclass(frozen=True)
class Pixels:
    """Pixel values of one image or video, as vLLM's processor returns them."""

    grid_thw: tuple[int, int, int]
    dtype: str
    """`float32` or `bfloat16`."""
    data: bytes


class VitgraphClient:
    def __init__(
        self,
        path: str,
        timeout_s: float,
        check_server: Callable[[dict[str, Any]], str | None],
        engine: str | None = None,
    ) -> None:
        """
        Args:
            path: the Unix socket.
            timeout_s: seconds after which a request fails.
            check_server: returns why a server with this greeting cannot be used, or None.
            engine: names vLLM's engine if its worker takes rows in GPU memory.
        """
        self._path = path
        self._timeout_s = timeout_s
        self._check_server = check_server
        self._engine = {} if engine is None else {"engine": engine}
        self._lock = threading.Lock()
        self._outcomes: dict[str, Outcome] = {}
        self._loading: dict[str, float] = {}
        """Times at which workers were told to load files, by key."""
        self._keys: dict[int, str] = {}
        """Keys of the requests without an answer, by request id."""
        self._ids = 0
        self._connection: socket.socket | None = None
        self._problem: str | None = None
        """The last problem, so that a server that stays down is logged once."""
        self._down_until = 0.0
        self._outbox: queue.SimpleQueue[tuple[dict[str, Any], bytes] | tuple[float, Rows] | None] = queue.SimpleQueue()
        """Messages with their payloads; rows with the time at which to release them; None ends the thread."""
        self._writer = threading.Thread(target=self._write, name="vitgraph", daemon=True)
        self._writer.start()

    def request(self, key: str, pixels: Pixels) -> None:
        """Requests the rows of a key, unless they were requested already."""
        with self._lock:
            if key in self._outcomes:
                return
            if time.monotonic() < self._down_until:
                self._outcomes[key] = Failed("the server is down")
                return
            self._outcomes[key] = Pending(time.monotonic())
            self._ids += 1
            self._keys[self._ids] = key
            message = {
                "id": self._ids,
                "op": "encode",
                "grid_thw": pixels.grid_thw,
                "dtype": pixels.dtype,
                "timeout_ms": int(self._timeout_s * 1000),
                **self._engine,
            }
        self._outbox.put((message, pixels.data))

    def poll(self, key: str) -> Outcome | None:
        """The key's outcome; None if it was not requested. A request that takes too long fails here."""
        with self._lock:
            outcome = self._outcomes.get(key)
            if isinstance(outcome, Pending) and time.monotonic() - outcome.since > self._timeout_s:
                outcome = self._outcomes[key] = Failed(f"no answer within {self._timeout_s} s")
            return outcome

    def reject(self, key: str, reason: str) -> None:
        """Marks a key's rows as unusable, until the key is forgotten."""
        with self._lock:
            outcome = self._outcomes.get(key)
            self._outcomes[key] = Failed(reason)
        if isinstance(outcome, Rows):
            self._release(outcome)

    def hand_over(self, key: str, rows: Rows) -> None:
        """Records that a worker was told to load the rows. The worker releases mapped rows, so their key is forgotten."""
        with self._lock:
            if rows.slot is None:
                self._loading[key] = time.monotonic()
            else:
                self._outcomes.pop(key, None)

    def forget(self, key: str) -> None:
        """Releases the key's rows, now or when they arrive."""
        with self._lock:
            outcome = self._outcomes.pop(key, None)
            keep_until = self._loading.pop(key, 0.0) + KEEP_FILE_S
        rows = outcome.left if isinstance(outcome, Failed) else outcome
        if not isinstance(rows, Rows):
            return
        if keep_until > time.monotonic():
            self._outbox.put((keep_until, rows))
        else:
            self._release(rows)

    def close(self) -> None:
        self._outbox.put(None)
        self._writer.join(timeout=5)
        with self._lock:
            self._problem = CLOSED
            self._loading.clear()
        self._disconnect(CLOSED)
        for key in list(self._outcomes):
            self.forget(key)

    def _release(self, rows: Rows) -> None:
        """Deletes a file itself, since the server may be gone, and tells the server, which counts unreleased bytes."""
        if rows.slot is not None:
            self._outbox.put(({"op": "release", "memory": rows.slot.memory, "rows": rows.slot.rows}, b""))
            return
        with contextlib.suppress(OSError):
            os.unlink(rows.path)
        self._outbox.put(({"op": "release", "path": rows.path}, b""))

    def _write(self) -> None:
        kept: list[tuple[float, Rows]] = []
        while True:
            try:
                entry = self._outbox.get(timeout=max(0.0, kept[0][0] - time.monotonic()) if kept else None)
            except queue.Empty:
                self._release(kept.pop(0)[1])
                continue
            if entry is None:
                break
            if isinstance(entry[1], Rows):
                kept.append(entry)
                continue
            message, payload = entry
            try:
                connection = self._connection or (self._connect() if message["op"] == "encode" else None)
                # Without a connection there is no server that counts these rows.
                if connection is not None:
                    send_frame(connection, message, payload)
            except (OSError, ValueError) as error:
                self._disconnect(str(error))
        for _, rows in kept:
            self._release(rows)

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(CONNECT_TIMEOUT_S)
            connection.connect(self._path)
            send_frame(connection, {"id": 0, "op": "hello"})
            problem = self._check_server(receive_frame(connection))
            if problem is not None:
                raise ValueError(problem)
            # Sending fails if the server does not read.
            connection.settimeout(self._timeout_s)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._connection = connection
            self._problem = None
        threading.Thread(target=self._read, args=(connection,), name="vitgraph-read", daemon=True).start()
        return connection

    def _read(self, connection: socket.socket) -> None:
        reason = "the server closed the connection"
        try:
            while True:
                try:
                    answer = receive_frame(connection)
                except TimeoutError:
                    # The server is idle. A timeout inside a frame is a ValueError.
                    continue
                self._settle(answer)
        except (OSError, ValueError) as error:
            reason = str(error) or reason
        except (KeyError, TypeError, AttributeError) as error:
            reason = f"the server sent a malformed answer: {error!r}"
        if self._connection is connection:
            self._disconnect(reason)

    def _settle(self, answer: dict[str, Any]) -> None:
        late = None
        with self._lock:
            key = self._keys.pop(answer.get("id", -1), None)
            outcome: Outcome
            if "error" in answer:
                outcome = Failed(str(answer["error"].get("message")))
            else:
                tokens, columns = answer["shape"]
                if "memory" in answer:
                    slot = Slot(answer["memory"], answer["rows"], answer["offset"])
                    outcome = Rows(tokens, columns, slot=slot)
                else:
                    outcome = Rows(tokens, columns, path=answer["path"])
            if key is not None and isinstance(self._outcomes.get(key), Pending):
                self._outcomes[key] = outcome
            elif isinstance(outcome, Rows):
                # The key was forgotten, or its request has timed out.
                late = outcome
        if late is not None:
            self._release(late)

    def _disconnect(self, reason: str) -> None:
        """Fails all keys. Rows that have arrived stay until they are forgotten, since they may be promised to vLLM."""
        with self._lock:
            connection, self._connection = self._connection, None
            self._down_until = time.monotonic() + RETRY_AFTER_S
            is_news, self._problem = reason != self._problem, reason
            self._keys.clear()
            for key, outcome in self._outcomes.items():
                if not isinstance(outcome, Failed):
                    left = outcome if isinstance(outcome, Rows) else None
                    self._outcomes[key] = Failed(f"the server is gone: {reason}", left)
        if is_news:
            logger.warning("vLLM encodes images itself until vitgraph at %s answers: %s", self._path, reason)
        if connection is not None:
            # Wakes the reader, unlike close.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def send_frame(connection: socket.socket, message: dict[str, Any], payload: bytes = b"") -> None:
    text = json.dumps({**message, "payload": len(payload)}).encode()
    connection.sendall(struct.pack("<I", len(text)) + text)
    if payload:
        connection.sendall(payload)


def receive_frame(connection: socket.socket) -> dict[str, Any]:
    """
    Raises:
        TimeoutError: nothing came within the socket's timeout.
        ValueError: the connection ended, or stopped inside a frame, or its bytes are not a frame.
    """
    (length,) = struct.unpack("<I", _receive(connection, 4, starts_frame=True))
    if length > MAX_JSON_BYTES:
        raise ValueError(f"the server sent a message of {length} bytes")
    message = json.loads(_receive(connection, length))
    if not isinstance(message, dict):
        raise ValueError("the server sent a message that is no object")
    return message


def _receive(connection: socket.socket, size: int, starts_frame: bool = False) -> bytes:
    data = b""
    while len(data) < size:
        try:
            part = connection.recv(size - len(data))
        except TimeoutError:
            if starts_frame and not data:
                raise
            raise ValueError("the server stopped inside a message") from None
        if not part:
            raise ValueError("the server closed the connection")
        data += part
    return data
