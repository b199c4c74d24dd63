"""One behaviour, two databases: every promise of the store, in SQLite and in a real PostgreSQL."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import pgserver
import pytest
from sqlalchemy import create_engine, text

from quantlab.cli import main
from quantlab.errors import StoreError
from quantlab.record.store.guesses import GuessTally
from quantlab.record.store.store import Store
from quantlab.words.outcome import Failure, Outcome
from tests.stored_rows import COMPARISON, DEVICE, NF4, T5, VERSIONS, outcome, png, save

NAMES = count()
PASSWORD = "correct-horse"
URL = "QUANTLAB_DATABASE_URL"


@pytest.fixture(scope="session")
def server() -> Iterator[pgserver.PostgresServer]:
    """A folder of its own with a short name, since the path of a socket may not be long."""
    folder = Path(tempfile.mkdtemp(prefix="quantlab-"))
    folder.chmod(0o755)  # the server runs as another user where the tests run as root
    server = pgserver.get_server(folder / "pg", cleanup_mode="stop")
    server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()")  # no power cuts here
    yield server
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture
def url(server: pgserver.PostgresServer) -> str:
    """An empty database."""
    name = f"lab{next(NAMES)}"
    server.psql(f"CREATE DATABASE {name}")
    return str(server.get_uri(name))


@pytest.fixture(params=["sqlite", "postgres"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """What ``Store()`` opens in this test, and in the processes that it starts."""
    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path / "data"))
    if request.param == "postgres":
        monkeypatch.setenv(URL, request.getfixturevalue("url"))
    yield request.param
    assert (tmp_path / "data").exists() == (request.param == "sqlite")


# What both do


@pytest.mark.usefixtures("place")
def test_what_goes_in_comes_out() -> None:
    store = Store()
    comparison = COMPARISON.changed(plans=(*COMPARISON.plans, T5), prompt="狐 🦊 \0 <b>'--")
    result = store.save(comparison, 2, outcome(T5), png(), DEVICE, VERSIONS)
    stored = Store().get(str(result))
    assert stored is not None
    assert (stored.comparison, stored.plan) == (comparison, str(T5))
    assert stored.outcome == replace(outcome(T5), image=None)
    assert (stored.image_png, stored.device, stored.versions) == (png(), DEVICE, VERSIONS)
    assert stored.imported_at is None
    assert store.recent() == [stored]
    assert [row.image_png for row in store.recent(images=False)] == [None]
    for nothing in ("nothing", "\0", "\ud800", "", "a" * 12, "' OR 1=1 --"):
        assert store.get(nothing) is None
        assert store.shared(nothing) is None


@pytest.mark.usefixtures("place")
def test_find_gives_the_latest_of_each_plan_in_order() -> None:
    store = Store()
    comparison = replace(COMPARISON, plans=(*COMPARISON.plans, T5))
    assert store.find(comparison) == []
    for index in (2, 1, 0, 1):
        last = save(store, comparison, index)
    found = store.find(comparison)
    assert [row.plan for row in found] == [str(plan) for plan in comparison.plans]
    assert found[1].id == last
    turned = replace(comparison, plans=(comparison.plans[0], T5, NF4))
    assert [row.plan for row in store.find(turned)] == ["fp32", str(T5), "bnb-nf4"]
    assert store.find(comparison.changed(seed=2)) == []
    assert [row.id for row in store.recent(2)] == [last, found[0].id]
    assert store.count() == 4


@pytest.mark.usefixtures("place")
def test_failures_and_odd_numbers() -> None:
    store = Store()
    failed = Outcome("bnb-nf4", "failed", error=Failure("load", "LoadError", "no \ud800\0 file"))
    store.save(COMPARISON, 1, failed, None, {"x": float("nan")}, {})
    assert [(row.outcome, row.device["x"]) for row in store.recent()] == [(failed, None)]
    with pytest.raises(StoreError, match="not a whole PNG"):
        store.save(COMPARISON, 1, outcome(), png()[:-3], DEVICE, VERSIONS)
    assert len(store.recent()) == 1


@pytest.mark.usefixtures("place")
def test_oldest_go_first_and_kept_rows_stay() -> None:
    store = Store(limit_bytes=1_000_000)
    kept = COMPARISON.changed(prompt="kept")
    first = save(store, kept, noise=100_000)
    by_id = save(store, noise=100_000)
    share = store.share(kept, [first, by_id])
    rows = [save(store, noise=100_000) for _ in range(20)]
    left = [row.id for row in store.recent()]
    assert left == [*reversed(rows[-(len(left) - 2) :]), by_id, first]
    assert 6 <= len(left) <= 9
    assert store.share(kept, [first, "aaaaaaaaaaaa"]) is None
    shared = store.shared(str(share))
    assert shared is not None
    assert [row.id for row in shared.found] == [first, by_id]


@pytest.mark.usefixtures("place")
def test_a_limit_of_nothing_still_shows_what_was_just_measured() -> None:
    store = Store(limit_bytes=0)
    ids = [save(store) for _ in range(3)]
    assert [row.id for row in store.recent()] == ids[-1:]


@pytest.mark.usefixtures("place")
def test_guesses_are_counted_and_nothing_else_is_kept() -> None:
    store = Store()
    assert store.guesses() == []
    for plan, told in (("quanto-int2", True), ("bnb-nf4", False), ("bnb-nf4", True)):
        store.save_guess(plan, "flux-mini", told)
    store.save_guess("bnb-nf4", "flux1-dev", False)
    assert Store().guesses() == [
        GuessTally("bnb-nf4", "flux-mini", told=1, shown=2),
        GuessTally("bnb-nf4", "flux1-dev", told=0, shown=1),
        GuessTally("quanto-int2", "flux-mini", told=1, shown=1),
    ]
    for text_of_none in ("a\nb", "\0", "\ud800"):
        with pytest.raises(ValueError, match="printable"):
            store.save_guess(text_of_none, "flux-mini", True)


def write_many(writer: int, count: int, limit_bytes: int) -> None:
    store = Store(limit_bytes=limit_bytes)
    for seed in range(count):
        save(store, COMPARISON.changed(seed=seed, prompt=str(writer)), noise=20_000)
        store.save_guess("bnb-nf4", "flux-mini", bool(seed % 2))


def keep_many(count: int, limit_bytes: int) -> None:
    """Shares while another process pushes out what nobody has shared."""
    store = Store(limit_bytes=limit_bytes)
    for seed in range(count):
        comparison = COMPARISON.changed(seed=seed, prompt="kept")
        while (share := store.share(comparison, [save(store, comparison)])) is None:
            pass  # it was pushed out in between
        shared = store.shared(share)
        assert shared is not None
        assert shared.missing == 0


@pytest.mark.usefixtures("place")
def test_processes_and_threads_write_at_once() -> None:
    """They also make the tables at once: nobody has opened the store before."""
    big = 10**9
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=write_many, args=(w, 15, big)) for w in range(2)]
    for process in processes:
        process.start()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda writer: write_many(writer, 5, big), range(10, 14)))
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    rows = Store().recent(1000)
    assert len(rows) == 2 * 15 + 4 * 5
    for writer in range(2):
        seeds = [row.comparison.seed for row in rows if row.comparison.prompt == str(writer)]
        assert seeds == list(range(14, -1, -1))
    assert Store().guesses() == [GuessTally("bnb-nf4", "flux-mini", 2 * 7 + 4 * 2, len(rows))]


@pytest.mark.usefixtures("place")
def test_two_processes_hold_one_limit_and_what_links_were_made_for_stays() -> None:
    first = save(Store(), COMPARISON.changed(prompt="first"))
    assert Store().share(COMPARISON, [first])
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=write_many, args=(0, 20, 300_000)),
        spawn.Process(target=keep_many, args=(20, 300_000)),
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    rows = Store().recent(1000)
    seeds = {
        name: [row.comparison.seed for row in rows if row.comparison.prompt == name]
        for name in ("0", "kept")
    }
    assert rows[-1].id == first
    assert seeds["kept"] == list(range(19, -1, -1))
    assert seeds["0"] == list(range(19, 19 - len(seeds["0"]), -1))
    assert 3 <= len(seeds["0"]) <= 14


@pytest.mark.usefixtures("place")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_connection_is_not_carried_over_a_fork() -> None:
    store = Store()
    save(store)
    child = multiprocessing.get_context("fork").Process(target=save, args=(store,))
    child.start()
    save(store)
    child.join(120)
    assert child.exitcode == 0
    assert len(store.recent()) == 3


# What only a server can do


def test_a_restart_keeps_rows(
    server: pgserver.PostgresServer,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(URL, url)
    store = Store()
    result = save(store)
    server.cleanup()
    for work in (store.recent, lambda: save(store), Store):
        with pytest.raises(StoreError, match="cannot be reached; check that its server runs"):
            work()
    server.__init__(server.pgdata, cleanup_mode="stop")  # type: ignore[misc]
    assert [row.id for row in store.recent()] == [result]  # the same store, over a new connection
    save(store)
    assert len(Store().recent()) == 2
    assert caplog.text == ""


@pytest.mark.parametrize("start", ["postgres", "postgresql", "postgresql+psycopg"])
def test_the_address_may_start_as_elsewhere(
    url: str, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    monkeypatch.setenv(URL, url.replace("postgresql", start, 1))
    save(Store())
    assert len(Store().recent()) == 1


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        (f"nonsense {PASSWORD}", "is not the address"),
        (f"mysql://lab:{PASSWORD}@localhost/lab", "is not the address"),
        (f"postgresql+asyncpg://lab:{PASSWORD}@localhost/lab", "is not the address"),
        (f"postgresql://lab:{PASSWORD}@localhost:port/lab", "is not the address"),
        (f"postgresql://lab:{PASSWORD}@127.0.0.1:1/lab", "cannot be reached"),
        (f"postgresql://lab:{PASSWORD}@no.such.host.invalid/lab", "cannot be reached"),
        (f"postgresql://lab:{PASSWORD}@/lab?host=/nowhere", "cannot be reached"),
        ("SERVER?oops=1", "is not the address"),
        ("SERVER", "refused the sign-in"),
        ("NOBODY", "refused the sign-in"),
        ("NOWHERE", "refused the sign-in"),
    ],
    ids=str,
)
def test_a_wrong_address_is_one_sentence_without_it(
    server: pgserver.PostgresServer,
    locked: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    address: str,
    sentence: str,
) -> None:
    from app import open_store

    addresses = {
        "SERVER": locked.replace("lab:", f"lab:not-{PASSWORD}"),
        "SERVER?oops=1": locked + "&oops=1",
        "NOBODY": locked.replace("lab:", f"nobody:{PASSWORD}"),
        "NOWHERE": server.get_uri("no_such_database"),
    }
    monkeypatch.setenv(URL, addresses.get(address, address))
    with pytest.raises(StoreError, match=sentence):
        Store()
    assert main(["export"]) == 1
    assert open_store() is None
    caught = capsys.readouterr()
    assert caught.out == ""
    assert len(caught.err.splitlines()) == 1
    assert "Results are not kept: " in caplog.text
    for secret in (PASSWORD, "//lab", "localhost", "no.such.host", "nobody", "Traceback"):
        assert secret not in caught.err + caplog.text


@pytest.fixture
def locked(server: pgserver.PostgresServer, url: str) -> Iterator[str]:
    """The address of a user who needs a password; without one that is right."""
    rules = server.pgdata / "pg_hba.conf"
    open_rules = rules.read_text()
    server.psql(f"CREATE USER lab PASSWORD '{PASSWORD}'; CREATE USER nobody")
    rules.write_text(f"local all lab,nobody scram-sha-256\n{open_rules}")
    server.psql("SELECT pg_reload_conf()")
    yield url.replace("postgres:@", "lab:@")
    rules.write_text(open_rules)
    server.psql("SELECT pg_reload_conf(); DROP USER lab; DROP USER nobody")


def test_a_user_without_rights_is_told_so(locked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, locked.replace("lab:", f"lab:{PASSWORD}"))
    with pytest.raises(StoreError, match="may not be written by the user"):
        Store()


def test_a_missing_driver_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, url)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"needs its driver here: pip install -e '.\[postg"):
        Store()


def test_tables_of_somebody_else_and_newer_ones_are_left_alone(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, url)
    engine = create_engine(url.replace("postgresql", "postgresql+psycopg", 1))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE results (mine int)"))
    with pytest.raises(StoreError, match="tables of somebody else"):
        Store()
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE results"))
    Store()
    with engine.begin() as connection:
        connection.execute(text("UPDATE quantlab_store SET version = 99"))
    with pytest.raises(StoreError, match="of version 99, this quantlab knows 3"):
        Store()
    engine.dispose()


def test_a_writer_that_does_not_let_go_is_told_of(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(URL, url)
    monkeypatch.setattr("quantlab.record.store.postgres.WAIT_S", 1)
    store = Store()
    caplog.set_level(logging.DEBUG)
    engine = create_engine(url.replace("postgresql", "postgresql+psycopg", 1))
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE results"))
        with pytest.raises(StoreError, match="stayed busy"):
            save(store)
    engine.dispose()
    save(store)
    assert len(store.recent()) == 1
