"""The connector under stubs of vLLM, and a scripted server: `python3 -m unittest` in this folder."""

import base64
import contextlib
import logging
import os
import pathlib
import pickle
import socket
import struct
import sys
import tempfile
import threading
import time
import types
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import stubs  # noqa: E402  before the connector, which imports vLLM
from stubs import GPU, ECConnectorRole, FileMemory, Request, config, fake_cuda, image, row_bytes  # noqa: E402
from vitgraph_vllm import VitgraphECConnector, client, device_memory  # noqa: E402
from vitgraph_vllm.client import Rows, receive_frame, send_frame  # noqa: E402

GRID = (1, 2, 4)
PIXELS = struct.pack("8f", *range(8))
TOKENS = 2
HELLO = {"id": 0, "protocol": 1, "model": "tiny", "model_type": "qwen3_vl", "columns": 16}


class Server:
    """Answers `encode` with rows of the pixels' first byte, unless it is told otherwise."""

    def __init__(self, directory, **hello):
        self.directory = directory
        self.path = os.path.join(directory, "socket")
        self.hello = {**HELLO, **hello}
        self.encodes = []
        self.released = []
        self.held = threading.Event()
        self.held.set()
        self.shape = [TOKENS, 16]
        self.error = None
        self.refusal = None
        self.handle = os.path.join(directory, "memory")
        self.memory = None
        """Id of the memory that the worker has mapped."""
        self.maps = []
        self.connections = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            while True:
                message = receive_frame(connection)
                payload = b""
                while len(payload) < message["payload"]:
                    payload += connection.recv(message["payload"] - len(payload))
                if message["op"] == "hello":
                    send_frame(connection, self.hello)
                elif message["op"] == "map":
                    self.maps.append(message)
                    send_frame(connection, self._offer(message["id"]))
                elif message["op"] == "mapped":
                    self.memory = message["memory"]
                elif message["op"] == "release":
                    self.released.append(message.get("path", message.get("rows")))
                else:
                    self.encodes.append((message, payload))
                    threading.Thread(target=self._answer, args=(connection, message["id"]), daemon=True).start()
        except (OSError, ValueError):
            pass

    def _offer(self, request_id):
        if self.refusal is not None:
            return {"id": request_id, "error": {"code": "VG_X", "message": self.refusal}}
        handle = base64.b64encode(self.handle.encode().ljust(64, b"\0")).decode()
        return {"id": request_id, "memory": f"memory of {id(self)}", "handle": handle, "bytes": 1 << 20}

    def _answer(self, connection, request_id):
        self.held.wait()
        if self.error is not None:
            send_frame(connection, {"id": request_id, "error": {"code": "VG_X", "message": self.error}})
            return
        about = {"id": request_id, "shape": self.shape, "dtype": "bfloat16"}
        size = self.shape[0] * self.shape[1] * 2
        if self.memory is not None and "engine" in self.encodes[-1][0]:
            offset = size * request_id
            with open(self.handle, "r+b") as file:
                file.seek(offset)
                file.write(bytes([request_id]) * size)
            send_frame(connection, {**about, "memory": self.memory, "rows": request_id, "offset": offset})
            return
        path = os.path.join(self.directory, f"rows-{request_id}")
        with open(path, "wb") as file:
            file.write(bytes([request_id]) * size)
        send_frame(connection, {**about, "path": path})

    def rows(self):
        return sorted(name for name in os.listdir(self.directory) if name.startswith("rows-"))

    def kill(self):
        self._listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        if os.path.exists(self.path):
            os.unlink(self.path)


def until(is_true, seconds=60):
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.005)


def picture(key="a"):
    return {key: image(GRID, PIXELS)}


