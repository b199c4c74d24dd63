"""A setting, a metric and a kind of hardware are one row each: a copy of the package gets one more
of each, and nothing else of it is touched.

The rows are driven through compare on flux-mini, the script, the link, the API's signature, the
page's controls, CSV, a results file and the capability table.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from quantlab.catalog.paths import PACKAGE, PROJECT
from tests import warm

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


COMMANDS = """
import contextlib, io, json, os, sys
from quantlab.cli import main
told = []
for store, arguments in json.load(sys.stdin):
    os.environ["QUANTLAB_DATA"] = store
    with contextlib.redirect_stdout(io.StringIO()) as out:
        ended = main(arguments)
    told.append([ended, out.getvalue()])
print(json.dumps(told))
"""


def run(house: Path, *arguments: str, given: str = "") -> str:
    """What Python prints in that house."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(house),
        "QUANTLAB_DATA": str(house / "store"),
    }
    done = warm.run(arguments, cwd=house, environment=environment, given=given)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def quantlab(
    house: Path, *commands: tuple[str, ...], store: str | Sequence[str] = "store"
) -> list[str]:
    """What commands print in that house, one after the other in one process; each may have a store
    of its own."""
    stores = [store] * len(commands) if isinstance(store, str) else store
    where = [str(house / name) for name in stores]
    given = json.dumps(list(zip(where, commands, strict=True)))
    told = json.loads(run(house, "-c", COMMANDS, given=given).splitlines()[-1])
    assert [ended for ended, _ in told] == [0] * len(commands)
    return [out for _, out in told]


SHORT = ("compare", "--steps", "2", "--warmup", "0", "--json")


@pytest.fixture(scope="module")
def told(house: Path) -> dict[str, dict[str, Any]]:
    """The documents of comparisons, by what they are for: one uses all that is new."""
    commands = {
        "all": (
            *("--plans", "fp32", "bnb-nf4"),
            *("--occasion", "a birthday", "--final-height", "128"),
        ),
        "plain": ("--plans", "fp32"),
        "low": ("--plans", "fp32", "--final-height", "64", "--occasion", "tea"),
        "unknown": ("--plans", "fp32", "--nobodys", "3"),
    }
    whole = [(*SHORT, *more, "--out", name) for name, more in commands.items()]
    out = quantlab(house, *whole, store=("store", "aside", "aside", "aside"))
    found = dict(zip(commands, map(json.loads, out), strict=True))
    assert [outcome["status"] for outcome in found["all"]["outcomes"]] == ["ok", "ok"]
    return found


@pytest.fixture(scope="module")
def compared(told: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return told["all"]


def test_a_setting_reaches_the_pipeline(
    house: Path, told: dict[str, dict[str, Any]], compared: dict[str, Any]
) -> None:
    asked = compared["comparison"]
    assert (asked["occasion"], asked["final_height"]) == ("a birthday", 128)
    assert "final_height" not in told["plain"]["comparison"]
    files = [told[name]["outcomes"][0]["image"] for name in ("plain", "low")]
    images = [Image.open(house / file) for file in files]
    assert [image.height for image in images] == [128, 64]
    error = told["unknown"]["outcomes"][0]["error"]
    assert error["message"] == "FluxPipeline has no nobodys; leave it out"
    (script,) = quantlab(
        house, ("snippet", "--plan", "fp32", "--occasion", "a birthday", "--final-height", "64")
    )
    assert "height=64," in script


def test_a_setting_travels_by_link(house: Path) -> None:
    given = ("link", "--plans", "fp32", "--final-height")
    (url,) = quantlab(house, (*given, "64"))
    assert url.strip().endswith("&final_height=64")
    (opened,) = quantlab(house, ("link", "--open", url.strip()))
    assert json.loads(opened)["final_height"] == 64
    refused = warm.run(
        ["-m", "quantlab", *given, "999"],
        cwd=house,
        environment={**os.environ, "PYTHONPATH": str(house)},
    )
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
    swept = (
        "sweep", "--plans", "fp32", "bnb-nf4", "--prompt", PROMPT, "--steps", "1",
        "--warmup", "0", "--no-noise-floor", "--out", "runs.csv", "--summary", "summary.md",
    )  # fmt: skip
    (again,) = quantlab(house, swept, store="swept")
    assert "mean error" in again.splitlines()[0]
    runs = (house / "runs.csv").read_text(encoding="utf-8").splitlines()
    assert "mean_error" in runs[0].split(",")
    assert "| mean error |" in (house / "summary.md").read_text(encoding="utf-8")


def test_both_survive_a_results_file(house: Path, compared: dict[str, Any]) -> None:
    quantlab(house, ("export", "--out", "results.json"))
    _, out = quantlab(house, ("import", "results.json"), ("export", "--no-images"), store="other")
    found = json.loads(out)["results"]
    told = {item["outcome"]["plan"]: item for item in found if "final_height" in item["comparison"]}
    assert told["bnb-nf4"]["outcome"]["mean_error"] == compared["outcomes"][1]["mean_error"]
    assert told["bnb-nf4"]["comparison"]["occasion"] == "a birthday"


def test_a_kind_of_hardware_is_unknown_where_nothing_is_said(house: Path) -> None:
    (out,) = quantlab(house, ("pick", "--hardware", "npu", "--json"))
    rows = json.loads(out)
    assert rows
    assert {row["verdict"] for row in rows} == {"unknown"}
    assert "Ascend NPU: unknown" in rows[0]["reasons"]
    script = """
from quantlab.catalog.answer.pick import recommend
from quantlab.catalog.table import load_catalog
from quantlab.ui.pick.answer_view import Query
from quantlab.ui.pick.view import table
print(table(recommend(hardware="npu"), Query(hardware="npu"), load_catalog()))
"""
    assert "Ascend NPU" in run(house, "-c", script)
