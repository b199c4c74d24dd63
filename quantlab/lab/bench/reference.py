"""What the first plan of a comparison leaves behind, for the others to be held against."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import whole_file
from quantlab.lab.bench.fidelity import relative_l2
from quantlab.lab.bench.run import FirstStep, forward
from quantlab.lab.libraries import resolve, torch
from quantlab.lab.load.keys import Key
from quantlab.lab.load.pool import LoadedPlan
from quantlab.words.outcome import NoiseFloor

__all__ = ["Reference", "encoders_of"]


@dataclass(frozen=True)
class Reference:
    """Its image as uint8 (height, width, 3), its first step, its text encoders and noise floor."""

    pixels: Any
    first: FirstStep
    encoders: tuple[Key, ...]
    compiled: bool
    floor: NoiseFloor | None

    def save(self, path: Path) -> None:
        """Keep it for other processes, whole or not at all.

        Tensors and plain values only, so that reading it back runs no code.
        """
        content = {
            "pixels": resolve("torch.from_numpy")(self.pixels.copy()),
            "first": {f.name: getattr(self.first, f.name) for f in fields(self.first)},
            "encoders": [asdict(key) for key in self.encoders],
            "compiled": self.compiled,
            "floor": asdict(self.floor) if self.floor else None,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            torch().save(content, part)

    @classmethod
    def read(cls, path: Path) -> Reference | None:
        """What ``save`` kept, or None where the first plan failed."""
        if not path.exists():
            return None
        content = torch().load(path, weights_only=True)
        floor = content.get("floor")  # files of earlier versions have neither this nor a mode
        return cls(
            pixels=content["pixels"].numpy(),
            first=FirstStep(**content["first"]),
            encoders=tuple(Key(**values) for values in content["encoders"]),
            compiled=content.get("compiled", False),
            floor=NoiseFloor(**floor) if floor else None,
        )

    def distance(self, first: FirstStep, loaded: LoadedPlan, dtype: Any) -> float:
        """Relative L2 of the denoiser's output for one identical step.

        With the same text encoders the first step's inputs are identical already; else the
        denoiser is run once more on the reference's inputs.
        """
        if encoders_of(loaded) == self.encoders:
            output = first.output
        else:
            output = forward(loaded.denoiser, self.first, dtype, loaded.device.target)
        return relative_l2(output, self.first.output)


def encoders_of(loaded: LoadedPlan) -> tuple[Key, ...]:
    """What the text encoders of a plan are: equal where their embeddings are."""
    return tuple(loaded.keys[name] for name in loaded.encoders)
