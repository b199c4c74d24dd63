"""The map of the stage's FLIP view: made of two pictures of the page, and of nothing else."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from quantlab.ui.compare.stage.flip_view import NAME, flip_answer
from quantlab.ui.download import offer
from quantlab.ui.kept.answers import Answers


def picture(size: int = 64, spot: int = 0) -> str:
    """The address of a grey picture with a white spot, as the page serves it."""
    pixels = np.full((size, size, 3), 120, dtype=np.uint8)
    pixels[:spot, :spot] = 255
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return f"gradio_api/file={offer('image.png', data.getvalue())}"


def asked(*values: Any) -> httpx.Response:
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    answers = Answers()
    answers.add(NAME, flip_answer)
    with TestClient(Starlette(routes=[answers.route()])) as client:
        return client.get(f"/answers/{NAME}", params={"asked": json.dumps(list(values))})


def test_it_is_bright_where_the_pictures_differ() -> None:
    address, said = asked(picture(spot=20), picture()).json()
    data = base64.b64decode(address.removeprefix("data:image/jpeg;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("L"), dtype=float)
    assert pixels.shape == (64, 64)
    assert pixels[5:15, 5:15].mean() > 10 * max(pixels[40:, 40:].mean(), 1)
    assert said.startswith("FLIP 0.")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((), "two pictures"),
        (("gradio_api/file=/etc/passwd", "x"), "no longer on the page"),
        ((f"gradio_api/file=/tmp/{'0' * 64}/../image.png", 7), "no longer on the page"),
        ((picture(), picture(32)), "different sizes"),
    ],
)
def test_nothing_else_is_read(values: tuple[Any, ...], said: str) -> None:
    answer = asked(*values)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
