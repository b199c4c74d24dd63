"""The package as people install it: a wheel with all data, the command from any folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from quantlab.catalog.paths import PROJECT
from tests import warm

BUILD = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet")
INSTALL = ("-m", "pip", "install", "--no-deps", "--no-index", "--quiet")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of what is tracked here, built from a copy so that no build folder is left."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        if name.split("/")[0] in ("quantlab", "data") or "/" not in name:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((PROJECT / name).read_bytes())
    subprocess.run([sys.executable, *BUILD, "-w", str(folder), str(source)], check=True)
    return next(folder.glob("quantlab-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that it was installed into."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, *INSTALL, "--target", str(folder), str(wheel)], check=True)
    return folder


def run(installed: Path, empty: Path, *arguments: str) -> str:
    """What the installed command prints, run in an empty folder."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    command = [installed / "bin" / "quantlab", *arguments]
    done = warm.run(command, cwd=empty, environment=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_all_of_the_data(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    tracked = subprocess.run(
        ["git", "ls-files", "data", "quantlab"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    wanted = {f"quantlab/{name}" if name.startswith("data/") else name for name in tracked}
    assert wanted <= names


def test_the_command_picks_from_any_folder(installed: Path, tmp_path: Path) -> None:
    rows = json.loads(
        run(installed, tmp_path, "pick", "--hardware", "cuda", "--bits", "4", "--json")
    )
    assert {"bnb-nf4", "sdnq-uint4"} <= {row["scheme"] for row in rows}


def test_the_command_compares_from_any_folder(installed: Path, tmp_path: Path) -> None:
    told = run(
        installed, tmp_path, "compare", "--plans", "fp32", "bnb-nf4", "--steps", "2", "--json"
    )
    outcomes = json.loads(told)["outcomes"]
    assert [outcome["status"] for outcome in outcomes] == ["ok", "ok"]
    assert sorted(path.suffix for path in (tmp_path / "quantlab-out").iterdir()) == [".png", ".png"]
