"""The gallery that ships: it is of the model as it is now, and a fresh install shows it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.compare import in_turn
from quantlab.record.gallery import (
    FOLDER,
    Gallery,
    contents,
    stale,
    weights_digest,
)
from quantlab.record.results.frame import field
from quantlab.ui.blind.rounds import gallery_pairs
from quantlab.ui.compare.save_picture import save_plot
from quantlab.ui.compare.share import result, share_run, stored
from quantlab.ui.compare.stage.board import LOSSY, board
from quantlab.ui.services import Services
from quantlab.ui.state import Shown
from tests.test_page import StandIn, call

CATALOG = load_catalog()
WANTED = contents()
FILES = sorted(FOLDER.glob("*.json"))
GALLERY = Gallery()
MOST_BYTES = 8_000_000
LEAST_PAIRS = 200
MODEL = CATALOG.models[WANTED.model]
PAGE = Services(CATALOG, StandIn(), None, gallery=GALLERY)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_entry_is_of_the_weights_and_settings_of_now(file: Path) -> None:
    document = json.loads(file.read_text(encoding="utf-8"))
    assert stale(document) == ""
    model = CATALOG.models[WANTED.model]
    assert document["weights_sha256"] == weights_digest(model), "record it anew: tools.gallery"
    assert {"kind", "name"} <= document["device"].keys()
    assert {"torch", "diffusers"} <= document["versions"].keys()
    found = [(r["settings"]["prompt"], r["settings"]["seed"]) for r in document["results"]]
    assert found == [(prompt, seed) for prompt in WANTED.prompts for seed in WANTED.seeds]


def test_other_weights_or_settings_make_an_entry_stale(tmp_path: Path) -> None:
    document = json.loads((FOLDER / "bnb-nf4.json").read_text(encoding="utf-8"))
    other = {**document, "revision": "0" * 12}
    assert "weights" in stale(other)
    entry = document["results"][0]
    moved = {**document, "results": [{**entry, "settings": {**entry["settings"], "steps": 9}}]}
    assert "steps" in stale(moved)
    mix = json.loads((FOLDER / "mix-flux-mini-4_5.json").read_text(encoding="utf-8"))
    assert "tuned anew" in stale({**mix, "mixes": "0" * 12})
    (tmp_path / "bnb-nf4.json").write_text(json.dumps(other))
    assert Gallery(tmp_path).rows == ()


def test_it_is_small_and_every_picture_is_there() -> None:
    assert sum(file.stat().st_size for file in FOLDER.rglob("*")) <= MOST_BYTES
    for row in GALLERY.rows:
        assert GALLERY.webp(row).startswith(b"RIFF")


def test_a_fresh_install_shows_them_in_compare_and_by_link() -> None:
    comparison = WANTED.comparison("bnb-nf4", WANTED.prompts[0], WANTED.seeds[0])
    shown = stored(comparison, PAGE)
    assert [plan for plan, _ in shown.results] == ["fp32", "bnb-nf4"]
    found = shown.get("bnb-nf4")
    assert found is not None
    assert found.png is not None
    assert found.png.startswith(b"\x89PNG")
    assert "recorded for quantlab" in found.origin
    assert found.outcome.psnr_db is not None
    again = result(found.id or "", PAGE)
    assert again.comparison == comparison


def test_no_pixels_are_counted_in_compressed_pictures() -> None:
    asked = make_comparison(
        model=WANTED.model,
        plans=[WANTED.reference, "bnb-nf4"],
        prompt=WANTED.prompts[0],
        seed=WANTED.seeds[0],
    )
    seen = board([WANTED.reference, "bnb-nf4"], stored(asked, PAGE), MODEL, CATALOG)
    assert LOSSY in str(seen["board"])
    assert "of the pixels differ" not in str(seen["board"])


def test_results_have_its_rows_with_their_source() -> None:
    frame = field(None, gallery=GALLERY)
    rows = frame[frame["source"] == "data/gallery"]
    assert set(rows["plan"]) == {file.stem for file in FILES}
    assert set(rows["evidence"]) == {"measured"}


def test_the_blind_test_has_near_and_far_pairs_by_turns() -> None:
    pairs = list(gallery_pairs(GALLERY))
    assert len(pairs) >= LEAST_PAIRS
    figures = [pair.outcome.psnr_db or 0.0 for pair in pairs]
    middle = sorted(figures)[len(figures) // 2]
    sides = [figure >= middle for figure in figures]
    assert sum(a != b for a, b in pairwise(sides)) > len(sides) // 2
    seen = {pair.key for pair in pairs[:50]}
    assert not seen & {pair.key for pair in gallery_pairs(GALLERY, seen)}


def test_what_is_seen_goes_out_as_link_frame_table_and_plot() -> None:
    shown = stored(WANTED.comparison("bnb-nf4", WANTED.prompts[0], WANTED.seeds[0]), PAGE)
    html = str(share_run(call(PAGE, shown=shown))["shared"])
    assert "?v=1&amp;model=flux-mini&amp;plans=fp32~bnb-nf4" in html
    assert "&amp;embed=1&quot;" in html
    assert "| bnb-nf4 |" in html
    svg = Path(save_plot(call(PAGE, shown=shown))).read_text(encoding="utf-8")
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "bnb-nf4" in svg
    ElementTree.fromstring(svg)
    assert "nothing to share" in str(share_run(call(PAGE, shown=Shown()))["shared"])


def test_a_kernel_that_has_to_be_built_keeps_nobody_waiting() -> None:
    plans = ["quanto-int8", "quanto-int2", "fp32", "bnb-nf4"]
    comparison = make_comparison(plans=plans, prompt="a fox", catalog=CATALOG)
    assert in_turn(comparison, CATALOG) == [0, 2, 3, 1]
