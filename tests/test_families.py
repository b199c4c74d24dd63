"""Families: what each says of its pipelines is what the installed diffusers has."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest

import quantlab.families as package
from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import load_catalog
from quantlab.errors import CatalogError, InputError, PlanError, Unavailable
from quantlab.families import Family, families, family_called, family_of
from quantlab.lab.load.blocks.pipeline import BlockPipeline, blocks_of
from quantlab.lab.load.check import check
from quantlab.lab.load.pool import Pool
from quantlab.lab.script.pipeline import snippet
from tests.device import DEVICE

PIPELINES = [(f, cls) for f in families().values() for cls in f.pipelines if not f.modular]
MODULAR = [(f, cls) for f in families().values() for cls in f.pipelines if f.modular]
NEW = '''"""A family that a test adds."""
from quantlab.families.family import Family

FAMILY = Family(
    id={id!r}, pipelines=({cls!r},), encoders=("text_encoder",), embeddings=("prompt_embeds",)
)
'''


@pytest.mark.parametrize(("family", "name"), PIPELINES, ids=[cls for _, cls in PIPELINES])
def test_the_fields_are_parts_and_arguments_of_the_class(family: Family, name: str) -> None:
    cls = getattr(diffusers, name)
    parts, _ = cls._get_signature_keys(cls)
    assert {*family.encoders, *family.denoisers, family.decoder} <= set(parts)
    called = inspect.signature(cls.__call__).parameters
    encoded = inspect.signature(cls.encode_prompt).parameters
    given = make_comparison(prompt="a fox")
    assert set(family.arguments(dict(given.settings))) <= set(called)
    assert "callback_on_step_end" in called
    taken = [argument for argument in family.embeddings if argument in called]
    assert taken[0] == "prompt_embeds"
    assert (family.length or "num_inference_steps") in called
    assert ("max_sequence_length" in called) == (family.length is not None)
    assert ("do_classifier_free_guidance" in encoded) == (family.negative == "same call")
    if family.reference is not None:
        assert family.reference in called
    if family.shows is not None:
        assert family.reference in encoded
    assert not family.replayed or not set(family.embeddings) <= set(called)
    if family.needs_negative:
        assert "negative_prompt" in called
    if family.distilled:
        assert family.distilled in inspect.signature(cls.__init__).parameters


@pytest.mark.parametrize(("family", "name"), MODULAR, ids=[cls for _, cls in MODULAR])
def test_the_fields_of_a_family_of_blocks(family: Family, name: str) -> None:
    blocks = blocks_of(name, set())
    assert {*family.encoders, *family.denoisers, family.decoder} <= set(blocks.component_names)
    given = make_comparison(prompt="a fox")
    called = set(inspect.signature(BlockPipeline.__call__).parameters)
    assert set(family.arguments(dict(given.settings))) <= called | {family.length}
    inputs = {param.name for param in blocks.inputs}
    assert {"num_inference_steps", "width", "height", family.length, family.reference} <= inputs


@pytest.mark.parametrize("family", families().values(), ids=list(families()))
def test_inputs_that_stay_as_given_are_those_of_the_denoiser(family: Family) -> None:
    models = [m for m in load_catalog().models.values() if m.family is family]
    for model in models:
        cls = getattr(diffusers, model.components[0].cls)
        assert set(family.as_given) <= set(inspect.signature(cls.forward).parameters)
    assert family.image_tokens(16 * family.pixels, 8 * family.pixels) == 128


def test_guidance_means_two_passes_above_a_number_or_never() -> None:
    klein, flux = family_called("flux2-klein"), family_called("flux1")
    assert klein.guided(4.0, {"is_distilled": False})
    assert not klein.guided(4.0, {"is_distilled": True})
    assert not klein.guided(1.0, {})
    assert not flux.guided(9.0, {})
    assert family_called("z-image").guided(0.5, {})
    assert klein.guidance_of({"guidance_embeds": False}, {"is_distilled": False}) == "cfg"
    assert klein.guidance_of({"guidance_embeds": False}, {"is_distilled": True}) == "none"
    assert flux.guidance_of({"guidance_embeds": True}, {}) == "embedded"
    assert flux.guidance_of({}, {}) == "none"


def test_frames_are_tokens() -> None:
    wan = family_called("wan")
    assert wan.image_tokens(1280, 704, frames=121) == 40 * 22 * 31


def test_who_is_of_no_family_is_told_which_there_are() -> None:
    with pytest.raises(InputError, match=r"LTXPipeline is of no family .* FluxPipeline and .* are"):
        family_of("LTXPipeline")
    with pytest.raises(InputError, match=r"unknown family 'flux9'; known: .*flux1"):
        family_called("flux9")
    assert family_of("MyFlux", "FluxPipeline") is family_called("flux1")


def test_a_new_family_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    (tmp_path / "sana.py").write_text(NEW.format(id="sana", cls="SanaPipeline"))
    assert family_of("SanaPipeline").id == "sana"
    assert "sana" in families()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (NEW.format(id="flux1", cls="SanaPipeline"), "the id 'flux1' is taken"),
        (NEW.format(id="sana", cls="FluxPipeline"), "FluxPipeline is flux1's already"),
        ("", "expected a Family that is called FAMILY"),
    ],
)
def test_a_file_that_is_no_new_family_is_refused(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    name = f"zz_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(CatalogError, match=said):
        families()


def test_families_are_listed_without_torch() -> None:
    code = "import sys; from quantlab.families import families; families(); "
    code += "print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert run.stdout == "False\n", run.stderr


@pytest.mark.parametrize(
    ("pipeline", "family", "reference", "said"),
    [
        ("QwenImageEditPlusPipeline", {}, None, "goes by a picture"),
        ("Flux3ModularPipeline", {}, "0" * 16, "beside a picture the prompt upsampler is left"),
        ("FluxPipeline", {"embeddings": ()}, None, "encode_prompt of FluxPipeline does not take"),
    ],
    ids=["without-a-picture", "writer", "another-way-of-encoding"],
)
def test_what_is_not_run_here_is_refused_before_loading(
    pipeline: str, family: dict[str, Any], reference: str | None, said: str
) -> None:
    own = load_catalog()
    mini = own.models["flux-mini"]
    model = replace(
        mini,
        pipeline=pipeline,
        described_family=replace(family_of(pipeline), **family),
        limits=replace(mini.limits, max_references=1),
    )
    catalog = replace(own, models={model.id: model})
    comparison = make_comparison(
        plans=["fp32"], prompt="a fox", reference=reference, catalog=catalog
    )
    plan = comparison.plans[0]
    with pytest.raises(Unavailable, match=said):
        check(comparison, plan, Pool(0, catalog, DEVICE))
    with pytest.raises(PlanError, match=said):
        snippet(comparison, plan, catalog, DEVICE)
