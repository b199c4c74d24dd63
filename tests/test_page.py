"""The page without a browser: what it shows as pure functions, and its handlers over values."""

from __future__ import annotations

import asyncio
import io
import math
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from quantlab.catalog.answer.pick import recommend
from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.table import load_catalog
from quantlab.errors import InputError, RunError, StoreError
from quantlab.record.store.store import Store
from quantlab.ui import words
from quantlab.ui.compare import open as try_open
from quantlab.ui.compare import run as try_run
from quantlab.ui.compare import share
from quantlab.ui.compare import view as try_view
from quantlab.ui.compare.plans import (
    Column,
    choices,
    column_of,
    encoder_of,
    nearest_plan,
    plan_text,
)
from quantlab.ui.jobs import Jobs
from quantlab.ui.page import build
from quantlab.ui.pick import answer_view
from quantlab.ui.pick import tab as pick_tab
from quantlab.ui.pick import view as pick_view
from quantlab.ui.services import Services
from quantlab.ui.state import Job, Result, Shown, read_comparison
from quantlab.words.comparison import MAX_PLANS, Comparison
from quantlab.words.outcome import Event, Failure, Finished, Outcome, Progress
from tests.drawn import drawn

CATALOG = load_catalog()
MINI = CATALOG.models["flux-mini"]
EVIL = "<script>alert(1)</script>"


def _png() -> bytes:
    image, file = Image.new("RGB", (4, 4), (200, 90, 40)), io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


PNG = _png()


def values(*plans: str, prompt: str = "a fox", steps: object = 2) -> list[Any]:
    """What the handlers get for these plans."""
    choosers = [x for plan in plans for x in (plan, "")] + ["", ""] * (6 - len(plans))
    return ["flux-mini", prompt, 0, steps, 64, 64, 4.0, 32, "", 1.0, *choosers, len(plans)]


def outcome(plan: str, **more: Any) -> Outcome:
    return Outcome(
        plan,
        "ok",
        weights_bytes={"transformer": 50 * 2**20},
        peak_bytes=2**30,
        peak_kind="rss",
        latency_s=(1.5,),
        **more,
    )


class StandIn:
    """A runner that makes one-pixel images and fails on bf16."""

    def stream(
        self, comparison: Comparison, *, out: Path, stop: threading.Event, **_: object
    ) -> Iterator[Event]:
        for index, plan in enumerate(map(str, comparison.plans)):
            yield Progress(index, "step 1 of 2", 0.5)
            if stop.is_set():
                error = Failure("stopped", "Stopped", "stopped")
            elif plan == "bf16":
                error = Failure("load", "LoadError", EVIL)
            else:
                path = out / f"{index}.png"
                path.write_bytes(PNG)
                yield Finished(index, outcome(plan, image=str(path)))
                continue
            yield Finished(index, Outcome(plan, "failed", error=error))

    def machine(self) -> tuple[dict[str, str], dict[str, str]]:
        return {"name": "test"}, {"torch": "1"}

    def cost_s(self, _: Comparison) -> float | None:
        return None


class Refusing(StandIn):
    """A runner whose quota is spent."""

    def stream(self, *_: object, **__: object) -> Iterator[Event]:
        raise RunError("the daily quota is spent")
        yield


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return Services(CATALOG, StandIn(), Store(tmp_path))


def request(session: str = "one", query: str = "", **headers: str) -> Any:
    """As much of a gr.Request as the handlers read."""
    inner = SimpleNamespace(url=SimpleNamespace(query=query))
    return SimpleNamespace(session_hash=session, headers=headers, request=inner)


@pytest.mark.parametrize(
    "text",
    [
        "fp32",
        "bf16",
        "bnb-nf4",
        "transformer=fp32",
        "transformer=bnb-nf4,text_encoder_2=torchao-int8wo",
        "text_encoder_2=bnb-nf4",
        "bnb-nf4@compiled",
        "transformer=bf16,text_encoder_2=bnb-nf4",
    ],
)
def test_a_plan_survives_the_choosers(text: str) -> None:
    plan = parse_plan(text, MINI, CATALOG)
    again = parse_plan(plan_text(column_of(plan, MINI), MINI), MINI, CATALOG)
    assert again == plan


