"""Saving a pipeline of blocks as a folder that diffusers loads it from."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree
from typing import Any

from quantlab.lab.load.blocks.files import INDEX
from quantlab.lab.load.blocks.pipeline import BlockPipeline, blocks_of

__all__ = ["save"]


def save(pipe: BlockPipeline, folder: Path) -> None:
    """Write all parts of ``pipe``, and an index that finds them in the folder itself.

    Processors are copied from where they were read: one that lacks its half for videos would not be
    stored whole.
    """
    whole = blocks_of(pipe.pipeline, pipe.left_out).init_pipeline()
    origins = {name: _origin(part) for name, part in pipe.extras.items()}
    others = {name: part for name, part in pipe.extras.items() if origins[name] is None}
    whole.update_components(**pipe.modules, **others)
    whole.save_pretrained(str(folder), overwrite_modular_index=True)
    index = folder / INDEX
    listed = json.loads(index.read_text(encoding="utf-8"))
    for name, origin in origins.items():
        if origin is not None:
            copytree(origin, folder / name)
            listed[name] = [*_class_of(listed[name]), listed[name][2]]
    for name, entry in listed.items():
        if isinstance(entry, list):
            entry[2] = {**entry[2], "pretrained_model_name_or_path": ".", "subfolder": name}
    index.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")


def _origin(part: Any) -> Path | None:
    """The folder that a processor or a tokenizer was read from."""
    tokenizer = getattr(part, "tokenizer", part)
    name = getattr(tokenizer, "name_or_path", "")
    return Path(name) if name and Path(name).is_dir() else None


def _class_of(entry: list[Any]) -> list[str]:
    """Library and class of a part that the pipeline itself does not hold."""
    library, cls, spec = entry
    return [library or spec["type_hint"][0], cls or spec["type_hint"][1]]
