"""Shared by all tests: results go to a temporary folder, never to the user's own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# Tests run in several processes at once: more threads would wait for each other's turns. Set before
# anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True, scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUANTLAB_DATA", str(tmp_path_factory.mktemp("quantlab-data")))
        patch.delenv("QUANTLAB_DATABASE_URL", raising=False)
        yield
