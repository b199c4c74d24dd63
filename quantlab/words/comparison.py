"""A comparison: a model, what is asked of it, and an ordered list of plans.

Made by catalog/comparison.py, which checks every part against the model.
"""

from __future__ import annotations

from dataclasses import dataclass

from quantlab.words.lora import Lora
from quantlab.words.plan import Plan

__all__ = ["MAX_PLANS", "MAX_PROMPT", "MAX_SEED", "Comparison"]

MAX_PLANS = 6
MAX_PROMPT = 1000
MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class Comparison:
    """Model, prompt, seed, steps, size and an ordered list of plans; the first is the reference.

    Where a LoRA is named, every plan carries it, the reference too.
    """

    model: str
    plans: tuple[Plan, ...]
    prompt: str
    seed: int
    steps: int
    guidance: float
    width: int
    height: int
    sequence_length: int
    lora: str | None = None
    lora_weight: float = 1.0

    @property
    def carried(self) -> Lora | None:
        """The LoRA that every plan carries, or None."""
        return None if self.lora is None else Lora(self.lora, self.lora_weight)

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values, with the plans as texts and the keys of the command line.

        Those of the LoRA are there only where one is named.
        """
        carried = {} if self.lora is None else {"lora": self.lora, "lora_weight": self.lora_weight}
        return {
            "model": self.model,
            "plans": [str(plan) for plan in self.plans],
            "prompt": self.prompt,
            "seed": self.seed,
            "steps": self.steps,
            "guidance": self.guidance,
            "width": self.width,
            "height": self.height,
            "sequence_length": self.sequence_length,
            **carried,
        }
