"""What the connector imports of vLLM, and torch where it is not installed, for tests without either."""

import contextlib
import enum
import importlib.util
import os
import pathlib
import sys
import threading
import types
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "src"))
HAVE_TORCH = importlib.util.find_spec("torch") is not None


def module(name: str, **attributes: object) -> None:
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        path = ".".join(parts[:end])
        if path not in sys.modules:
            sys.modules[path] = types.ModuleType(path)
            sys.modules[path].__path__ = []
    vars(sys.modules[name]).update(attributes)


class ECConnectorRole(enum.Enum):
    SCHEDULER = 0
    WORKER = 1


class ECConnectorMetadata:
    pass


class ECConnectorBase:
    """As in vLLM, of what the connector uses."""

    def __init__(self, vllm_config, role):
        self._connector_metadata = None
        self._role = role
        self._is_producer = vllm_config.ec_transfer_config.is_ec_producer

    @property
    def is_producer(self):
        return self._is_producer

    def bind_connector_metadata(self, connector_metadata):
        self._connector_metadata = connector_metadata

    def _get_connector_metadata(self):
        assert self._connector_metadata is not None
        return self._connector_metadata


module(
    "vllm.distributed.ec_transfer.ec_connector.base",
    ECConnectorBase=ECConnectorBase,
    ECConnectorMetadata=ECConnectorMetadata,
    ECConnectorRole=ECConnectorRole,
)
module(
    "vllm.platforms",
    current_platform=types.SimpleNamespace(
        device_type="cpu", is_cuda_alike=lambda: False, current_device=lambda: 0
    ),
)

if not HAVE_TORCH:
    tensors = sys.modules["vitgraph_vllm.tensors"] = types.ModuleType("vitgraph_vllm.tensors")

    def pixels_of(data):
        from vitgraph_vllm.client import Pixels

        return Pixels(data["image_grid_thw"], "float32", data["pixel_values"]) if "pixel_values" in data else None

    def load_rows(rows, device):
        data = pathlib.Path(rows.path).read_bytes()
        assert len(data) == rows.tokens * rows.columns * 2
        return data

    tensors.pixels_of, tensors.load_rows = pixels_of, load_rows
    tensors.CudaError = type("CudaError", (Exception,), {})


class FileMemory:
    """Exported GPU memory as a file, whose path is the handle."""

    mapped = []
    copied = threading.Event()
    """Set when the device has done its copies."""

    def __init__(self, handle, size, device):
        from vitgraph_vllm import tensors

        assert len(handle) == 64 and device == "cuda:0"
        try:
            self._file = open(handle.rstrip(b"\0").decode(), "rb")
        except OSError as error:
            raise tensors.CudaError(str(error)) from error
        self.mapped.append(self)

    def copy(self, offset, tokens, columns):
        data = os.pread(self._file.fileno(), tokens * columns * 2, offset)
        assert len(data) == tokens * columns * 2
        copied = types.SimpleNamespace(synchronize=self.copied.wait)
        if not HAVE_TORCH:
            return data, copied
        import torch

        return torch.frombuffer(bytearray(data), dtype=torch.bfloat16).reshape(tokens, columns), copied

    def close(self):
        self._file.close()
        self.mapped.remove(self)


GPU = "0000:01:00.0"


@contextlib.contextmanager
def fake_cuda():
    """vLLM on a GPU whose memory is files."""
    from vllm.platforms import current_platform

    from vitgraph_vllm import tensors

    FileMemory.mapped.clear()
    FileMemory.copied.set()
    load = tensors.load_rows
    with contextlib.ExitStack() as stack:
        patch = mock.patch.multiple(
            tensors,
            create=True,
            MappedMemory=FileMemory,
            pci_bus_id=lambda device: GPU,
            load_rows=lambda rows, device: load(rows, "cpu"),
        )
        stack.enter_context(patch)
        stack.enter_context(mock.patch.object(current_platform, "device_type", "cuda"))
        stack.enter_context(mock.patch.object(current_platform, "is_cuda_alike", lambda: True))
        yield


def image(grid, values):
    """Processed data of one image. `values` are the bytes of its pixel values, f32."""
    if not HAVE_TORCH:
        return {"image_grid_thw": grid, "pixel_values": values}
    import torch

    rows = grid[0] * grid[1] * grid[2]
    pixels = torch.frombuffer(bytearray(values), dtype=torch.float32).reshape(rows, -1)
    return {"image_grid_thw": torch.tensor(grid), "pixel_values": pixels}


def row_bytes(loaded):
    """Bytes of what a worker loaded."""
    if not HAVE_TORCH:
        return loaded
    import torch

    return loaded.view(torch.uint8).numpy().tobytes()


def config(socket, *, role="ec_consumer", columns=8, levels=1, model_type="qwen3_vl", workers=1, **extra):
    extra = {"socket": socket, **extra}
    transfer = types.SimpleNamespace(
        is_ec_producer=role != "ec_consumer",
        engine_id="engine",
        get_from_extra_config=lambda name, default: extra.get(name, default),
    )
    hf = types.SimpleNamespace(
        model_type=model_type,
        text_config=types.SimpleNamespace(hidden_size=columns),
        vision_config=types.SimpleNamespace(deepstack_visual_indexes=list(range(levels))),
    )
    return types.SimpleNamespace(
        ec_transfer_config=transfer,
        model_config=types.SimpleNamespace(hf_config=hf),
        parallel_config=types.SimpleNamespace(world_size=workers, data_parallel_rank=0),
    )


class Request:
    def __init__(self, request_id, items, tokens):
        """`items`: the data of each key; None where vLLM's processor cache has it."""
        self.request_id = request_id
        self._tokens = tokens
        self.mm_features = [
            types.SimpleNamespace(
                identifier=key,
                mm_position=types.SimpleNamespace(offset=10 * index, length=10),
                data=None if data is None else types.SimpleNamespace(get_data=lambda data=data: data),
            )
            for index, (key, data) in enumerate(items.items())
        ]

    def get_num_encoder_embeds(self, index):
        return self._tokens
