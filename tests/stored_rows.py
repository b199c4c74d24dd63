"""A comparison, and outcomes with real images, for the tests of the store."""

from __future__ import annotations

import os
from io import BytesIO

from PIL import Image

from quantlab.record.store.store import Store
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome
from quantlab.words.plan import Plan
from quantlab.words.settings import Value

__all__ = ["COMPARISON", "DEVICE", "NF4", "T5", "VERSIONS", "asked", "outcome", "png", "save"]

NF4 = Plan((("transformer", "bnb-nf4"),))
T5 = Plan((("transformer", "bnb-nf4"), ("text_encoder_2", "torchao-int8wo")), compiled=True)


def asked(
    plans: tuple[Plan, ...], prompt: str, size: tuple[int, int] = (128, 64), **more: Value
) -> Comparison:
    """A comparison of flux-mini, ``size`` in pixels, whose plans and settings nobody checks."""
    fixed = {"seed": 1, "steps": 8, "guidance": 3.5, "sequence_length": 32}
    values = {"prompt": prompt, "width": size[0], "height": size[1], **fixed, **more}
    return Comparison.of("flux-mini", plans, values)


COMPARISON = asked((Plan(dtype="fp32"), NF4), "fox")
DEVICE = {"kind": "cpu", "name": "a laptop", "threads": 2}
VERSIONS = {"torch": "2.13.0", "diffusers": "0.42.1"}


def png(size: int = 8, noise: int = 0) -> bytes:
    """A real PNG; ``noise`` bytes of a comment chunk make it as large as a test needs."""
    data = BytesIO()
    Image.new("RGB", (size, size), (200, 80, 20)).save(data, "PNG")
    whole = data.getvalue()
    padding = noise.to_bytes(4, "big") + b"tEXt" + os.urandom(noise) + b"\0\0\0\0"
    return whole[:33] + padding + whole[33:] if noise else whole


def outcome(plan: Plan = NF4, **changes: object) -> Outcome:
    values = {
        "plan": str(plan),
        "status": "ok",
        "way": "library",
        "image": "/tmp/somewhere/1.png",
        "weights_bytes": {"transformer": 1_000_000, "text_encoder": 2_000, "vae": 3},
        "peak_bytes": 123_456_789,
        "peak_kind": "rss",
        "load_s": 0.5,
        "latency_s": (1.5, 1.25),
        "scores": {"psnr_db": 31.25, "ssim": 0.1 + 0.2},
        "notes": ("loaded by the library",),
    }
    return Outcome(**{**values, **changes})  # type: ignore[arg-type]


def save(store: Store, comparison: Comparison = COMPARISON, index: int = 1, noise: int = 0) -> str:
    plan = comparison.plans[index]
    found = store.save(comparison, index, outcome(plan), png(noise=noise), DEVICE, VERSIONS)
    assert found is not None
    return found
