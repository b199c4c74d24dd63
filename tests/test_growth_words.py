"""A setting, a metric and a kind of hardware are one row each: a copy of the package gets one more
of each, and nothing else of it is touched.

The rows are driven through compare on flux-mini, the script, the link, the API's signature, the
page's controls, CSV, a results file and the capability table.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from quantlab.catalog.paths import PACKAGE, PROJECT

PROMPT = "a red apple on a blue background"
SETTINGS = """
    Setting(
        "occasion",
        "text",
        label="Occasion",
        about="What the picture is for.",
        longest=300,
        optional=True,
        said="for {occasion}",
    ),
    Setting(
        "final_height",
        "whole",
        label="Final height",
        about="Height of the image after all, in pixels.",
        low=32,
        high=128,
        optional=True,
        argument="height",
        said="{final_height} px high after all",
    ),
    Setting(
        "nobodys",
        "whole",
        label="Nobody's",
        about="What no pipeline takes.",
        high=9,
        optional=True,
        argument="nobodys_argument",
    ),
"""
METRIC = """
    Metric(
        "mean_error",
        "mean error",
        form=".2f",
        said="{:.2f} off on average",
        image="error_of_images.mean_error",
        equal=0.0,
    ),
"""
FUNCTION = '''
"""The mean of the absolute difference of two uint8 images, 0 to 255."""

import numpy


def mean_error(image, reference):
    return numpy.abs(image.astype(int) - reference.astype(int)).mean()
'''
HARDWARE = """
    Column("npu", "Ascend NPU"),
"""


def insert(file: Path, after: str, rows: str) -> None:
    """Put ``rows`` at the end of the tuple that begins with ``after``."""
    text = file.read_text(encoding="utf-8")
    begin = text.index(after)
    end = text.index("\n)\n", begin) + 1
    file.write_text(text[:end] + rows.lstrip("\n") + text[end:], encoding="utf-8")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a copy of the package that has one more row of each kind."""
    place = tmp_path_factory.mktemp("house")
    shutil.copytree(PACKAGE, place / "quantlab", ignore=shutil.ignore_patterns("__pycache__"))
    (place / "data").symlink_to(PROJECT / "data")
    insert(place / "quantlab" / "words" / "settings.py", "\nSETTINGS = (", SETTINGS)
    insert(place / "quantlab" / "words" / "metrics.py", "\nSCORES = (", METRIC)
    insert(place / "quantlab" / "catalog" / "columns.py", "\nHARDWARE = (", HARDWARE)
    (place / "error_of_images.py").write_text(FUNCTION, encoding="utf-8")
    yield place
    shutil.rmtree(place)


