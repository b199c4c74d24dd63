"""``python -m tools.twins FAMILY OUT``; see the package."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.twins import FAMILIES, build


def main(argv: list[str] | None = None) -> int:
    """Build one twin; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.twins", description="Build a tiny random pipeline of a family."
    )
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("out", type=Path, help="a folder, made where there is none")
    parser.add_argument("--repo", help="the repository it will be served as; default: the folder")
    given = parser.parse_args(argv)
    build(given.family, given.out, given.repo)
    return 0


if __name__ == "__main__":
    sys.exit(main())
