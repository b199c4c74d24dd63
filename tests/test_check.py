"""Checked code: what is found, how it is mended, what is said of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from quantlab.catalog.gpus import choose_one
from quantlab.catalog.paths import PROJECT
from quantlab.cli.commands import main
from quantlab.errors import InputError
from quantlab.lab.check.check import check_text
from quantlab.lab.check.code.text import LONGEST
from quantlab.lab.check.every import every_rule
from quantlab.lab.check.paths import check_paths

SILENT = 'from diffusers import QuantoConfig\nconfig = QuantoConfig(weights="float8")\n'
FAILS = 'from diffusers import TorchAoConfig\nconfig = TorchAoConfig("int8wo")\n'


def codes(text: str) -> list[str]:
    return [finding.code for finding in check_text(text).findings]


def test_a_finding_says_line_reason_source_and_what_to_write() -> None:
    (finding,) = check_text(SILENT, "mine.py").findings
    assert (finding.file, finding.line, finding.severity) == ("mine.py", 2, "silent")
    assert "weights_dtype stays int8" in finding.message
    assert finding.source.startswith("https://")
    assert finding.fix == 'config = QuantoConfig(weights_dtype="float8")'


def test_the_mended_code_keeps_the_rest_as_it_was() -> None:
    text = f"# mine\n{SILENT}x = [1,2]   # spaces\n"
    assert check_text(text).fixed == text.replace("weights=", "weights_dtype=")
    assert check_text("x = 1\n").fixed is None


@pytest.mark.parametrize(
    "text",
    [
        "kw = dict(weights='float8')\nQuantoConfig(**kw)",
        "kw = {'weights': 'float8'}\nQuantoConfig(**kw)",
        "name = 'float8'\nQuantoConfig(weights=f'{name}')",
        "def load():\n    return QuantoConfig(weights='float8')",
        "if x:\n    QuantoConfig(weights='float8')",
        "C = QuantoConfig\nC(weights='float8')",
    ],
)
def test_variables_dictionaries_and_texts_are_followed(text: str) -> None:
    assert codes(f"from diffusers import QuantoConfig\n{text}\n") == ["keyword-ignored"]


@pytest.mark.parametrize(
    "text",
    [
        "TorchAoConfig(kind)",
        "def make(kind):\n    return TorchAoConfig(kind)",
        "kind = 'int8wo' if old else new()\nTorchAoConfig(kind)",
        "for kind in kinds:\n    TorchAoConfig(kind)",
        "kind = 'int8wo'\nkind = Int8WeightOnlyConfig()\nTorchAoConfig(kind)",
        "if x:\n    kind = 'int8wo'\nelse:\n    kind = Other()\nTorchAoConfig(kind)",
    ],
)
def test_what_cannot_be_known_is_not_guessed(text: str) -> None:
    assert codes(f"from diffusers import TorchAoConfig\n{text}\n") == []


@pytest.mark.parametrize(
    ("pipeline", "call", "found"),
    [
        ("FluxPipeline", "max_sequence_length=600", ["text-too-long"]),
        ("StableDiffusion3Pipeline", "max_sequence_length=600", ["text-too-long"]),
        ("QwenImagePipeline", "max_sequence_length=600", []),
        ("QwenImagePipeline", "max_sequence_length=2000", ["text-too-long"]),
        ("Flux2Pipeline", "max_sequence_length=600", []),
        ("FluxKontextPipeline", "negative_prompt='a dog'", ["negative-ignored"]),
        ("QwenImage21Pipeline", "negative_prompt='a dog'", ["negative-ignored"]),
        ("QwenImagePipeline", "negative_prompt='a dog'", []),
        ("QwenImagePipeline", "negative_prompt='a dog', true_cfg_scale=1.0", ["negative-ignored"]),
        ("FluxPipeline", "negative_prompt='a dog', true_cfg_scale=3", []),
        ("FluxPipeline", "negative_prompt='a dog', true_cfg_scale=scale", []),
    ],
)
def test_what_a_call_refuses_or_passes_over_goes_by_the_pipelines_own_code(
    pipeline: str, call: str, found: list[str]
) -> None:
    made = f"from diffusers import {pipeline}\npipe = {pipeline}.from_pretrained('a/b')\n"
    assert codes(f"{made}image = pipe('a fox', {call}).images[0]\n") == found


@pytest.mark.parametrize(
    ("cls", "found"),
    [
        ("FluxPipeline", ["fp16-flux"]),
        ("FluxTransformer2DModel", ["fp16-flux"]),
        ("FluxKontextPipeline", ["fp16-flux"]),
        ("Flux2Pipeline", []),
        ("QwenImagePipeline", []),
    ],
)
def test_overflow_in_fp16_is_told_of_the_kinds_that_are_known_for_it(
    cls: str, found: list[str]
) -> None:
    made = f"import torch\nfrom diffusers import {cls}\n"
    assert codes(f"{made}x = {cls}.from_pretrained('a/b', dtype=torch.float16)\n") == found


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"x = 1\n" + SILENT.encode() + b"\x00", 4),
        (SILENT.encode("utf-16"), 1),
        (b"x = 1\ny = '\xe9'\n", 2),
    ],
)
def test_bytes_that_python_refuses_are_a_finding(tmp_path: Path, data: bytes, line: int) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(data)
    with pytest.raises((SyntaxError, ValueError)):
        compile(data, "mine.py", "exec")
    (report,) = check_paths([str(path)])
    (finding,) = report.findings
    assert (finding.code, finding.severity, finding.line) == ("syntax-error", "error", line)
    assert "save it as UTF-8" in finding.message


def test_a_folder_without_findings_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for count in range(2):
        assert main(["check", str(tmp_path)]) == 0
        said = capsys.readouterr().out
        assert count == 1 or said == "0 scripts and notebooks: nothing found\n"
        (tmp_path / f"{count}.py").write_text("x = 1\n")
    assert main(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "2 scripts and notebooks: nothing found\n"


def test_a_file_is_read_in_the_encoding_that_it_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(b"# coding: latin-1\nname = 'caf\xe9'\n" + SILENT.encode())
    (report,) = check_paths([str(path)])
    assert [finding.line for finding in report.findings] == [4]
    assert "caf\N{LATIN SMALL LETTER E WITH ACUTE}" in str(report.fixed)


def test_a_syntax_error_is_a_finding_with_its_line() -> None:
    (finding,) = check_text("import torch\nx = (1,\n").findings
    assert (finding.code, finding.severity, finding.line) == ("syntax-error", "error", 2)
    (deep,) = check_text("(" * 5000).findings
    assert deep.code == "syntax-error"


@pytest.mark.parametrize(
    "text",
    [
        f">>> {SILENT.replace(chr(10), chr(10) + '>>> ').removesuffix('>>> ')}",
        f"!pip install diffusers\n{SILENT}",
        f"Try this:\n```python\n{SILENT}```\nand see",
        f"    {SILENT.replace(chr(10), chr(10) + '    ')}",
        json.dumps({"cells": [{"cell_type": "code", "source": SILENT.splitlines(True)}]}),
    ],
)
def test_fragments_prompts_and_notebooks_are_read(text: str) -> None:
    assert codes(text) == ["keyword-ignored"]


def test_too_much_and_no_notebook_are_refused() -> None:
    with pytest.raises(InputError, match="200 KB"):
        check_text("x = 1\n" * LONGEST)
    with pytest.raises(InputError, match="notebook"):
        check_text("{}", "mine.ipynb")


def test_rules_have_codes_reasons_and_sources_of_their_own() -> None:
    rules = every_rule()
    assert len({rule.code for rule in rules}) == len(rules) > 40
    for rule in rules:
        assert rule.source.startswith("https://")
        assert rule.versions
        assert rule.why.endswith(".")


def test_exit_status_goes_by_what_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    silent, fails = tmp_path / "silent.py", tmp_path / "fails.py"
    silent.write_text(SILENT, encoding="utf-8")
    fails.write_text(FAILS, encoding="utf-8")
    assert main(["check", str(silent)]) == 0
    assert main(["check", str(silent), "--fail-on", "error"]) == 0
    assert main(["check", str(silent), "--fail-on", "silent"]) == 1
    assert main(["check", str(tmp_path), "--fail-on", "error"]) == 1
    assert main(["check", str(tmp_path / "none.py")]) == 2
    capsys.readouterr()
    assert main(["check", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"findings", "plan", "model", "fixed", "predicted"}
    assert [each["code"] for each in document["findings"]] == ["torchao-string", "keyword-ignored"]
    keys = ["file", "line", "severity", "code", "message", "source", "fix"]
    assert list(document["findings"][0]) == keys


def test_other_tools_read_what_is_found(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "a,b.py"
    path.write_text(FAILS, encoding="utf-8")
    assert main(["check", str(path), "--format", "github"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("::error file=")
    assert "a%2Cb.py,line=2,title=torchao-string::" in line
    assert main(["check", str(path), "--format", "sarif"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    (result,) = run["results"]
    assert (result["ruleId"], result["level"]) == ("torchao-string", "error")
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 2}


def test_checking_imports_nothing_of_the_code_and_no_torch() -> None:
    code = (
        "import sys\nfrom quantlab.lab.check.check import check_text\n"
        "check_text('import this, torch, diffusers')\n"
        "print([n for n in ('this', 'torch', 'diffusers', 'gradio') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("TypeError: quant_type must be an AOBaseConfig instance, got str", "torchao-string"),
        ("`quantization_config` must be an instance of `PipelineQuantizationConfig`.",
         "config-on-pipeline"),
        ("Traceback (most recent call last):\n  File \"a.py\", line 1\nAttributeError: "
         "'QuantoConfig' object has no attribute 'activations'", "wrong-library"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", "out-of-memory"),
        ("NotImplementedError: auto not supported. Supported strategies are: balanced, cuda, cpu",
         "device-map-on-pipeline"),
    ],
)  # fmt: skip
def test_a_message_alone_is_recognised(message: str, code: str) -> None:
    assert codes(message) == [code]


def test_code_is_no_message_though_it_names_one() -> None:
    text = 'try:\n    pass\nexcept ValueError:\n    print("CUDA out of memory")\n'
    assert codes(text) == []


def test_plan_model_and_bytes_are_those_of_the_mended_code() -> None:
    report = check_text(
        "import torch\nfrom diffusers import FluxPipeline, TorchAoConfig\n"
        "from diffusers.quantizers import PipelineQuantizationConfig\n"
        'config = PipelineQuantizationConfig(quant_mapping={"transformer": '
        'TorchAoConfig("int8_weight_only")})\n'
        'pipe = FluxPipeline.from_pretrained("black-forest-labs/FLUX.1-dev", '
        "quantization_config=config, torch_dtype=torch.bfloat16)\n"
        'image = pipe("a fox", width=512, height=512).images[0]\n'
    )
    assert (report.plan, report.model) == ("torchao-int8wo", "flux1-dev")
    assert report.predicted is not None
    assert report.predicted["plan"] == "torchao-int8wo"


@pytest.mark.parametrize(
    ("granularity", "plan"),
    [
        ("", "torchao-int8wo"),
        ("granularity=PerRow()", "torchao-int8wo"),
        ("granularity=PerGroup(64)", "torchao-int8wo-g64"),
        ("granularity=PerGroup(group_size=32)", None),  # a scheme that the catalogue does not have
    ],
)
def test_how_many_numbers_share_a_scale_makes_another_scheme(
    granularity: str, plan: str | None
) -> None:
    report = check_text(
        "import torch\nfrom diffusers import FluxPipeline, TorchAoConfig\n"
        "from diffusers.quantizers import PipelineQuantizationConfig\n"
        "from torchao.quantization import Int8WeightOnlyConfig, PerGroup, PerRow\n"
        "config = PipelineQuantizationConfig(quant_mapping={"
        f'"transformer": TorchAoConfig(Int8WeightOnlyConfig({granularity}))}})\n'
        'pipe = FluxPipeline.from_pretrained("black-forest-labs/FLUX.1-dev", '
        "quantization_config=config, torch_dtype=torch.bfloat16)\n"
    )
    assert report.plan == plan


def test_the_card_decides_what_is_said() -> None:
    text = (
        "import torch\nfrom diffusers import FluxPipeline\n"
        'pipe = FluxPipeline.from_pretrained("black-forest-labs/FLUX.1-dev", '
        'torch_dtype=torch.bfloat16)\npipe.to("cuda")\n'
    )
    assert codes(text) == []
    found = check_text(text, gpu=choose_one("rtx-4090-24gb")).findings
    assert [finding.code for finding in found] == ["out-of-memory"]
    assert "offload" in found[0].message
    assert check_text(text, gpu=choose_one("h100-80gb")).findings == ()


LONG = {
    "loads": 'p = FluxPipeline.from_pretrained("x", load_in_8bit=True).to("cuda")\n',
    "configs": 'c = BitsAndBytesConfig(load_in_4bit=True, compute_dtype="x")\n',
    "branches": "if x:\n    a = 1\nelse:\n    b = 2\n",
    "texts": 's = s + s + "x"\n',
    "tables": "d = {'a': d, 'b': d}\n",
}


@pytest.mark.parametrize("line", LONG.values(), ids=LONG)
def test_the_longest_code_takes_no_more_than_its_length(line: str) -> None:
    """Findings are capped, and nothing is looked at once for each of the others."""
    text = "from diffusers import *\n" + line * (LONGEST // 4 // len(line))
    found = check_text(text).findings
    assert len(found) <= 100 * len(every_rule())


def test_code_that_takes_too_long_is_told_to_be_looked_at_in_part() -> None:
    report = check_text(SILENT * 50, limit=0.0)
    assert [f.code for f in report.findings if f.code == "not-whole"] == ["not-whole"]
    assert report.fixed is None


SKIPS = """from diffusers import FluxTransformer2DModel, QuantoConfig
config = QuantoConfig(weights_dtype="int8", modules_to_not_convert={})
model = FluxTransformer2DModel.from_pretrained(
    "black-forest-labs/FLUX.1-dev", subfolder="transformer", quantization_config=config)
