"""The page for programs: the real gradio_client against a served page with the real runner."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.lab.runners.local import LocalRunner
from quantlab.record.link import from_url
from quantlab.ui.compare.run import leave
from quantlab.ui.named import Call
from quantlab.ui.programs import api
from quantlab.ui.services import Services
from tests.served_page import Counting, served
from tests.test_cli import OUTCOME_KEYS

NAMES = {"/recommend", "/propose", "/predict", "/check", "/compare", "/link", "/result"}
PLANS = ["fp32", "bnb-nf4", "torchao-fp8dq"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Services]]:
    with served(LocalRunner(load_catalog()), tmp_path_factory.mktemp("api")) as found:
        yield found


@pytest.fixture(scope="module")
def client(
    page: tuple[str, Services], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("downloads")
    client = Client(page[0], verbose=False, analytics_enabled=False, download_files=folder)
    yield client
    client.close()


@pytest.fixture(scope="module")
def compared(client: Client) -> Any:
    return client.predict(
        plans=PLANS, prompt="a <b>red</b> apple", seed=3, steps=1, api_name="/compare"
    )


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The document that the command line prints."""
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_only_the_five_functions_are_offered(page: tuple[str, Services]) -> None:
    info = httpx.get(page[0] + "gradio_api/info").json()
    assert set(info["named_endpoints"]) == NAMES
    assert not info["unnamed_endpoints"]
    shown = httpx.get(page[0] + "gradio_api/openapi.json").json()["paths"]
    assert {f"/{path.rsplit('/', 1)[-1]}" for path in shown if "/call/" in path} <= NAMES | {
        "/{event_id}"
    }
    wiring = [
        dependency
        for dependency in httpx.get(page[0] + "config").json()["dependencies"]
        if dependency["api_visibility"] != "private"
    ]
    assert {f"/{dependency['api_name']}" for dependency in wiring} == NAMES


def test_every_function_says_what_it_does_and_takes(page: tuple[str, Services]) -> None:
    endpoints = httpx.get(page[0] + "gradio_api/info").json()["named_endpoints"]
    for endpoint in endpoints.values():
        assert len(endpoint["description"]) > 40
        for parameter in endpoint["parameters"]:
            assert parameter["type"], parameter
    steps = {p["parameter_name"]: p for p in endpoints["/compare"]["parameters"]}["steps"]
    assert steps["parameter_has_default"]
    assert {"type": "integer"} in steps["type"]["oneOf"]