def run(house: Path, *arguments: str, store: str = "store") -> str:
    """What a command prints in that house."""
    environment = {**os.environ, "PYTHONPATH": str(house), "QUANTLAB_DATA": str(house / store)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=house,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def quantlab(house: Path, *arguments: str, store: str = "store") -> str:
    return run(house, "-m", "quantlab", *arguments, store=store)


@pytest.fixture(scope="module")
def compared(house: Path) -> dict[str, Any]:
    """The document of a comparison that uses all that is new."""
    told: dict[str, Any] = json.loads(
        quantlab(
            house, "compare", "--plans", "fp32", "bnb-nf4", "--steps", "2", "--warmup", "0",
            "--occasion", "a birthday", "--final-height", "128", "--out", "all", "--json",
        )
    )  # fmt: skip
    assert [outcome["status"] for outcome in told["outcomes"]] == ["ok", "ok"]
    return told


def test_a_setting_reaches_the_pipeline(house: Path, compared: dict[str, Any]) -> None:
    asked = compared["comparison"]
    assert (asked["occasion"], asked["final_height"]) == ("a birthday", 128)
    plain, low, unknown = (
        json.loads(
            quantlab(
                house, "compare", "--plans", "fp32", "--steps", "2", "--warmup", "0",
                *more, "--out", f"plain-{len(more)}", "--json", store="aside",
            )
        )
        for more in ((), ("--final-height", "64", "--occasion", "tea"), ("--nobodys", "3"))
    )  # fmt: skip
    assert "final_height" not in plain["comparison"]
    images = [Image.open(told["outcomes"][0]["image"]) for told in (plain, low)]
    assert [image.height for image in images] == [128, 64]
    error = unknown["outcomes"][0]["error"]
    assert error["message"] == "FluxPipeline has no nobodys; leave it out"
    script = quantlab(
        house, "snippet", "--plan", "fp32", "--occasion", "a birthday", "--final-height", "64"
    )
    assert "height=64," in script


def test_a_setting_travels_by_link(house: Path) -> None:
    given = ["--plans", "fp32", "--final-height", "64"]
    url = quantlab(house, "link", *given).strip()
    assert url.endswith("&final_height=64")
    assert json.loads(quantlab(house, "link", "--open", url))["final_height"] == 64
    refused = subprocess.run(
        [sys.executable, "-m", "quantlab", "link", "--plans", "fp32", "--final-height", "999"],
        cwd=house, env={**os.environ, "PYTHONPATH": str(house)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    assert "final-height: 999 is out of range; 32 to 128 are allowed" in refused.stderr


def test_programs_and_the_page_offer_a_setting(house: Path) -> None:
    script = """
import inspect, json
import gradio
from quantlab.catalog.table import load_catalog
from quantlab.ui.compare.fields import build_fields
from quantlab.ui.programs.api import compare
from quantlab.ui.services import Services
with gradio.Blocks():
    catalog = load_catalog()
    services = Services(catalog, None, None)
    fields = build_fields(services, catalog.models["flux-mini"], gradio.Textbox())
print(json.dumps({
    "parameters": list(inspect.signature(compare).parameters),
    "text": compare.__doc__,
    "labels": [field.label for field in fields.values()],
}))
"""
    told = json.loads(run(house, "-c", script).splitlines()[-1])
    assert told["parameters"][-3:] == ["occasion", "final_height", "nobodys"]
    assert "final_height: Height of the image after all, in pixels." in told["text"]
    assert {"Occasion", "Final height"} <= set(told["labels"])


def test_a_metric_is_measured_kept_and_told(house: Path, compared: dict[str, Any]) -> None:
    reference, quantized = compared["outcomes"]
    assert reference["mean_error"] is None
    assert 0 < quantized["mean_error"] < 255
    again = quantlab(
        house, "sweep", "--plans", "fp32", "bnb-nf4", "--prompt", PROMPT, "--steps", "1",
        "--warmup", "0", "--no-noise-floor", "--out", "runs.csv", "--summary", "summary.md",
        store="swept",
    )  # fmt: skip
    assert "mean error" in again.splitlines()[0]
    runs = (house / "runs.csv").read_text(encoding="utf-8").splitlines()
    assert "mean_error" in runs[0].split(",")
    assert "| mean error |" in (house / "summary.md").read_text(encoding="utf-8")


def test_both_survive_a_results_file(house: Path, compared: dict[str, Any]) -> None:
    quantlab(house, "export", "--out", "results.json")
    quantlab(house, "import", "results.json", store="other")
    found = json.loads(quantlab(house, "export", "--no-images", store="other"))["results"]
    told = {item["outcome"]["plan"]: item for item in found if "final_height" in item["comparison"]}
    assert told["bnb-nf4"]["outcome"]["mean_error"] == compared["outcomes"][1]["mean_error"]
    assert told["bnb-nf4"]["comparison"]["occasion"] == "a birthday"


def test_a_kind_of_hardware_is_unknown_where_nothing_is_said(house: Path) -> None:
    rows = json.loads(quantlab(house, "pick", "--hardware", "npu", "--json"))
    assert rows
    assert {row["verdict"] for row in rows} == {"unknown"}
    assert "Ascend NPU: unknown" in rows[0]["reasons"]
    script = """
from quantlab.catalog.answer.pick import recommend
from quantlab.catalog.table import load_catalog
from quantlab.ui.pick.view import table
print(table(recommend(hardware="npu"), load_catalog()))
"""
    assert "Ascend NPU" in run(house, "-c", script)
