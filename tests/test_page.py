"""The page without a browser: what it shows as pure functions, and its handlers over values."""

from __future__ import annotations

import asyncio
import io
import math
import re
import threading
from collections.abc import Iterator, Mapping
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
from quantlab.ui.compare.live import Live
from quantlab.ui.compare.plans import (
    Column,
    choices,
    column_of,
    encoder_of,
    nearest_plan,
    plan_text,
)
from quantlab.ui.compare.stage import facts_view, strip_view
from quantlab.ui.compare.stage import view as try_view
from quantlab.ui.compare.stage.strip_view import Seat
from quantlab.ui.jobs import Jobs
from quantlab.ui.named import Call
from quantlab.ui.page import build
from quantlab.ui.pick import answer_view
from quantlab.ui.pick import tab as pick_tab
from quantlab.ui.pick import view as pick_view
from quantlab.ui.services import Services
from quantlab.ui.state import Job, Result, Shown, read_comparison
from quantlab.words import units
from quantlab.words.comparison import MAX_PLANS, Comparison
from quantlab.words.outcome import Event, Failure, Finished, Outcome, Progress
from tests.drawn import awaited, drawn

CATALOG = load_catalog()
MINI = CATALOG.models["flux-mini"]
EVIL = "<script>alert(1)</script>"


def _png() -> bytes:
    image, file = Image.new("RGB", (4, 4), (200, 90, 40)), io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


PNG = _png()


def values(*plans: str, prompt: str = "a fox", steps: object = 2, **more: Any) -> dict[str, Any]:
    """What the controls hold for these plans."""
    settings = {"seed": 0, "steps": steps, "width": 64, "height": 64, "guidance": 4.0}
    settings |= {"sequence_length": 32, "lora": "", "lora_weight": 1.0, "negative_prompt": ""}
    settings |= {"true_cfg_scale": None, "frames": None, "reference": ""}
    settings |= {"vae_tiling": False, "vae_slicing": False}
    columns = {f"transformer-{n}": plans[n] if n < len(plans) else "" for n in range(MAX_PLANS)}
    columns |= {f"encoder-{n}": "" for n in range(MAX_PLANS)}
    found = {"model": "flux-mini", "prompt": prompt, **settings, **columns, "count": len(plans)}
    return {**found, **more}


def call(services: Services, session: str = "one", query: str = "", **given: Any) -> Call:
    """What a handler gets; ``event`` among the values is what came with it."""
    event = given.pop("event", {})
    return Call(services, given, request(session, query), event)


def text_of(updates: Mapping[str, Any], name: str) -> str:
    return str(updates.get(name, ""))


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


def _facts(seat: Seat) -> str:
    told: dict[str, Any] = {"predicted": {}, "instead": {EVIL: EVIL}, "warnings": {EVIL: [EVIL]}}
    return facts_view.facts([seat], None, labels={}, **told)


def test_foreign_text_is_escaped_everywhere() -> None:
    failure = Failure("load", "LoadError", EVIL)
    failed = Result(Outcome(EVIL, "failed", error=failure, notes=(EVIL,)))
    shown = [
        try_view.banner(EVIL),
        try_view.progress(EVIL, 0.5),
        strip_view.stage([Seat(EVIL, "failed", EVIL, failed, EVIL)], Shown()),
        _facts(Seat(EVIL, "failed", None, failed)),
        _facts(Seat(EVIL, "done", None, Result(outcome(EVIL, way=EVIL), origin=EVIL))),
        try_view.changed_bar(EVIL),
        try_view.link_box(EVIL, EVIL),
        try_view.code_box(EVIL, EVIL),
        answer_view.problem(EVIL),
        pick_view.claims(EVIL, EVIL, CATALOG),
    ]
    assert not [html for html in shown if "<script" in html]


def test_the_table_has_every_row_and_its_claims() -> None:
    rows = recommend(hardware="cpu", model="flux-mini", catalog=CATALOG)
    table = pick_view.table(rows, answer_view.Query(model="flux-mini"), CATALOG)
    assert table.count("<tr role=") == len(rows) + 1
    for row in rows:
        claims = pick_view.claims(row.scheme or row.method, "cpu", CATALOG)
        assert "is-asked" in claims
        assert re.search(r"checked 20\d\d", claims)


