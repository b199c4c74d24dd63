"""Scripts for the methods of language models: their configs are built by transformers' classes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from typing import Any

import pytest

from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import InputError
from quantlab.lab.script.language_model import llm_snippet, scheme_of

SEEDS = {
    "aqlm": ("AqlmConfig", {"in_group_size": 8, "num_codebooks": 1, "nbits_per_codebook": 16}),
    "awq": ("AwqConfig", {"bits": 4, "group_size": 128, "zero_point": True}),
    "eetq": ("EetqConfig", {"weights": "int8"}),
    "hqq": ("HqqConfig", {"quant_config": {"nbits": 4, "group_size": 64}}),
}


def config_of(script: str) -> Any:
    """The script's own imports and its ``quantization_config``, executed."""
    kept = [
        node
        for node in ast.parse(script).body
        if isinstance(node, ast.Import)
        or (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "quantization_config"
        )
    ]
    names: dict[str, Any] = {}
    exec(compile(ast.Module(kept, []), "script", "exec"), names)
    return names["quantization_config"]


def test_there_is_a_script_for_every_method_that_only_language_models_have() -> None:
    assert {name for name in load_catalog().methods if scheme_of(name)} == set(SEEDS)


@pytest.mark.parametrize("method", ["aqlm", "awq", "eetq"])
def test_the_config_of_a_script_is_built_by_its_class(method: str) -> None:
    name, values = SEEDS[method]
    config = config_of(llm_snippet(method))
    assert type(config).__name__ == name
    assert config.quant_method == method
    assert {key: getattr(config, key) for key in values} == values


def test_the_config_of_hqq_holds_the_scheme() -> None:
    name, values = SEEDS["hqq"]
    config = config_of(llm_snippet("hqq"))
    assert type(config).__name__ == name
    weights = config.quant_config["weight_quant_params"]
    assert values["quant_config"].items() <= weights.items()


def test_a_scheme_other_than_the_first_has_its_own_script() -> None:
    assert "nbits=8" in llm_snippet("hqq-int8")
    assert "nbits=4" in llm_snippet("hqq")


@pytest.mark.parametrize("method", SEEDS)
def test_a_script_says_what_it_needs_and_pins_what_it_installs(method: str) -> None:
    script = llm_snippet(method)
    head = "\n".join(line for line in script.splitlines() if line.startswith("#"))
    pins = next(line for line in head.splitlines() if "pip install" in line).split()[3:]
    assert pins
    assert all("==" in pin for pin in pins), pins
    assert all(f"{name}==" in head for name in ("torch", "transformers"))
    told = {
        "aqlm": "beforehand with calibration data",
        "awq": "beforehand with calibration data",
        "eetq": "An NVIDIA GPU",
        "hqq": "No calibration",
    }
    assert told[method] in head
    assert "quantlab" not in script[len(head) :]
    assert max(map(len, script.splitlines())) <= 160
    ast.parse(script)


def test_hqq_is_pinned_to_a_release_that_quantizes_with_it() -> None:
    assert "transformers==4.57.6" in llm_snippet("hqq")


def test_a_model_may_be_named_and_is_written_as_a_text() -> None:
    assert "MODEL = 'someone/a-model'" in llm_snippet("awq", "someone/a-model")


@pytest.mark.parametrize("repo", ["x", "a/b/c", "a/b'); import os #", "../etc", ""])
def test_a_repo_that_is_not_one_is_refused(repo: str) -> None:
    with pytest.raises(InputError, match="owner/name"):
        llm_snippet("awq", repo)


def test_other_methods_have_no_such_script() -> None:
    assert scheme_of("bitsandbytes") is None
    assert scheme_of("bnb-nf4") is None
    with pytest.raises(InputError, match="aqlm, awq, eetq, hqq"):
        llm_snippet("bitsandbytes")


def test_the_command_prints_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snippet", "--method", "awq"]) == 0
    assert capsys.readouterr().out == llm_snippet("awq")
    assert main(["snippet", "--method", "awq", "--repo", "a/b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "method": "awq",
        "script": llm_snippet("awq", "a/b"),
    }


@pytest.mark.parametrize(
    "arguments", [["--plan", "bnb-nf4", "--repo", "a/b"], ["--method", "gguf"], ["--method", ""]]
)
def test_what_does_not_go_together_is_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["snippet", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_writing_a_script_imports_no_torch() -> None:
    code = (
        "import sys; from quantlab.cli import main; main(['snippet', '--method', 'hqq']); "
        "sys.exit(int('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
