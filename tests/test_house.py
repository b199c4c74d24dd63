"""The shape of the package: rooms, arrows, sizes; and documents that keep up with it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from quantlab.catalog.paths import PROJECT
from quantlab.cli import commands as commands_module
from quantlab.families import families
from tools import architecture

MOST_FILES, MOST_LINES, LONGEST_FUNCTION = 14, 300, 60
SHELVES = ("families",)
"""Folders that grow by one file for each thing of their kind."""
FOLDERS = ("quantlab", "tools", "benchmarks", "tests")


def sources() -> list[Path]:
    return [
        PROJECT / "app.py",
        *(path for name in FOLDERS for path in sorted((PROJECT / name).rglob("*.py"))),
    ]


def test_no_import_runs_up_the_house() -> None:
    assert architecture.upward() == []


def test_no_imports_go_in_a_circle() -> None:
    assert architecture.circles() == []


def test_no_folder_of_the_package_is_a_warren() -> None:
    crowded = {
        folder: len(modules)
        for folder, modules in architecture.folders().items()
        if len(modules) > MOST_FILES and folder not in SHELVES
    }
    assert crowded == {}


@pytest.mark.parametrize("folder", ["quantlab", "tools", "benchmarks"])
def test_files_and_functions_are_short(folder: str) -> None:
    long = []
    for path in sorted((PROJECT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > MOST_LINES:
            long.append(f"{path.name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{path.name}: {node.name} has {lines} lines")
    assert long == []


ALLOWED = {"lab": {"torch", "diffusers", "transformers"}, "ui": {"gradio"}}


def test_heavy_libraries_are_imported_in_their_room_alone() -> None:
    """torch and its like in the lab, gradio in ui."""
    heavy = set().union(*ALLOWED.values())
    found = []
    for path in sorted((PROJECT / "quantlab").rglob("*.py")):
        room = path.relative_to(PROJECT / "quantlab").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            used = {name.split(".")[0] for name in names} & heavy
            found += [(path.name, name) for name in used - ALLOWED.get(room, set())]
    assert found == []


NAMED = {
    ("words/comparison.py", "flux-mini"): "the one place that says which model ships",
    ("ui/programs/questions.py", "flux1-dev"): "the default of a call that programs rely on",
    ("lab/check/rules/dtypes.py", "fp16-flux"): "the code of a finding, which programs rely on",
}
"""Where a family's name stands outside of its file and data, and why it stays."""


def family_names() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """How names of classes begin, and, in small letters, families as people write them."""
    classes = {cls for family in families().values() for cls in family.pipelines}
    heads = {re.match("[A-Z][a-z]{2,}|[A-Z]{2}[a-z]+", cls)[0] for cls in classes}  # type: ignore[index]
    short = {found[0] for name in families() if (found := re.match("[a-z]{3,}", name))}
    plain = "|".join(name.replace("-", "[-_ ]") for name in sorted(short | set(families())))
    return (
        re.compile(rf"(?<![A-Za-z])(?:{'|'.join(sorted(heads))})(?![a-z])"),
        re.compile(rf"(?<![a-z])(?:{plain})(?![a-z])"),
    )


def said(tree: ast.Module) -> Iterator[str]:
    """The identifiers and texts of a module, but for docstrings and addresses of sources."""
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        for _, value in ast.iter_fields(node):
            cited = isinstance(value, str) and value.startswith("https://")
            if isinstance(value, str) and id(node) not in documents and not cited:
                yield value


def test_no_family_is_named_outside_of_its_file_and_data() -> None:
    heads, plain = family_names()
    package = PROJECT / "quantlab"
    found = {
        (path.relative_to(package).as_posix(), text)
        for path in package.rglob("*.py")
        if path.relative_to(package).parts[0] != "families"
        for text in said(ast.parse(path.read_text(encoding="utf-8")))
        if heads.search(text) or plain.search(text.lower())
    }
    assert found == set(NAMED)


@pytest.mark.parametrize(
    "text", ["FluxPipeline", "is_flux", "ZImage", "QWEN", "wan-2.2-5b", "sdxl", "a FLUX picture"]
)
def test_a_familys_name_is_known_as_one(text: str) -> None:
    heads, plain = family_names()
    assert heads.search(text) or plain.search(text.lower())
    ordinary = "want a stable influx of chromatic images"
    assert not heads.search(ordinary)
    assert not plain.search(ordinary)


DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/ARCHITECTURE.md", "docs/LEARN.md", *(
    f"docs/add-a-{what}.md" for what in ("method", "family", "metric-or-setting", "tab")
))  # fmt: skip


def test_every_path_in_the_documents_is_there() -> None:
    missing = []
    for name in DOCUMENTS:
        text = (PROJECT / name).read_text(encoding="utf-8")
        for path in re.findall(r"`((?:quantlab|data|tests|tools|docs|benchmarks)/[\w/.-]+)`", text):
            if "NAME" not in path and not (PROJECT / path.rstrip("/")).exists():
                missing.append(f"{name}: {path}")
    assert missing == []


def test_every_command_of_the_readme_has_its_options() -> None:
    """What the README shows is what --help knows."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^(?:python -m )?quantlab (\w+)(.*)$", text, re.MULTILINE)
    assert len(commands) > 8
    for name, rest in commands:
        parser = commands_module._parser()
        subparsers = next(a for a in parser._actions if a.choices)
        known = subparsers.choices[name]._option_string_actions  # type: ignore[index]
        assert set(re.findall(r"(--[a-z-]+)", rest)) <= set(known), (name, rest)


def test_the_drawing_of_the_house_is_of_today() -> None:
    assert architecture.main(["--check"]) == 0, "run python -m tools.architecture"
