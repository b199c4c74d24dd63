"""The store's file: no fault of disk, process or file shows half a result or loses a whole one."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from quantlab.catalog.paths import PROJECT, data_folder
from quantlab.catalog.paths import RESULTS as FILE
from quantlab.errors import StoreError
from quantlab.record.store.guesses import GuessTally
from quantlab.record.store.store import Store
from tests.stored_rows import COMPARISON, save

# Where it lies


def test_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTLAB_DATA", "~/mine")
    assert data_folder() == Path.home() / "mine"
    monkeypatch.delenv("QUANTLAB_DATA")
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "quantlab"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert data_folder() == Path.home() / ".local" / "share" / "quantlab"
    monkeypatch.setenv("SPACE_ID", "somebody/quantlab")
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) == ("/data", os.W_OK))
    assert data_folder() == Path("/data/quantlab")


def test_the_file_gives_back_what_the_oldest_rows_took(tmp_path: Path) -> None:
    store = Store(tmp_path, limit_bytes=1_000_000)
    for _ in range(20):
        save(store, noise=100_000)
    assert 6 <= len(store.recent()) <= 9
    assert (tmp_path / FILE).stat().st_size <= 1_100_000


# Files that are not what they should be


def test_a_broken_file_is_moved_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = b"not a database, but long enough to look at" * 9
    (tmp_path / FILE).write_bytes(content)
    store = Store(tmp_path)
    save(store)
    assert len(store.recent()) == 1
    (aside,) = tmp_path.glob(f"{FILE}.broken-*Z")
    assert aside.read_bytes() == content
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(tmp_path) not in caplog.text


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    save(Store(tmp_path))
    assert not list(tmp_path.glob("*.broken-*"))


def test_a_file_cut_short_is_moved_aside(tmp_path: Path) -> None:
    save(Store(tmp_path), noise=100_000)
    os.truncate(tmp_path / FILE, 20_000)
    store = Store(tmp_path)
    assert store.recent() == []
    save(store)
    assert len(store.recent()) == 1
    assert len(list(tmp_path.glob(f"{FILE}.broken-*Z"))) == 1


def test_somebody_elses_database_is_moved_aside(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("CREATE TABLE results (mine)")
    save(Store(tmp_path))
    (aside,) = tmp_path.glob(f"{FILE}.broken-*Z")
    assert sqlite3.connect(aside).execute("SELECT count(*) FROM results").fetchone() == (0,)


def test_damage_found_while_running_is_mended(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for _ in range(5):
        save(store, noise=50_000)
    size = (tmp_path / FILE).stat().st_size
    with open(tmp_path / FILE, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    assert store.recent() == []
    save(store)
    assert len(Store(tmp_path).recent()) == 1
    assert len(list(tmp_path.glob(f"{FILE}.broken-*Z"))) == 1


def test_a_folder_that_was_deleted_while_running_is_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "kept")
    save(store)
    shutil.rmtree(tmp_path / "kept")
    assert not store.recent()
    save(store)
    assert len(store.recent()) == 1


def test_a_newer_store_is_left_alone(tmp_path: Path) -> None:
    save(Store(tmp_path))
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="of version 99, this quantlab knows 3"):
        Store(tmp_path)
    assert not list(tmp_path.glob("*.broken-*"))


VERSION_1 = """
CREATE TABLE results (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL,
    kept INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL,
    measured_at TEXT NOT NULL,
    record TEXT NOT NULL,
    image BLOB
);
CREATE INDEX results_by_key ON results (key, seq);
PRAGMA application_id = 1902928226;
PRAGMA user_version = 1;
"""
"""The file as the first version of the store made it, with its mark and number."""


VERSION_2 = VERSION_1.replace("image BLOB", "image BLOB, imported_at TEXT").replace(
    "user_version = 1", "user_version = 2"
)


def older_version(folder: Path, *, rows: int, schema: str = VERSION_1) -> list[str]:
    """A store of an older version with some rows, the first of them kept; gives their ids."""
    folder.mkdir()
    new = Store(folder.with_name("new"))
    ids = [save(new) for _ in range(rows)]
    columns = f"seq, id, key, id = '{ids[0]}', bytes, measured_at, record, image"
    columns += ", imported_at" if schema is VERSION_2 else ""
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(schema)
        connection.execute("ATTACH ? AS new", (str(folder.with_name("new") / FILE),))
        connection.execute(f"INSERT INTO results SELECT {columns} FROM new.results")
    return ids


def columns_of(folder: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(folder / FILE)) as connection:
        tables = ("results", "guesses", "shares")
        return {
            name: {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
            for name in tables
        }


@pytest.mark.parametrize("schema", [VERSION_1, VERSION_2], ids=["1", "2"])
def test_an_older_store_keeps_its_rows(tmp_path: Path, schema: str) -> None:
    ids = older_version(tmp_path / "old", rows=3, schema=schema)
    with ThreadPoolExecutor(4) as threads:  # they all find it old at once
        stores = list(threads.map(lambda _: Store(tmp_path / "old", limit_bytes=0), range(4)))
    store = stores[0]
    assert [row.id for row in store.recent()] == ids[::-1]
    assert [row.id for row in store.find(COMPARISON)] == ids[-1:]
    store.save_guess("bnb-nf4", "flux-mini", True)
    assert store.guesses() == [GuessTally("bnb-nf4", "flux-mini", 1, 1)]
    last = save(store)
    assert [row.id for row in store.recent()] == [last, ids[0]]  # the kept one is still kept
    old, new = columns_of(tmp_path / "old"), columns_of(tmp_path / "new")
    assert old == {**new, "results": new["results"] | {"kept"}}
    assert not list((tmp_path / "old").glob("*.broken-*"))


@pytest.mark.parametrize("schema", [VERSION_1, VERSION_2], ids=["1", "2"])
def test_an_older_store_that_cannot_be_written_can_be_read(small_disk: Path, schema: str) -> None:
    ids = older_version(small_disk / "old", rows=2, schema=schema)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    store = Store(small_disk / "old")
    assert [row.id for row in store.find(COMPARISON)] == ids[-1:]
    assert store.guesses() == []
    assert store.shared("aaaaaaaaaaaa") is None
    with pytest.raises(StoreError, match="cannot be written; set QUANTLAB_DATA"):
        store.save_guess("bnb-nf4", "flux-mini", True)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match="cannot be written"):
            Store(folder)


# Disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 2 MiB; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    if not done:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    store = Store(small_disk)
    kept: list[str] = []

    def fill() -> None:
        for _ in range(30):
            kept.append(save(store, noise=200_000))

    with pytest.raises(StoreError, match="The disk that holds the results is full"):
        fill()
    assert kept
    assert [row.id for row in store.recent()] == kept[::-1]
    assert all(row.image_png and row.image_png[-8:-4] == b"IEND" for row in store.recent())


def test_a_disk_that_is_full_from_the_start(small_disk: Path) -> None:
    size = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(bytes(size.f_bavail * size.f_frsize))
    with pytest.raises(StoreError, match="The disk that holds the results is full"):
        Store(small_disk)


def test_a_read_only_disk_can_still_be_read(small_disk: Path) -> None:
    result = save(Store(small_disk))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    store = Store(small_disk)
    assert [row.id for row in store.find(COMPARISON)] == [result]
    for work in (lambda: save(store), lambda: store.share(COMPARISON, [result])):
        with pytest.raises(StoreError, match="cannot be written; set QUANTLAB_DATA"):
            work()
    with pytest.raises(StoreError, match="cannot be written; set QUANTLAB_DATA"):
        Store(small_disk / "below")


LIMITED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from quantlab.errors import StoreError
from quantlab.record.store.store import Store
from tests.stored_rows import save
store = Store(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
try:
    for _ in range(30):
        save(store, noise=100_000)
except StoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
print(len(store.recent()) > 0)
"""


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """The same fault without root: the system refuses to let the file grow."""
    command = [sys.executable, "-c", LIMITED, str(tmp_path), str(PROJECT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "The disk that holds the results is full or failing.\nTrue\n"


# Many at once


def write_many(folder: Path, writer: int, count: int) -> None:
    store = Store(folder)
    for seed in range(count):
        save(store, COMPARISON.changed(seed=seed, prompt=str(writer)), noise=20_000)


def test_processes_and_threads_write_at_once(tmp_path: Path) -> None:
    """They also make the file at once: nobody has opened it before."""
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=write_many, args=(tmp_path, w, 15)) for w in range(4)]
    for process in processes:
        process.start()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda writer: write_many(tmp_path, writer, 5), range(10, 18)))
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(Store(tmp_path).recent(1000)) == 4 * 15 + 8 * 5
    assert not list(tmp_path.glob("*.broken-*"))


