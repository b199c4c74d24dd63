"""The table of GPUs, and which plans it says they run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from quantlab.catalog.answer.pick import recommend
from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.placement import placements_for, refusal, verdict_of
from quantlab.catalog.sizes.needs import needs_of
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import load_catalog
from quantlab.errors import CatalogError

GIB = 2**30
GOOD = {
    "id": '"card"',
    "name": '"A card"',
    "kind": '"cuda"',
    "bytes": "8_000_000_000",
    "capability": '"8.9"',
    "source": '"https://example.org"',
    "checked": '"2026-11"',
}
ORDER = ("no", "runs-with-offload", "runs")


def write(folder: Path, **changes: str | None) -> Path:
    (folder / "data").mkdir()
    lines = [f"{key} = {value}" for key, value in (GOOD | changes).items() if value is not None]
    (folder / "data" / "gpus.toml").write_text("[[gpus]]\n" + "\n".join(lines))
    return folder


def test_it_reaches_from_small_cards_to_the_largest() -> None:
    cuda = [gpu for gpu in load_gpus().values() if gpu.kind == "cuda"]
    assert cuda[0].bytes < 6 * GIB
    assert cuda[-1].bytes > 140 * GIB
    assert {"zerogpu-half", "zerogpu-full", "h100-80gb", "h200-141gb"} <= set(load_gpus())
    assert any(gpu.kind == "metal" for gpu in load_gpus().values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": '"red"'}, "colour"),
        ({"source": None}, "source"),
        ({"source": '"a friend"'}, "https"),
        ({"kind": '"tpu"'}, "kind"),
        ({"bytes": "24"}, "bytes"),
        ({"capability": None}, "capability"),
    ],
)
def test_a_wrong_file_is_refused_by_name(
    tmp_path: Path, changes: dict[str, str | None], message: str
) -> None:
    with pytest.raises(CatalogError, match=rf"data/gpus\.toml: .*{message}"):
        load_gpus(write(tmp_path, **changes))


def test_a_right_file_loads(tmp_path: Path) -> None:
    assert load_gpus(write(tmp_path))["card"].bytes == 8_000_000_000


@pytest.mark.parametrize("text", ["bf16", "bnb-nf4", "transformer=bnb-nf4,text_encoder_2=bnb-nf4"])
def test_a_larger_card_never_does_less(text: str) -> None:
    fits = predict("flux1-dev", parse_plan(text, load_catalog().models["flux1-dev"])).fits
    cards = [
        gpu for gpu in load_gpus().values() if gpu.kind == "cuda" and not gpu.max_weights_bytes
    ]
    ranks = [ORDER.index(fits[gpu.id]) for gpu in cards]
    assert ranks == sorted(ranks)
    assert fits["h100-80gb"] == "runs"


def test_who_has_12_gb_needs_offload_for_nf4_and_24_gb_does_not() -> None:
    text = "transformer=bnb-nf4,text_encoder_2=bnb-nf4"
    fits = predict("flux1-dev", parse_plan(text, load_catalog().models["flux1-dev"])).fits
    assert fits["rtx-2060-6gb"] == "no"
    assert fits["rtx-3060-12gb"] == "runs-with-offload"
    assert fits["rtx-4090-24gb"] == "runs"


def test_every_card_of_the_table_can_be_asked_about_by_name() -> None:
    for gpu in load_gpus().values():
        rows = recommend(gpu=gpu.id, model="flux1-dev")
        told = next(row for row in rows if row.scheme == "gguf-q4_k")
        assert any(reason.startswith("memory: ") for reason in told.reasons)
        assert f"{gpu.bytes / GIB:.1f} GiB" in "; ".join(told.reasons)


def test_zerogpus_half_card_takes_42_gib_of_weights_at_most() -> None:
    half = load_gpus()["zerogpu-half"]
    model = load_catalog().models["flux1-dev"]
    plan = parse_plan("bf16", model)
    needs = needs_of(plan, model, catalog=load_catalog())
    at, over = ({"transformer": 42 * GIB}, {"transformer": 42 * GIB + 1})
    small = {"running": {"transformer": GIB}, "leaves": {"transformer": GIB}}
    for weights, verdict in ((at, "runs"), (over, "no")):
        changed = replace(needs, weights=weights, **small)
        found = placements_for(changed, plan, half, load_catalog())
        assert verdict_of(found) == verdict


def test_offload_does_not_help_in_unified_memory() -> None:
    model = load_catalog().models["flux1-dev"]
    plan = parse_plan("bf16", model)
    needs = needs_of(plan, model, catalog=load_catalog())
    mac = load_gpus()["apple-32gb"]
    assert needs.offload_bytes < mac.bytes * 1.1 < needs.resident_bytes
    assert placements_for(needs, plan, mac, load_catalog()) == ()
    assert "no second memory" in refusal(needs, plan, mac, load_catalog())