def test_recommend_is_what_pick_prints(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    rows = client.predict(
        hardware="cuda", bits=4, needs=["peft"], model="flux1-dev", memory_gib=12,
        api_name="/recommend",
    )  # fmt: skip
    assert rows == printed(
        capsys, "pick", "--hardware", "cuda", "--bits", "4", "--need", "peft",
        "--model", "flux1-dev", "--memory-gib", "12",
    )  # fmt: skip
    assert client.predict(api_name="/recommend") == printed(capsys, "pick")


def test_check_is_what_the_command_prints(
    client: Client, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "code"
    path.write_text('from diffusers import QuantoConfig\nQuantoConfig(weights="float8")\n')
    found = client.predict(code=path.read_text(), gpu="rtx-3060-12gb", api_name="/check")
    said = printed(capsys, "check", str(path), "--gpu", "rtx-3060-12gb")
    for finding in said["findings"]:
        finding["file"] = "code"
    assert found == said
    long = "# " + "x" * 100_000
    assert client.predict(code=long, api_name="/check")["findings"] == []


def test_predict_is_what_the_command_prints(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = ["bf16", "transformer=bnb-nf4,text_encoder_2=torchao-int8wo"]
    rows = client.predict(plans=plans, width=512, api_name="/predict")
    assert rows == printed(
        capsys, "predict", "--model", "flux1-dev", "--width", "512", "--plans", *plans
    )


def test_compare_gives_the_document_of_the_command(compared: Any) -> None:
    assert set(compared) == {"comparison", "device", "versions", "outcomes", "results", "link"}
    assert [outcome["plan"] for outcome in compared["outcomes"]] == PLANS
    assert all(set(outcome) >= OUTCOME_KEYS for outcome in compared["outcomes"])
    assert [outcome["status"] for outcome in compared["outcomes"]] == ["ok", "ok", "failed"]
    assert set(compared["outcomes"][2]["error"]) == {"stage", "type", "message"}
    assert compared["comparison"]["prompt"] == "a <b>red</b> apple"
    assert compared["device"]["kind"]
    assert compared["versions"]["torch"]
    assert from_url(compared["link"]).as_dict() == compared["comparison"]


def test_images_come_to_the_caller(compared: Any, tmp_path_factory: Any) -> None:
    first, second = (Path(outcome["image"]) for outcome in compared["outcomes"][:2])
    assert first.is_relative_to(tmp_path_factory.getbasetemp())
    with Image.open(first) as one, Image.open(second) as two:
        assert one.format == two.format == "PNG"
        assert one.size == two.size == (128, 128)
        assert one.tobytes() != two.tobytes()
    assert compared["outcomes"][2]["image"] is None


def test_result_is_what_was_stored(
    client: Client, compared: Any, page: tuple[str, Services]
) -> None:
    found = client.predict(id=compared["results"][1], api_name="/result")
    measured = compared["outcomes"][1]
    same = set(found["outcome"]) - {"image"}
    assert {k: found["outcome"][k] for k in same} == {k: measured[k] for k in same}
    assert Path(found["outcome"]["image"]).read_bytes() == Path(measured["image"]).read_bytes()
    for part in ("comparison", "device", "versions"):
        assert found[part] == compared[part]
    assert found["measured_at"].endswith("Z")
    assert found["link"] == f"{page[0]}?r={found['id']}"


def test_link_is_what_the_command_prints(
    client: Client, page: tuple[str, Services], capsys: pytest.CaptureFixture[str]
) -> None:
    found = client.predict(
        plans=PLANS, prompt="a fox", model="flux1-dev", steps=4, api_name="/link"
    )
    assert found == printed(
        capsys, "link", "--base", page[0], "--model", "flux1-dev", "--steps", "4",
        "--prompt", "a fox", "--plans", *PLANS,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("recommend", {"hardware": "abacus"}, "hardware: unknown hardware 'abacus'"),
        ("recommend", {"needs": "peft"}, "needs: must be a list of texts"),
        ("recommend", {"needs": ["lora", 3]}, "needs: must be a list of texts"),
        ("recommend", {"bits": "four"}, "bits: must be a number"),
        ("recommend", {"bits": 1e308}, "bits: 1e+308; a number above 0, up to 32, is allowed"),
        ("recommend", {"model": ["flux-mini"]}, "model: must be text"),
        ("recommend", {"memory_gib": 12}, "memory-gib: needs a model"),
        ("check", {"code": "x" * 300_000}, "code: 300000 characters; at most 204800 are allowed"),
        ("check", {"code": "x", "gpu": "abacus"}, "gpu: "),
        ("check", {"code": "{}", "gpu": 3}, "gpu: must be text"),
        ("predict", {"plans": []}, "plans: 0 given"),
        ("predict", {"plans": ["bnb-nf4"] * 7}, "plans: 7 given"),
        ("predict", {"plans": ["vae=bnb-nf4"]}, "plan: bnb-nf4 cannot be used on vae"),
        ("predict", {"plans": ["fp32"], "width": 10**400}, "width: "),
        ("compare", {"plans": ["nope"], "prompt": ""}, "plan: unknown scheme 'nope'"),
        ("compare", {"plans": ["fp32"], "prompt": "", "model": "/etc"}, "model: unknown model"),
        ("compare", {"plans": ["fp32"], "prompt": "", "steps": 10**6}, "steps: 1000000 is out"),
        ("compare", {"plans": ["fp32"], "prompt": "a" * 1001}, "prompt: 1001 characters"),
        ("compare", {"plans": ["fp32"], "prompt": {"path": "/etc/passwd"}}, "prompt: must be text"),
        ("link", {"plans": "fp32", "prompt": ""}, "plans: must be a list of texts"),
        ("result", {"id": "abcdefghijkl"}, "id: no result abcdefghijkl is stored here"),
        ("result", {"id": "../../etc/passwd"}, "id: is not the id of a result"),
        (
            "propose",
            {"model": "flux2-klein-4b", "gpu": "rtx-3060-12gb", "batch": 10**12},
            "batch: 1000000000000 is out of range; 1 to 64 are allowed",
        ),
        (
            "propose",
            {"model": "flux2-klein-4b", "gpu": "rtx-3060-12gb", "steps": 100_000},
            "steps: 100000 is out of range; 1 to 50 are allowed",
        ),
        (
            "propose",  # no picture to go by is none too few
            {"model": "flux2-klein-4b", "gpu": "rtx-3060-12gb", "references": 0, "width": 1001},
            "width: 1001 is not a multiple of 16",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(
    client: Client, name: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(AppError) as caught:
        client.predict(**values, api_name=f"/{name}")
    assert str(caught.value).startswith(message)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("data", [[], [["fp32"]], [["fp32"], *[None] * 20]])
def test_too_few_values_are_named_and_too_many(page: tuple[str, Services], data: list[Any]) -> None:
    """Who writes the request by hand, without a client that fills in what is left out."""
    event = httpx.post(f"{page[0]}gradio_api/call/compare", json={"data": data}).json()["event_id"]
    answer = httpx.get(f"{page[0]}gradio_api/call/compare/{event}").text
    assert "compare: takes 17 values, in this order: plans, prompt, model, seed" in answer
    assert f"{len(data)} given" in answer


def test_runs_of_programs_wait_for_each_other(tmp_path: Path) -> None:
    runner = Counting()
    runner.free.clear()
    with served(runner, tmp_path) as (url, _):
        clients = [Client(url, verbose=False, analytics_enabled=False) for _ in range(2)]
        jobs = [
            client.submit(plans=["fp32"], prompt=str(index), api_name="/compare")
            for index, client in enumerate(clients)
        ]
        answer = httpx.post(f"{url}gradio_api/run/compare", json={"data": [["fp32"], "x"]})
        assert answer.status_code == 404, "a call that is not queued was taken"
        runner.free.set()
        assert [job.result()["outcomes"][0]["error"]["stage"] for job in jobs] == ["load"] * 2
        assert len(runner.asked) == 2
        assert runner.most_at_once == 1
        for client in clients:
            client.close()


def test_a_caller_that_leaves_stops_its_run(page: tuple[str, Services]) -> None:
    runner = Counting()
    runner.free.clear()
    services = Services(page[1].catalog, runner, None)
    request: Any = SimpleNamespace(session_hash="one", headers={})
    found: list[Any] = []

    def call() -> None:
        found.append(asyncio.run(api.compare(services, request, ["fp32", "bf16"], "a fox")))

    thread = threading.Thread(target=call)
    thread.start()
    while not runner.asked:
        pass
    leave(Call(services, request=request))
    thread.join()
    assert [o["error"]["stage"] for o in found[0]["outcomes"]] == ["stopped"] * 2
    assert len(services.jobs) == 0


def test_nothing_can_be_uploaded(page: tuple[str, Services]) -> None:
    answer = httpx.post(
        page[0] + "gradio_api/upload", files={"files": ("a.png", b"\x89PNG\r\n\x1a\n" * 100)}
    )
    assert answer.status_code == 404
    for path in ("gradio_api/runs", "gradio_api/run-history/buckets", "monitoring/summary"):
        assert httpx.get(page[0] + path).status_code in (403, 404), path
