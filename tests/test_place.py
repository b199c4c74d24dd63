"""Where weights are kept: hooks go on, come off, and shared components survive both.

There is no accelerator here: diffusers' and accelerate's own hooks run with the CPU in the place
of the device, so that everything but the copying is real.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.placement import group_offload_options
from quantlab.catalog.table import load_catalog
from quantlab.errors import PlanError
from quantlab.lab.bench.fidelity import image_array
from quantlab.lab.bench.run import encode, generate
from quantlab.lab.load import place
from quantlab.lab.load.keys import keys_of
from quantlab.lab.load.part import part_of
from quantlab.lab.load.pool import Pool
from quantlab.lab.ways import config
from tests.device import DEVICE

CATALOG = load_catalog()
MINI = CATALOG.models["flux-mini"]
LEAVES = {"offload_type": "leaf_level"}
COMPARISON = make_comparison(plans=["fp32"], prompt="a fox on a white background", steps=2)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool(2**30, CATALOG, DEVICE)


def pipe_of(pool: Pool, plan: str) -> Any:
    return pool.load(MINI, parse_plan(plan, MINI), lambda _: None).pipe


def image(pipe: Any) -> np.ndarray:
    encoded = encode(pipe, COMPARISON, DEVICE)
    run = generate(
        pipe, COMPARISON, encoded, DEVICE, on_step=lambda _: None, stop=threading.Event()
    )
    return image_array(run.image)


def hooks(pipe: Any) -> Iterator[str]:
    """Names of all offloading hooks on the components."""
    for module in place.modules_of(pipe):
        for part in module.modules():
            if hasattr(part, "_hf_hook"):
                yield type(part._hf_hook).__name__
            yield from getattr(getattr(part, "_diffusers_hook", None), "hooks", {})


@pytest.mark.parametrize("plan", ["fp32", "torchao-int8wo", "gguf-q4_0", "layerwise-fp8"])
@pytest.mark.parametrize(
    ("kind", "expected"), [("model-offload", "CpuOffload"), ("group-offload", "group_offloading")]
)
def test_an_offloaded_pipeline_draws_the_same_image(
    pool: Pool, plan: str, kind: str, expected: str
) -> None:
    pipe = pipe_of(pool, plan)
    before = image(pipe)
    own = set(hooks(pipe))
    place.apply(pipe, kind, "cpu", LEAVES)
    assert expected in set(hooks(pipe))
    assert (image(pipe) == before).all()
    place.clear(place.modules_of(pipe))
    assert set(hooks(pipe)) == own  # those of layerwise casting are the component's own
    assert (image(pipe) == before).all()


def test_plans_that_share_components_may_be_placed_differently(pool: Pool) -> None:
    """The text encoders, hooked for one plan, are the very same modules in the next."""
    first, second = pipe_of(pool, "fp32"), pipe_of(pool, "torchao-int8wo")
    assert first.text_encoder_2 is second.text_encoder_2
    expected = {"fp32": image(first), "torchao-int8wo": image(second)}
    order = ["model-offload", "group-offload", "resident", "group-offload", "model-offload"]
    for kind in order:
        for plan in ("fp32", "torchao-int8wo"):
            pipe = pipe_of(pool, plan)
            place.apply(pipe, kind, "cpu", LEAVES)
            assert (image(pipe) == expected[plan]).all(), (kind, plan)
    pipe = pipe_of(pool, "fp32")  # loading a plan again takes the last placement's hooks off
    assert not list(hooks(pipe))


def test_model_offload_parks_the_text_encoders_before_the_transformer_runs(pool: Pool) -> None:
    pipe = pipe_of(pool, "fp32")
    place.apply(pipe, "model-offload", "cpu")
    before = [pipe.text_encoder_2, pipe.transformer, pipe.vae]
    previous = [module._hf_hook.prev_module_hook.model for module in before]
    assert previous == [pipe.text_encoder, pipe.text_encoder_2, pipe.transformer]


def test_sequential_offload_is_refused_with_a_reason(pool: Pool) -> None:
    with pytest.raises(PlanError, match="torchao, quanto and GGUF do not survive; model offload"):
        place.apply(pipe_of(pool, "fp32"), "sequential-offload", "cpu")
    with pytest.raises(PlanError, match="no placement 'nowhere'"):
        place.apply(pipe_of(pool, "fp32"), "nowhere", "cpu")


class Moving(torch.nn.Linear):
    """A layer that tells where it is sent."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.sent: list[str] = []

    def to(self, *args: Any, **kwargs: Any) -> Moving:
        self.sent.append(str(args[0]))
        return super().to(*args, **kwargs)