"""


@pytest.mark.parametrize("names", [["proj_out"], ["transformer_blocks.0"], ["norm*"]])
def test_names_of_modules_that_there_are_are_fine(names: list[str]) -> None:
    assert codes(SKIPS.format(names)) == []


def test_a_name_that_no_module_has_is_told_and_mended() -> None:
    report = check_text(SKIPS.format(["projout", "x_embedder", "nothing_alike"]))
    told = [finding for finding in report.findings if finding.code == "no-such-module"]
    assert [f.severity for f in told] == ["silent", "silent"]
    assert report.fixed is not None
    assert '"proj_out"' in report.fixed
    assert "nothing_alike" in report.fixed


@pytest.mark.parametrize(
    ("inner", "scheme"),
    [("", "torchao-int8wo"), ("granularity=PerGroup(64)", "torchao-int8wo-g64"),
     ("granularity=PerGroup(32)", None),
     ("granularity=PerGroup(group_size=64)", "torchao-int8wo-g64")],
)  # fmt: skip
def test_an_object_within_a_config_tells_schemes_apart(inner: str, scheme: str | None) -> None:
    text = (
        "from diffusers import FluxPipeline, PipelineQuantizationConfig, TorchAoConfig\n"
        "from torchao.quantization import Int8WeightOnlyConfig\n"
        "from torchao.quantization.granularity import PerGroup\n"
        f"mapping = {{'transformer': TorchAoConfig(Int8WeightOnlyConfig({inner}))}}\n"
        "config = PipelineQuantizationConfig(quant_mapping=mapping)\n"
        "pipe = FluxPipeline.from_pretrained('black-forest-labs/FLUX.1-dev',\n"
        "    quantization_config=config, torch_dtype='bfloat16')\n"
    )
    told = check_text(text).plan
    assert told is None if scheme is None else scheme in str(told)
