"""torch tensors to bytes, and rows to tensors from shared memory or mapped GPU memory: the one module that needs torch."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import torch

from vitgraph_vllm.client import Pixels, Rows

_FIELDS = (("pixel_values", "image_grid_thw"), ("pixel_values_videos", "video_grid_thw"))
_DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def pixels_of(data: dict[str, Any]) -> Pixels | None:
    """The pixel values of one image or video from vLLM's processor; None if vitgraph does not support them."""
    for values_name, grid_name in _FIELDS:
        values, grid = data.get(values_name), data.get(grid_name)
        if not isinstance(values, torch.Tensor) or not isinstance(grid, torch.Tensor):
            continue
        grid = grid.flatten().tolist()
        if values.dim() != 2 or len(grid) != 3:
            return None
        if values.dtype not in _DTYPES:
            values = values.float()
        values = values.detach().cpu().contiguous()
        return Pixels(tuple(grid), _DTYPES[values.dtype], values.view(torch.uint8).numpy().tobytes())
    return None


def load_rows(rows: Rows, device: Any) -> torch.Tensor:
    """Copies rows to the device: bf16 [tokens, columns]."""
    with open(rows.path, "rb") as file:
        # Mapped copy-on-write, since torch warns about read-only memory.
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    tensor = torch.frombuffer(memory, dtype=torch.bfloat16).reshape(rows.tokens, rows.columns)
    return tensor.to(device, copy=True)


class CudaError(Exception):
    pass


class _IpcMemHandle(ctypes.Structure):
    """CUipcMemHandle; cudaIpcMemHandle_t has the same layout."""

    _fields_ = (("reserved", ctypes.c_ubyte * 64),)


_LAZY_ENABLE_PEER_ACCESS = 1


class MappedMemory:
    """GPU memory of another process, mapped into this one. The other process may end first."""

    def __init__(self, handle: bytes, size: int, device: str) -> None:
        """
        Args:
            handle: CUDA IPC handle of 64 bytes.
            size: bytes of the memory.
            device: "cuda:0".

        Raises:
            CudaError: it cannot be mapped.
        """
        if len(handle) != ctypes.sizeof(_IpcMemHandle):
            raise CudaError(f"an IPC handle has {len(handle)} bytes")
        with torch.cuda.device(device):
            # Makes the device's context current in this thread.
            torch.zeros(1, device=device)
            self._address = ctypes.c_uint64()
            opened = _IpcMemHandle.from_buffer_copy(handle)
            _driver("cuIpcOpenMemHandle_v2", ctypes.byref(self._address), opened, _LAZY_ENABLE_PEER_ACCESS)
        self._device = device
        self.__cuda_array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (self._address.value, False),
            "version": 3,
        }
        self._bytes = torch.as_tensor(self, device=device)

    def copy(self, offset: int, tokens: int, columns: int) -> tuple[torch.Tensor, torch.cuda.Event]:
        """Copies rows on the current stream: bf16 [tokens, columns], and an event at the end of the copy."""
        rows = self._bytes[offset : offset + tokens * columns * 2].view(torch.bfloat16)
        tensor = rows.reshape(tokens, columns).clone()
        copied = torch.cuda.Event(blocking=True)
        copied.record(torch.cuda.current_stream(self._device))
        return tensor, copied

    def close(self) -> None:
        """Unmaps the memory. All copies must have ended."""
        del self._bytes
        with torch.cuda.device(self._device):
            _driver("cuIpcCloseMemHandle", self._address)


def pci_bus_id(device: str) -> str:
    """The same for a GPU in every process. Raises: CudaError: the device is not a CUDA device."""
    text = ctypes.create_string_buffer(32)
    _driver("cuDeviceGetPCIBusId", text, len(text), torch.device(device).index)
    return text.value.decode()


def _driver(name: str, *args: Any) -> None:
    try:
        status = getattr(ctypes.CDLL("libcuda.so.1"), name)(*args)
    except (OSError, AttributeError) as error:
        raise CudaError(f"{name} is not available: {error}") from error
    if status != 0:
        raise CudaError(f"{name} failed with CUDA error {status}")
