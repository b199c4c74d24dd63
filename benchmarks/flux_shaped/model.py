"""A pipeline with the shape of a listed model and random weights, in a folder, ready to load.

Built from the configs in data/, on the device, without a network: Linear weights are Gaussian with
the deviation of ``nn.Linear``'s own draw, 1/sqrt(3 * inputs), and biases zero; all else is what its
class starts with. Bytes and speed are those of the real weights. What it draws is noise.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.flux_shaped.files import save_shards
from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.own.headers import Folder
from quantlab.catalog.paths import OWN_MODELS
from quantlab.catalog.schema import Component, Model
from quantlab.catalog.sizes.shapes import config_of
from quantlab.catalog.sizes.weights import plain_bytes
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.lab.device import this_device
from quantlab.lab.libraries import resolve, torch
from quantlab.lab.own.describe import describe
from quantlab.words.comparison import Comparison

__all__ = ["MODELS", "Shaped", "shaped"]

PROMPT = "a fox"
SEED = 0
MEMORY_DISK = Path("/dev/shm")
ROOM_BYTES = 2**30
"""What a small pipeline is allowed for its folder."""

TOKENS = 64
"""Words that the small text encoders know."""
MINI_SIZE, MINI_SEQUENCE = 128, 32

_TRANSFORMER = {"num_attention_heads": 4, "attention_head_dim": 64}
_VAE = {"block_out_channels": [32, 32, 32, 32], "layers_per_block": 1}
MINI: dict[str, dict[str, dict[str, Any]]] = {
    "flux1-dev": {
        "transformer": _TRANSFORMER | {
            "num_layers": 2, "num_single_layers": 4, "axes_dims_rope": [16, 24, 24],
            "joint_attention_dim": 256, "pooled_projection_dim": 256,
        },
        "text_encoder": {
            "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4,
            "num_hidden_layers": 2, "projection_dim": 256, "vocab_size": TOKENS,
        },
        "text_encoder_2": {
            "d_model": 256, "d_ff": 512, "num_heads": 4, "num_layers": 2, "vocab_size": TOKENS,
        },
        "vae": _VAE,
    },
    "flux2-klein-4b": {
        "transformer": _TRANSFORMER | {
            "num_layers": 1, "num_single_layers": 2, "axes_dims_rope": [16, 16, 16, 16],
            "joint_attention_dim": 192, "in_channels": 32,
        },
        "text_encoder": {
            "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2,
            "num_key_value_heads": 1, "head_dim": 32, "num_hidden_layers": 28,
            "vocab_size": TOKENS,
        },
        "vae": _VAE | {"latent_channels": 8},
    },
}  # fmt: skip
"""What ``--scale mini`` makes smaller, by component. FLUX.2 reads 27 layers of its encoder."""

MODELS = tuple(MINI)


@dataclass(frozen=True)
class Shaped:
    """The pipeline as the catalogue knows it, and the one image that it is asked for."""

    model: Model
    catalog: Catalog
    comparison: Comparison


@contextmanager
def shaped(model_id: str, scale: str) -> Iterator[Shaped]:
    """Build the pipeline of ``model_id`` ("full" or "mini"), and remove it in the end."""
    known = load_catalog().models[model_id]
    small = MINI[model_id] if scale == "mini" else {}
    room = ROOM_BYTES if small else sum(plain_bytes(known, c.name, 2) for c in known.components)
    with tempfile.TemporaryDirectory(dir=_roomy(room), prefix="flux-shaped-") as name:
        folder = Path(name) / "pipeline"
        _write(known, small, folder)
        if small:
            with _described(folder, model_id, Path(name)) as own:
                yield _ready(own, MINI_SIZE, MINI_SEQUENCE)
        else:
            d = known.defaults
            yield _ready(replace(known, local=True, source=str(folder)), d.width, d.sequence_length)


def _roomy(needed: int) -> str:
    """A disk in memory where it has the room: reading is then no part of what is measured."""
    if MEMORY_DISK.is_dir() and shutil.disk_usage(MEMORY_DISK).free > 1.1 * needed:
        return str(MEMORY_DISK)
    return tempfile.gettempdir()


def _ready(model: Model, size: int, sequence_length: int) -> Shaped:
    """One step of one square image; no ready GGUF file is of these weights."""
    model = replace(model, base_dtype="bf16", gguf=())
    own = load_catalog()
    catalog = replace(own, models={**own.models, model.id: model})
    comparison = make_comparison(
        model=model.id, plans=["bf16"], prompt=PROMPT, seed=SEED, steps=1, width=size, height=size,
        sequence_length=sequence_length, catalog=catalog,
    )  # fmt: skip
    return Shaped(model, catalog, comparison)


@contextmanager
def _described(folder: Path, model_id: str, home: Path) -> Iterator[Model]:
    """The small pipeline as a model of one's own, so that its bytes are predicted like any."""
    listed = {model_id: load_catalog().models[model_id]}
    own = describe(
        Folder(folder), listed, name=f"{model_id}-mini", model_id=f"{model_id}-mini",
        source=str(folder), local=True, revision="",
    )  # fmt: skip
    path = home / f"{own.model.id}.json"
    path.write_text(own.as_json(), encoding="utf-8")
    before = os.environ.get(OWN_MODELS)
    os.environ[OWN_MODELS] = os.pathsep.join(filter(None, (before, str(path))))
    try:
        limits = replace(own.model.limits, min_size=MINI_SIZE, max_size=MINI_SIZE)
        yield replace(own.model, limits=limits)
    finally:
        if before is None:
            del os.environ[OWN_MODELS]
        else:
            os.environ[OWN_MODELS] = before


