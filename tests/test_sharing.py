"""What stays, what goes, and what may be removed: shares, retention, deleting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quantlab.cli import main
from quantlab.record.store import retention
from quantlab.record.store.store import Store
from tests.stored_rows import COMPARISON, DEVICE, VERSIONS, outcome, png, save

KIB = 1000


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path / "data"))
    return Store(limit_bytes=1000 * KIB)


def save_run(store: Store, run: str, *, secret: str | None = None, noise: int = 0) -> list[str]:
    """Two results of one run."""
    found = [
        store.save(
            COMPARISON, index, outcome(plan), png(noise=noise), DEVICE, VERSIONS,
            run=run, secret=secret,
        )
        for index, plan in enumerate(COMPARISON.plans)
    ]  # fmt: skip
    return [str(each) for each in found]


def test_a_share_is_what_was_seen(store: Store) -> None:
    """A later run of the same comparison never changes it."""
    seen = save_run(store, "a")
    share = store.share(COMPARISON, seen)
    assert share == store.share(COMPARISON, seen)
    save_run(store, "b")
    shared = store.shared(str(share))
    assert shared is not None
    assert ([row.id for row in shared.found], shared.missing) == (seen, 0)
    assert shared.comparison == COMPARISON
    assert store.share(COMPARISON, []) is None
    assert store.shared("'; DROP TABLE") is None


def test_a_run_goes_or_stays_whole(store: Store) -> None:
    runs = {str(n): save_run(store, str(n), noise=100 * KIB) for n in range(8)}
    left = {row.id for row in store.recent()}
    kept = [name for name, ids in runs.items() if left & set(ids)]
    assert all(set(runs[name]) <= left for name in kept)
    assert kept == [str(n) for n in range(8 - len(kept), 8)]
    assert 2 <= len(kept) <= 4


def test_what_is_shared_stays_with_its_run_for_a_while(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = save_run(store, "first", noise=100 * KIB)
    share = str(store.share(COMPARISON, first[:1]))
    for number in range(6):
        save_run(store, str(number), noise=100 * KIB)
    assert {row.id for row in store.recent()} >= set(first)
    monkeypatch.setattr(retention, "PIN_DAYS", -1)  # a share that is older than it may be
    save_run(store, "last", noise=100 * KIB)
    aged = store.shared(share)
    assert aged is not None
    assert (aged.found, aged.missing, aged.comparison) == ((), 1, COMPARISON)


def test_sharing_everything_takes_no_more_than_its_part(store: Store) -> None:
    """The oldest shares let go; whoever comes next can still keep a result."""
    for number in range(12):
        assert store.share(COMPARISON, save_run(store, str(number), noise=50 * KIB))
    own = save_run(store, "own", noise=50 * KIB)
    later = save_run(store, "later", noise=50 * KIB)
    assert {row.id for row in store.recent()} >= {*own, *later}


CONDITIONS: list[tuple[Callable[[Store, list[str]], int], int]] = [
    (lambda store, _: store.delete(secret="mine"), 2),
    (lambda store, ids: store.delete(ids[:1]), 1),
    (lambda store, _: store.delete(search="FOX"), 2),
    (lambda store, _: store.delete(search="bnb-NF4"), 1),
    (lambda store, _: store.delete(older_than_days=0), 2),
    (lambda store, _: store.delete(older_than_days=1), 0),
    (lambda store, _: store.delete(search="%"), 0),
    (lambda store, _: store.delete(secret="another's"), 0),
    (lambda store, _: store.delete(), 0),
]


@pytest.mark.parametrize(("remove", "gone"), CONDITIONS)
def test_results_are_removed_by_any_condition(
    store: Store, remove: Callable[[Store, list[str]], int], gone: int
) -> None:
    ids = save_run(store, "a", secret="mine")
    other = save(store, COMPARISON.changed(prompt="a cat", plans=COMPARISON.plans[:1]), 0)
    share = str(store.share(COMPARISON, ids))
    expected = gone + (remove is CONDITIONS[4][0])  # everything is older than now
    assert remove(store, ids) == expected
    assert store.count() == 3 - expected
    assert (store.shared(share) is None) == (gone > 0)
    assert (store.get(other) is None) == (remove is CONDITIONS[4][0])


def test_a_secret_is_not_in_the_file(store: Store, tmp_path: Path) -> None:
    save_run(store, "a", secret="correct horse battery")
    files = [path.read_bytes() for path in (tmp_path / "data").iterdir()]
    assert files
    assert not any(b"correct horse" in data for data in files)


def test_the_command_removes_and_says_how_many(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = save_run(store, "a")
    assert main(["delete", "--id", ids[0]]) == 0
    assert capsys.readouterr().out == "1 result removed.\n"
    assert main(["delete", "--search", "fox", "--json"]) == 0
    assert capsys.readouterr().out == '{\n  "removed": 1\n}\n'
    assert main(["delete", "--older-than", "30"]) == 0
    assert capsys.readouterr().out == "0 results removed.\n"


@pytest.mark.parametrize(
    "arguments", [[], ["--older-than", "-1"], ["--older-than", "nan"], ["--search", " "]]
)
def test_the_command_wants_a_condition(
    store: Store, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    save(store)
    assert main(["delete", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert store.count() == 1