def test_the_table_leads_with_the_visitors_hardware_memory_time_and_loss() -> None:
    query = answer_view.Query("rocm", model="flux1-dev", gpu="rx-7900-xtx-24gb")
    rows = recommend(model="flux1-dev", gpu="rx-7900-xtx-24gb", catalog=CATALOG)
    table = pick_view.table(rows, query, CATALOG)
    head = table[: table.index("</thead>")]
    shown = re.findall(r'aria-sort="none"><button[^>]*>([^<]+)<', head)
    assert shown == ["Scheme", "Verdict", "ROCm", "Memory", "An image", "Picture"]
    first = table[table.index("<tbody") :].partition("</tr>")[0]
    assert rows[0].placement is not None
    assert f'data-label="memory" data-v="{rows[0].placement.peak_bytes:.6g}"' in first
    said = table[: table.index("<table")]
    assert "Each scheme on the transformer alone; the rest of FLUX.1-dev in bf16" in said
    assert "No time of an image for" in said
    assert "On AMD cards others saw" in said


def test_numbers_have_their_units() -> None:
    assert units.size(50 * 2**20) == "50.0 MiB"
    assert units.size(3 * 2**30) == "3.00 GiB"
    assert units.size(None) == "-"
    assert units.seconds(0.0524) == "0.052 s"
    assert units.seconds(12.345) == "12.35 s"
    assert words.when("2026-11-21T08:21:00.000000Z") == "2026-11-21 08:21 UTC"


ASKED = {"hardware": "cpu", "memory": "", "ram": "", "bits": "", "model": "", "library": ""}
ASKED = {**ASKED, "needs": []}


def test_a_question_that_cannot_be_asked_is_one_sentence(services: Services) -> None:
    for wrong, named in (({"memory": "many"}, "memory"), ({"memory": "12"}, "model")):
        updates = pick_tab.ask(call(services, **{**ASKED, **wrong}))
        assert named in str(updates["answer"])
        assert updates.keys() == {"answer"}


def test_the_question_of_an_address_is_asked_where_it_fits(services: Services) -> None:
    address = "hardware=cuda&memory=12&bits=4&model=flux1-dev&needs=peft"
    found = pick_tab.restore(call(services, address=address))
    assert found == {
        **ASKED,
        "hardware": "cuda",
        "memory": "12",
        "bits": "4",
        "model": "flux1-dev",
        "needs": ["peft"],
    }
    for wrong in ("", "x", "hardware=abacus", "hardware=cpu&model=nothing", "hardware=cuda&bits=x"):
        assert pick_tab.restore(call(services, address=wrong)) == {}


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
    job = try_run.check(call(services, session, **values(*plans)))["job"]
    assert isinstance(job, Job)
    return job


def test_a_run_streams_and_keeps_what_it_measured(services: Services) -> None:
    job = take_in(services, "one", "fp32", "bf16", "bnb-nf4")
    updates = drawn(try_run.run(call(services, job=job)))
    firsts = [each["shown"] for each in updates if "shown" in each]
    shown = firsts[-1]
    assert [name for name, _ in shown.results] == ["fp32", "bf16", "bnb-nf4"]
    assert [len(each.results) for each in firsts] == [0, 1, 2, 3]
    assert shown.results[0][1].png == PNG
    assert services.store is not None
    assert len(services.store.find(job.comparison)) == 3
    assert len(services.jobs) == 0
    settled = try_run.settle(call(services, job=job, shown=shown))
    assert "2 of 3 done, 1 failed." in settled["progress"]
    rows = re.findall(r'<tr role="row" data-plan="[^"]*" class="is-(\w+)"', settled["facts"])
    assert rows == ["done", "failed", "done"]  # whatever Stop answered last


def test_a_store_that_fails_loses_nothing_on_the_page(services: Services) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StoreError("The disk is full.")

    assert services.store is not None
    services.store.save = refuse  # type: ignore[method-assign,assignment]
    job = take_in(services, "one", "fp32")
    shown = drawn(try_run.run(call(services, job=job)))[-1]["shown"]
    assert shown.results[0][1].png == PNG


def test_a_run_that_is_refused_whole_says_why(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, **_: said.append(text))
    refusing = replace(services, runner=Refusing())
    job = take_in(refusing, "one", "fp32", "bnb-nf4")
    drawn(try_run.run(call(refusing, job=job)))
    assert said == ["the daily quota is spent"]
    assert len(services.jobs) == 0


