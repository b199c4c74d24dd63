"""Draws a twin's weights and saves it in the hub's layout.

A twin is its parts by name and the class that holds them together; here nothing is known of any
family.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch

from tools.twins.encoders import WIDTH

__all__ = ["SEED", "Twin", "build"]

SEED = 0


@dataclass(frozen=True)
class Twin:
    """A pipeline before it is saved.

    ``parts`` are models, schedulers and tokenizers by component name; ``processors`` write the
    folder of a component whose class cannot be made here. ``settings`` are what the pipeline's
    class takes besides its parts. ``hints`` name the class of a part where the pipeline's index
    says another than the object's own, as (library, class).
    """

    pipeline: str
    parts: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    processors: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
    hints: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def modular(self) -> bool:
        """Whether the pipeline is one of blocks."""
        return self.pipeline.endswith("ModularPipeline")


def build(family: str, folder: Path, repo: str | None = None, width: int = WIDTH) -> None:
    """Make the twin of ``family`` and save it in ``folder``, which is emptied first.

    ``repo`` is what a modular index calls the place of the parts; the folder by default. Floats are
    stored in bf16, as the published pipelines mostly are. ``width`` is that of its streams, a
    multiple of 64.

    Raises:
        KeyError: an unknown family.
    """
    from tools.twins.families import FAMILIES

    torch.manual_seed(SEED)
    twin = FAMILIES[family](width)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for index, (name, part) in enumerate(twin.parts.items()):
        if isinstance(part, torch.nn.Module):
            draw(part, torch.Generator().manual_seed(SEED + index))
            torch.nn.Module.to(part, torch.bfloat16)  # diffusers' own warns of norms in fp32
        part.save_pretrained(folder / name)
    for name, write in twin.processors.items():
        write(folder / name)
    file = "modular_model_index.json" if twin.modular else "model_index.json"
    listed = _modular_index(twin, repo or str(folder)) if twin.modular else _index(twin)
    text = json.dumps(listed, indent=2) + "\n"
    (folder / file).write_text(text, encoding="utf-8")


def draw(module: torch.nn.Module, generator: torch.Generator) -> None:
    """Draw all parameters in place, so that nothing is zero that would hide what is before it.

    Weights of two and more dimensions N(0, 1/inputs), tokens and tables alike; weights of norms are
    1, biases 0 and other vectors N(0, 0.1).
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                inputs = parameter[0].numel()
                parameter.normal_(std=inputs**-0.5, generator=generator)
            elif name.endswith("bias"):
                parameter.zero_()
            elif name.endswith(("weight", "gamma", "scale")):
                parameter.fill_(1.0)
            else:
                parameter.normal_(std=0.1**0.5, generator=generator)


def _hint(twin: Twin, name: str) -> tuple[str, str]:
    if name in twin.hints:
        return twin.hints[name]
    cls = type(twin.parts[name])
    return cls.__module__.partition(".")[0], cls.__name__


def _index(twin: Twin) -> dict[str, Any]:
    """model_index.json: every part that the class takes, [null, null] where there is none."""
    cls = getattr(diffusers, twin.pipeline)
    expected, _ = cls._get_signature_keys(cls)
    names = dict.fromkeys([*twin.parts, *twin.processors])
    missing = sorted(name for name in expected if name not in names)
    return {
        "_class_name": twin.pipeline,
        "_diffusers_version": diffusers.__version__,
        **{name: list(_hint(twin, name)) for name in sorted(names)},
        **{name: [None, None] for name in missing},
        **twin.settings,
    }


def _modular_index(twin: Twin, repo: str) -> dict[str, Any]:
    """modular_model_index.json: where each part is loaded from."""
    cls = getattr(diffusers, twin.pipeline)
    blocks = getattr(diffusers, cls.default_blocks_name)
    entries = {}
    for name in [*twin.parts, *twin.processors]:
        library, kind = _hint(twin, name)
        place = {"pretrained_model_name_or_path": repo, "subfolder": name}
        spec = {"type_hint": [library, kind], **place, "variant": None, "revision": None}
        entries[name] = [library, kind, spec]
    return {
        "_class_name": twin.pipeline,
        "_blocks_class_name": blocks.__name__,
        "_diffusers_version": diffusers.__version__,
        **entries,
        **twin.settings,
    }
