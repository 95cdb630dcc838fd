"""Rows of vLLM's shared storage in transformers' own Qwen3-VL language model: the same tokens as with its own tower?

    vitgraph encode --model CHECKPOINT --vllm-ec-cache EC IMAGES/*.png
    python3 ec_cache.py CHECKPOINT IMAGES EC [--connector example_connector.py --base base.py]

CHECKPOINT holds the conversations, chat.json. Its own tower's output is rounded to bfloat16, as a file's rows are. With
--connector and --base, two files of vLLM's vllm/distributed/ec_transfer/ec_connector, the rows come through vLLM's
ECExampleConnector, which runs with the rest of vLLM stubbed: has_cache_item, update_state_after_alloc,
build_connector_meta, start_load_caches.
"""
import argparse
import hashlib
import importlib.util
import json
import pathlib
import sys
import types
from unittest import mock

import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import Qwen2VLImageProcessor
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLForConditionalGeneration

EC = "vllm.distributed.ec_transfer.ec_connector"


def stub(name: str, **attributes: object) -> types.ModuleType:
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        path = ".".join(parts[:end])
        if path not in sys.modules:
            sys.modules[path] = types.ModuleType(path)
            sys.modules[path].__path__ = []
    vars(sys.modules[name]).update(attributes)
    return sys.modules[name]


def load(name: str, path: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def example_connector(base: str, connector: str, storage: str) -> tuple[object, object]:
    """The scheduler's and the worker's connector of a consumer."""
    import safetensors.torch  # noqa: F401  the connector imports `safetensors` alone

    stub("vllm.config", VllmConfig=object)
    stub("vllm.logger", init_logger=lambda _name: mock.MagicMock())
    stub("vllm.v1.core.sched.output", SchedulerOutput=object)
    stub("vllm.v1.outputs", ECConnectorOutput=object)
    platform = types.SimpleNamespace(device_type="cpu", is_cuda_alike=lambda: False)
    stub("vllm.platforms", current_platform=platform)
    stub(f"{EC}.utils", PlaceholderMetadataResolver=mock.MagicMock, collect_ec_item_metadata=None)
    roles = load(f"{EC}.base", base).ECConnectorRole
    module = load(f"{EC}.example_connector", connector)
    transfer = types.SimpleNamespace(
        is_ec_producer=False,
        is_ec_consumer=True,
        get_from_extra_config=lambda name, default: {"shared_storage_path": storage}.get(name, default),
    )
    config = types.SimpleNamespace(ec_transfer_config=transfer, model_config=None)
    return tuple(module.ECExampleConnector(config, role) for role in (roles.SCHEDULER, roles.WORKER))


def connector_rows(scheduler: object, worker: object, keys: list[str], tokens: list[int]) -> dict[str, torch.Tensor]:
    """As vLLM's scheduler and worker call the connector in one step."""
    features = [types.SimpleNamespace(identifier=key) for key in keys]
    request = types.SimpleNamespace(mm_features=features, get_num_encoder_embeds=lambda index: tokens[index])
    for index, key in enumerate(keys):
        assert scheduler.has_cache_item(key), f"the connector does not find {key}"
        scheduler.update_state_after_alloc(request, index)
    worker.bind_connector_metadata(scheduler.build_connector_meta(None))
    encoder_cache: dict[str, torch.Tensor] = {}
    worker.start_load_caches(encoder_cache)
    worker.clear_connector_metadata()
    return encoder_cache


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("storage")
    parser.add_argument("--connector")
    parser.add_argument("--base")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    model = Qwen3VLForConditionalGeneration.from_pretrained(
        args.checkpoint, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    token = model.config.image_token_id
    hidden = model.config.text_config.hidden_size
    process = Qwen2VLImageProcessor(
        patch_size=16,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        size={"shortest_edge": 65536, "longest_edge": 16777216},
    )
    features = model.model.get_image_features
    connectors = args.connector and example_connector(args.base, args.connector, args.storage)
    failed = 0
    for conversation in json.loads((args.checkpoint / "chat.json").read_text()):
        if not conversation["images"]:
            continue
        paths = [(args.images / name).resolve() for name in conversation["images"]]
        keys = [hashlib.sha256(path.as_uri().encode()).hexdigest() for path in paths]
        inputs = process(images=[Image.open(path).convert("RGB") for path in paths], return_tensors="pt")
        grids = inputs["image_grid_thw"]
        counts = (grids.prod(-1) // 4).tolist()
        if connectors:
            cache = connector_rows(*connectors, keys, counts)
            rows = [cache[key] for key in keys]
        else:
            rows = [load_file(f"{args.storage}/{key}/encoder_cache.safetensors")["ec_cache"] for key in keys]
        assert [row.shape[0] for row in rows] == counts and all(row.dtype == torch.bfloat16 for row in rows)

        own = features(inputs["pixel_values"].float(), grids, return_dict=True)
        wide = torch.cat([torch.cat(list(own.pooler_output)), *own.deepstack_features], dim=1).bfloat16()
        stored = torch.cat(rows)
        error = float((stored.float() - wide.float()).norm() / wide.float().norm())

        def answer(values: torch.Tensor) -> list[int]:
            columns = values.float().split(hidden, dim=1)
            output = types.SimpleNamespace(
                pooler_output=columns[0].split(counts), deepstack_features=list(columns[1:])
            )
            model.model.get_image_features = lambda *_args, **_kwargs: output
            ids = torch.tensor([conversation["input_ids"]])
            made = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                mm_token_type_ids=(ids == token).int(),
                pixel_values=inputs["pixel_values"],
                image_grid_thw=grids,
                max_new_tokens=len(conversation["greedy"]),
                do_sample=False,
            )
            return made[0, ids.shape[1] :].tolist()

        same = answer(stored) == answer(wide)
        failed += not same
        # Rows of the wrong images must not pass.
        zero = answer(torch.zeros_like(stored)) == answer(wide)
        failed += zero
        names = ", ".join(conversation["images"])
        print(f"{names}: rows differ by {error:.1e} (relative L2), tokens {'equal' if same else 'DIFFER'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
