"""Plans and comparisons as text and values, and everything that is refused before loading."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.sizes.download import download_bytes
from quantlab.catalog.sizes.idle import idle_bytes
from quantlab.catalog.sizes.needs import needs_of
from quantlab.catalog.sizes.predict import plan_bytes, predict
from quantlab.catalog.table import load_catalog
from quantlab.errors import InputError, PlanError
from quantlab.lab.load.keys import keys_of
from quantlab.record.link import from_query, to_query
from quantlab.record.store.row import comparison_of, comparison_text
from quantlab.words.plan import Plan
from quantlab.words.settings import setting
from quantlab.words.units import GIB

CATALOG = load_catalog()
MINI = CATALOG.models["flux-mini"]


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("fp32", Plan(dtype="fp32")),
        ("bf16", Plan(dtype="bf16")),
        ("bnb-nf4", Plan((("transformer", "bnb-nf4"),))),
        ("bnb-nf4@compiled", Plan((("transformer", "bnb-nf4"),), compiled=True)),
        ("bf16@compiled", Plan(dtype="bf16", compiled=True)),
        ("transformer=bf16", Plan((("transformer", "bf16"),))),
        (
            "text_encoder_2=bnb-nf4, transformer=torchao-int8wo",
            Plan((("transformer", "torchao-int8wo"), ("text_encoder_2", "bnb-nf4"))),
        ),
    ],
)
def test_a_plan_is_read_and_written_back(text: str, plan: Plan) -> None:
    assert parse_plan(text, MINI) == plan
    assert parse_plan(str(plan), MINI) == plan


def test_a_trimmed_plan_is_read_written_kept_and_linked() -> None:
    klein, text = CATALOG.models["flux3-klein"], "transformer=bnb-nf4,prompt_upsampler=none"
    for marks in ("@trimmed", "@trimmed@compiled"):
        plan = parse_plan(f"{text} {marks}", klein)
        assert str(plan) == text + marks
        assert (plan.trimmed, plan.compiled) == (True, "compiled" in marks)
        comparison = make_comparison(
            model=klein.id, plans=[str(plan), "bf16@trimmed"], prompt="a fox"
        )
        assert from_query(to_query(comparison)) == comparison
        assert comparison_of(comparison_text(comparison)) == comparison
    whole = make_comparison(model=klein.id, plans=["bf16"], prompt="a fox")
    assert "trimmed" not in comparison_text(whole), "rows that are kept would get other ids"
    for wrong, model in (("bf16@compiled@trimmed", klein), ("bf16@trimmed", MINI)):
        with pytest.raises(
            PlanError, match=r"'bf16@compiled'|nothing of flux-mini is known to idle"
        ):
            parse_plan(wrong, model)
    with pytest.raises(InputError, match="what idles is known of text alone"):
        make_comparison(
            model="flux2-dev",
            plans=["bf16", "bf16@trimmed"],
            prompt="a fox",
            reference="0123456789abcdef",
        )


def test_a_trimmed_plan_needs_less_but_while_it_is_read() -> None:
    """FLUX.2-dev, whose text encoder has 12.4 GiB that no picture from text depends on."""
    dev = CATALOG.models["flux2-dev"]
    idle, _ = idle_bytes(dev)["text_encoder"]
    assert idle > 12 * GIB
    whole, trimmed = (
        needs_of(parse_plan(text, dev), dev, catalog=CATALOG) for text in ("bf16", "bf16@trimmed")
    )
    assert whole.weights_bytes - trimmed.weights_bytes == idle
    assert whole.resident_bytes - trimmed.resident_bytes == idle
    assert whole.host_bytes == trimmed.host_bytes, "of a mapped file only what is used is read"
    quantized = "text_encoder=bnb-nf4"
    whole, trimmed = (
        needs_of(parse_plan(text, dev), dev, catalog=CATALOG)
        for text in (quantized, f"{quantized}@trimmed")
    )
    gone = trimmed.parts["text_encoder"].let_go
    assert whole.weights_bytes - trimmed.weights_bytes == gone
    assert 3 * GIB < gone < idle / 2
    assert whole.loading_bytes == trimmed.loading_bytes, "quantized whole, on the device"
    assert trimmed.offload_host_bytes == whole.offload_host_bytes
    parts = {"text_encoder": "bnb-nf4"}
    assert download_bytes(dev, parts, CATALOG) == sum(plan_bytes(dev.id, {}).values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("nf5", "unknown scheme 'nf5'"),
        ("unet=bnb-nf4", "no component 'unet'"),
        ("transformer=bnb-nf4,transformer=fp32", "named twice"),
        ("text_encoder_2=gguf-q4_0", "GGUF"),
        ("text_encoder_2=layerwise-fp8", "layerwise"),
        ("vae=bnb-nf4", "autoencoder"),
        ("transformer=bnb-nf4+layerwise-fp8", "unknown scheme"),
        ("transformer", "unknown scheme"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        parse_plan(text, MINI)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("model", "flux-9"),
        ("plans", []),
        ("plans", ["fp32"] * 7),
        ("prompt", "x" * (setting("prompt").longest + 1)),
        ("prompt", "a\x00b"),
        ("prompt", "a\nb"),
        ("seed", -1),
        ("seed", 2**32),
        ("seed", 1.5),
        ("steps", 0),
        ("steps", 51),
        ("steps", True),
        ("steps", float("nan")),
        ("seed", float("inf")),
        ("guidance", float("nan")),
        ("guidance", float("inf")),
        ("guidance", -1.0),
        ("width", 130),
        ("width", 32),
        ("height", 4096),
        ("sequence_length", 513),
    ],
)
def test_every_limit_names_its_part(part: str, value: object) -> None:
    arguments: dict[str, object] = {"prompt": "a dog", part: value}
    with pytest.raises(InputError) as caught:
        make_comparison(**arguments)  # type: ignore[arg-type]
    assert caught.value.part == part.replace("_", "-")


def test_what_is_not_said_is_the_models_default() -> None:
    comparison = make_comparison(plans=["fp32"], prompt="a dog")
    assert comparison.steps == MINI.defaults.steps
    assert comparison.width == MINI.defaults.width
    assert comparison.sequence_length == MINI.defaults.sequence_length


def test_a_comparison_survives_its_own_dictionary() -> None:
    comparison = make_comparison(plans=["fp32", "quanto-int4"], prompt="", seed=7, guidance=3)
    assert make_comparison(**comparison.as_dict()) == comparison  # type: ignore[arg-type]


def test_a_component_is_left_out_where_the_pipeline_can_go_without_it() -> None:
    with pytest.raises(PlanError, match="flux-mini does not run without its text_encoder_2"):
        parse_plan("text_encoder_2=none", MINI)
    optional = tuple(replace(c, optional=c.name == "text_encoder_2") for c in MINI.components)
    model = replace(MINI, components=optional)
    catalog = replace(load_catalog(), models={MINI.id: model})
    plan = parse_plan("transformer=bnb-nf4,text_encoder_2=none", model)
    assert str(plan) == "transformer=bnb-nf4,text_encoder_2=none"
    assert [c.name for c in model.used(plan)] == ["transformer", "text_encoder", "vae"]
    assert set(keys_of(model, plan)) == {"transformer", "text_encoder", "vae"}
    whole = predict(MINI.id, parse_plan("bnb-nf4", model))
    less = predict(MINI.id, plan, catalog=catalog)
    assert "text_encoder_2" not in less.component_bytes
    assert whole.component_bytes["transformer"] == less.component_bytes["transformer"]
    assert less.total_bytes < whole.total_bytes
