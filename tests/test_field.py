"""Everything recorded in one frame: nothing mixed, nothing twice, fronts only within a group."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import StoreError
from quantlab.lab.runners.local import LocalRunner
from quantlab.record.results.export import to_csv, to_json, to_markdown
from quantlab.record.results.frame import LIMIT, PUBLISHED, field, frame_of, narrow, records
from quantlab.record.results.grouping import groups
from quantlab.record.results.groups import Group, table
from quantlab.record.store.store import Store, Stored
from quantlab.ui.named import Call
from quantlab.ui.results.runs_view import runs
from quantlab.ui.results.tab import show
from quantlab.ui.results.view import results
from quantlab.ui.services import Services
from quantlab.words.outcome import Failure, Outcome
from tests.measured_plans import DEVICE, FIGURES, MIB, VERSIONS, outcome

MIX = "mix-flux-mini-4_5"


def fill(
    store: Store,
    *plans: str,
    prompt: str = "a fox",
    device: dict[str, Any] | None = None,
    versions: dict[str, str] | None = None,
    **settings: Any,
) -> None:
    """Keep an outcome of each plan, as the page does."""
    comparison = make_comparison(plans=plans, prompt=prompt, **settings)
    for index, plan in enumerate(plans):
        store.save(comparison, index, outcome(plan), None, device or DEVICE, versions or VERSIONS)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def measured(frame: pd.DataFrame, order: Any = "plan") -> list[Group]:
    return [group for group in groups(frame, order) if group.evidence == "measured"]


def front(group: Group) -> list[str]:
    return [line.plan for line in group.lines if line.front]


def test_every_source_is_in_it_with_its_evidence(store: Store) -> None:
    fill(store, "fp32", "bnb-nf4")
    frame = field(store, sweep=Path("none.csv"))
    assert set(frame["evidence"]) == {"measured", "documented"}
    own = frame[frame["evidence"] == "measured"]
    assert list(own["result"]) == [row.id for row in store.recent()]
    assert set(own["machine"]) == {"a laptop"}
    assert list(own["role"]) == ["plan", "reference"]
    others = frame[frame["evidence"] == "documented"]
    assert others["url"].str.startswith("https://").all()
    assert (others["result"] == "").all()
    assert others["weights_bytes"].isna().all()
    assert others["psnr_db"].isna().all()


def test_published_figures_are_those_of_the_file() -> None:
    given = pd.read_csv(PUBLISHED)
    frame = field(None, sweep=Path("none.csv"))
    for offload, prefix in (("", ""), ("model CPU offload", "offload_")):
        told = given[given[f"{prefix}seconds"].notna()]
        found = frame[frame["offload"] == offload]
        assert list(found["latency_s"]) == list(told[f"{prefix}seconds"])
        gib = found["peak_bytes"].astype(float) / 2**30
        assert list(gib) == pytest.approx(list(told[f"{prefix}peak_gib"]))
    assert len(frame) == given["seconds"].count() + given["offload_seconds"].count()


def test_the_plan_of_reference_is_no_picture_to_go_by(store: Store) -> None:
    fill(store, "fp32", "bnb-nf4")
    [group] = measured(field(store, sweep=Path("none.csv")))
    assert group.reference == "fp32"
    assert "reference" not in group.settings


def test_a_group_mixes_no_machine_version_setting_source_or_evidence(store: Store) -> None:
    fill(store, "fp32", "bnb-nf4")
    fill(store, "fp32", "bnb-nf4", device={**DEVICE, "name": "a server"})
    fill(store, "fp32", "bnb-nf4", versions={**VERSIONS, "torch": "2.14.0"})
    fill(store, "fp32", "bnb-nf4", steps=2)
    fill(store, "bnb-nf4", "fp32")
    frame = field(store, sweep=Path("none.csv"))
    assert len(measured(frame)) == 5
    for _, lines in frame.groupby("group"):
        for name in ("evidence", "model", "machine", "steps", "width", "reference", "offload"):
            assert lines[name].nunique(dropna=False) == 1
        assert lines["version_torch"].nunique() == 1
        assert lines["source"].nunique() == 1


def test_a_mix_that_was_tuned_anew_is_a_line_of_its_own_beside_the_others(store: Store) -> None:
    fill(store, "fp32")
    for held, prompt in (("1" * 12, "a fox"), ("2" * 12, "a fox"), ("2" * 12, "an owl")):
        comparison = make_comparison(plans=["fp32", MIX], prompt=prompt)
        versions = {**VERSIONS, "mixes": held}
        store.save(comparison, 1, replace(outcome("bnb-nf4"), plan=MIX), None, DEVICE, versions)
    [group] = measured(field(store, sweep=Path("none.csv")))
    assert [(line.plan, line.runs) for line in group.lines] == [
        ("fp32", 1),
        (MIX, 2),
        (MIX, 1),
    ]
    assert "mixes" not in group.versions


def test_the_front_is_drawn_within_a_group_and_weighs_all_three(store: Store) -> None:
    fill(store, *FIGURES)
    fill(store, *FIGURES, prompt="an owl")
    slow = {name: replace(outcome(name), latency_s=(99.0,)) for name in ("fp32", "sdnq-int8")}
    for prompt in ("a fox", "an owl"):
        comparison = make_comparison(plans=list(slow), prompt=prompt)
        for index, each in enumerate(slow.values()):
            store.save(comparison, index, each, None, {**DEVICE, "name": "slow"}, VERSIONS)
    frame = field(store, sweep=Path("none.csv"))
    fast = next(group for group in measured(frame) if group.machine == "a laptop")
    by_plan = {line.plan: line for line in fast.lines}
    assert by_plan["bnb-nf4"].psnr_interval == (by_plan["bnb-nf4"].psnr_db,) * 2
    assert by_plan["fp32"].psnr_interval is None
    assert front(fast) == ["bnb-nf4", "fp32", "quanto-int8", "torchao-int8wo"]
    alone = next(group for group in measured(frame) if group.machine == "slow")
    assert front(alone) == ["fp32", "sdnq-int8"]


def test_scores_of_one_picture_rank_nothing_and_that_is_said(store: Store) -> None:
    fill(store, "fp32", "bnb-nf4")
    [group] = measured(field(store, sweep=Path("none.csv")))
    assert front(group) == []
    page = results([group], "plan", {}, any_own=True)
    assert "nothing is ranked by them" in page
    assert "Pareto" not in page
    assert ">bnb-nf4</text>" in page  # its name stands in the plot all the same


def test_intervals_stand_beside_scores_and_what_overlaps_is_not_ranked(store: Store) -> None:
    """quanto-int8 is larger and slower than torchao-int8wo: it goes only where it is surely no
    nearer."""
    for near, prompts in ((30.0, "abcdefgh"), (60.0, "ijklmnop")):
        for index, prompt in enumerate(prompts):
            plans = {
                "fp32": outcome("fp32"),
                "torchao-int8wo": outcome("torchao-int8wo", scores={"psnr_db": 40.0 + index}),
                "quanto-int8": outcome(
                    "quanto-int8",
                    scores={"psnr_db": near + index},
                    latency_s=(99.0,),
                    weights_bytes={"transformer": 70 * MIB},
                ),
            }
            comparison = make_comparison(plans=list(plans), prompt=prompt, steps=int(near) // 10)
            for place, each in enumerate(plans.values()):
                store.save(comparison, place, each, None, DEVICE, VERSIONS)
    found = measured(field(store, sweep=Path("none.csv")))
    worse, better = sorted(found, key=lambda group: group.settings["steps"])
    assert "quanto-int8" not in front(worse)
    assert "quanto-int8" in front(better)
    line = next(line for line in worse.lines if line.plan == "quanto-int8")
    assert line.psnr_interval is not None
    low, high = line.psnr_interval
    assert 30 <= low < 33.5 < high <= 37
    page = results([worse], "plan", {}, any_own=True)
    assert f"{low:.1f} to {high:.1f} dB" in page
    assert "what overlaps is not ranked by it" in page
    assert page.count('class="ql-span"') == 4  # two plans, two pictures
    assert f"{low:.1f} to {high:.1f} dB" in to_markdown([table(worse)])


def test_what_has_no_fidelity_is_weighed_by_memory_and_time_alone() -> None:
    (one,) = (g for g in groups(field(None, sweep=Path("none.csv"))) if g.settings["steps"] == 28)
    assert not one.has_fidelity
    assert not one.by_weights
    # 33.9 GiB and 6.6 s, 31.6 and 8.4, 31.6 and 8.6: the last one is beaten.
    assert sorted(front(one)) == ["bf16", "torchao-fp8wo"]


def test_a_line_is_the_median_of_its_runs_and_counts_failures(store: Store) -> None:
    for prompt, seconds in (("a", 1.0), ("b", 2.0), ("c", 9.0)):
        comparison = make_comparison(plans=["fp32", "bnb-nf4"], prompt=prompt)
        store.save(comparison, 0, outcome("fp32"), None, DEVICE, VERSIONS)
        each = outcome("bnb-nf4", latency_s=(seconds,), peak_bytes=int(seconds) * MIB)
        store.save(comparison, 1, each, None, DEVICE, VERSIONS)
    failed = Outcome("bnb-nf4", "failed", error=Failure("run", "RunError", "no memory"))
    comparison = make_comparison(plans=["fp32", "bnb-nf4"], prompt="d")
    store.save(comparison, 1, failed, None, DEVICE, VERSIONS)
    (group,) = measured(field(store, sweep=Path("none.csv")))
    line, reference = group.lines
    assert (line.plan, line.runs, line.failed, line.error) == ("bnb-nf4", 4, 1, "run: no memory")
    assert (line.latency_s, line.peak_bytes) == (2.0, 9 * MIB)
    assert line.results == tuple(r.id for r in store.recent() if r.plan == "bnb-nf4")
    assert (reference.role, reference.fidelity) == ("reference", float("inf"))
    assert (group.runs, group.pairs, group.same_pairs) == (7, 4, False)


def test_orders(store: Store) -> None:
    fill(store, *FIGURES)
    frame = field(store, sweep=Path("none.csv"))

    def plans(order: str) -> list[str]:
        return [line.plan for line in measured(frame, order)[0].lines]

    assert plans("plan") == sorted(FIGURES)
    assert plans("memory") == ["bnb-nf4", "quanto-int8", "sdnq-int8", "torchao-int8wo", "fp32"]
    assert plans("latency") == ["fp32", "torchao-int8wo", "bnb-nf4", "quanto-int8", "sdnq-int8"]
    assert plans("fidelity") == ["fp32", "quanto-int8", "sdnq-int8", "torchao-int8wo", "bnb-nf4"]
    assert plans("newest") == list(reversed(FIGURES))


def test_narrow_by_what_a_visitor_chooses(store: Store) -> None:
    fill(store, "fp32", "bnb-nf4", prompt="a RED fox")
    fill(store, "fp32", "quanto-int8", prompt="an owl (.*")
    frame = field(store, sweep=Path("none.csv"))
    assert set(narrow(frame, evidence="measured")["machine"]) == {"a laptop"}
    assert set(narrow(frame, model="flux1-dev")["evidence"]) == {"documented"}
    assert list(narrow(frame, words="fox NF4")["plan"]) == ["bnb-nf4"]
    assert len(narrow(frame, words="(.*")) == 2
    assert len(narrow(frame, machine="a laptop")) == 4
    assert narrow(frame, words="nothing like it").empty
    assert groups(narrow(frame, words="nothing like it")) == []


def test_a_new_result_is_seen_at_once(store: Store) -> None:
    before = len(field(store, sweep=Path("none.csv")))
    fill(store, "fp32")
    assert len(field(store, sweep=Path("none.csv"))) == before + 1


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Store]]:
    """A small sweep as the command writes it, and the store that it ran into."""
    folder = tmp_path_factory.mktemp("sweep")
    out = folder / "sweep.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUANTLAB_DATA", str(folder))
        small = ["--plans", "fp32", "bnb-nf4", "torchao-int4wo", "--steps", "1"]
        assert main(["sweep", *small, "--prompt", "=1+1, a fox", "--out", str(out)]) == 0
        yield out, Store(folder)


def test_a_sweep_s_file_says_what_its_store_says(swept: tuple[Path, Store]) -> None:
    out, store = swept
    (from_file,) = measured(field(None, sweep=out))
    (from_store,) = measured(field(store, sweep=Path("none.csv")))
    assert from_file.runs == from_store.runs == 4
    assert [
        (line.plan, line.role, line.latency_s, line.weights_bytes, line.psnr_db, line.front)
        for line in from_file.lines
    ] == [
        (line.plan, line.role, line.latency_s, line.weights_bytes, line.psnr_db, line.front)
        for line in from_store.lines
    ]
    roles = {(line.plan, line.role) for line in from_file.lines}
    assert {("fp32", "reference"), ("fp32", "again"), ("bnb-nf4", "plan")} <= roles
    again = next(line for line in from_file.lines if line.role == "again")
    assert again.identical
    assert not again.front
    assert from_file.key == from_store.key
    assert not any(line.results for line in from_file.lines)
    frame = field(None, sweep=out)
    assert set(frame["prompt"]) == {"", "=1+1, a fox"}


def test_what_is_in_the_store_and_in_the_file_counts_once(swept: tuple[Path, Store]) -> None:
    out, store = swept
    (group,) = measured(field(store, sweep=out))
    assert group.runs == 4


def test_exports_of_the_field_can_be_read_back(store: Store) -> None:
    fill(store, "fp32", "bnb-nf4", prompt="a <b>fox</b> | *x*")
    frame = field(store, sweep=Path("none.csv"))
    given = records(frame)
    again = pd.read_csv(io.StringIO(to_csv(given)))
    assert len(again) == len(frame)
    assert again["weights_bytes"][0] == 40 * MIB
    assert again["evidence"].value_counts().to_dict() == frame["evidence"].value_counts().to_dict()
    items = json.loads(to_json(given))
    assert items[0]["prompt"] == "a <b>fox</b> | *x*"
    assert items[1]["psnr_db"] is None
    text = to_markdown([table(group) for group in groups(frame)])
    assert text.count("\n| --- |") == 4
    assert "Documented on NVIDIA H100 80GB" in text


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "broken.csv"
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StoreError, match=r"broken\.csv"):
        field(None, sweep=broken)


def test_a_frame_of_nothing() -> None:
    assert groups(frame_of([])) == []
    assert records(frame_of([])) == []


def test_results_beyond_the_limit_are_counted_and_said(store: Store) -> None:
    services = Services(load_catalog(), LocalRunner(load_catalog()), store)
    comparison = make_comparison(plans=["fp32"], prompt="a dragonfly")
    moment = "2026-01-01T00:00:00Z"
    row = Stored("", comparison, "fp32", outcome("fp32"), None, DEVICE, VERSIONS, moment)

    def shown() -> str:
        chosen = {"model": "flux-mini", "evidence": "measured", "machine": "", "order": "newest"}
        return str(show(Call(services, {**chosen, "words": "dragonfly"}))["groups"])

    many = [replace(row, comparison=comparison.changed(seed=seed)) for seed in range(LIMIT)]
    assert store.add(many) == LIMIT
    assert f"{LIMIT} rows" in shown()
    assert "stored results are shown" not in shown()
    fill(store, "bnb-nf4", prompt="a dragonfly")
    assert f"The newest {LIMIT} of {LIMIT + 1} stored results are shown" in shown()
    assert f"{LIMIT} rows" in shown()


def test_a_score_across_modes_says_so_wherever_it_stands(store: Store) -> None:
    plans = ("fp32", "bnb-nf4", "bnb-nf4@compiled")
    comparison = make_comparison(plans=plans, prompt="a fox")
    compiled = replace(outcome("bnb-nf4"), plan=plans[2], across_modes=True)
    for index, made in enumerate((outcome("fp32"), outcome("bnb-nf4"), compiled)):
        store.save(comparison, index, made, None, DEVICE, VERSIONS)
    frame = field(store, sweep=Path("none.csv"))
    (group,) = measured(frame)
    assert {line.plan: line.across_modes for line in group.lines} == {
        "fp32": False,
        "bnb-nf4": False,
        "bnb-nf4@compiled": True,
    }
    assert to_markdown([table(group)]).count("compiled against eager") == 1
    assert results([group], "plan", {}, any_own=True).count("compiled against eager") == 1
    keys = [f"{group.key}|plan|{plan}" for plan in plans[1:]]
    assert ["compiled against eager" in runs(frame, key) for key in keys] == [False, True]
