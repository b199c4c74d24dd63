"""A comparison: a model, what is asked of it, and an ordered list of plans.

Made by catalog/comparison.py, which checks every part against the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quantlab.words.lora import Lora
from quantlab.words.plan import Plan
from quantlab.words.settings import SETTINGS, Value

__all__ = ["MAX_PLANS", "SHIPPED", "Comparison"]

MAX_PLANS = 6
SHIPPED = "flux-mini"
"""The id of the model that ships: compared where nobody names another, and measured on."""


@dataclass(frozen=True)
class Comparison:
    """A model, the values of its settings and an ordered list of plans; the first is the reference.

    ``settings`` are pairs of a key and its value, in the order of ``SETTINGS``; an optional setting
    that is not given is not among them. Where a LoRA is named, every plan carries it, the reference
    too.
    """

    model: str
    plans: tuple[Plan, ...]
    settings: tuple[tuple[str, Value], ...]

    @classmethod
    def of(cls, model: str, plans: tuple[Plan, ...], values: Mapping[str, Value]) -> Comparison:
        """The comparison with these values of settings by key; nothing is checked.

        What is not known here, such as a setting of a later version, stands at the end.
        """
        order = [row.key for row in SETTINGS if row.key in values]
        order += [key for key in values if key not in order]
        return cls(model, plans, tuple((key, values[key]) for key in order))

    def changed(
        self, *, plans: tuple[Plan, ...] | None = None, **values: Value | None
    ) -> Comparison:
        """The same with other plans or values; None takes an optional setting away."""
        merged = {**dict(self.settings), **values}
        kept = {key: value for key, value in merged.items() if value is not None}
        return Comparison.of(self.model, self.plans if plans is None else plans, kept)

    def get(self, key: str) -> Value | None:
        """The value of a setting, or None where it is not given."""
        return dict(self.settings).get(key)

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values, with the plans as texts and the keys of the command line."""
        plans = [str(plan) for plan in self.plans]
        return {"model": self.model, "plans": plans, **dict(self.settings)}

    @property
    def carried(self) -> Lora | None:
        """The LoRA that every plan carries, or None."""
        return None if self.lora is None else Lora(self.lora, self.lora_weight)

    @property
    def prompt(self) -> str:
        """What is drawn."""
        return str(self._known("prompt"))

    @property
    def seed(self) -> int:
        """Of the noise that the image starts from."""
        return int(self._known("seed"))

    @property
    def steps(self) -> int:
        """Denoising steps."""
        return int(self._known("steps"))

    @property
    def guidance(self) -> float:
        """The guidance scale."""
        return float(self._known("guidance"))

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self._known("width"))

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self._known("height"))

    @property
    def sequence_length(self) -> int:
        """Tokens that the text encoder gives to the denoiser."""
        return int(self._known("sequence_length"))

    @property
    def frames(self) -> int | None:
        """Of a video; None where it is a picture."""
        frames = self.get("frames")
        return None if frames is None else int(frames)

    @property
    def true_cfg_scale(self) -> float | None:
        """The scale of true guidance beside the embedded one, where it is asked for."""
        scale = self.get("true_cfg_scale")
        return None if scale is None else float(scale)

    @property
    def references(self) -> tuple[str, ...]:
        """Digests of the pictures to go by."""
        named = self.get("reference")
        return () if named is None else tuple(str(named).split(","))

    @property
    def vae_tiling(self) -> bool:
        """Whether the picture is decoded in tiles."""
        return self.get("vae_tiling") is True

    @property
    def vae_slicing(self) -> bool:
        """Whether the pictures of a batch are decoded one after the other."""
        return self.get("vae_slicing") is True

    @property
    def lora(self) -> str | None:
        """The name of the LoRA, or None."""
        name = self.get("lora")
        return None if name is None else str(name)

    @property
    def lora_weight(self) -> float:
        """How strongly it acts; 1 where there is none."""
        weight = self.get("lora_weight")
        return 1.0 if weight is None else float(weight)

    def _known(self, key: str) -> Any:
        return dict(self.settings)[key]
