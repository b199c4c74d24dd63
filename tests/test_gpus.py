"""The table of GPUs, and which plans it says they run."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantlab.catalog.footprint import predict
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.memory import verdict
from quantlab.catalog.table import load_catalog
from quantlab.errors import CatalogError
from quantlab.lab.plan import parse_plan

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


def test_zerogpus_half_card_keeps_42_gib_of_weights_at_most() -> None:
    half = load_gpus()["zerogpu-half"]
    sizes = {"peak_bytes": 46 * GIB, "offload_bytes": 20 * GIB}
    assert verdict(half, weights_bytes=42 * GIB, **sizes) == "runs"
    assert verdict(half, weights_bytes=42 * GIB + 1, **sizes) == "runs-with-offload"


def test_offload_does_not_help_in_unified_memory() -> None:
    mac = load_gpus()["apple-32gb"]
    sizes = {"weights_bytes": 30 * GIB, "peak_bytes": 32 * GIB, "offload_bytes": 8 * GIB}
    assert verdict(mac, **sizes) == "no"
