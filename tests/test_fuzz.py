"""Bad input over HTTP: a served page answers it with a page or one sentence, and runs nothing.

The only stand-in is the runner, which counts what it is asked to run.
"""

from __future__ import annotations

import html
import json
import random
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.catalog.comparison import make_comparison
from quantlab.record.link import result_url, to_query
from quantlab.ui.services import Services
from quantlab.words.outcome import Outcome
from tests.served_page import Counting, served
from tests.test_link import QUERY, mutate

ROOT = Path(__file__).resolve().parents[1]
EVIL = "<img src=x onerror=alert(1)> **bold** [a](javascript:alert(1))"
TRACES = ("Traceback", 'File "', "site-packages", "quantlab/ui", "Error(")


@dataclass(frozen=True, repr=False)  # hypothesis would print all of the catalogue
class Served:
    """A page under attack."""

    http: httpx.Client
    runner: Counting
    services: Services
    folder: Path
    opening: dict[str, Any]
    """The body of the call that a browser makes when the page opens."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("fuzz")
    runner = Counting()
    with (
        served(runner, folder) as (url, services),
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        yield Served(http, runner, services, folder, _opening(http))


def _opening(http: httpx.Client) -> dict[str, Any]:
    config = http.get("config").json()
    (found,) = [d for d in config["dependencies"] if d["api_name"] == "open_page"]
    values = {each["id"]: each["props"].get("value") for each in config["components"]}
    states = {each["id"] for each in config["components"] if each["type"] == "state"}
    data = [None if i in states else values[i] for i in found["inputs"]]
    return {"fn_index": found["id"], "data": data, "session_hash": "fuzz"}


def is_clean(answer: httpx.Response) -> None:
    """No fault of the server, and nothing of its insides in what it says."""
    assert answer.status_code < 500, answer.text
    assert not [trace for trace in TRACES if trace in answer.text], answer.text


def is_page(answer: httpx.Response) -> bool:
    """Whether this is the whole page, which a browser then fills."""
    return "window.gradio_config" in answer.text and '"title":"quantlab"' in answer.text


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(number=st.integers(0, 2**32))
def test_mutated_links_give_a_page_and_start_nothing(page: Served, number: int) -> None:
    chance = random.Random(number)
    query = QUERY
    for _ in range(chance.randint(1, 4)):
        query = mutate(query, chance)
    query = quote(query, safe="&=%+~#?,@", errors="surrogatepass")
    answer = page.http.post(f"gradio_api/run/predict?{query}", json=page.opening)
    is_clean(answer)
    assert len(answer.json()["data"]) > 20
    assert not page.runner.asked


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(st.text() | st.integers(0, 2**32).map(lambda n: mutate(QUERY, random.Random(n))))
def test_any_address_gives_the_page(page: Served, text: str) -> None:
    answer = page.http.get("/?" + quote(text, safe="&=%+~,", errors="surrogatepass"))
    assert answer.status_code == 200
    assert is_page(answer)
    assert "Traceback" not in answer.text
    assert not page.runner.asked


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=50)
    | st.sampled_from(["", EVIL, "../../etc/passwd", "\x00", "\ud800", "a" * 5000, "fp32"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
PARTS = {
    "recommend": ("hardware", "bits", "needs", "library", "model", "memory_gib", "gpu"),
    "predict": ("plans", "model", "width", "height", "sequence_length"),
    "result": ("id",),
}
PARTS["compare"] = PARTS["link"] = (
    "plans", "prompt", "model", "seed", "steps", "guidance", "width", "height", "sequence_length",
    "lora", "lora_weight",
)  # fmt: skip
SOUND = {"plans": ["fp32", "bnb-nf4"], "prompt": "a fox", "model": "flux-mini", "seed": 0}


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, list[Any]]:
    """A function and a value for each of its parts, a few of them wild.

    One part of a comparison is always wrong, so that none of these may run.
    """
    name = draw(st.sampled_from(sorted(PARTS)))
    wild = draw(st.sets(st.sampled_from(PARTS[name]), min_size=1, max_size=3))
    values = {part: draw(json_values) if part in wild else SOUND.get(part) for part in PARTS[name]}
    if name == "compare":
        wrong = {"plans": "fp32", "prompt": 5, "model": EVIL, "steps": 10**9, "width": "wide"}
        part = draw(st.sampled_from(sorted(wrong)))
        values[part] = wrong[part]
    return name, [values[part] for part in PARTS[name]]


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(many=st.lists(calls(), min_size=20, max_size=20))
def test_any_call_gives_data_or_one_sentence(
    page: Served, many: list[tuple[str, list[Any]]]
) -> None:
    """Twenty callers at a time, since each waits a moment for the queue."""
    with ThreadPoolExecutor(20) as callers:
        list(callers.map(lambda call: _check_call(page, *call), many))
    assert not page.runner.asked


def _check_call(page: Served, name: str, data: list[Any]) -> None:
    begun = page.http.post(f"gradio_api/call/{name}", **_json({"data": data}))
    assert begun.status_code == 200, begun.text
    answer = page.http.get(f"gradio_api/call/{name}/{begun.json()['event_id']}")
    is_clean(answer)
    event, found = _last_event(answer.text)
    assert event in ("complete", "error")
    if event == "error":
        assert found["error"], (name, data)
        assert len(found["error"].splitlines()) == 1, found
        assert len(found["error"]) < 400


@pytest.mark.parametrize("name", sorted(PARTS))
def test_a_file_of_the_server_is_no_value(page: Served, name: str) -> None:
    """Gradio itself refuses a path that nobody uploaded, before a function sees it."""
    passwd = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    begun = page.http.post(
        f"gradio_api/call/{name}", **_json({"data": [passwd] * len(PARTS[name])})
    )
    answer = page.http.get(f"gradio_api/call/{name}/{begun.json()['event_id']}")
    is_clean(answer)
    assert _last_event(answer.text)[0] == "error"
    assert "root:" not in answer.text
    assert not page.runner.asked


def _json(value: object) -> dict[str, Any]:
    """A body that has what httpx would refuse to write, such as half of a surrogate pair."""
    return {"content": json.dumps(value), "headers": {"content-type": "application/json"}}


def _last_event(text: str) -> tuple[str, Any]:
    lines = [line for line in text.splitlines() if line]
    return lines[-2].removeprefix("event: "), json.loads(lines[-1].removeprefix("data: "))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"data": 5}', b'{"data": null}', b"\xff"])
def test_a_body_that_is_none_is_refused(page: Served, body: bytes) -> None:
    for name in ("recommend", "compare", "no_such_function", "run", "check"):
        headers = {"content-type": "application/json"}
        answer = page.http.post(f"gradio_api/call/{name}", content=body, headers=headers)
        is_clean(answer)
        assert answer.status_code in (400, 404, 422)
    assert not page.runner.asked


def test_foreign_text_is_shown_as_text(page: Served) -> None:
    comparison = make_comparison(plans=["fp32", "bnb-nf4"], prompt=EVIL, steps=1)
    assert page.services.store is not None
    outcome = Outcome("fp32", "ok", way=EVIL, latency_s=(1.0,), notes=(EVIL,))
    saved = page.services.store.save(
        comparison, 0, outcome, None, {"name": EVIL, "kind": EVIL}, {"torch": EVIL}
    )
    assert saved is not None
    for query in (to_query(comparison), result_url("http://x/", saved).partition("?")[2]):
        answer = page.http.post(f"gradio_api/run/predict?{query}", json=page.opening)
        texts = list(_html_of(page, answer.json()["data"]))
        assert any(html.escape(EVIL) in text for text in texts), "it is shown nowhere"
        assert not [text for text in texts if "<img src=x" in text]
    assert not page.runner.asked


def _html_of(page: Served, data: list[Any]) -> Iterator[str]:
    """What goes into components that show HTML."""
    config = page.http.get("config").json()
    kinds = {each["id"]: each["type"] for each in config["components"]}
    (found,) = [d for d in config["dependencies"] if d["id"] == page.opening["fn_index"]]
    for component, value in zip(found["outputs"], data, strict=True):
        shown = value.get("value") if isinstance(value, dict) else value
        if kinds[component] in ("html", "markdown") and isinstance(shown, str):
            yield shown


def test_no_component_takes_a_file_or_reads_markdown(page: Served) -> None:
    kinds = {each["type"] for each in page.http.get("config").json()["components"]}
    assert not kinds & {"file", "uploadbutton", "filexplorer", "markdown", "code", "chatbot"}


def test_files_of_the_server_cannot_be_had(page: Served) -> None:
    private = page.folder / "data" / "private.txt"
    private.write_text("kept from everybody")
    stored = next(each for each in (page.folder / "data").iterdir() if _is_database(each))
    targets = [
        Path("/etc/passwd"),
        stored,
        private,
        ROOT / "app.py",
        ROOT / "data/models/flux-mini.toml",
    ]
    contents = [target.read_bytes()[:40] for target in targets]
    for target, content in zip(targets, contents, strict=True):
        for path in _spellings(target):
            answer = page.http.get(path)
            assert content not in answer.content, path
            assert answer.status_code in (200, 307, 400, 403, 404, 405, 422), path
            if answer.status_code == 200:
                assert is_page(answer), path


def _is_database(path: Path) -> bool:
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    except sqlite3.Error:
        return False


def _spellings(target: Path) -> Iterator[str]:
    whole, up = str(target), "../" * 12 + str(target).lstrip("/")
    own = gr.utils.get_upload_folder()
    try:
        near = target.relative_to(ROOT)
    except ValueError:
        near = Path(up)
    for name in (whole, f"/{whole}", up, str(near), f"{own}/{up}", f"file://{whole}"):
        for written in (name, quote(name, safe=""), quote(quote(name, safe=""), safe="")):
            for route in ("gradio_api/file=", "gradio_api/file/", "file=", "file/", "static/"):
                yield f"/{route}{written}"
        yield f"/assets/{quote(name, safe='')}"
        yield f"/gradio_api/custom_component/x/y/z/{quote(name, safe='')}"
    yield f"/gradio_api/proxy=http://127.0.0.1/{quote(whole)}"


def test_the_server_fetches_nothing_for_a_caller(page: Served) -> None:
    own = str(page.http.base_url).rstrip("/")
    for target in (f"{own}/config", "http://127.0.0.1:1/", "http://[::1]/", "http://localhost/"):
        for route in ("gradio_api/file=", "gradio_api/proxy="):
            answer = page.http.get(f"/{route}{target}")
            assert answer.status_code in (400, 403, 404), target
            assert "dependencies" not in answer.text