def test_every_choice_is_a_plan() -> None:
    for component in (MINI.components[0], encoder_of(MINI)):
        for _, scheme in choices(MINI, component, CATALOG):
            first, second = (scheme, "") if component.name == "transformer" else ("fp32", scheme)
            parse_plan(plan_text(Column(first, second), MINI), MINI, CATALOG)


def test_the_nearest_plan_is_another_one() -> None:
    assert nearest_plan(parse_plan("bnb-nf4", MINI, CATALOG), MINI, CATALOG) is None
    near = nearest_plan(parse_plan("torchao-fp8dq", MINI, CATALOG), MINI, CATALOG)
    assert near is not None
    assert near != "torchao-fp8dq"


@pytest.mark.parametrize("steps", [None, math.nan, math.inf, 0, 51, 1.5, "8", True, 10**400])
def test_a_wrong_number_names_its_part(steps: object) -> None:
    with pytest.raises(InputError, match=r"^steps: "):
        read_comparison(values("fp32", "bf16", steps=steps), CATALOG)


def test_line_breaks_in_a_prompt_are_spaces() -> None:
    assert read_comparison(values("fp32", prompt="a\nfox"), CATALOG).prompt == "a fox"


def test_foreign_text_is_escaped_everywhere() -> None:
    failure = Failure("load", "LoadError", EVIL)
    failed = Result(Outcome(EVIL, "failed", error=failure, notes=(EVIL,)))
    shown = [
        try_view.banner(EVIL),
        try_view.progress(EVIL, 0.5),
        try_view.head(0, EVIL, "failed", result=failed),
        try_view.figures(failed, None, first=False),
        try_view.figures(Result(outcome(EVIL, way=EVIL), origin=EVIL), None, first=True),
        try_view.link_box(EVIL, EVIL),
        try_view.code_box(EVIL, EVIL),
        answer_view.problem(EVIL),
        pick_view.claims(EVIL, EVIL, CATALOG),
    ]
    assert not [html for html in shown if "<script" in html]


def test_the_table_has_every_row_and_its_claims() -> None:
    rows = recommend(hardware="cpu", model="flux-mini", catalog=CATALOG)
    table = pick_view.table(rows, CATALOG)
    assert table.count("<tr role=") == len(rows) + 1
    for row in rows:
        claims = pick_view.claims(row.scheme or row.method, "cpu", CATALOG)
        assert "is-asked" in claims
        assert re.search(r"checked 20\d\d", claims)


def test_numbers_have_their_units() -> None:
    assert words.size(50 * 2**20) == "50.0 MiB"
    assert words.size(3 * 2**30) == "3.00 GiB"
    assert words.size(None) == "-"
    assert words.time(0.0524) == "0.052 s"
    assert words.time(12.345) == "12.35 s"
    assert words.when("2026-11-21T08:21:00.000000Z") == "2026-11-21 08:21 UTC"


def test_a_question_that_cannot_be_asked_is_one_sentence() -> None:
    found, table = pick_tab.ask(CATALOG, "cpu", "many", "", "", "", [])
    assert "memory" in str(found)
    assert isinstance(table, dict)  # gr.skip(): the table stays
    found, _ = pick_tab.ask(CATALOG, "cpu", "12", "", "", "", [])
    assert "model" in str(found)


def test_kept_controls_that_do_not_fit_are_ignored() -> None:
    assert pick_tab.restore(["cuda", "12", "4", "flux1-dev", "", ["peft"]])[0] == "cuda"
    for kept in (None, [], ["abacus", "", "", "", "", []], ["cpu", {}, "", "", "", []], "text"):
        assert isinstance(pick_tab.restore(kept)[0], dict)


