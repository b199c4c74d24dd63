"""Programs in processes of their own that do not take ten seconds to import torch and diffusers.

One Python imports these libraries, and nothing of quantlab, and forks itself for every program,
which has its own memory, folder, environment and output. It has no way to the hub. What a start
takes, prints or imports is not to be tested so: such tests start a Python of their own.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["run"]

CHILD = Path(__file__).with_name("warm_child.py")


@functools.cache
def _python() -> subprocess.Popen[str]:
    """The one that forks; it ends when this process does, since its input ends then."""
    return subprocess.Popen(
        [sys.executable, "-I", CHILD],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run(
    arguments: Sequence[str | Path],
    *,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    given: str = "",
) -> subprocess.CompletedProcess[str]:
    """What ``python arguments`` does in ``cwd`` with ``given`` as its input.

    ``arguments`` are a file, or ``-c`` and code, or ``-m`` and a module, each with what it is
    given; before them ``-I`` may stand, with which neither the folder nor PYTHONPATH is searched.
    """
    python = _python()
    assert python.stdin is not None
    assert python.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("stdin", "stdout", "stderr")]
        for file in files:
            file.write_text(given if file.name == "stdin" else "", encoding="utf-8")
        asked = {
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(cwd.absolute()),
            "environment": dict(environment or os.environ),
            "files": [str(file) for file in files],
        }
        python.stdin.write(json.dumps(asked) + "\n")
        python.stdin.flush()
        ended = python.stdout.readline()
        assert ended, f"the Python that forks has ended with {python.wait()}"
        said = [file.read_text(encoding="utf-8") for file in files[1:]]
    return subprocess.CompletedProcess(asked["arguments"], int(ended), *said)
