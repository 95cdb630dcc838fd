"""The connector under stubs of vLLM, and a scripted server: `python3 -m unittest` in this folder."""

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
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import stubs  # noqa: E402  before the connector, which imports vLLM
from stubs import ECConnectorRole, Request, config, image, row_bytes  # noqa: E402
from vitgraph_vllm import VitgraphECConnector  # noqa: E402
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
                elif message["op"] == "release":
                    self.released.append(message["path"])
                else:
                    self.encodes.append((message, payload))
                    threading.Thread(target=self._answer, args=(connection, message["id"]), daemon=True).start()
        except (OSError, ValueError):
            pass

    def _answer(self, connection, request_id):
        self.held.wait()
        if self.error is not None:
            send_frame(connection, {"id": request_id, "error": {"code": "VG_X", "message": self.error}})
            return
        path = os.path.join(self.directory, f"rows-{request_id}")
        with open(path, "wb") as file:
            file.write(bytes([request_id]) * (self.shape[0] * self.shape[1] * 2))
        send_frame(connection, {"id": request_id, "path": path, "shape": self.shape, "dtype": "bfloat16"})

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


def until(is_true, seconds=10):
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.005)


def picture(key="a"):
    return {key: image(GRID, PIXELS)}


class ConnectorTest(unittest.TestCase):
    def setUp(self):
        logging.getLogger("vllm.vitgraph").setLevel(logging.CRITICAL)
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "socket")

    def server(self, **hello):
        server = Server(self.folder.name, **hello)
        self.addCleanup(server.kill)
        return server

    def scheduler(self, **more):
        connector = VitgraphECConnector(config(self.path, **more), ECConnectorRole.SCHEDULER)
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
        # It travels to the workers as a pickle.
        metadata = pickle.loads(pickle.dumps(scheduler.build_connector_meta(None)))
        worker = VitgraphECConnector(config(self.path), ECConnectorRole.WORKER)
        worker.bind_connector_metadata(metadata)
        cache = {}
        worker.start_load_caches(cache)
        return {key: row_bytes(rows) for key, rows in cache.items()}

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
        scheduler = self.scheduler(timeout_s=30)
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

    def test_options_are_checked(self):
        for wrong in ({"role": "ec_both"}, {"role": "ec_producer"}, {"timeout_s": 0}):
            with self.assertRaises(ValueError):
                VitgraphECConnector(config(self.path, **wrong), ECConnectorRole.SCHEDULER)
        with self.assertRaisesRegex(ValueError, "--connector-socket"):
            VitgraphECConnector(config(None), ECConnectorRole.SCHEDULER)


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
