"""Licences: of all that quantlab requires, of the table's libraries, and life without SDNQ."""

from __future__ import annotations

import importlib.metadata as metadata
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from quantlab.catalog.answer.choices import propose
from quantlab.catalog.machine import Machine
from quantlab.catalog.table import ROOT, load_catalog
from tests.licences import is_strict, licences, required

CATALOG = load_catalog()
FILE_LEVEL = "MPL-2.0 asks for changes to its own files only, and none of them is changed here"
ALLOWED = {
    "certifi": FILE_LEVEL,
    "orjson": FILE_LEVEL,
    "tqdm": FILE_LEVEL,
}
"""Distributions whose licence is strict in part, and why they may be required."""
VENDORS = ("nvidia-", "cuda-", "triton")
"""What a CUDA build of torch brings along: NVIDIA's own licence, fetched by torch, not part of
this project, and not there with a CPU build."""


def test_nothing_that_is_required_has_a_strict_licence() -> None:
    found = required(ROOT / "requirements.txt")
    assert {"torch", "diffusers", "gradio", "peft"} <= set(found)
    for name, distribution in found.items():
        said = licences(distribution)
        if name.startswith(VENDORS):
            continue
        assert said, f"{name} does not say its licence"
        strict = [text for text in said if is_strict(text)]
        assert not strict or name in ALLOWED, f"{name}: {strict}"


def test_only_what_is_required_and_strict_is_allowed() -> None:
    found = required(ROOT / "requirements.txt")
    for name in ALLOWED:
        said = licences(found[name])
        assert any("MPL" in text or "Mozilla" in text for text in said), name


def test_sdnq_is_an_extra_and_its_licence_would_be_noticed() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    [line] = extras["optional-dependencies"]["sdnq"]
    assert Requirement(line).name == "sdnq"
    assert "sdnq" not in required(ROOT / "requirements.txt")
    assert any(is_strict(text) for text in licences(metadata.distribution("sdnq")))


@pytest.mark.parametrize("method", list(CATALOG.methods))
def test_a_methods_licence_is_what_its_distribution_says(method: str) -> None:
    about = CATALOG.methods[method]
    source = about.sources[about.licence_source]
    name = source.url.removeprefix("https://pypi.org/project/").split("/")[0]
    packages = name if name != source.url.split("/")[0] else about.packages[0]
    try:
        said = licences(metadata.distribution(packages))
    except metadata.PackageNotFoundError:
        assert source.checked == "2026-11-26"  # from its source, on that day
        return
    family = about.licence.split("-")[0]
    assert any(family in text for text in said), said


# Without SDNQ


@pytest.fixture(scope="module")
def without_sdnq(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Python that has everything installed but sdnq."""
    folder = tmp_path_factory.mktemp("site")
    for entry in sys.path:
        if not entry.endswith(("site-packages", "dist-packages")) or not Path(entry).is_dir():
            continue
        for path in Path(entry).iterdir():
            link = folder / path.name
            if not path.name.startswith("sdnq") and not link.exists():
                link.symlink_to(path)
    own = {"PYTHONPATH": os.pathsep.join((str(ROOT), str(folder))), "PYTHONNOUSERSITE": "1"}
    return os.environ | own | {"QUANTLAB_DATA": str(tmp_path_factory.mktemp("data"))}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def quantlab(environment: dict[str, str], *arguments: str) -> Any:
    done = run(environment, "-m", "quantlab", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_sdnq_is_really_gone(without_sdnq: dict[str, str]) -> None:
    code = "import importlib.metadata as m, gguf; m.version('gguf'); import sdnq"
    assert "No module named 'sdnq'" in run(without_sdnq, "-c", code).stderr


def test_pick_says_not_installed_and_the_licence(without_sdnq: dict[str, str]) -> None:
    rows = {r["scheme"]: r for r in quantlab(without_sdnq, "pick", "--model", "flux-mini")}
    for scheme in ("sdnq-int8", "sdnq-uint4"):
        assert rows[scheme]["here"] == "not-installed: sdnq"
        assert any("licence: GPL-3.0-only" in reason for reason in rows[scheme]["reasons"])
    assert rows["torchao-int8wo"]["here"] == "ok"


def test_compare_and_the_page_work_and_say_what_to_install(
    without_sdnq: dict[str, str], tmp_path: Path
) -> None:
    """In one process, since importing it all takes the longest."""
    asked = ["compare", "--plans", "fp32", "sdnq-int8", "torchao-int8wo", "--steps", "1"]
    asked += ["--warmup", "0", "--out", str(tmp_path), "--json"]
    code = (
        f"import app; from quantlab.cli import main; status = main({asked!r});"
        "from quantlab.ui.pick.view import claims;"
        "from quantlab.catalog.table import load_catalog;"
        "catalog = load_catalog();"
        "assert app.build(app.Services(catalog, app.choose_runner({}), None));"
        "assert 'GPL-3.0-only' in claims('sdnq-int8', 'cpu', load_catalog());"
        "raise SystemExit(status)"
    )
    done = run(without_sdnq, "-c", code)
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)["outcomes"]
    assert [row["status"] for row in outcomes] == ["ok", "failed", "ok"]
    assert "is not installed: pip install sdnq;" in outcomes[1]["error"]["message"]


def test_the_next_best_is_proposed_without_it() -> None:
    asked: dict[str, Any] = {"model": "flux1-dev", "hardware": "rocm", "bits": 8}

    def proposed(packages: dict[str, str]) -> Any:
        return propose(**asked, memory_gib=64, machine=Machine(packages=packages)).choices[0]

    only = {"sdnq": "0.2.8", "bitsandbytes": "0.50.2", "accelerate": "1.15.0"}
    with_it, without = proposed(only), proposed({k: v for k, v in only.items() if k != "sdnq"})
    assert with_it.plan == "sdnq-int8"
    assert any("licence of sdnq-int8: GPL-3.0-only" in reason for reason in with_it.reasons)
    assert without.plan == "bnb-int8"
    assert not any("licence of" in reason for reason in without.reasons)
