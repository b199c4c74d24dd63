"""What other sites show beside a link: tags in the served page, and the picture that they name."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from html import unescape

import httpx
import pytest
from PIL import Image

from quantlab.catalog.comparison import make_comparison
from quantlab.record.gallery import Gallery
from quantlab.record.link import to_query
from quantlab.ui.preview.serve import with_tags
from quantlab.ui.preview.told import TITLE, picture, told
from quantlab.ui.services import Services
from quantlab.words.outcome import Outcome
from tests.served_page import Counting, served

EVIL = '"><script>alert(1)</script>'


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Services]]:
    with served(Counting(), tmp_path_factory.mktemp("preview")) as found:
        yield found


def tags(html: str) -> dict[str, str]:
    found = re.findall(r'<meta (?:property|name)="([a-z:_]+)" content="([^"]*)" />', html)
    return {name: unescape(value) for name, value in found}


def stored(services: Services, prompt: str) -> str:
    gallery = Gallery()
    row = gallery.find(gallery.contents.comparison("bnb-nf4", gallery.contents.prompts[0], 0))[1]
    comparison = make_comparison(plans=["fp32", "bnb-nf4"], prompt=prompt)
    assert services.store is not None
    scored = Outcome(
        "bnb-nf4", "ok", weights_bytes={"transformer": 21 * 2**20}, scores={"psnr_db": 37.62}
    )
    return str(services.store.save(comparison, 1, scored, row.image_png, {"name": "X"}, {}))


def test_the_page_without_a_question_speaks_of_itself(page: tuple[str, Services]) -> None:
    url, _ = page
    html = httpx.get(url).text
    found = tags(html)
    assert "<title>quantlab: which quantization for your card</title>" in html
    assert found["og:title"] == found["twitter:title"] == TITLE
    assert found["og:image"] == f"{url}preview.png"
    assert found["twitter:card"] == "summary_large_image"
    assert "githubusercontent" not in html[: html.index("gradio_config")]
    assert html.count('property="og:title"') == 1


def test_a_link_is_told_by_its_comparison_and_its_picture(page: tuple[str, Services]) -> None:
    url, services = page
    wanted = stored(services, "a red fox")
    found = tags(httpx.get(f"{url}?r={wanted}").text)
    assert found["og:title"] == "“a red fox” in fp32 and bnb-nf4"
    assert found["og:description"].startswith("bnb-nf4: 21.0 MiB, 37.6 dB PSNR.")
    assert found["og:url"] == f"{url}?r={wanted}"
    answer = httpx.get(found["og:image"])
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (1200, 630)
    plain = httpx.get(f"{url}preview.png").content
    assert plain != answer.content


def test_foreign_text_stays_text_and_a_broken_link_is_the_page_itself(
    page: tuple[str, Services],
) -> None:
    url, services = page
    query = to_query(make_comparison(plans=["fp32", "bnb-nf4"], prompt=EVIL))
    html = httpx.get(f"{url}?{query}").text
    assert tags(html)["og:title"].startswith(f"“{EVIL}”")
    assert EVIL not in html
    assert not told("v=1&model=flux-mini&plans=nonsense&prompt=x", services).own
    assert Image.open(io.BytesIO(picture("r=aaaaaaaaaaaa", services))).size == (1200, 630)


def test_the_address_is_the_proxys_or_the_spaces(
    page: tuple[str, Services], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = page
    behind = httpx.get(url, headers={"x-forwarded-proto": "https"}).text
    assert tags(behind)["og:image"].startswith("https://127.0.0.1:")
    monkeypatch.setenv("SPACE_HOST", "someone-quantlab.hf.space")
    assert tags(httpx.get(url).text)["og:url"] == "https://someone-quantlab.hf.space/"


def test_what_is_not_the_page_is_sent_as_it_is() -> None:
    assert with_tags(b"{}", "<title>x</title>") == b"{}"
