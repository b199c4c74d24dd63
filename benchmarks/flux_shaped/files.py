"""Weights from a device to a folder as fast as memory takes them: files written by many threads.

``save_pretrained`` copies and writes tensor after tensor, which for a full FLUX takes minutes. The
layout is that of safetensors (https://huggingface.co/docs/safetensors, "Format"): 8 bytes with the
length of a JSON header, the header, the bytes of the tensors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from quantlab.lab.libraries import torch

__all__ = ["save_shards"]

SHARD_BYTES = 5_000_000_000
THREADS = 8
NAMES = {"bfloat16": "BF16", "float32": "F32", "float16": "F16", "int64": "I64", "bool": "BOOL"}


def save_shards(module: Any, folder: Path, stem: str) -> None:
    """Write the weights of ``module`` to ``folder``, in shards with an index; tied ones once.

    ``stem`` is "model" or "diffusion_pytorch_model", as ``from_pretrained`` of its library has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = list(_shards(module))
    where: dict[str, str] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        waiting = []
        for index, shard in enumerate(shards):
            name = f"{stem}-{index + 1:05}-of-{len(shards):05}.safetensors"
            where |= dict.fromkeys(shard, name)
            waiting += [pool.submit(*each) for each in _writes(folder / name, shard)]
        for each in waiting:
            each.result()
    total = sum(_bytes(tensor) for shard in shards for tensor in shard.values())
    text = json.dumps({"metadata": {"total_size": total}, "weight_map": where})
    (folder / f"{stem}.safetensors.index.json").write_text(text, encoding="utf-8")


def _shards(module: Any) -> Iterator[dict[str, Any]]:
    shard: dict[str, Any] = {}
    seen: set[int] = set()
    for name, tensor in module.state_dict().items():
        if tensor.data_ptr() in seen:
            continue
        seen.add(tensor.data_ptr())
        if shard and sum(map(_bytes, shard.values())) + _bytes(tensor) > SHARD_BYTES:
            yield shard
            shard = {}
        shard[name] = tensor
    yield shard


def _bytes(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())


def _writes(path: Path, shard: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Make the file with its header; what is left to call, once a tensor."""
    header: dict[str, Any] = {}
    at = 0
    for name, tensor in shard.items():
        kind = NAMES[str(tensor.dtype).removeprefix("torch.")]
        ends = at + _bytes(tensor)
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [at, ends]}
        at = ends
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    start = len(text) + 8
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, start + at)
    for name, tensor in shard.items():
        yield _put, path, start + header[name]["data_offsets"][0], tensor


def _put(path: Path, offset: int, tensor: Any) -> None:
    plain = tensor.detach().contiguous().reshape(-1).view(torch().uint8).cpu().numpy()
    with path.open("r+b", buffering=0) as file:
        done, view = 0, memoryview(plain)
        while done < len(view):
            done += os.pwrite(file.fileno(), view[done:], offset + done)
