"""Which runner a page has: the one place that knows both."""

from __future__ import annotations

from collections.abc import Mapping

from quantlab.lab.runners.local import LocalRunner, Runner

__all__ = ["choose_runner"]


def choose_runner(environ: Mapping[str, str]) -> Runner:
    """The runner for where this is: ZeroGPU's on such a Space, else this process."""
    if environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true"):  # as spaces reads it
        from quantlab.lab.runners.zerogpu import ZeroGpuRunner  # only there its client is needed

        return ZeroGpuRunner()
    return LocalRunner()
