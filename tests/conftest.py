"""Shared by all tests: results go to a temporary folder, never to the user's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUANTLAB_DATA", str(tmp_path_factory.mktemp("quantlab-data")))
        patch.delenv("QUANTLAB_DATABASE_URL", raising=False)
        yield