class ConnectorCase(unittest.TestCase):
    def setUp(self):
        logging.getLogger("vllm.vitgraph").setLevel(logging.CRITICAL)
        keep = mock.patch.object(client, "KEEP_FILE_S", 0.2)
        keep.start()
        self.addCleanup(keep.stop)
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "socket")

    def server(self, **hello):
        server = Server(self.folder.name, **hello)
        self.addCleanup(server.kill)
        return server

    def scheduler(self, timeout_s=30, **more):
        """The default time is for a busy machine: tests of what takes too long give their own."""
        settings = config(self.path, timeout_s=timeout_s, **more)
        connector = VitgraphECConnector(settings, ECConnectorRole.SCHEDULER)
        self.addCleanup(connector.shutdown)
        return connector

    def settle(self, scheduler, request):
        """Steps of the scheduler until the request need not wait."""
        until(lambda: scheduler.ensure_cache_available(request, 0))

    def load(self, scheduler, request):
        """One step: what a worker has of the request's items afterwards."""
        for index, feature in enumerate(request.mm_features):
            if scheduler.has_cache_item(feature.identifier):
                scheduler.update_state_after_alloc(request, index)
        worker = VitgraphECConnector(config(self.path), ECConnectorRole.WORKER)
        return self.run_worker(worker, scheduler.build_connector_meta(None))

    def run_worker(self, worker, metadata, cache=None):
        cache = {} if cache is None else cache
        # It travels to the workers as a pickle.
        worker.bind_connector_metadata(pickle.loads(pickle.dumps(metadata)))
        worker.start_load_caches(cache)
        return {key: row_bytes(rows) for key, rows in cache.items()}


