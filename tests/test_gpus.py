"""The table of GPUs, and which plans it says they run."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.catalog.answer.pick import recommend
from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.gpus import FIGURES, KINDS, Gpu, load_gpus, usable_bytes
from quantlab.catalog.placement import placements_for, refusal, verdict_of
from quantlab.catalog.sizes.needs import needs_of
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import load_catalog
from quantlab.errors import CatalogError

GIB = 2**30
CARD = {
    "id": '"card-8gb"',
    "name": '"A card"',
    "memory_gb": "8",
    "fp32_tflops": "10.0",
    "sources": '["https://example.org"]',
}
DEFAULTS = {"kind": '"cuda"', "vendor": '"V"', "capability": '"8.9"', "checked": '"2026-11"'}
TOTAL = {
    "kind": '"cuda"',
    "memory_gb": "8",
    "bytes": "8_000_000_000",
    "source": '"https://example.org"',
    "note": '"a report"',
}
ORDER = ("no", "runs-with-offload", "runs")
# fmt: off
PUBLISHED = (
    "gtx-1660-ti-6gb", "rtx-2060-6gb", "rtx-3060-laptop-6gb", "rtx-3070-8gb", "rtx-4060-8gb",
    "rtx-3080-10gb", "rtx-3060-12gb", "rtx-4070-12gb", "t4-16gb", "rtx-a4000-16gb",
    "rtx-4060-ti-16gb", "rtx-5080-16gb", "a10g-24gb", "l4-24gb", "rtx-3090-24gb", "rtx-4090-24gb",
    "rtx-5090-32gb", "a100-40gb", "l40s-48gb", "rtx-6000-ada-48gb", "zerogpu-half", "zerogpu-full",
    "a100-80gb", "h100-80gb", "h200-141gb", "b200-180gb", "rx-7900-xtx-24gb", "mi300x-192gb",
    "arc-a770-16gb", "apple-8gb", "apple-16gb", "apple-24gb", "apple-32gb", "apple-64gb",
    "apple-96gb", "apple-128gb",
)
# fmt: on
"""Ids that links and scripts may hold."""


def write(folder: Path, table: str = "card", **changes: str | None) -> Path:
    """A data/gpus with one card; ``changes`` are made to ``table``, None takes a key out."""
    tables = {"card": CARD, "defaults": DEFAULTS, "total": TOTAL}
    tables[table] = tables[table] | changes  # type: ignore[assignment]
    lines = {
        name: "\n".join(f"{key} = {value}" for key, value in rows.items() if value is not None)
        for name, rows in tables.items()
    }
    gpus = folder / "data" / "gpus"
    gpus.mkdir(parents=True)
    text = f"[defaults]\n{lines['defaults']}\n[[cards]]\n{lines['card']}\n"
    (gpus / "cards.toml").write_text(text)
    (gpus / "memory.toml").write_text(f"[[totals]]\n{lines['total']}\n")
    (gpus / "sources.toml").write_text('[sources]\nlist = "https://example.org/cards/"\n')
    return folder


def test_it_reaches_from_small_cards_to_the_largest() -> None:
    cuda = [gpu for gpu in load_gpus().values() if gpu.kind == "cuda"]
    assert cuda[0].bytes < 4 * GIB
    assert cuda[-1].bytes > 170 * GIB
    assert {gpu.kind for gpu in load_gpus().values()} == set(KINDS)


def test_published_ids_stay() -> None:
    assert set(PUBLISHED) <= set(load_gpus())


@pytest.mark.parametrize(
    ("table", "changes", "message"),
    [
        ("card", {"colour": '"red"'}, r"cards\.toml: cards\[0\]\.colour"),
        ("defaults", {"colour": '"red"'}, r"cards\.toml: .*colour"),
        ("card", {"sources": None}, "sources"),
        ("card", {"sources": '["a friend"]'}, "sources.*https"),
        ("card", {"kind": '"tpu"'}, "kind"),
        ("card", {"memory_gb": "9"}, "no 9 GB of cuda"),
        ("card", {"id": '"card-12gb"'}, "does not end in -8gb"),
        ("card", {"bytes": "24"}, "less than 1 GiB"),
        ("card", {"bytes": "8_000_000_000"}, "bytes_source"),
        ("card", {"fp32_tflops": "0.0"}, "fp32_tflops.*leave an unknown figure out"),
        ("card", {"matmul16_tflops": "9.0"}, "matmul16_source"),
        ("card", {"single_source": '["pcie_gbs"]'}, "not a figure of this card"),
        ("defaults", {"capability": None}, "capability"),
        ("total", {"source": '"a friend"'}, r"memory\.toml: .*source.*https"),
        ("total", {"colour": '"red"'}, r"memory\.toml: .*colour"),
    ],
)
def test_a_wrong_file_is_refused_by_name(
    tmp_path: Path, table: str, changes: dict[str, str | None], message: str
) -> None:
    with pytest.raises(CatalogError, match=rf"data/gpus/.*{message}"):
        load_gpus(write(tmp_path, table, **changes))


def test_a_right_file_loads(tmp_path: Path) -> None:
    folder = write(tmp_path, sources='["list:card"]')
    card = load_gpus(folder)["card-8gb"]
    assert (card.bytes, card.source) == (8_000_000_000, "https://example.org")
    assert card.sources == ("https://example.org/cards/card",)
    assert (card.fp32_tflops, card.peak16_tflops, card.unified) == (10.0, None, False)
    assert usable_bytes(4, "cuda", folder) == 4_000_000_000


def test_a_typed_size_and_the_card_called_by_it_agree() -> None:
    gpus = load_gpus()
    for name in ("rtx-3090-24gb", "rtx-4090-24gb", "titan-rtx-24gb"):
        assert gpus[name].bytes == usable_bytes(24)
    assert f"{usable_bytes(24) / GIB:.1f}" == "23.6"
    assert usable_bytes(12) == gpus["rtx-3060-12gb"].bytes
    assert usable_bytes(36, "metal") == gpus["apple-36gb"].bytes == 27 * GIB
    assert usable_bytes(16, "cpu") == 16 * GIB


@given(st.floats(1, 256), st.sampled_from(KINDS))
def test_any_size_reports_a_little_less_than_its_box(size: float, kind: str) -> None:
    assert 0.66 * size * GIB < usable_bytes(size, kind) <= size * GIB


def test_error_correction_takes_its_share() -> None:
    """What nvidia-smi calls the total of an A10G, 22.5 GiB, is not what torch can have."""
    gpus = load_gpus()
    for name, gib in (("a10g-24gb", 22.0), ("l4-24gb", 22.0), ("l40s-48gb", 44.4)):
        assert gpus[name].bytes / GIB == pytest.approx(gib, abs=0.05)


@pytest.mark.parametrize("gpu", load_gpus().values(), ids=lambda gpu: gpu.id)
def test_figures_stand_in_a_plausible_relation(gpu: Gpu) -> None:
    """Of the figures that are there; a slip of a digit or a column breaks one of these."""
    assert 0.6 * gpu.memory_gb <= gpu.bytes / GIB <= (gpu.memory_gb or 100)
    assert gpu.unified == (gpu.kind == "metal" or gpu.id.startswith("dgx-"))
    assert (gpu.peak16_tflops or gpu.fp32_tflops or 1) >= (gpu.fp32_tflops or 1)
    assert (gpu.peak_fp8_tflops or math.inf) > (gpu.peak16_tflops or 0)
    assert (gpu.peak_int8_tops or math.inf) >= (gpu.peak16_tflops or 0)
    assert (gpu.matmul16_tflops or 0) <= 1.2 * (gpu.peak16_tflops or math.inf)
    assert 80 <= (gpu.bandwidth_gbs or 100) <= 8200
    assert (gpu.bandwidth_gbs or 0) > (gpu.pcie_gbs or 0) or gpu.bandwidth_gbs is None
    assert (gpu.pcie_gbs or 15.8) in (7.9, 15.8, 31.5, 63.0)
    if gpu.kind == "cuda":
        assert gpu.bf16_native == (float(gpu.capability) >= 8.0)
        assert gpu.peak_fp8_tflops is None or float(gpu.capability) >= 8.9
    figures = {name for name in FIGURES if getattr(gpu, name) is not None}
    assert gpu.kind == "metal" or gpu.max_weights_bytes or gpu.id == "zerogpu-full" or figures


def test_an_rtx_a6000_is_an_ampere_card() -> None:
    a6000, ada = load_gpus()["rtx-a6000-48gb"], load_gpus()["rtx-6000-ada-48gb"]
    assert (a6000.arch, a6000.capability, a6000.peak_fp8_tflops) == ("Ampere", "8.6", None)
    assert (ada.arch, ada.capability) == ("Ada", "8.9")


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
    small = {
        name: needs.parts[name]._replace(weights=0, adds=GIB) for name in ("transformer", "vae")
    }
    for weights, verdict in ((42 * GIB, "runs"), (42 * GIB + 1, "no")):
        denoiser = small["transformer"]._replace(weights=weights)
        changed = replace(needs, parts={**small, "transformer": denoiser})
        found = placements_for(changed, plan, half, load_catalog())
        assert verdict_of(found[0].kind if found else None) == verdict


def test_offload_does_not_help_in_unified_memory() -> None:
    model = load_catalog().models["flux1-dev"]
    plan = parse_plan("bf16", model)
    needs = needs_of(plan, model, catalog=load_catalog())
    mac = load_gpus()["apple-32gb"]
    assert needs.offload_bytes < mac.bytes * 1.1 < needs.resident_bytes
    assert placements_for(needs, plan, mac, load_catalog()) == ()
    assert "no second memory" in refusal(needs, plan, mac, load_catalog())
