"""The page inside another site's page, as a Space's page is shown: it may store nothing there."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, BrowserContext, Frame, Page, expect

from tests.browser.conftest import FLAGS, NAMES, PATIENCE_MS

STORES = "() => { try { return String(localStorage.length) } catch (e) { return e.name } }"
LINK = "?v=1&model=flux-mini&plans=fp32~bnb-nf4&prompt=a%20fox&seed=3&steps=1&width=64&height=64"


class Parent(BaseHTTPRequestHandler):
    """Another site: a page that frames the address it is asked with; FRAME is its attributes."""

    def do_GET(self) -> None:
        frame = unquote(self.path.partition("?")[2])
        body = f"<!doctype html><title>Elsewhere</title><iframe {frame}></iframe>".encode()
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is written."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """The address of the other site: another host name than the page's, so another site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Parent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def strict(tmp_path: Path, browser: Browser) -> Iterator[BrowserContext]:
    """A browser that lets framed sites store nothing, as many are set."""
    profile = tmp_path / "profile"
    (profile / "Default").mkdir(parents=True)
    settings = {"profile": {"block_third_party_cookies": True, "cookie_controls_mode": 1}}
    (profile / "Default" / "Preferences").write_text(json.dumps(settings))
    path = next(found for name in NAMES if (found := shutil.which(name)))
    context = browser.browser_type.launch_persistent_context(
        str(profile), executable_path=path, args=list(FLAGS)
    )
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


def framed(page: Page, elsewhere: str, attributes: str) -> Frame:
    page.goto(f"{elsewhere}?{attributes}")
    frame = next(each for each in page.frames if each.parent_frame is not None)
    frame.wait_for_selector("#ql-banner .ql-banner", timeout=PATIENCE_MS)
    return frame


@pytest.mark.parametrize("sandbox", ["", "sandbox='allow-scripts'"], ids=["framed", "sandboxed"])
def test_the_whole_way_works_where_nothing_may_be_stored(
    strict: BrowserContext, elsewhere: str, server: str, sandbox: str
) -> None:
    page, errors = strict.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    size = "width=1200 height=900"
    frame = framed(page, elsewhere, f"{sandbox} {size} src='{server}{LINK.replace(chr(39), '')}'")
    assert frame.evaluate(STORES) == "SecurityError"
    expect(frame.locator(".ql-thumb")).to_have_count(2)
    frame.locator("#ql-run").click()
    expect(frame.locator("#ql-run")).to_have_text("Run", timeout=240_000)
    expect(frame.locator(".ql-facts-table tr.is-done")).to_have_count(2, timeout=240_000)
    frame.get_by_role("tab", name="Pick").click()
    card = frame.get_by_role("combobox", name="Your card")
    card.fill("4090")
    card.press("Enter")
    expect(frame.locator("#ql-answer .ql-asked")).to_contain_text("RTX 4090")
    frame.get_by_role("button", name="8 bit", exact=True).click()
    expect(frame.locator(".ql-divider [data-side]")).to_have_text("8 bit")
    assert not errors


def test_no_header_forbids_a_frame(server: str) -> None:
    import urllib.request

    with urllib.request.urlopen(server) as answer:
        names = {name.lower() for name in answer.headers}
    assert not names & {"x-frame-options", "content-security-policy", "set-cookie"}
