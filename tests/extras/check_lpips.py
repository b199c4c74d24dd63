"""LPIPS with its real library and small random weights in the place of AlexNet's."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from quantlab.lab.bench.fidelity import compare_images
from quantlab.lab.bench.lpips import FETCH, WEIGHTS, lpips, unmeasured


@pytest.fixture(scope="module")
def operators() -> torch.library.Library | None:
    """torchvision's own operators, of which LPIPS uses none, as far as its import asks for them.

    A package index has it built for the torch with CUDA; beside a torch for CPUs they do not load.
    """
    found = find_spec("torchvision")
    assert found is not None
    assert found.origin is not None
    try:
        torch.ops.load_library(str(next(Path(found.origin).parent.glob("_C*.so"))))
    except OSError:
        named = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            named.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return named
    return None


@pytest.fixture
def pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    one = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    near = np.clip(one.astype(int) + random.integers(-9, 10, one.shape), 0, 255).astype(np.uint8)
    return one, near, one[::-1].copy()


@pytest.mark.usefixtures("operators")
def test_the_score_is_there_where_its_weights_are(
    pictures: tuple[np.ndarray, np.ndarray, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    one, near, far = pictures
    assert FETCH in unmeasured()
    assert lpips(near, one) is None
    assert "lpips" not in compare_images(near, one)

    from torchvision.models import alexnet

    torch.manual_seed(0)
    state = alexnet().state_dict()
    for name, tensor in state.items():  # LPIPS uses the convolutions alone
        if name.startswith("classifier"):
            state[name] = torch.zeros(1).expand(tensor.shape)
    (tmp_path / "checkpoints").mkdir()
    torch.save(state, tmp_path / "checkpoints" / WEIGHTS)
    assert (tmp_path / "checkpoints" / WEIGHTS).stat().st_size < 2**24
    assert unmeasured() == ""
    scores = compare_images(near, one)
    assert 0 < scores["lpips"] < compare_images(far, one)["lpips"]
    assert scores["lpips"] == lpips(near, one)
    assert lpips(one, one) == 0


def test_a_torchvision_that_does_not_load_breaks_no_comparison(tmp_path: Path) -> None:
    for package in ("torchvision", "lpips"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise RuntimeError('another build')")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / WEIGHTS).touch()
    code = (
        f"import sys, torch; sys.path.insert(0, {str(tmp_path)!r}); "
        f"torch.hub.get_dir = lambda: {str(tmp_path)!r}; "
        "from quantlab.lab.bench.lpips import lpips, unmeasured; "
        "print(lpips(None, None), unmeasured())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("None LPIPS is not measured: torchvision is not available: ")
    assert "another build; torchvision must be of the same build as torch" in done.stdout
