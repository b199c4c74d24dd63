"""How many threads compute, and how they wait: so that busy neighbours do not starve each other.

OpenMP's threads spin while they wait for work by default. Two processes that do so on the same
cores spend their time slices waiting for threads that the other one keeps off the cores: one image
of flux-mini beside such a process took over 30 s instead of 0.3 s. Waiting passively costs nothing
that can be measured on a quiet machine. It must be said before torch is imported, and it never
changes a result: sums are split by the number of threads, not by how they wait.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from math import ceil
from pathlib import Path
from typing import Any

__all__ = ["PASSIVE", "cores_allowed", "keep_within", "wait_passively"]

PASSIVE = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",  # GNU's OpenMP, which torch's Linux builds carry
    "KMP_BLOCKTIME": "0",  # Intel's and LLVM's, in milliseconds
}
_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1 = Path("/sys/fs/cgroup/cpu")


def wait_passively(environment: MutableMapping[str, str]) -> None:
    """Have OpenMP's threads sleep while they wait; what the user set stays as it is."""
    if not PASSIVE.keys() & environment.keys():
        environment.update(PASSIVE)


def cores_allowed(v2: Path = _CGROUP_V2, v1: Path = _CGROUP_V1) -> int:
    """Cores that this process may really use: its affinity, and its container's quota."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _quota(v2, v1)
    return cores if quota is None else max(1, min(cores, ceil(quota)))


def keep_within(torch: Any, environment: MutableMapping[str, str]) -> None:
    """Hold torch to the cores that are allowed, unless the user said how many threads."""
    if "OMP_NUM_THREADS" not in environment and torch.get_num_threads() > cores_allowed():
        torch.set_num_threads(cores_allowed())


def _quota(v2: Path, v1: Path) -> float | None:
    """The container's CPU time in cores, or None where nothing limits it."""
    try:
        if v2.exists():
            most, period = v2.read_text().split()
        else:
            most = (v1 / "cpu.cfs_quota_us").read_text().strip()
            period = (v1 / "cpu.cfs_period_us").read_text().strip()
        return None if most in ("max", "-1") else int(most) / int(period)
    except (OSError, ValueError):
        return None