class ConnectorTest(ConnectorCase):
    def test_a_request_waits_for_its_rows_and_a_worker_loads_them(self):
        server = self.server()
        server.held.clear()
        scheduler = self.scheduler()
        request = Request("r", {"a": image(GRID, PIXELS), "b": image(GRID, PIXELS)}, TOKENS)
        self.assertFalse(scheduler.ensure_cache_available(request, 0))
        self.assertFalse(scheduler.has_cache_item("a"))
        until(lambda: len(server.encodes) == 2)
        server.held.set()
        self.settle(scheduler, request)
        size = TOKENS * 16 * 2
        self.assertEqual(self.load(scheduler, request), {"a": bytes([1]) * size, "b": bytes([2]) * size})
        message, payload = server.encodes[0]
        self.assertEqual((message["grid_thw"], message["dtype"], payload), (list(GRID), "float32", PIXELS))
        self.assertEqual(scheduler.build_connector_meta(None).loads, {})
        self.assertEqual(server.rows(), ["rows-1", "rows-2"])
        self.assertEqual(scheduler.request_finished(request), (False, None))
        until(lambda: server.rows() == [])

    def test_requests_that_share_a_key_ask_once_and_keep_the_rows(self):
        server = self.server()
        scheduler = self.scheduler()
        requests = [Request(name, picture(), TOKENS) for name in ("r", "s")]
        for request in requests:
            self.settle(scheduler, request)
        self.assertEqual(len(server.encodes), 1)
        scheduler.request_finished(requests[0])
        time.sleep(0.05)
        self.assertEqual(len(self.load(scheduler, requests[1])), 1)
        scheduler.request_finished(requests[1])
        until(lambda: server.rows() == [])

    def test_many_keys_at_once(self):
        server = self.server()
        scheduler = self.scheduler()
        requests = [Request(f"r{n}", {f"k{n}-{i}": image(GRID, PIXELS) for i in range(4)}, TOKENS) for n in range(50)]
        for request in requests:
            scheduler.ensure_cache_available(request, 0)
        for request in requests:
            self.settle(scheduler, request)
            self.assertEqual(len(self.load(scheduler, request)), 4)
            scheduler.request_finished(request)
        until(lambda: server.rows() == [])
        self.assertEqual(len(server.encodes), 200)

    def test_without_a_server_nothing_waits(self):
        scheduler = self.scheduler()
        request = Request("r", picture(), TOKENS)
        self.settle(scheduler, request)
        self.assertFalse(scheduler.has_cache_item("a"))
        # Within the second after a failure nobody waits for another one.
        self.assertTrue(scheduler.ensure_cache_available(Request("s", picture("b"), TOKENS), 0))

    def test_a_server_that_is_killed_fails_what_it_had_and_is_found_again(self):
        server = self.server()
        server.held.clear()
        scheduler = self.scheduler()
        request = Request("r", picture(), TOKENS)
        self.assertFalse(scheduler.ensure_cache_available(request, 0))
        until(lambda: len(server.encodes) == 1)
        server.kill()
        self.settle(scheduler, request)
        self.assertFalse(scheduler.has_cache_item("a"))
        scheduler.request_finished(request)
        self.server()
        time.sleep(1.1)
        again = Request("s", picture(), TOKENS)
        self.settle(scheduler, again)
        self.assertEqual(list(self.load(scheduler, again)), ["a"])

    def test_a_promise_is_kept_if_the_server_is_killed_right_after_it(self):
        server = self.server()
        scheduler = self.scheduler()
        request = Request("r", picture(), TOKENS)
        self.settle(scheduler, request)
        self.assertTrue(scheduler.has_cache_item("a"))
        server.kill()
        until(lambda: not isinstance(scheduler._client.poll("a"), Rows))
        scheduler.update_state_after_alloc(request, 0)
        metadata = scheduler.build_connector_meta(None)
        self.assertEqual([os.path.exists(rows.path) for rows in metadata.loads.values()], [True])
        self.assertFalse(scheduler.has_cache_item("a"))
        scheduler.request_finished(request)
        until(lambda: server.rows() == [])

    def test_a_request_that_is_aborted_before_its_worker_has_loaded_its_rows_keeps_them_for_a_while(self):
        server = self.server()
        scheduler = self.scheduler()
        request = Request("r", picture(), TOKENS)
        self.settle(scheduler, request)
        scheduler.has_cache_item("a")
        scheduler.update_state_after_alloc(request, 0)
        metadata = scheduler.build_connector_meta(None)
        scheduler.request_finished(request)
        worker = VitgraphECConnector(config(self.path), ECConnectorRole.WORKER)
        self.assertEqual(list(self.run_worker(worker, metadata)), ["a"])
        until(lambda: server.rows() == [])
        # Those that no worker was told of go at once.
        self.settle(scheduler, Request("s", picture("b"), TOKENS))
        scheduler.request_finished(Request("s", picture("b"), TOKENS))
        self.assertEqual(server.rows(), [])

    def test_a_connector_that_is_shut_down_leaves_no_rows(self):
        server = self.server()
        scheduler = self.scheduler()
        with mock.patch.object(client, "KEEP_FILE_S", 60):
            for key in ("a", "b"):
                request = Request(key, picture(key), TOKENS)
                self.settle(scheduler, request)
                self.load(scheduler, request)
            scheduler.request_finished(request)
            self.assertEqual(len(server.rows()), 2)
            scheduler.shutdown()
        self.assertEqual(server.rows(), [])

    def test_a_server_that_takes_too_long_is_not_waited_for(self):
        server = self.server()
        server.held.clear()
        scheduler = self.scheduler(timeout_s=0.2)
        request = Request("r", picture(), TOKENS)
        self.assertFalse(scheduler.ensure_cache_available(request, 0))
        time.sleep(0.25)
        self.assertTrue(scheduler.ensure_cache_available(request, 0))
        self.assertFalse(scheduler.has_cache_item("a"))
        server.held.set()
        until(lambda: len(server.released) == 1)
        self.assertFalse(scheduler.has_cache_item("a"))

    def test_an_error_of_one_image_is_that_images_alone(self):
        server = self.server()
        scheduler = self.scheduler()
        server.error = "no such grid"
        bad = Request("r", picture("bad"), TOKENS)
        self.settle(scheduler, bad)
        self.assertFalse(scheduler.has_cache_item("bad"))
        server.error = None
        good = Request("s", picture("good"), TOKENS)
        self.settle(scheduler, good)
        self.assertTrue(scheduler.has_cache_item("good"))

    def test_rows_that_do_not_fit_are_never_promised(self):
        server = self.server()
        scheduler = self.scheduler()
        server.shape = [TOKENS + 1, 16]
        request = Request("r", picture(), TOKENS)
        self.settle(scheduler, request)
        self.assertFalse(scheduler.has_cache_item("a"))
        until(lambda: server.rows() == [])

    def test_a_server_of_another_model_or_protocol_is_not_used(self):
        for hello in ({"columns": 8}, {"model_type": "qwen2_vl"}, {"protocol": 2}):
            server = Server(self.folder.name, **hello)
            scheduler = self.scheduler()
            request = Request("r", picture(), TOKENS)
            self.settle(scheduler, request)
            self.assertFalse(scheduler.has_cache_item("a"))
            self.assertEqual(server.encodes, [])
            server.kill()

    def test_what_vitgraph_does_not_get_is_left_to_vllm(self):
        server = self.server()
        scheduler = self.scheduler()
        items = {"cached by the processor": None, "in vLLM's cache": image(GRID, PIXELS), "audio": {"input": 1}}
        request = Request("r", items, TOKENS)
        self.assertTrue(scheduler.ensure_cache_available(request, 0, {"in vLLM's cache"}))
        # An item whose placeholders are computed already.
        self.assertTrue(scheduler.ensure_cache_available(Request("s", picture(), TOKENS), 10))
        self.assertEqual(server.encodes, [])

    def test_a_request_that_is_aborted_while_it_waits_leaves_no_rows(self):
        server = self.server()
        server.held.clear()
        scheduler = self.scheduler()
        request = Request("r", picture(), TOKENS)
        scheduler.ensure_cache_available(request, 0)
        scheduler.request_finished(request)
        until(lambda: len(server.encodes) == 1)
        server.held.set()
        until(lambda: len(server.released) == 1)
        self.assertEqual(server.rows(), [])

    def test_bytes_that_are_no_answer_end_the_connection(self):
        server = self.server()
        scheduler = self.scheduler()
        first = Request("r", picture(), TOKENS)
        self.settle(scheduler, first)
        server.connections[0].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        until(lambda: not scheduler.has_cache_item("a"))

    def test_an_answer_without_rows_ends_the_connection(self):
        for malformed in ({"shape": [TOKENS, 16]}, {"shape": 5}, {"error": "a text"}):
            server = Server(self.folder.name)
            server.held.clear()
            scheduler = self.scheduler(timeout_s=3)
            request = Request("r", picture(), TOKENS)
            scheduler.ensure_cache_available(request, 0)
            until(lambda: len(server.encodes) == 1)
            send_frame(server.connections[0], {"id": 1, **malformed})
            self.settle(scheduler, request)
            self.assertIn("malformed", scheduler._client.poll("a").reason)
            server.kill()

    def test_options_are_checked(self):
        for wrong in ({"role": "ec_both"}, {"role": "ec_producer"}, {"timeout_s": 0}, {"cuda_ipc": "no"}):
            with self.assertRaises(ValueError):
                VitgraphECConnector(config(self.path, **wrong), ECConnectorRole.SCHEDULER)
        with self.assertRaisesRegex(ValueError, "--connector-socket"):
            VitgraphECConnector(config(None), ECConnectorRole.SCHEDULER)