def test_damage_met_by_many_is_moved_aside_once(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"broken" * 1000)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda writer: write_many(tmp_path, writer, 3), range(8)))
    rows = len(Store(tmp_path).recent(1000))
    assert rows == 24
    assert len(list(tmp_path.glob(f"{FILE}.broken-*Z"))) == 1


def test_a_killed_writer_leaves_whole_rows(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    Store(tmp_path)
    for turn in range(4):
        process = spawn.Process(target=write_many, args=(tmp_path, turn, 10_000))
        process.start()
        rows = len(Store(tmp_path).recent(10_000, images=False))
        while len(Store(tmp_path).recent(10_000, images=False)) < rows + 3 + turn:
            assert process.is_alive()
            time.sleep(0.003)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
        found = Store(tmp_path).recent(10_000)
        assert len(found) >= rows + 3 + turn
        assert all(row.image_png and row.image_png[-8:-4] == b"IEND" for row in found)
        connection = sqlite3.connect(tmp_path / FILE)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
    save(Store(tmp_path))
    assert not list(tmp_path.glob("*.broken-*"))


def test_a_connection_is_not_carried_over_a_fork(tmp_path: Path) -> None:
    store = Store(tmp_path)
    save(store)
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    child = multiprocessing.get_context("fork").Process(target=save, args=(store,))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert len(store.recent()) == 2
