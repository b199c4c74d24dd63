"""What tuning ranks layers by: where steps lead, added up, on a denoiser small enough to see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from quantlab.catalog.comparison import make_comparison
from quantlab.lab.bench.run import FirstStep
from quantlab.lab.tune.steps import Path, distances, drifts
from tests.device import DEVICE

STEPS = (torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))


class Pushed(torch.nn.Module):
    """Gives what it gets, pushed by one vector when it is even and by another when it is odd."""

    def __init__(self, *pushes: list[float]) -> None:
        super().__init__()
        self.pushes, self.calls = [torch.tensor([push]) for push in pushes], 0

    def forward(self, value: Any) -> Any:
        push = self.pushes[self.calls % 2]
        self.calls += 1
        return (value + push,)


def path(*shares: float) -> Path:
    steps = tuple(FirstStep({"value": step}, step) for step in STEPS)
    comparison = make_comparison(plans=["fp32"], prompt="")
    return Path(comparison, steps, shares, np.zeros((8, 8, 3), dtype=np.uint8))


def far(measure: Any, denoiser: torch.nn.Module, *shares: float) -> float:
    (found,) = measure(denoiser, [path(*shares)], torch.float32, DEVICE)
    return float(found)


def test_errors_that_cancel_out_lead_nowhere_and_those_that_pull_alike_do() -> None:
    cancelling, alike = ([0.1, 0.0], [-0.1, 0.0]), ([0.1, 0.0], [0.1, 0.0])
    assert far(drifts, Pushed(*cancelling), 0.5, 0.5) == pytest.approx(0, abs=1e-6)
    assert far(drifts, Pushed(*alike), 0.5, 0.5) == pytest.approx(0.1 / 0.5**0.5, rel=1e-5)
    assert far(distances, Pushed(*cancelling), 0.5, 0.5) == pytest.approx(0.1, rel=1e-5)


def test_a_step_counts_for_as_much_of_the_way_as_it_goes() -> None:
    late = ([0.0, 0.0], [0.1, 0.0])
    little, much = (far(drifts, Pushed(*late), 1 - share, share) for share in (0.1, 0.9))
    assert much > 5 * little
