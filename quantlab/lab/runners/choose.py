"""Which runner there is for where this runs."""

from __future__ import annotations

from collections.abc import Mapping

from quantlab.catalog.table import Catalog
from quantlab.lab.runners.local import LocalRunner
from quantlab.lab.runners.runner import Runner

__all__ = ["choose_runner"]


def choose_runner(environ: Mapping[str, str], catalog: Catalog) -> Runner:
    """The runner for where this is: ZeroGPU's on such a Space, else this process."""
    if environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true"):  # as spaces reads it
        from quantlab.lab.runners.zerogpu import ZeroGpuRunner

        return ZeroGpuRunner(catalog)
    return LocalRunner(catalog)