def test_links_lead_where_the_visitor_is(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    visitor = request(referer="http://10.0.0.7:7860/sub/?v=1#x")
    assert share.base_url(visitor, services) == "http://10.0.0.7:7860/sub/"
    assert share.base_url(request(host="h:1"), services) == "http://h:1/"
    monkeypatch.setenv("SPACE_ID", "someone/quantlab")
    assert share.base_url(visitor, services) == "https://huggingface.co/spaces/someone/quantlab"


def take_in(services: Services, session: str, *plans: str) -> Job:
    """Press Run and give the job."""
    job = try_run.check(services, request(session), *values(*plans))[1]
    assert isinstance(job, Job)
    return job


def test_a_run_streams_and_keeps_what_it_measured(services: Services) -> None:
    job = take_in(services, "one", "fp32", "bf16", "bnb-nf4")
    updates = drawn(try_run.run(services, job))
    shown = updates[-1][1]
    assert [name for name, _ in shown.results] == ["fp32", "bf16", "bnb-nf4"]
    firsts = [u[1] for u in updates if isinstance(u[1], Shown)]
    assert [len(each.results) for each in firsts] == [1, 2, 3]
    assert shown.results[0][1].png == PNG
    assert services.store is not None
    assert len(services.store.find(job.comparison)) == 3
    assert len(services.jobs) == 0
    settled = try_run.settle(services, request(), job, shown)
    assert "2 of 3 done, 1 failed." in settled[2]
    heads = [str(head) for head in settled[3 : 3 + 4 * 3 : 4]]  # whatever Stop answered last
    assert ["is-done" in head for head in heads] == [True, False, True]


def test_a_store_that_fails_loses_nothing_on_the_page(services: Services) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StoreError("The disk is full.")

    assert services.store is not None
    services.store.save = refuse  # type: ignore[method-assign,assignment]
    job = take_in(services, "one", "fp32")
    shown = drawn(try_run.run(services, job))[-1][1]
    assert shown.results[0][1].png == PNG


def test_a_run_that_is_refused_whole_says_why(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, **_: said.append(text))
    refusing = replace(services, runner=Refusing())
    job = take_in(refusing, "one", "fp32", "bnb-nf4")
    drawn(try_run.run(refusing, job))
    assert said == ["the daily quota is spent"]
    assert len(services.jobs) == 0


def test_words_that_the_model_does_not_know_are_named(services: Services) -> None:
    given = values("fp32", "bnb-nf4")
    given[1] = "a zeppelin on a <b>red</b> background"
    said = try_run.check(services, request(), *given)[0]
    assert "zeppelin" in said
    assert "<b>" not in said
    given[1] = "a red apple on a blue background"
    assert try_run.check(services, request(), *given)[0] == ""


def test_a_short_sequence_length_is_told_with_the_run_and_with_the_link(
    services: Services,
) -> None:
    given = values("fp32", "bnb-nf4")
    given[7] = 16
    told = "Sequence length 16 is below the 32 tokens"
    assert told in try_run.check(services, request(), *given)[0]
    comparison = read_comparison(given, CATALOG)
    query = share.to_url("http://h/", comparison).partition("?")[2]
    assert told in try_open.open_page(services, request(query=query), *given)[1]


def test_stop_while_waiting_leaves_the_queue(services: Services) -> None:
    first = take_in(services, "one", "fp32")
    waiting = take_in(services, "two", "fp32")
    updates = try_run.stop(services, request("two"), waiting, Shown(waiting.comparison))
    assert updates[0]["value"] == "Run"
    assert drawn(try_run.run(services, waiting)) == []
    assert len(drawn(try_run.run(services, first))) > 1


def test_a_visitor_who_leaves_stops_the_run(services: Services) -> None:
    job = take_in(services, "one", "fp32", "bnb-nf4")

    async def left() -> list[Any]:
        events = try_run.run(services, job)
        updates = [await anext(events)]
        try_run.leave(services, request("one"))
        return updates + [update async for update in events]

    *_, last = asyncio.run(left())
    states = [result.outcome.status for _, result in last[1].results]
    assert states == ["failed", "failed"]
    assert len(services.jobs) == 0


def test_sessions_do_not_stop_each_other() -> None:
    jobs = Jobs()
    (mine, before), (yours, after) = jobs.queue("me"), jobs.queue("you")
    assert (before, after) == (0, 1)
    my_stop = jobs.start(mine)
    assert jobs.start(yours) is None  # one at a time
    assert jobs.stop("me")
    assert my_stop is not None
    assert my_stop.is_set()
    jobs.end(mine)
    your_stop = jobs.start(yours)
    assert your_stop is not None
    assert not your_stop.is_set()
    assert not jobs.busy("me")
    assert jobs.busy("you")


def test_opening_a_link_shows_the_store_and_runs_nothing(services: Services) -> None:
    comparison = make_comparison(plans=["fp32", "bnb-nf4"], prompt="a fox", catalog=CATALOG)
    assert services.store is not None
    services.store.save(comparison, 0, outcome("fp32"), PNG, {"name": "X"}, {"torch": "2"})
    url = share.to_url("http://h/", comparison)
    shown = share.opened(request(query=url.partition("?")[2]), services)
    assert shown is not None
    assert shown.comparison == comparison
    found = shown.get("fp32")
    assert found is not None
    assert "on X, torch 2" in found.origin
    assert share.opened(request(query=""), services) is None
    with pytest.raises(InputError):
        share.opened(request(query="v=1&model=flux-mini&plans=fp32&plans=fp32"), services)


def choices_given(update: Any) -> list[tuple[str, str]]:
    return list(update.get("choices", ()))


def test_what_is_opened_of_another_model_brings_its_choices(services: Services) -> None:
    plans = ["bf16", "transformer=bnb-nf4,text_encoder=bnb-nf4"]
    comparison = make_comparison(model="flux2-klein-4b", plans=plans, prompt="", catalog=CATALOG)
    query = share.to_url("http://h/", comparison).partition("?")[2]
    start = values("fp32", "bnb-nf4")
    updates = try_open.open_page(services, request(query=query), *start)
    first = len(updates) - 4 * MAX_PLANS - 2 * MAX_PLANS
    pair = updates[first + 2 : first + 4]
    assert [update["value"] for update in pair] == ["bnb-nf4", "bnb-nf4"]
    klein = CATALOG.models["flux2-klein-4b"]
    for update, component in zip(pair, (klein.components[0], encoder_of(klein)), strict=True):
        assert choices_given(update) == choices(klein, component, CATALOG)
    assert choices_given(pair[1]) != choices(MINI, encoder_of(MINI), CATALOG)

    assert services.store is not None
    wanted = services.store.save(comparison, 0, outcome("bf16"), PNG, {}, {})
    event: Any = SimpleNamespace(_data={"result": wanted})
    again = try_open.open_result(services, request(), event, "flux-mini")
    choosers = slice(first, first + 2 * MAX_PLANS)
    assert list(map(choices_given, again[choosers])) == list(map(choices_given, updates[choosers]))
    same = try_open.open_result(services, request(), event, "flux2-klein-4b")
    assert same[choosers][:4] == ["bf16", "", "bnb-nf4", "bnb-nf4"]  # values, no updates


def test_only_the_functions_for_programs_are_public(services: Services) -> None:
    page = build(services)
    assert isinstance(page, gr.Blocks)
    visible = {f.api_name for f in page.fns.values() if f.api_visibility == "public"}
    assert visible == {"recommend", "predict", "compare", "link", "result"}
    kinds = {type(block).__name__ for block in page.blocks.values()}
    assert not kinds & {"File", "UploadButton", "Files"}
