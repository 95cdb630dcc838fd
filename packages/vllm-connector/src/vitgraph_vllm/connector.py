"""`VitgraphECConnector`: images that vLLM has processed are encoded by a local vitgraph server.

In the scheduler, `ensure_cache_available` sends a waiting request's pixels to vitgraph and lets the request wait. Once the
rows have arrived, `has_cache_item` returns true and the worker loads them. On any failure vLLM encodes the image with its own
tower. vLLM ends if a promised key is missing, so `has_cache_item` is only true for rows that are in shared memory, or in GPU
memory that the worker has mapped.

Written for vLLM's `ec_connector/base.py` of 2026. All methods accept further arguments, which later versions may pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vllm.distributed.ec_transfer.ec_connector.base import (
    ECConnectorBase,
    ECConnectorMetadata,
    ECConnectorRole,
)

from vitgraph_vllm import tensors
from vitgraph_vllm.client import PROTOCOL, Pending, Rows, VitgraphClient, logger
from vitgraph_vllm.device_memory import DeviceMemory

if TYPE_CHECKING:
    import torch
    from vllm.config import VllmConfig
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.request import Request

DEFAULT_TIMEOUT_S = 2.0


@dataclass
class VitgraphMetadata(ECConnectorMetadata):
    """Rows to load in this step, by key."""

    loads: dict[str, Rows] = field(default_factory=dict)


class VitgraphECConnector(ECConnectorBase):
    """
    `ec_connector_extra_config`:
        socket: path of `vitgraph serve --connector-socket`.
        timeout_s: seconds after which vLLM encodes an image itself. Default: 2.
        cuda_ipc: take rows in GPU memory where vitgraph runs on the same GPU. Default: true.
    """

    def __init__(self, vllm_config: VllmConfig, role: ECConnectorRole, *args: Any, **kwargs: Any) -> None:
        super().__init__(vllm_config, role)
        transfer = vllm_config.ec_transfer_config
        if self.is_producer:
            raise ValueError('VitgraphECConnector is a consumer alone: set "ec_role" to "ec_consumer"')
        path = transfer.get_from_extra_config("socket", None)
        timeout_s = float(transfer.get_from_extra_config("timeout_s", DEFAULT_TIMEOUT_S))
        if not path or timeout_s <= 0:
            raise ValueError(
                'set "socket" of ec_connector_extra_config to the path of vitgraph serve --connector-socket,'
                ' and "timeout_s", if at all, to a positive number'
            )
        cuda_ipc = transfer.get_from_extra_config("cuda_ipc", True)
        if not isinstance(cuda_ipc, bool):
            raise ValueError('set "cuda_ipc" of ec_connector_extra_config to true or false')
        self._path = path
        self._engine = _engine_name(vllm_config) if cuda_ipc else None
        self._memory: DeviceMemory | None = None
        self._client: VitgraphClient | None = None
        self._promised: dict[str, Rows] = {}
        """Rows that `has_cache_item` promised in this step. They stay valid even if the server ends meanwhile."""
        self._loads: dict[str, Rows] = {}
        self._users: dict[str, set[str]] = {}
        """vLLM's requests of each requested key."""
        if role is ECConnectorRole.SCHEDULER:
            self._model = _ModelFacts.of(vllm_config)
            self._client = VitgraphClient(path, timeout_s, self._problem_of, self._engine)

    def _problem_of(self, greeting: dict[str, Any]) -> str | None:
        model = self._model
        problem = None
        if greeting.get("protocol") != PROTOCOL:
            problem = f"it speaks protocol {greeting.get('protocol')}, not {PROTOCOL}: install the same versions"
        elif model.columns is not None and greeting.get("columns") != model.columns:
            problem = (
                f"its rows have {greeting.get('columns')} columns, and the model takes {model.columns}:"
                " serve the same model"
            )
        elif model.type is not None and greeting.get("model_type") != model.type:
            problem = f"it serves a {greeting.get('model_type')}, and vLLM a {model.type}: serve the same model"
        if problem is None:
            logger.info("connected to vitgraph, which serves %s", greeting.get("model"))
        return problem

    # In the scheduler.

    def ensure_cache_available(
        self,
        request: Request,
        num_computed_tokens: int,
        local_cache_hashes: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> bool:
        ready = True
        for index, feature in enumerate(request.mm_features):
            key = feature.identifier
            if local_cache_hashes is not None and key in local_cache_hashes:
                continue
            position = getattr(feature, "mm_position", None)
            if position is not None and position.offset + position.length <= num_computed_tokens:
                continue
            outcome = self._client.poll(key)
            if outcome is None:
                pixels = None if feature.data is None else tensors.pixels_of(feature.data.get_data())
                # vLLM's processor cache has the pixels, or the item is not an image.
                if pixels is None:
                    continue
                self._client.request(key, pixels)
                outcome = self._client.poll(key)
            self._users.setdefault(key, set()).add(request.request_id)
            if isinstance(outcome, Pending):
                ready = False
            elif isinstance(outcome, Rows):
                self._check_tokens(key, outcome, request.get_num_encoder_embeds(index))
        return ready

    def _check_tokens(self, key: str, rows: Rows, tokens: int) -> None:
        """Rejects rows that do not fit their placeholders, which would end vLLM."""
        if rows.tokens == tokens and self._model.columns in (None, rows.columns):
            return
        logger.error(
            "vitgraph made %d rows of %d columns where vLLM has %d placeholders of %s: vLLM encodes the image itself",
            rows.tokens,
            rows.columns,
            tokens,
            self._model.columns,
        )
        self._client.reject(key, "the rows do not fit")

    def has_cache_item(self, identifier: str, *args: Any, **kwargs: Any) -> bool:
        outcome = self._client.poll(identifier)
        if not isinstance(outcome, Rows):
            return False
        self._promised[identifier] = outcome
        return True

    def update_state_after_alloc(self, request: Request, index: int, *args: Any, **kwargs: Any) -> None:
        key = request.mm_features[index].identifier
        if key in self._promised:
            self._loads[key] = self._promised[key]

    def build_connector_meta(self, scheduler_output: SchedulerOutput, *args: Any, **kwargs: Any) -> VitgraphMetadata:
        loads, self._loads, self._promised = self._loads, {}, {}
        for key, rows in loads.items():
            self._client.hand_over(key, rows)
        return VitgraphMetadata(loads)

    def request_finished(self, request: Request, *args: Any, **kwargs: Any) -> tuple[bool, None]:
        for feature in request.mm_features:
            key = feature.identifier
            users = self._users.get(key)
            if users is None:
                continue
            users.discard(request.request_id)
            if not users:
                del self._users[key]
                self._client.forget(key)
        return False, None

    # In a worker.

    def start_load_caches(self, encoder_cache: dict[str, torch.Tensor], *args: Any, **kwargs: Any) -> None:
        metadata = self._get_connector_metadata()
        if not metadata.loads:
            return
        device = _current_device()
        if self._memory is None and self._engine is not None and device.startswith("cuda:"):
            # Started with the first rows: by then vLLM has chosen the worker's device, and vitgraph runs.
            self._memory = DeviceMemory(self._path, self._engine, device)
        for key, rows in metadata.loads.items():
            if key not in encoder_cache:
                encoder_cache[key] = tensors.load_rows(rows, device) if rows.slot is None else self._memory.load(rows)
            elif rows.slot is not None:
                self._memory.skip(rows)

    def save_caches(self, encoder_cache: dict[str, torch.Tensor], mm_hash: str, *args: Any, **kwargs: Any) -> None:
        """Does nothing: this connector only consumes."""

    def shutdown(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._memory is not None:
            self._memory.close()


@dataclass(frozen=True)
class _ModelFacts:
    """The rows that vLLM's model expects, as far as its config tells."""

    type: str | None
    columns: int | None

    @staticmethod
    def of(vllm_config: VllmConfig) -> _ModelFacts:
        config = getattr(vllm_config.model_config, "hf_config", None)
        text = getattr(config, "text_config", config)
        levels = getattr(getattr(config, "vision_config", None), "deepstack_visual_indexes", None) or ()
        hidden = getattr(text, "hidden_size", None)
        return _ModelFacts(
            type=getattr(config, "model_type", None),
            columns=None if hidden is None else hidden * (1 + len(levels)),
        )


def _engine_name(vllm_config: VllmConfig) -> str | None:
    """A name that is the same in the scheduler and the worker; None if several workers would read the same rows."""
    parallel = getattr(vllm_config, "parallel_config", None)
    engine = getattr(vllm_config.ec_transfer_config, "engine_id", None)
    if engine is None or getattr(parallel, "world_size", 1) != 1:
        return None
    return f"{engine}.{getattr(parallel, 'data_parallel_rank', 0)}"


def _current_device() -> str:
    from vllm.platforms import current_platform

    if current_platform.is_cuda_alike():
        return f"{current_platform.device_type}:{current_platform.current_device()}"
    return current_platform.device_type