def test_words_that_the_model_does_not_know_are_named(services: Services) -> None:
    strange = values("fp32", "bnb-nf4", prompt="a zeppelin on a <b>red</b> background")
    said = text_of(try_run.check(call(services, **strange)), "banner")
    assert "zeppelin" in said
    assert "<b>" not in said
    plain = values("fp32", "bnb-nf4", prompt="a red apple on a blue background")
    assert text_of(try_run.check(call(services, **plain)), "banner") == ""


def test_a_short_sequence_length_is_told_with_the_run_and_with_the_link(
    services: Services,
) -> None:
    given = values("fp32", "bnb-nf4", sequence_length=16)
    told = "Sequence length 16 is below the 32 tokens"
    assert told in text_of(try_run.check(call(services, **given)), "banner")
    comparison = read_comparison(given, CATALOG)
    query = share.to_url("http://h/", comparison).partition("?")[2]
    opened = try_open.open_page(call(services, query=query, **given))
    assert told in text_of(opened, "banner")


def test_stop_while_waiting_leaves_the_queue(services: Services) -> None:
    first = take_in(services, "one", "fp32")
    waiting = take_in(services, "two", "fp32")
    seen = Shown(waiting.comparison)
    updates = try_run.stop(call(services, "two", job=waiting, shown=seen))
    assert updates["run"]["value"] == "Run"
    assert drawn(try_run.run(call(services, job=waiting))) == []
    assert len(drawn(try_run.run(call(services, job=first)))) > 1


