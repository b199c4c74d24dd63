"""Which LoRA a comparison carries: its name and weight, checked without looking at any file.

A name is one of those listed for the model in data/models, that of a folder which was named at
the start (``lab.lora.file.admit_lora``), or ``owner/name`` on the hub, with ``@revision`` and
``:FILE.safetensors`` behind it where it needs them. No path comes from a link or a request.
"""

from __future__ import annotations

import os

from quantlab.catalog.paths import own_loras
from quantlab.catalog.schema import Model
from quantlab.errors import InputError
from quantlab.words.lora import MAX_WEIGHT, Lora, hub_parts
from quantlab.words.numbers import finite_number, show

__all__ = ["check_lora", "lora_names"]

_MAX_NAME = 200


def check_lora(name: object, weight: object, model: Model) -> Lora | None:
    """The LoRA of that name; None where no name is given. A weight of None is 1.

    Raises:
        InputError: there is no such LoRA here, or the weight is none.
    """
    if name is None or name == "":
        if weight is not None:
            raise InputError("lora-weight", "goes with a LoRA; none is named")
        return None
    if not isinstance(name, str) or len(name) > _MAX_NAME or not _known(name, model):
        raise InputError("lora", _unknown(name, model))
    return Lora(name, _weight(1.0 if weight is None else weight))


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


def _weight(value: object) -> float:
    number = finite_number(value)
    if number is None or not 0 < abs(number) <= MAX_WEIGHT:
        raise InputError(
            "lora-weight",
            f"{show(value)}; -{MAX_WEIGHT:g} to {MAX_WEIGHT:g} are allowed, without 0, which would "
            f"be no LoRA at all",
        )
    return float(number)
