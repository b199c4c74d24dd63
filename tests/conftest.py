"""Shared by all tests: results go to a temporary folder, never to the user's own; which tests are
handed to a worker together, and which first.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest

# Tests run in several processes at once: more threads would wait for each other's turns. Set before
# anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

BROWSER = "tests/browser/"
LONGEST = [
    BROWSER,
    *(
        f"tests/test_{name}.py"
        for name in (
            "sweep_ray", "schemes", "staged", "growth_words", "twin_runs", "compare", "lora",
            "snippet", "takeaway", "flux_shaped", "gpu_day", "variants", "sweep", "probe", "own",
            "flux3", "tune", "licences", "zerogpu", "cli", "flux_mini", "footprint", "modes",
        )
    ),
]  # fmt: skip
"""What takes longest, longest first: begun last, it would leave the other worker idle."""


@pytest.fixture(autouse=True, scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUANTLAB_DATA", str(tmp_path_factory.mktemp("quantlab-data")))
        patch.delenv("QUANTLAB_DATABASE_URL", raising=False)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def turn(item: pytest.Item) -> int:
        matching = (n for n, name in enumerate(LONGEST) if item.nodeid.startswith(name))
        return next(matching, len(LONGEST))

    items.sort(key=turn)  # stable: all else as it is written


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Imports all libraries. They stay: no collection of garbage, of which each plan that is let go
    of has one, need look through their millions of objects."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """File by file, but all that share the one server and the one browser are one file."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return BROWSER if nodeid.startswith(BROWSER) else super()._split_scope(nodeid)

    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None
