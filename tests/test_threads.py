"""Threads: waiting passively by default, never more than the cores that a process may use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quantlab.catalog.paths import PROJECT
from quantlab.lab.threads import PASSIVE, cores_allowed, wait_passively

SEEN = "OMP_DISPLAY_ENV"


def openmp_of(code: str, **environment: str) -> str:
    """What torch's OpenMP says of its own settings when ``code`` has it loaded."""
    kept = {k: v for k, v in os.environ.items() if k not in (*PASSIVE, "OMP_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env={**kept, SEEN: "VERBOSE", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


LOADED = "from quantlab.lab.libraries import torch; torch().ones(8).sum()"


def test_torch_waits_passively_wherever_it_is_loaded() -> None:
    said = openmp_of(LOADED)
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in said
    assert "GOMP_SPINCOUNT = '0'" in said


def test_what_the_user_set_stays() -> None:
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in openmp_of(LOADED, OMP_WAIT_POLICY="ACTIVE")
    environment = {"GOMP_SPINCOUNT": "7"}
    wait_passively(environment)
    assert environment == {"GOMP_SPINCOUNT": "7"}


@pytest.mark.parametrize(
    ("text", "cores"), [("50000 100000", 1), ("max 100000", None), ("x", None)]
)
def test_a_containers_quota_counts(tmp_path: Path, text: str, cores: int | None) -> None:
    limit = tmp_path / "cpu.max"
    limit.write_text(text)
    expected = cores or len(os.sched_getaffinity(0))
    assert cores_allowed(limit, tmp_path) == expected


def test_an_older_kernels_quota_counts(tmp_path: Path) -> None:
    (tmp_path / "cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    assert cores_allowed(tmp_path / "none", tmp_path) == 1


def test_torch_computes_on_the_cores_of_its_affinity() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from quantlab.lab.libraries import torch; print(torch().get_num_threads())"
    )
    kept = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=kept, capture_output=True, text=True
    )
    assert done.stdout.strip() == "1"
