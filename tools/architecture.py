"""Draws the rooms of the package and the imports between them, for docs/ARCHITECTURE.md.

``python -m tools.architecture`` writes the drawing between the file's two marks, ``--check`` says
whether it is stale. Everything is read from the source by ``ast``: nothing is imported. An arrow
says that some file of a room imports from the other; arrows inside a room are in the table below
the drawing.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

__all__ = ["ROOMS", "circles", "drawing", "edges", "folders", "main", "upward"]

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "ARCHITECTURE.md"
BEGIN, END = "<!-- drawn by tools/architecture.py -->", "<!-- end of the drawing -->"
ROOMS = ("app", "cli", "ui", "record", "lab", "catalog", "families", "words", "errors")
"""From the top down: a room imports from those below it only."""


def folders(root: Path = PROJECT) -> Mapping[str, list[str]]:
    """Folders of the package, such as ``lab/ways``, with the modules in each."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((root / "quantlab").rglob("*.py")):
        if path.name != "__init__.py":
            place = path.relative_to(root / "quantlab").parent.as_posix()
            found[place].append(path.stem)
    return found


@cache
def edges(root: Path = PROJECT) -> set[tuple[str, str]]:
    """(module, imported module) within the package, dotted and without ``quantlab.``."""
    files = [root / "app.py", *sorted((root / "quantlab").rglob("*.py"))]
    found = set()
    for path in files:
        name = _dotted(path, root)
        for target in _imports(path, root):
            if target != name:
                found.add((name, target))
    return found


def _dotted(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts[1:] if parts[0] == "quantlab" and len(parts) > 1 else parts)


def _imports(path: Path, root: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("quantlab."):
            continue
        module = str(node.module).removeprefix("quantlab.")
        for alias in node.names:
            inner = root / "quantlab" / Path(*module.split("."), alias.name)
            is_module = inner.with_suffix(".py").exists() or inner.is_dir()
            yield f"{module}.{alias.name}" if is_module else module


def _room(module: str) -> str:
    first = module.split(".")[0]
    return "cli" if first in ("functions", "__main__", "pytest_plugin", "quantlab") else first


def upward(root: Path = PROJECT) -> list[tuple[str, str]]:
    """Imports that run up the house; none is allowed."""
    order = {name: index for index, name in enumerate(ROOMS)}
    return sorted(
        (source, target)
        for source, target in edges(root)
        if order[_room(source)] > order[_room(target)]
    )


def circles(root: Path = PROJECT) -> list[str]:
    """The modules of a circle of imports, or none."""
    graph: dict[str, set[str]] = defaultdict(set)
    for source, target in edges(root):
        graph[source].add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


def drawing(root: Path = PROJECT) -> str:
    """The rooms as a Mermaid flow chart, and a table of what each folder holds."""
    between: dict[tuple[str, str], int] = defaultdict(int)
    for source, target in edges(root):
        pair = _room(source), _room(target)
        if pair[0] != pair[1]:
            between[pair] += 1
    lines = ["```mermaid", "flowchart TD"]
    lines += [f"    {room}" for room in ROOMS]
    lines += [f"    {a} -->|{count}| {b}" for (a, b), count in sorted(between.items(), key=_place)]
    lines += ["```", "", "| folder | files | modules |", "|---|---|---|"]
    for folder, modules in folders(root).items():
        name = "quantlab" if folder == "." else f"quantlab/{folder}"
        lines.append(f"| {name} | {len(modules)} | {', '.join(modules)} |")
    return "\n".join(lines)


def _place(item: tuple[tuple[str, str], int]) -> tuple[int, int]:
    (source, target), _ = item
    return ROOMS.index(source), ROOMS.index(target)


def main(argv: list[str] | None = None) -> int:
    """Write the drawing, or with ``--check`` say whether it is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args(argv)
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    fresh = f"{before}{BEGIN}\n\n{drawing()}\n\n{END}{after}"
    if arguments.check:
        if fresh != text:
            print("docs/ARCHITECTURE.md is stale: python -m tools.architecture", file=sys.stderr)
        return int(fresh != text)
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
