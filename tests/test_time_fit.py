"""Published times, the constants that they give, and the pace of a CPU."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path

import pytest

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.time import load_constants, pace_from, predict
from quantlab.errors import CatalogError, InputError
from tests.flux_work import told
from tools.latency_fit import fit, learnable, seconds
from tools.latency_rows import DIFFUSERS, cards, read_rows


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("softmax = ", "softmax = -", "general.softmax"),
        ("[tools]", "[tolls]", "tolls"),
        ('reason = "svdquant"', 'reason = "why"', "classes.svdquant.reason"),
        ('rate = "fp8"', 'rate = "fp7"', "classes.fp8-dynamic"),
        ("always = 1.2", "always = 0.9", "spread.always"),
    ],
)
def test_a_broken_file_of_constants_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    kept = PROJECT / "data" / "latency" / "constants.toml"
    file = tmp_path / "data" / "latency" / "constants.toml"
    file.parent.mkdir(parents=True)
    shutil.copy(kept, file)
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CatalogError, match=says.replace(".", r"\.")):
        load_constants(tmp_path)


ROWS = read_rows()
LEARNED = learnable(ROWS, cards(), load_constants())


def test_published_rows_are_of_known_cards_and_named_sources() -> None:
    assert len(LEARNED) > 100
    for row in ROWS:
        assert row.source, row.name()
        if row.fit == "yes":
            assert row.gpu in cards(), row.gpu
            assert row.run.timing in load_constants().classes, row.run.timing


def test_rows_that_no_card_can_have_reached_are_below_every_interval() -> None:
    impossible = [row for row in ROWS if row.trust == "X" and row.gpu in cards()]
    assert len(impossible) >= 5
    for row in impossible:
        assert row.seconds < told(predict(row.work, cards()[row.gpu], row.run)).low, row.name()


def test_published_times_are_met_by_the_constants_that_ship() -> None:
    errors, covered = [], []
    for row in LEARNED:
        on = cards()[row.gpu]
        errors.append(abs(seconds(row, on, load_constants()) / row.seconds - 1))
        if not row.per_step and row.tool in DIFFUSERS:
            answer = told(predict(row.work, on, row.run))
            covered.append(answer.low <= row.seconds <= answer.high)
    assert statistics.median(errors) <= 0.10
    assert statistics.fmean(covered) >= 0.8


def test_constants_are_those_that_the_rows_give() -> None:
    kept = load_constants()
    again = fit(LEARNED, cards(), kept)
    for name, value in vars(kept.general).items():
        assert getattr(again.general, name) == pytest.approx(value, rel=0.02), name


def test_a_card_that_was_left_out_is_met() -> None:
    rest = [row for row in LEARNED if not row.gpu.startswith("l20-")]
    fitted = fit(rest, cards(), load_constants())
    errors = [
        abs(seconds(row, cards()[row.gpu], fitted) / row.seconds - 1)
        for row in LEARNED
        if row.gpu.startswith("l20-")
    ]
    assert len(errors) > 8
    assert statistics.median(errors) <= 0.15


def test_a_pace_is_a_line_through_both_sizes() -> None:
    pace = pace_from([(64, 0.02), (128, 0.03)], [(4096, 0.01), (16384, 0.04)], 0.005)
    one = pace.seconds(image_tokens=32, text_tokens=32, pixels=4096, steps=4)
    assert one.mid == pytest.approx(0.005 + 4 * 0.02 + 0.01)
    both = pace.seconds(image_tokens=32, text_tokens=32, pixels=4096, steps=1, batch=2)
    assert both.mid == pytest.approx(0.005 + 0.03 + 0.02)
    assert one.low < one.mid < one.high


def test_a_pace_never_has_negative_parts() -> None:
    steep = pace_from([(64, 0.01), (128, 0.04)], [(1, 0.2), (2, 0.1)], 0.0)
    assert steep.step.fixed == 0
    assert steep.step.at(128) == pytest.approx(0.04)
    assert steep.decode.each == 0
    for steps in ([(64, 0.1)], [(64, 0.1), (64, 0.2)], [(64, 0.1), (128, 0.0)]):
        with pytest.raises(InputError, match="steps"):
            pace_from(steps, [(1, 0.1), (2, 0.2)], 0.0)


def test_flux_mini_tells_its_own_pace() -> None:
    from diffusers import FluxPipeline

    from quantlab.lab.bench.pace import measure_pace
    from tests.device import DEVICE

    pipe = FluxPipeline.from_pretrained(PROJECT / "data" / "flux-mini")
    pipe.set_progress_bar_config(disable=True)
    pace = measure_pace(pipe, DEVICE, text_tokens=32, repeats=1, max_sequence_length=32)
    small, large = (
        pace.seconds(image_tokens=(side // 16) ** 2, text_tokens=32, pixels=side**2, steps=8).mid
        for side in (64, 256)
    )
    assert 0 < small <= large < 600
