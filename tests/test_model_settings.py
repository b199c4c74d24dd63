"""Settings that not every model has: refused with the reason, counted where they take twice."""

from __future__ import annotations

from typing import Any

import pytest

from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.sizes.activations import activation_bytes
from quantlab.catalog.sizes.picture import picture_of
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import load_catalog
from quantlab.catalog.time import Seconds
from quantlab.errors import InputError


def asked(model: str, **given: Any) -> Any:
    return make_comparison(model=model, plans=["bf16"], prompt="a fox", **given)


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        ("flux1-dev", {"negative_prompt": "a dog"}, "ask for a --true-cfg-scale above 1"),
        ("sdxl", {"negative_prompt": "a dog", "guidance": 1.0}, "--guidance above 1"),
        ("flux2-klein-4b", {"negative_prompt": "a dog"}, "one pass a step here"),
        ("flux2-dev", {"true_cfg_scale": 3.0}, "no true guidance beside its guidance"),
        ("flux1-dev", {"frames": 5}, "frames: FLUX.1-dev has none"),
        ("wan-2.2-5b", {"frames": 6}, "makes 1 and 4 at a time, 5 say"),
        ("wan-2.2-5b", {"frames": 1001}, "out of range"),
        ("flux1-dev", {"reference": "0" * 16}, "takes no pictures to go by"),
        ("flux1-kontext-dev", {"reference": "photo.jpg"}, "expected digests of 16 hex digits"),
        ("flux1-kontext-dev", {"reference": ",".join(["0" * 16] * 2)}, "2 given; .* takes 1"),
    ],
)
def test_what_a_model_does_not_have_is_refused(
    model: str, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        asked(model, **given)


def test_true_guidance_under_its_own_name_is_the_guidance() -> None:
    comparison = asked("qwen-image-2512", true_cfg_scale=2.5)
    assert (comparison.guidance, comparison.true_cfg_scale) == (2.5, None)


def test_a_second_pass_takes_twice_the_time_and_a_video_its_frames() -> None:
    card = load_gpus()["rtx-5090-32gb"]
    model = load_catalog().models["flux1-dev"]
    plan = parse_plan("bnb-nf4", model)
    once, twice = (
        predict(model.id, plan, gpu=card, true_cfg_scale=scale).on_card for scale in (None, 3.0)
    )
    assert once is not None
    assert twice is not None
    assert isinstance(once.image_s, Seconds)
    assert isinstance(twice.image_s, Seconds)
    assert 1.8 < twice.image_s.mid / once.image_s.mid < 2.1
    wan = load_catalog().models["wan-2.2-5b"]
    few, many = (
        activation_bytes(wan, "transformer", picture_of(wan, frames=frames), 2)
        for frames in (5, 121)
    )
    assert few < many