class Slow(StandIn):
    """Waits before it begins with a plan until it is let go, or stopped."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def stream(
        self, comparison: Comparison, *, out: Path, stop: threading.Event, **_: object
    ) -> Iterator[Event]:
        yield Progress(0, "loading", 0)
        while not self.go.wait(0.01) and not stop.is_set():
            pass
        yield from super().stream(comparison, out=out, stop=stop)


async def ended(services: Services) -> None:
    while len(services.jobs):
        await asyncio.sleep(0.01)


def test_a_visitor_who_leaves_for_good_stops_the_run(services: Services) -> None:
    services = replace(services, runner=Slow(), jobs=Jobs(patience_s=0))
    job = take_in(services, "one", "fp32", "bnb-nf4")
    live = services.jobs.work(job.token)
    assert isinstance(live, Live)

    async def left() -> None:
        events = try_run.run(call(services, job=job))
        await anext(events)
        try_run.leave(call(services))
        await events.aclose()
        await ended(services)

    awaited(left())
    states = [result.outcome.status for _, result in live.seen.shown.results]
    assert states == ["failed", "failed"]


def test_a_visitor_who_loads_the_page_anew_finds_the_run_and_may_stop_it(
    services: Services,
) -> None:
    services = replace(services, runner=Slow())
    job = take_in(services, "one", "fp32", "bnb-nf4")
    token = {"token": job.token, "mine": ""}

    async def again() -> list[Any]:
        events = try_run.run(call(services, "one", job=job))
        await anext(events)
        stranger = try_run.find(call(services, "other", **token))
        assert "runs now" in stranger["banner"]
        assert not services.jobs.busy("other"), "who only knows the address may not stop it"
        try_run.leave(call(services, "one"))
        await events.aclose()
        found = try_run.find(call(services, "two", **token))
        assert "found again" in found["banner"]
        assert found["job"] is job
        services.runner.go.set()
        return [each async for each in try_run.run(call(services, "two", job=found["job"]))]

    shown = [each["shown"] for each in awaited(again()) if "shown" in each][-1]
    assert [result.outcome.status for _, result in shown.results] == ["ok", "ok"]
    assert set(try_run.find(call(services, "three", **token))) == {"live"}


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
    seen = share.opened(url.partition("?")[2], services)
    assert seen is not None
    shown = seen.shown
    assert shown.comparison == comparison
    found = shown.get("fp32")
    assert found is not None
    assert "on X, torch 2" in found.origin
    assert share.opened("", services) is None
    with pytest.raises(InputError):
        share.opened("v=1&model=flux-mini&plans=fp32&plans=fp32", services)


def choices_given(update: Any) -> list[tuple[str, str]]:
    return list(update.get("choices", ()))


def test_what_is_opened_of_another_model_brings_its_choices(services: Services) -> None:
    plans = ["bf16", "transformer=bnb-nf4,text_encoder=bnb-nf4"]
    comparison = make_comparison(model="flux2-klein-4b", plans=plans, prompt="", catalog=CATALOG)
    query = share.to_url("http://h/", comparison).partition("?")[2]
    start = values("fp32", "bnb-nf4")
    updates = try_open.open_page(call(services, query=query, **start))
    pair = [updates[f"{name}-1"] for name in ("transformer", "encoder")]
    assert [update["value"] for update in pair] == ["bnb-nf4", "bnb-nf4"]
    klein = CATALOG.models["flux2-klein-4b"]
    for update, component in zip(pair, (klein.components[0], encoder_of(klein)), strict=True):
        assert choices_given(update) == choices(klein, component, CATALOG)
    assert choices_given(pair[1]) != choices(MINI, encoder_of(MINI), CATALOG)

    assert services.store is not None
    wanted = services.store.save(comparison, 0, outcome("bf16"), PNG, {}, {})
    event = {"result": wanted}
    again = try_open.open_result(call(services, event=event, model="flux-mini"))
    choosers = [f"{part}-{n}" for n in range(MAX_PLANS) for part in ("transformer", "encoder")]
    assert [choices_given(again[c]) for c in choosers] == [
        choices_given(updates[c]) for c in choosers
    ]
    same = try_open.open_result(call(services, event=event, model="flux2-klein-4b"))
    assert [same[c] for c in choosers[:4]] == ["bf16", "", "bnb-nf4", "bnb-nf4"]  # no updates


def test_what_was_shared_is_shown_as_it_was_seen(services: Services) -> None:
    """A later run of the same comparison does not change it; retention leaves the comparison."""
    job = take_in(services, "one", "fp32", "bnb-nf4")
    shown = drawn(try_run.run(call(services, job=job)))[-1]["shown"]
    box = text_of(share.share_run(call(services, shown=shown)), "shared")
    found = re.search(r"[?]r=([a-z2-7]{12})", box)
    assert found is not None
    later = take_in(services, "one", "fp32", "bnb-nf4")
    drawn(try_run.run(call(services, job=later)))
    opened = share.opened(f"r={found[1]}", services)
    assert opened is not None
    assert [each.id for _, each in opened.shown.results] == [each.id for _, each in shown.results]
    assert opened.lead.startswith("Shared on 20")
    assert services.store is not None
    services.store.delete(older_than_days=0)
    with pytest.raises(InputError):
        share.opened(f"r={found[1]}", services)


def test_an_aged_share_says_so_and_keeps_its_comparison(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = take_in(services, "one", "fp32", "bnb-nf4")
    shown = drawn(try_run.run(call(services, job=job)))[-1]["shown"]
    assert services.store is not None
    frozen = services.store.share(job.comparison, [each.id for _, each in shown.results])
    monkeypatch.setattr(services.store, "get", lambda _: None)
    opened = share.opened(f"r={frozen}", services)
    assert opened is not None
    assert "2 of its results are not kept any more" in opened.lead
    assert opened.shown.comparison == job.comparison


@pytest.mark.parametrize(
    ("public", "said"), [(True, "shown to everybody who comes here"), (False, "")]
)
def test_who_will_see_it_is_said_beside_the_prompt(
    services: Services, public: bool, said: str
) -> None:
    page = build(replace(services, public=public))
    keep = next(b for b in page.blocks.values() if getattr(b, "elem_id", None) == "ql-keep")
    assert keep.value is True
    assert said in keep.info
    assert ("everybody" in keep.info) == public


def test_nothing_is_kept_of_a_run_that_is_not_to_be_kept(services: Services) -> None:
    updates = try_run.check(call(services, **values("fp32"), keep=False))
    drawn(try_run.run(call(services, job=updates["job"])))
    assert services.store is not None
    assert services.store.count() == 0


def test_a_visitor_deletes_what_their_browser_ran(services: Services) -> None:
    for secret in ("mine", "another's"):
        updates = try_run.check(call(services, **values("fp32"), mine=secret))
        drawn(try_run.run(call(services, job=updates["job"])))
    assert services.store is not None
    said = text_of(share.delete_mine(call(services, mine="mine")), "shared")
    assert "1 of your results was removed" in said
    assert services.store.count() == 1
    assert "Nothing of yours" in text_of(share.delete_mine(call(services, mine="")), "shared")


def test_only_the_functions_for_programs_are_public(services: Services) -> None:
    page = build(services)
    assert isinstance(page, gr.Blocks)
    visible = {f.api_name for f in page.fns.values() if f.api_visibility == "public"}
    assert visible == {"recommend", "propose", "predict", "check", "compare", "link", "result"}
    kinds = {type(block).__name__ for block in page.blocks.values()}
    assert not kinds & {"File", "UploadButton", "Files"}
