"""Writes constraints.txt: the version of everything that requirements.txt brings along.

``python3.12 -m tools.constraints``, with the Python that a Space runs on Linux, asks pip what it
would install and keeps names and versions. ``pip install -r requirements.txt -c constraints.txt``
then gives what was tried, not what is newest. Standard library only: nothing need be installed.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["main", "pinned"]

PROJECT = Path(__file__).resolve().parents[1]
FILE = PROJECT / "constraints.txt"
HEAD = "# Written by python -m tools.constraints for Python {python}; not to be edited.\n"


def pinned(report: dict[str, list[dict[str, dict[str, str]]]]) -> list[str]:
    """``name==version`` of everything in a report of ``pip install --report``, sorted."""
    found = {item["metadata"]["name"]: item["metadata"]["version"] for item in report["install"]}
    return [f"{name}=={version}" for name, version in sorted(found.items(), key=_by_name)]


def _by_name(item: tuple[str, str]) -> str:
    return item[0].lower()


def main() -> int:
    """Ask pip, write the file."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        command += ["--quiet", "--report", str(report), "-r", str(PROJECT / "requirements.txt")]
        subprocess.run(command, check=True)
        lines = pinned(json.loads(report.read_text(encoding="utf-8")))
    FILE.write_text(
        HEAD.format(python=platform.python_version()) + "\n".join(lines) + "\n", encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
