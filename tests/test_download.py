"""Files that the page offers: whole at every moment, however many ask for them at once."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quantlab.ui.download import offer

DATA = os.urandom(4 * 2**20)


def test_a_file_is_whole_while_others_offer_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    path, over = Path(offer("image.png", DATA)), threading.Event()

    def keep_offering() -> None:
        while not over.is_set():
            assert offer("image.png", DATA) == str(path)

    with ThreadPoolExecutor(3) as others:
        offering = [others.submit(keep_offering) for _ in range(3)]
        sizes = {len(path.read_bytes()) for _ in range(60)}
        over.set()
    assert [each.result() for each in offering] == [None] * 3
    assert sizes == {len(DATA)}
    assert os.listdir(path.parent) == ["image.png"]


def test_a_file_that_is_offered_again_is_as_young_as_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's clean-up removes old files, also one that is on somebody's page just now."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    path = Path(offer("a.csv", b"1"))
    os.utime(path, (0, 0))
    offer("a.csv", b"1")
    assert path.stat().st_mtime > 1e9
