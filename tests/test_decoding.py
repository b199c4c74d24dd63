"""VAE tiling and slicing: asked of the class, predicted, proposed where nothing else fits, run."""

from __future__ import annotations

import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AsymmetricAutoencoderKL, AutoencoderOobleck
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from quantlab.catalog.answer.choices import propose
from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.sizes.activations import COPIES, activation_bytes
from quantlab.catalog.sizes.decoding import check_decoding
from quantlab.catalog.sizes.picture import picture_of
from quantlab.catalog.sizes.predict import OnCard, predict
from quantlab.catalog.sizes.shapes import config_of, tile_of
from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import DoesNotFit, InputError, RunError
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.bench.decoding import decoding
from quantlab.lab.check.check import check_text
from quantlab.lab.load.fits import place_on
from quantlab.lab.own.built import build, decoding_of
from quantlab.record.documents import choice_document
from quantlab.record.link import from_query, to_query
from tests.device import DEVICE

CATALOG = load_catalog()
QWEN = CATALOG.models["qwen-image-2512"]
SMALL_CARD = load_gpus()["rtx-4060-8gb"]


class Alive(TorchDispatchMode):
    """Bytes of the tensors that live at once, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in (leaf for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._seen:
                self._seen.add(storage._cdata)
                self.now += storage.nbytes()
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
                self.most = max(self.most, self.now)
        return made

    def _gone(self, which: int, size: int) -> None:
        self._seen.discard(which)
        self.now -= size


def test_what_lives_while_tiles_are_decoded_is_as_predicted() -> None:
    vae = build("diffusers", "AutoencoderKLQwenImage", config_of("autoencoders/qwen-image"))
    vae = vae.to(torch.bfloat16).eval()
    asked = make_comparison(
        model=QWEN.id, plans=["bf16"], prompt="", vae_tiling=True, vae_slicing=True
    )
    latents = torch.empty((2, 16, 1, 40, 32), dtype=torch.bfloat16, device="meta")
    with torch.no_grad(), decoding(vae, asked), Alive() as alive:
        vae.decode(latents)
    given = {"width": 256, "height": 320, "batch": 2}
    lighter, whole = (
        activation_bytes(QWEN, "vae", picture, 2)
        for picture in (
            picture_of(QWEN, **given, vae_tiling=True, vae_slicing=True),
            picture_of(QWEN, **given),
        )
    )
    assert alive.most == pytest.approx(lighter / COPIES, rel=0.05)
    assert lighter < 0.5 * whole
    assert not vae.use_tiling, "what is shared is left as it was"


def test_a_class_is_asked_whether_it_decodes_so() -> None:
    with torch.device("meta"):
        assert "tile" not in decoding_of(AsymmetricAutoencoderKL()), "it has a switch, and no tiles"
        assert decoding_of(AutoencoderOobleck()) == {"slices": True}
    asked = make_comparison(plans=["fp32"], prompt="", vae_tiling=True)
    with (
        pytest.raises(RunError, match="Linear decodes without tiling"),
        decoding(torch.nn.Linear(1, 1), asked),
    ):
        pass
    tables = {c.shapes for m in CATALOG.models.values() for c in m.components if c.name == "vae"}
    assert {tile_of(table) for table in tables} == {128, 256, 1024}


def test_a_model_whose_autoencoder_has_no_tiles_is_refused() -> None:
    vae = QWEN.component("vae")
    assert vae is not None
    plain = replace(vae, cls="AutoencoderRAE", shapes="encoders/clip-l")
    other = replace(QWEN, components=tuple(plain if c is vae else c for c in QWEN.components))
    with pytest.raises(InputError, match=r"vae-tiling: .*AutoencoderRAE, which has no tiles"):
        check_decoding(other, tiling=True, slicing=False)
    with pytest.raises(InputError, match=r"vae-slicing: .*takes a batch as one"):
        check_decoding(other, tiling=False, slicing=True)


def on_card(card: str, model: str, plan: str, **given: Any) -> OnCard:
    known = CATALOG.models[model]
    found = predict(model, parse_plan(plan, known), gpu=load_gpus()[card], **given).on_card
    assert found is not None
    return found


def test_a_plan_that_fits_only_in_tiles_says_so() -> None:
    whole = on_card(SMALL_CARD.id, QWEN.id, "sdnq-int5")
    assert whole.placement is None
    assert "it fits with --vae-tiling, group offload" in whole.why
    tiles = on_card(SMALL_CARD.id, QWEN.id, "sdnq-int5", vae_tiling=True)
    assert tiles.placement == "group-offload"
    assert whole.largest_size is not None
    assert tiles.largest_size is not None
    assert tiles.largest_size.width > whole.largest_size.width
    asked = make_comparison(model=QWEN.id, plans=["sdnq-int5"], prompt="")
    with pytest.raises(DoesNotFit, match="it fits with --vae-tiling, group offload"):
        place_on(SMALL_CARD, asked, asked.plans[0], CATALOG)


def test_slices_take_what_one_picture_takes() -> None:
    at_once, sliced = (
        on_card("rtx-4090-24gb", "flux1-dev", "bnb-nf4", batch=8, vae_slicing=slicing)
        for slicing in (False, True)
    )
    assert (at_once.placement, sliced.placement) == ("staged", "resident")


def test_what_is_proposed_with_tiles_comes_with_them() -> None:
    answer = propose(model=QWEN.id, gpu=SMALL_CARD.id, ram_gib=64)
    assert answer.choices
    for choice in answer.choices:
        assert choice.settings == ("vae_tiling",)
        assert "VAE tiling" in choice.ways
        assert any("--vae-tiling" in reason for reason in choice.reasons)
    document = choice_document(answer.choices[0], QWEN.id, CATALOG)
    assert document["settings"] == {"vae_tiling": True}
    assert "pipe.vae.enable_tiling()" in document["snippet"]
    large = propose(model=QWEN.id, gpu="h100-80gb")
    assert all(not choice.settings for choice in large.choices), "only where it has to be"


def test_it_is_a_setting_like_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    asked = make_comparison(plans=["fp32"], prompt="a fox", vae_tiling=True, vae_slicing=False)
    assert asked.as_dict()["vae_tiling"] is True
    assert "vae_slicing" not in asked.as_dict()
    assert to_query(asked).endswith("&vae_tiling=1")
    assert from_query(to_query(asked)) == asked
    with pytest.raises(InputError, match="vae_tiling: 'yes'; 1 is allowed"):
        from_query(to_query(asked).replace("vae_tiling=1", "vae_tiling=yes"))
    with pytest.raises(InputError, match="vae-tiling: 'yes'; true and false are allowed"):
        make_comparison(plans=["fp32"], prompt="a fox", vae_tiling="yes")
    assert main(["predict", "--json", "--plans", "fp32", "--width", "256", "--vae-tiling"]) == 0
    tiles = json.loads(capsys.readouterr().out)[0]
    assert main(["predict", "--json", "--plans", "fp32", "--width", "256"]) == 0
    assert tiles["peak_bytes"] < json.loads(capsys.readouterr().out)[0]["peak_bytes"]


def test_pasted_code_is_predicted_as_it_decodes() -> None:
    code = """import torch
from diffusers import FluxPipeline
pipe = FluxPipeline.from_pretrained("black-forest-labs/FLUX.1-dev", dtype=torch.bfloat16)
pipe.to("cuda")
{}
pipe("a fox", width=2048, height=2048, num_inference_steps=28, guidance_scale=3.5).images[0]
"""
    whole, tiled = (
        check_text(code.format(line)).predicted for line in ("", "pipe.vae.enable_tiling()")
    )
    assert whole is not None
    assert tiled is not None
    assert whole["peak_bytes"] - tiled["peak_bytes"] > 4 * 2**30


def test_a_picture_in_tiles_is_another_and_the_next_one_is_whole_again(tmp_path: Path) -> None:
    bench = Bench(CATALOG, DEVICE)
    made = []
    for at, tiling in enumerate((None, True, None)):
        asked = make_comparison(
            plans=["fp32"], prompt="a fox", steps=1, width=192, height=64, vae_tiling=tiling
        )
        outcome = compare(asked, bench=bench, out=tmp_path / str(at), warmup=0)[0]
        assert outcome.image is not None, outcome.error
        made.append(Path(outcome.image).read_bytes())
    assert made[0] == made[2] != made[1]
