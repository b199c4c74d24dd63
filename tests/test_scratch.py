"""What a killed run leaves in the temporary folder is swept by the next; what is in use stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quantlab.catalog.paths import PROJECT, whole_file
from quantlab.lab.keep.scratch import FRESH_S, PREFIX, scratch, sweep

USES_ONE = """
import sys, time
from pathlib import Path
from quantlab.lab.keep.scratch import scratch
with scratch() as folder:
    (Path(folder) / "image.png").write_bytes(b"picture")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # it is looked up once
    return tmp_path


def test_a_killed_run_s_folder_goes_and_a_living_one_s_stays(temporary: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", USES_ONE], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert folder.parent == temporary
        assert sweep(temporary) == 0
        assert (folder / "image.png").exists()
        process.kill()
    assert sweep(temporary) == 1
    assert not folder.exists()


def test_a_folder_that_is_just_made_and_other_people_s_stay(temporary: Path) -> None:
    just, old = temporary / f"{PREFIX}just", temporary / f"{PREFIX}old"
    for folder in (just, old, temporary / "quantlab-of-mine"):
        folder.mkdir()
    past = just.stat().st_mtime - 2 * FRESH_S
    os.utime(old, (past, past))
    assert sweep(temporary) == 1
    assert {path.name for path in temporary.iterdir()} == {just.name, "quantlab-of-mine"}


def test_a_run_ends_without_its_folder(temporary: Path) -> None:
    with scratch() as folder:
        assert sweep(temporary) == 0
        assert Path(folder).is_dir()
    assert not list(temporary.iterdir())


def half(part: Path) -> None:
    part.write_text("ha")
    raise KeyboardInterrupt


def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    with whole_file(path) as part:
        part.write_text("first")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as part:
        half(part)
    with whole_file(path) as one, whole_file(path) as other:  # as two threads do
        one.write_text("one")
        other.write_text("other")
        assert path.read_text() == "first"
    assert [found.name for found in tmp_path.iterdir()] == ["results.csv"]
    assert path.read_text() == "one"