class DeviceMemoryTest(ConnectorCase):
    """Rows in GPU memory that the worker has mapped."""

    def setUp(self):
        super().setUp()
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        stack.enter_context(fake_cuda())

    def server(self, **hello):
        server = super().server(**hello)
        with open(server.handle, "wb") as file:
            file.truncate(1 << 20)
        return server

    def worker(self, **more):
        worker = VitgraphECConnector(config(self.path, **more), ECConnectorRole.WORKER)
        self.addCleanup(worker.shutdown)
        return worker

    def promise(self, scheduler, key, request_id="r"):
        """One step of the scheduler."""
        request = Request(request_id, picture(key), TOKENS)
        self.settle(scheduler, request)
        self.assertTrue(scheduler.has_cache_item(key))
        scheduler.update_state_after_alloc(request, 0)
        return request, scheduler.build_connector_meta(None)

    def map(self, server, scheduler, worker):
        """The first rows, after which the worker maps memory."""
        request, metadata = self.promise(scheduler, "first")
        self.assertIsNotNone(metadata.loads["first"].path)
        self.run_worker(worker, metadata)
        scheduler.request_finished(request)
        until(lambda: server.memory is not None)
        until(lambda: len(server.released) == 1)
        server.released.clear()

    def test_the_first_rows_come_through_shared_memory_and_the_others_through_mapped_memory(self):
        server, scheduler, worker = self.server(), self.scheduler(), self.worker()
        self.run_worker(worker, scheduler.build_connector_meta(None))
        self.assertIsNone(worker._memory)
        self.map(server, scheduler, worker)
        self.assertEqual((server.maps[0]["engine"], server.maps[0]["gpu"]), ("engine.0", GPU))
        _, metadata = self.promise(scheduler, "a")
        self.assertIsNone(metadata.loads["a"].path)
        self.assertEqual(self.run_worker(worker, metadata), {"a": bytes([2]) * TOKENS * 16 * 2})
        self.assertEqual(server.rows(), [])

    def test_mapped_rows_are_released_once_by_the_worker_when_their_copy_has_ended(self):
        server, scheduler, worker = self.server(), self.scheduler(), self.worker()
        self.map(server, scheduler, worker)
        request, metadata = self.promise(scheduler, "a")
        FileMemory.copied.clear()
        self.run_worker(worker, metadata)
        # vLLM aborts the request meanwhile.
        scheduler.request_finished(request)
        time.sleep(0.05)
        self.assertEqual(server.released, [])
        FileMemory.copied.set()
        until(lambda: server.released == [2])
        time.sleep(0.05)
        self.assertEqual(server.released, [2])

    def test_mapped_rows_are_promised_once(self):
        server, scheduler, worker = self.server(), self.scheduler(), self.worker()
        self.map(server, scheduler, worker)
        self.promise(scheduler, "a")
        self.assertFalse(scheduler.has_cache_item("a"))
        # vLLM has dropped them from its cache: they are asked for again.
        self.promise(scheduler, "a", "s")
        self.assertEqual(len(server.encodes), 3)

    def test_mapped_rows_that_are_not_needed_are_released(self):
        server, scheduler, worker = self.server(), self.scheduler(), self.worker()
        self.map(server, scheduler, worker)
        _, metadata = self.promise(scheduler, "a")
        self.run_worker(worker, metadata, {"a": self.rows_of(b"")})
        until(lambda: server.released == [2])
        request = Request("s", picture("b"), TOKENS)
        self.settle(scheduler, request)
        scheduler.request_finished(request)
        until(lambda: server.released == [2, 3])

    def rows_of(self, data):
        if not stubs.HAVE_TORCH:
            return data
        import torch

        return torch.zeros(0, dtype=torch.bfloat16)

    def test_without_mapped_memory_rows_come_through_shared_memory(self):
        for refusal, handle in (("no such GPU", None), (None, "/nowhere")):
            server = self.server()
            server.refusal, server.handle = refusal, handle or server.handle
            scheduler, worker = self.scheduler(), self.worker()
            for key in ("a", "b"):
                _, metadata = self.promise(scheduler, key)
                self.assertEqual(list(self.run_worker(worker, metadata)), [key])
                until(lambda: len(server.maps) == 1)
                time.sleep(0.05)
            # It is not asked for again.
            self.assertFalse(worker._memory._thread.is_alive())
            self.assertIsNone(server.memory)
            server.kill()

    @contextlib.contextmanager
    def no_thread_fails(self):
        failed = []
        with mock.patch.object(threading, "excepthook", failed.append):
            yield
        self.assertEqual(failed, [])

    def test_a_device_without_memory_maps_nothing_and_rows_come_through_shared_memory(self):
        server, scheduler, worker = self.server(), self.scheduler(), self.worker()
        no_memory = mock.Mock(side_effect=RuntimeError("CUDA out of memory"))
        with mock.patch.object(device_memory.tensors, "MappedMemory", no_memory), self.no_thread_fails():
            with self.assertLogs("vllm.vitgraph", "INFO") as log:
                for key in ("a", "b"):
                    _, metadata = self.promise(scheduler, key)
                    self.assertEqual(list(self.run_worker(worker, metadata)), [key])
                until(lambda: not worker._memory._thread.is_alive())
        self.assertIn("rows come through shared memory: CUDA out of memory", log.output[-1])
        self.assertIsNone(server.memory)

    def test_a_copy_that_the_device_fails_ends_mapped_memory_but_not_what_is_promised_in_it(self):
        server, scheduler, worker = self.server(), self.scheduler(), self.worker()
        with mock.patch.multiple(device_memory, CHECK_CONNECTION_S=0.02, RETRY_AFTER_S=0.02, UNMAP_AFTER_S=2):
            self.map(server, scheduler, worker)
            _, failing = self.promise(scheduler, "a")
            _, promised = self.promise(scheduler, "b", "s")
            failed = mock.Mock(side_effect=RuntimeError("CUDA error: an illegal memory access"))
            with mock.patch.object(FileMemory, "copied", types.SimpleNamespace(wait=failed)), self.no_thread_fails():
                with self.assertLogs("vllm.vitgraph", "INFO") as log:
                    self.run_worker(worker, failing)
                    until(lambda: log.output)
                self.assertIn("the GPU failed a copy of rows, and rows come through shared memory: CUDA", log.output[-1])
                self.assertEqual(server.released, [])
                time.sleep(0.1)
                self.assertEqual(self.run_worker(worker, promised), {"b": bytes([3]) * TOKENS * 16 * 2})

                def broken(memory):
                    memory._file.close()
                    raise RuntimeError("CUDA error")

                with mock.patch.object(FileMemory, "close", broken):
                    until(lambda: not worker._memory._thread.is_alive())
            self.assertEqual(len(server.maps), 1)
        # vitgraph takes the memory back with the connection.
        server.memory = None
        _, metadata = self.promise(scheduler, "c", "t")
        self.assertEqual(list(self.run_worker(worker, metadata)), ["c"])
        FileMemory.mapped.clear()

    def test_mapped_memory_outlives_a_killed_server_and_that_of_a_new_one_takes_its_place(self):
        with mock.patch.multiple(device_memory, CHECK_CONNECTION_S=0.02, RETRY_AFTER_S=0.02, UNMAP_AFTER_S=2):
            server, scheduler, worker = self.server(), self.scheduler(), self.worker()
            self.map(server, scheduler, worker)
            request, metadata = self.promise(scheduler, "a")
            server.kill()
            os.unlink(server.handle)
            self.assertEqual(self.run_worker(worker, metadata), {"a": bytes([2]) * TOKENS * 16 * 2})
            scheduler.request_finished(request)
            again = self.server()
            until(lambda: again.memory is not None)
            self.assertEqual(len(FileMemory.mapped), 2)
            until(lambda: len(FileMemory.mapped) == 1)
            time.sleep(1.1)
            _, metadata = self.promise(scheduler, "b", "s")
            self.assertEqual(self.run_worker(worker, metadata), {"b": bytes([3]) * TOKENS * 16 * 2})
            worker.shutdown()
            self.assertEqual(FileMemory.mapped, [])

    def test_memory_is_not_mapped_where_it_is_not_wanted_or_several_workers_read(self):
        for more in ({"cuda_ipc": False}, {"workers": 2}):
            server, scheduler, worker = self.server(), self.scheduler(**more), self.worker(**more)
            _, metadata = self.promise(scheduler, "a")
            self.assertEqual(list(self.run_worker(worker, metadata)), ["a"])
            self.assertNotIn("engine", server.encodes[0][0])
            time.sleep(0.05)
            self.assertEqual(server.maps, [])
            server.kill()


@unittest.skipUnless(stubs.HAVE_TORCH, "torch is not installed")
class TensorTest(unittest.TestCase):
    def test_bfloat16_pixels_and_videos(self):
        import torch

        from vitgraph_vllm import tensors

        values = torch.arange(16, dtype=torch.bfloat16).reshape(8, 2)
        data = {"pixel_values_videos": values, "video_grid_thw": torch.tensor([[2, 2, 2]])}
        pixels = tensors.pixels_of(data)
        self.assertEqual((pixels.grid_thw, pixels.dtype), ((2, 2, 2), "bfloat16"))
        self.assertEqual(pixels.data, values.view(torch.uint8).numpy().tobytes())
        self.assertEqual(tensors.pixels_of({**data, "pixel_values_videos": values.half()}).dtype, "float32")
        self.assertIsNone(tensors.pixels_of({"input_features": values}))


if __name__ == "__main__":
    unittest.main()
