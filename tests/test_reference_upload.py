"""Pictures to go by, as the page takes them: one at a time, checked, within limits, or never."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import MutableMapping
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from quantlab.catalog.table import load_catalog
from quantlab.lab.references import MOST_BYTES, file_of, keep_reference, keep_under
from quantlab.ui.compare.pictures import add_pictures, clear_pictures, pictures_box
from quantlab.ui.compare.taking import PATH, Pictures
from quantlab.ui.guard.bodies import Bodies
from quantlab.ui.named import Call
from quantlab.ui.services import Services
from tests.drawn import awaited
from tests.served_page import Counting

KLEIN = "flux2-klein-4b"


def client(*, opened: bool = True) -> TestClient:
    """The route behind the guard of bodies, as the page has it."""
    taken = Pictures(opened=opened)
    guard = Middleware(Bodies, uploads=taken.limits)
    return TestClient(Starlette(routes=[taken.route()], middleware=[guard]))


def photo(side: int = 32, form: str = "JPEG") -> bytes:
    content = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "somebody"
    Image.new("RGB", (side, side), "teal").save(content, form, exif=exif)
    return content.getvalue()


def test_a_picture_is_kept_under_its_digest_without_what_the_camera_wrote() -> None:
    answer = client().post(PATH, content=photo(), headers={"x-name": "cat%20one.jpg"})
    assert answer.status_code == 200
    kept = file_of(answer.json()["digest"]).read_bytes()
    assert b"somebody" not in kept
    assert kept.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"hello", 400, "cat.jpg is no whole picture; PNG, JPEG and WebP can be used"),
        (photo()[:200], 400, "cat.jpg is no whole picture"),
        (photo(8), 400, "cat.jpg has 8 x 8 pixels"),
        (b"\0" * (MOST_BYTES + 1), 413, "A request may have 32 MiB at most."),
    ],
)
def test_what_is_no_picture_or_too_large_is_told(content: bytes, status: int, said: str) -> None:
    answer = client().post(PATH, content=content, headers={"x-name": "cat.jpg"})
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True)


def test_a_page_that_takes_none_says_so_and_reads_none() -> None:
    closed = client(opened=False)
    assert closed.post(PATH, content=photo()).status_code == 403
    assert closed.post(PATH, content=b"\0" * (2**20 + 1)).status_code == 413
    assert closed.post("/upload", content=photo()).status_code == 404


def test_who_sends_slowly_keeps_nobody_else_from_sending() -> None:
    """Pictures are unpacked one at a time, and came one at a time: one could take half a minute."""
    app = Starlette(routes=[Pictures(opened=True).route()])
    content, done = photo(), []

    async def sends(who: str, wait: asyncio.Event | None) -> None:
        async def receive() -> dict[str, Any]:
            if wait is not None:
                await wait.wait()
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                done.append((who, message["status"]))

        scope = {"type": "http", "method": "POST", "path": PATH, "headers": [], "query_string": b""}
        await app({**scope, "client": (who, 1)}, receive, send)

    async def story() -> None:
        rest = asyncio.Event()
        slow = [asyncio.ensure_future(sends("8.8.8.8", rest)) for _ in range(3)]
        await asyncio.sleep(0)
        await sends("9.9.9.9", None)
        rest.set()
        await asyncio.gather(*slow)

    awaited(story())
    assert done == [("9.9.9.9", 200)] + [("8.8.8.8", 200)] * 3


def test_the_oldest_go_where_they_take_too_much() -> None:
    digests = [keep_reference(photo(side), "photo") for side in (16, 17, 18)]
    for age, digest in enumerate(reversed(digests)):
        os.utime(file_of(digest), (1000 - age, 1000 - age))
    keep_under(0, digests[0])
    assert [file_of(digest).exists() for digest in digests] == [True, False, False]


@pytest.fixture
def services() -> Services:
    return Services(load_catalog(), Counting(), None)


def test_the_box_counts_what_a_model_takes_and_what_it_costs(services: Services) -> None:
    models = services.catalog.models
    assert pictures_box(models["flux1-dev"], services) == ""
    box = pictures_box(models["flux1-kontext-dev"], services)
    assert "up to 1" in box
    assert "4,096 tokens" in box
    assert "multiple" not in box
    assert "up to 10" in pictures_box(models["qwen-image-2.1"], services)
    box = pictures_box(models["flux3-klein"], services)
    assert "A picture adds 16,384 tokens" in box
    assert "beside one, leave it out: prompt_upsampler=none" in box
    closed = Services(services.catalog, Counting(), None, takes_pictures=False)
    assert "takes no pictures" in pictures_box(models[KLEIN], closed)


def test_digests_stand_among_the_settings_up_to_the_models_limit(services: Services) -> None:
    digest = keep_reference(photo(), "photo")
    given = {"model": KLEIN, "reference": ""}
    call = Call(services, given, event={"digests": [digest, "../x", "f" * 16, digest]})
    added = add_pictures(call)
    assert added["reference"] == f"{digest},{digest}"
    assert "2 of" in added["pictures"]
    most = services.catalog.models[KLEIN].limits.max_references
    full = Call(services, {**given, "reference": ",".join([digest] * most)}, event=call.event)
    assert add_pictures(full)["reference"].count(digest) == most
    assert "disabled" in add_pictures(full)["pictures"]
    assert clear_pictures(full)["reference"] == ""
    assert add_pictures(Call(services, given, event={"digests": 3}))["reference"] == ""
