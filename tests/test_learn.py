"""What the page teaches is true: the number line's data, the examples of both forms, the names."""

from __future__ import annotations

import json
import re

import pytest

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import load_catalog
from quantlab.lab.check.check import check_text
from quantlab.ui.learn.number_line import number_line
from quantlab.ui.pick.code_names import code_names
from tests import warm
from tools import number_line as tool

LEARN = PROJECT / "data" / "learn"
FORMS = ("two-forms-mapping.py", "two-forms-simple.py")


def text_of(name: str) -> str:
    return (LEARN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FORMS)
def test_both_examples_are_clean_and_stand_for_a_plan(name: str) -> None:
    report = check_text(text_of(name))
    assert [f for f in report.findings if f.severity in ("error", "silent")] == []
    assert report.model == "flux1-dev"
    assert report.plan is not None
    assert "text_encoder_2=" in report.plan


def test_the_examples_do_on_flux_mini_what_they_say() -> None:
    """With a CPU: the mapping draws; diffusers takes the simple form and then asks for a GPU."""
    texts = []
    for name in FORMS:
        text = text_of(name).replace("black-forest-labs/FLUX.1-dev", "data/flux-mini")
        text = text.replace("pipe.enable_model_cpu_offload()\n", "")
        texts.append(text.replace("num_inference_steps=28", "num_inference_steps=1"))
    tells = "(image.size, type(pipe.transformer.proj_out.weight).__name__)"
    asked = [{"text": text, "tells": tells, "fixed": False} for text in texts]
    done = warm.run(["-m", "tests.check_runner"], cwd=PROJECT, given=json.dumps(asked))
    mapping, simple = json.loads(done.stdout)
    assert (mapping["error"], mapping["value"][1]) == ("", "Int8Tensor")
    assert "No GPU found" in simple["error"]


def test_the_page_and_the_document_show_the_same_examples() -> None:
    document = (PROJECT / "docs" / "LEARN.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    assert blocks == [text_of(name) for name in FORMS]


def test_the_number_line_is_of_todays_weights() -> None:
    assert tool.main(["--check"]) == 0, "run python -m tools.number_line"
    rows = json.loads(text_of("number-line.json"))["rows"]
    errors = [row["mean_error"] for row in rows]
    assert [row["bits"] for row in rows] == [16, 8, 4, 2]
    assert errors == sorted(errors)
    drawn = number_line()
    assert drawn.count("<circle") == 4 * len(json.loads(text_of("number-line.json"))["weights"])
    assert all(f"{row['mean_error']:.2g} off" in drawn for row in rows)


@pytest.mark.parametrize(
    ("scheme", "names"),
    [
        ("bnb-nf4", ("PipelineQuantizationConfig", "quant_backend", "load_in_4bit", "nf4")),
        ("torchao-int8wo", ("quant_type", "Int8WeightOnlyConfig", "TorchAoConfig")),
        ("quanto-fp8", ("weights_dtype", "weights", "float8")),
        ("layerwise-fp8", ("enable_layerwise_casting",)),
    ],
)
def test_names_from_code_belong_to_rows(scheme: str, names: tuple[str, ...]) -> None:
    found = code_names(load_catalog().schemes[scheme])
    assert all(name in found for name in names)
    assert "quant_backend" in found or scheme != "bnb-nf4"
    assert code_names(None) == ""


def test_only_rows_with_a_simple_form_are_found_by_its_name() -> None:
    catalog = load_catalog()
    named = {s.id for s in catalog.schemes.values() if "quant_backend" in code_names(s)}
    assert named == {s.id for s in catalog.schemes.values() if s.simple is not None}


def test_the_readme_shows_what_check_prints() -> None:
    """The block after the heading is checked, and what is printed of it stands below."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    part = text.partition("## Check my code")[2].partition("\n## ")[0]
    code, said = re.findall(r"```(?:python|text)\n(.*?)```", part, re.DOTALL)
    report = check_text(code, "mine.py")
    lines = [f"{f.file}:{f.line}: {f.severity}: {f.message} [{f.code}]" for f in report.findings]
    fixes = [f"  + {line}" for f in report.findings for line in str(f.fix).splitlines()]
    assert lines
    assert re.sub(r"\s+", " ", said) == re.sub(r"\s+", " ", "\n".join([*lines, *fixes, ""]))
