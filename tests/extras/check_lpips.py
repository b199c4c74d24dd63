"""LPIPS with its real library and small random weights in the place of AlexNet's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from quantlab.lab.bench.fidelity import compare_images
from quantlab.lab.bench.lpips import FETCH, WEIGHTS, lpips, unfetched


@pytest.fixture
def pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    one = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    near = np.clip(one.astype(int) + random.integers(-9, 10, one.shape), 0, 255).astype(np.uint8)
    return one, near, one[::-1].copy()


def test_the_score_is_there_where_its_weights_are(
    pictures: tuple[np.ndarray, np.ndarray, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    one, near, far = pictures
    assert FETCH in unfetched()
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
    assert unfetched() == ""
    scores = compare_images(near, one)
    assert 0 < scores["lpips"] < compare_images(far, one)["lpips"]
    assert scores["lpips"] == lpips(near, one)
    assert lpips(one, one) == 0