def _write(model: Model, small: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Build every component on the device and save the pipeline in shards."""
    device = this_device()
    parts: dict[str, Any] = {"scheduler": resolve("diffusers.FlowMatchEulerDiscreteScheduler")()}
    for index, component in enumerate(model.components):
        config = dict(config_of(component.shapes)) | dict(small.get(component.name, {}))
        parts[component.name] = _module(component, config, SEED + index, device.target)
        if component.name in model.family.encoders:
            parts[component.name.replace("text_encoder", "tokenizer")] = _tokenizer()
    if "is_distilled" in _settings(model):
        parts["is_distilled"] = True
    _save(resolve(f"diffusers.{model.pipeline}")(**parts), folder)
    del parts
    gc.collect()
    device.counters.release()


def _save(pipe: Any, folder: Path) -> None:
    """What ``save_pretrained`` writes, the weights by many threads."""
    pipe.save_config(folder)
    for name, part in pipe.components.items():
        if part is None:
            continue
        if not isinstance(part, torch().nn.Module):
            part.save_pretrained(folder / name)
        elif isinstance(part, resolve("diffusers.ModelMixin")):
            part.save_config(folder / name)
            save_shards(part, folder / name, "diffusion_pytorch_model")
        else:
            part.config.save_pretrained(folder / name)
            save_shards(part, folder / name, "model")


def _settings(model: Model) -> set[str]:
    """What the pipeline's class takes besides its parts."""
    cls = resolve(f"diffusers.{model.pipeline}")
    return set(cls._get_signature_keys(cls)[1])


def _module(component: Component, config: dict[str, Any], seed: int, target: str) -> Any:
    """A component in bf16 on the device, with random weights."""
    t = torch()
    cls = resolve(f"{component.library}.{component.cls}")
    before = t.get_default_dtype()
    t.set_default_dtype(t.bfloat16)
    try:
        with t.device(target):
            if component.library == "diffusers":
                module = cls.from_config(config)
            else:
                module = cls(cls.config_class(**config))
    finally:
        t.set_default_dtype(before)
    _draw(module, t.Generator(target).manual_seed(seed))
    return module.to(t.bfloat16)


def _draw(module: Any, generator: Any) -> None:
    """Gaussian Linear weights, N(0, 1/(3 * inputs)), and zero biases, in place."""
    t = torch()
    for layer in module.modules():
        if isinstance(layer, t.nn.Linear):
            t.nn.init.normal_(
                layer.weight, std=(3 * layer.in_features) ** -0.5, generator=generator
            )
            if layer.bias is not None:
                t.nn.init.zeros_(layer.bias)


def _tokenizer() -> Any:
    """A few words, as every text encoder here takes them."""
    words = {"<pad>": 0, "<unk>": 1, "a": 2, "fox": 3}
    tokens = resolve("tokenizers.Tokenizer")(
        resolve("tokenizers.models.WordLevel")(words, unk_token="<unk>")
    )
    tokens.pre_tokenizer = resolve("tokenizers.pre_tokenizers.Whitespace")()
    made = resolve("transformers.PreTrainedTokenizerFast")(
        tokenizer_object=tokens, unk_token="<unk>", pad_token="<pad>", model_max_length=77
    )
    made.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    return made
