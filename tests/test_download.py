"""Files that the page offers: whole at every moment, however many ask for them at once."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quantlab.ui.download import keep_within, offer

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


def test_what_was_offered_longest_ago_goes_where_all_takes_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sorts and exports all day would fill the disk."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    others = tmp_path / "somebody's" / "file"
    others.parent.mkdir()
    others.write_bytes(DATA)
    paths = [Path(offer(f"{number}.csv", DATA[number:])) for number in range(4)]
    for age, path in enumerate(paths):
        os.utime(path, (1000 + age, 1000 + age))
    keep_within(int(2.5 * len(DATA)))
    assert [path.exists() for path in paths] == [False, False, True, True]
    assert not paths[0].parent.exists()
    assert others.exists()
