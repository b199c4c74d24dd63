"""Which runner there is for where this runs."""

from __future__ import annotations

from collections.abc import Mapping

from quantlab.lab.runners.beside import BesideRunner
from quantlab.lab.runners.runner import Runner

__all__ = ["choose_runner"]


def choose_runner(environ: Mapping[str, str]) -> Runner:
    """The runner for where this is: ZeroGPU's on such a Space, else a process beside this one.

    What it imports is little, so that such a process can begin before all else is imported.
    """
    if environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true"):  # as spaces reads it
        from quantlab.catalog.table import load_catalog
        from quantlab.lab.runners.zerogpu import ZeroGpuRunner

        return ZeroGpuRunner(load_catalog())
    return BesideRunner()
