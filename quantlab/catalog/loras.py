"""Which LoRA a comparison carries: its name, checked without looking at any file.

A name is one of those listed for the model in data/models, that of a folder which was named at
the start (``lab.lora.file.admit_lora``), or ``owner/name`` on the hub, with ``@revision`` and
``:FILE.safetensors`` behind it where it needs them. No path comes from a link or a request.
"""

from __future__ import annotations

import os

from quantlab.catalog.paths import own_loras
from quantlab.catalog.schema import Model
from quantlab.errors import InputError
from quantlab.words.lora import hub_parts
from quantlab.words.numbers import show
from quantlab.words.settings import setting

__all__ = ["check_lora", "lora_names"]

_MAX_NAME = setting("lora").longest


def check_lora(name: object, model: Model) -> str:
    """``name`` where it is that of a LoRA that ``model`` can carry.

    Raises:
        InputError: there is no such LoRA here.
    """
    if not isinstance(name, str) or len(name) > _MAX_NAME or not _known(name, model):
        raise InputError("lora", _unknown(name, model))
    return name


def lora_names(model: Model) -> tuple[str, ...]:
    """The LoRAs that can be named for ``model`` beside those of the hub."""
    return (*model.loras, *own_loras())


def _known(name: str, model: Model) -> bool:
    if name in lora_names(model):
        return True
    return not os.environ.get("SPACE_ID") and hub_parts(name) is not None


def _unknown(name: object, model: Model) -> str:
    shown = show(name)
    names = ", ".join(lora_names(model)) or "none"
    if os.environ.get("SPACE_ID"):
        return f"{shown} is not listed; a Space takes only those that are: {names}"
    return (
        f"unknown LoRA {shown}; known for {model.name}: {names}, or owner/name on the hub. A "
        f"folder is named at the start with --lora, never by a link or a request"
    )