def test_a_module_is_moved_only_where_it_is_not() -> None:
    module = Moving()
    place.onto(module, "cpu")
    assert module.sent == []
    place.onto(module, "meta")
    assert module.sent == ["meta"]
    assert module.weight.device.type == "meta"


def test_only_the_plan_at_hand_lies_on_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With an accelerator every plan is placed, and what it does not use is parked first."""
    seen: list[tuple[str, str]] = []
    parked: list[Any] = []
    pool = Pool(2**30, CATALOG, replace(DEVICE, kind="intel", target="xpu"))
    monkeypatch.setattr(config, "quantizes_on", lambda *_: None)
    with monkeypatch.context() as patch:
        patch.setattr(place, "apply", lambda *_: None)
        patch.setattr(place, "onto", lambda *_: None)
        pipe_of(pool, "fp32")
    left = next(h.module for k, h in pool._held.items() if k.component == "transformer")
    monkeypatch.setattr(config, "quantizes_on", lambda *_: None)
    monkeypatch.setattr(place, "onto", lambda *_: None)
    monkeypatch.setattr(place, "park", parked.append)
    monkeypatch.setattr(place, "apply", lambda _, kind, target, __: seen.append((kind, target)))
    plan = parse_plan("torchao-int8wo", MINI)
    loaded = pool.load(MINI, plan, lambda _: None)
    assert seen == [("resident", "xpu")]
    assert loaded.placement == "resident"
    assert parked == [left]
    pool.load(MINI, plan, lambda _: None, "model-offload")
    assert seen[1] == ("model-offload", "xpu")
    assert len(parked) == 1 + len(pool.held())  # all of them: nothing may stay while one is read


def test_a_gpu_quantizes_what_fits_there_and_what_only_it_can() -> None:
    def where(scheme: str, placement: str, device: str) -> str | None:
        key = keys_of(MINI, parse_plan(scheme, MINI))["transformer"]
        return config.quantizes_on(part_of(key, MINI, CATALOG, device, placement))

    assert where("torchao-int8wo", "resident", "cuda") == "cuda"
    assert where("torchao-int8wo", "group-offload", "cuda") is None
    assert where("torchao-int4wo", "group-offload", "cuda") == "cuda"
    assert where("torchao-int8wo", "cpu", "cpu") is None
    assert where("torchao-int8wo", "resident", "mps") is None


def test_a_config_quantizes_on_the_device_it_is_told(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of a GPU, with the CPU as the device that diffusers is to load onto."""
    expected = image(pipe_of(pool, "torchao-int8wo"))
    monkeypatch.setattr(config, "quantizes_on", lambda *_: "cpu")
    pipe = pipe_of(
        Pool(0, CATALOG, DEVICE), "transformer=torchao-int8wo,text_encoder_2=torchao-int8wo"
    )
    both = image(pipe_of(pool, "transformer=torchao-int8wo,text_encoder_2=torchao-int8wo"))
    assert (image(pipe) == both).all()
    assert (both != expected).any()


def test_the_options_of_group_offload_are_diffusers_own(pool: Pool) -> None:
    """What the catalogue chooses is what ``enable_group_offload`` takes, streams aside."""
    options = dict(group_offload_options(parse_plan("torchao-int8wo", MINI), CATALOG))
    assert options == {"offload_type": "leaf_level"}
    pipe = pipe_of(pool, "torchao-int8wo")
    place.apply(pipe, "group-offload", "cpu", options)
    assert "group_offloading" in set(hooks(pipe))
