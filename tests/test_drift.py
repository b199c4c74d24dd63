"""What tuning ranks layers by, and how a mix makes good what it takes from the mean: on weights
small enough to see."""

from __future__ import annotations

from pathlib import Path as Folder
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from quantlab.catalog.comparison import make_comparison
from quantlab.lab.bench.run import FirstStep
from quantlab.lab.tune.steps import Path, distances, drifts, inputs_of
from quantlab.lab.ways.gguf import write_gguf
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


def test_inputs_are_told_by_mean_and_spread() -> None:
    layer = torch.nn.Linear(2, 1)
    steps = tuple(FirstStep({"input": torch.tensor([[1.0, x]])}, torch.ones(1, 1)) for x in (-2, 2))
    one = Path(path().comparison, steps, (0.5, 0.5), np.zeros((8, 8, 3), dtype=np.uint8))
    found = inputs_of(torch.nn.Sequential(layer), [one], torch.float32, DEVICE)["0"]
    assert found.mean.tolist() == [1, 0]
    assert found.square.tolist() == [1, 4]
    assert found.spread[1] == 4
    assert 0 < found.spread[0] < 1e-3  # it never changed, and still counts a little


@pytest.mark.parametrize("kind", ["Q2_K", "IQ4_XS", "Q8_0"])
def test_a_bias_makes_good_what_rounding_takes_from_the_mean_output(
    kind: str, tmp_path: Folder
) -> None:
    torch.manual_seed(0)
    weight, bias, mean = torch.randn(8, 256), torch.randn(8), torch.randn(256) + 1
    save_file({"a.bias": bias, "a.weight": weight, "b.bias": bias + 1}, tmp_path / "w.safetensors")
    save_file({"a.weight": torch.ones(256), "a.bias": mean}, tmp_path / "matters")
    off = {}
    for name in ("", "matters"):
        importance = str(tmp_path / name) if name else ""
        write_gguf(str(tmp_path), str(tmp_path / "x.gguf"), "F32", {"a.weight": kind}, importance)
        held = {t.name: t for t in gguf.GGUFReader(tmp_path / "x.gguf").tensors}
        rounded = gguf.quants.dequantize(held["a.weight"].data, held["a.weight"].tensor_type)
        output = rounded @ mean.numpy() + held["a.bias"].data
        off[name] = float(np.abs(output - (weight @ mean + bias).numpy()).max())
        assert held["b.bias"].data.tolist() == (bias + 1).tolist()
    assert off["matters"] < 1e-4 < off[""]
