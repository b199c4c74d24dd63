"""The scripts under each column: complete, without quantlab, and the same image to the bit."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import load_catalog
from quantlab.errors import PlanError
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.script.pipeline import snippet
from tests import warm
from tests.device import DEVICE
from tests.test_schemes import T5, TRANSFORMER

PROMPT = 'an owl\'s "face" on a yellow background'
HERE = (load_catalog(), DEVICE)
SMALL: dict[str, Any] = {"steps": 2, "width": 64, "height": 64}


def one_a_method(schemes: list[str]) -> list[str]:
    """The first of each method's; tools/sweep_all.py tries the others' scripts too."""
    return list({load_catalog().schemes[s].method: s for s in reversed(schemes)}.values())


PLANS = ["fp32", "bf16", "transformer=bf16", *one_a_method(TRANSFORMER)]
PLANS += [f"text_encoder_2={scheme}" for scheme in one_a_method(T5)]
TILED = "fp32, in tiles"
IN_ONE_PROCESS = """
import json, os, runpy, sys
for folder in json.loads(sys.argv[1]):
    os.chdir(folder)
    runpy.run_path("script.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, bytes]]:
    """Plan -> (our image, the script's image), all scripts run in one process without quantlab."""
    root = tmp_path_factory.mktemp("snippets")
    bench, ours, folders = Bench(*HERE), {}, []
    for start in range(0, len(PLANS), 6):
        comparison = make_comparison(plans=PLANS[start : start + 6], prompt=PROMPT, **SMALL)
        outcomes = compare(comparison, bench=bench, out=root / str(start), warmup=0)
        for outcome, plan in zip(outcomes, comparison.plans, strict=True):
            assert outcome.image is not None, outcome.error
            ours[str(plan)] = Path(outcome.image).read_bytes()
            folders.append(_folder(root, str(plan), snippet(comparison, plan, *HERE)))
    wide = {**SMALL, "width": 192, "vae_tiling": True, "vae_slicing": True}  # tiles are 128 px wide
    comparison = make_comparison(plans=["fp32"], prompt=PROMPT, **wide)
    (outcome,) = compare(comparison, bench=bench, out=root / TILED, warmup=0)
    assert outcome.image is not None, outcome.error
    ours[TILED] = Path(outcome.image).read_bytes()
    folders.append(_folder(root, TILED, snippet(comparison, comparison.plans[0], *HERE)))
    _run(["-c", IN_ONE_PROCESS, json.dumps([str(folder) for folder in folders])], root)
    return {
        plan: (ours[plan], (folder / "image.png").read_bytes())
        for plan, folder in zip(ours, folders, strict=True)
    }


def _folder(root: Path, name: str, script: str) -> Path:
    folder = root / "".join(c if c.isalnum() else "-" for c in name)
    folder.mkdir()
    (folder / "data").symlink_to(PROJECT / "data")
    (folder / "script.py").write_text(script, encoding="utf-8")
    return folder


def _run(arguments: list[str], folder: Path) -> None:
    # -I: neither the current folder nor PYTHONPATH is searched, so quantlab cannot be imported.
    done = warm.run(["-I", *arguments], cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("plan", [*PLANS, TILED])
def test_the_script_makes_the_same_image_to_the_bit(
    plan: str, images: dict[str, tuple[bytes, bytes]]
) -> None:
    ours, theirs = images[plan]
    assert ours == theirs


def test_a_script_runs_as_it_is_in_a_process_of_its_own(tmp_path: Path) -> None:
    comparison = make_comparison(plans=["gguf-q4_0"], prompt=PROMPT, **SMALL)
    (outcome,) = compare(comparison, bench=Bench(*HERE), out=tmp_path / "ours", warmup=0)
    folder = _folder(tmp_path, "alone", snippet(comparison, comparison.plans[0], *HERE))
    command = [sys.executable, "-I", "script.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (folder / "image.png").read_bytes() == Path(outcome.image or "").read_bytes()


@pytest.mark.parametrize("plan", PLANS)
def test_the_script_names_versions_threads_and_no_quantlab(plan: str) -> None:
    comparison = make_comparison(plans=[plan], prompt=PROMPT)
    text = snippet(comparison, comparison.plans[0], *HERE)
    assert "diffusers==" in text.partition("import ")[0]
    assert "torch.set_num_threads(" in text
    modules = {
        name.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    assert not any(str(module).startswith("quantlab") for module in modules)


def test_a_prompt_cannot_break_out_of_the_script() -> None:
    prompt = "'''); import os; os.abort() #\\ \"\"\" {0} \u2028"
    comparison = make_comparison(plans=["fp32"], prompt=prompt)
    tree = ast.parse(snippet(comparison, comparison.plans[0], *HERE))
    strings = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    assert prompt in strings


def test_the_script_of_a_full_size_model_is_for_a_gpu_whatever_this_machine_is() -> None:
    plan = "transformer=bnb-nf4,text_encoder_2=torchao-int8wo"
    comparison = make_comparison(model="flux1-dev", plans=[plan, "gguf-q4_k"], prompt=PROMPT)
    quantized, gguf = (snippet(comparison, p, *HERE) for p in comparison.plans)
    ast.parse(quantized)
    assert '"transformer": diffusers.BitsAndBytesConfig(' in quantized
    assert '"text_encoder_2": transformers.TorchAoConfig(' in quantized
    assert "torch.bfloat16" in quantized
    assert 'MODEL = "black-forest-labs/FLUX.1-dev"' in quantized
    assert "from_single_file" in gguf
    assert "write_gguf" not in gguf
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        assert 'pipe.to("cuda")' in quantized


@pytest.mark.parametrize(
    ("plan", "lora", "where"),
    [
        ("torchao-int8wo", None, 'quantization_config,\n    device_map="cuda",'),
        ("transformer=sdnq-int8,text_encoder_2=bnb-nf4", None, 'device_map="cuda",'),
        ("quanto-int8", "mono", '"fused",\n    quantization_config='),
        ("bf16", None, None),
        ("gguf-q8_0", None, None),
        ("layerwise-fp8", None, None),
    ],
)
def test_on_a_gpu_the_script_quantizes_where_the_runner_does(
    plan: str, lora: str | None, where: str | None
) -> None:
    """A scale that is worked out on the CPU differs from the GPU's in its last bits."""
    comparison = make_comparison(plans=[plan], prompt=PROMPT, lora=lora)
    gpu = replace(DEVICE, kind="cuda", target="cuda")
    text = snippet(comparison, comparison.plans[0], load_catalog(), gpu)
    ast.parse(text)
    assert text.count('device_map="cuda"') == (1 if where else 0)
    assert where is None or where in text
    assert 'pipe.to("cuda")' in text


def test_the_simple_form_is_offered_where_diffusers_takes_it() -> None:
    plan = "transformer=bnb-nf4,text_encoder_2=bnb-nf4"
    comparison = make_comparison(model="flux1-dev", plans=[plan], prompt=PROMPT)
    text = snippet(comparison, comparison.plans[0], *HERE, simple=True)
    ast.parse(text)
    assert "quant_backend='bitsandbytes_4bit'" in text
    assert "components_to_quantize=['transformer', 'text_encoder_2']" in text
    assert "quant_mapping" not in text
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        assert 'device_map="cuda"' in text


@pytest.mark.parametrize(
    ("model", "plan", "said"),
    [
        ("flux1-dev", "torchao-int8wo", "does not accept torchao-int8wo in the simple form"),
        ("flux1-dev", "transformer=bnb-nf4,text_encoder_2=bnb-int8", "one quantization backend"),
        ("flux1-dev", "bf16", "one quantization backend"),
    ],
)
def test_the_simple_form_is_refused_with_the_reason(model: str, plan: str, said: str) -> None:
    comparison = make_comparison(model=model, plans=[plan], prompt=PROMPT)
    with pytest.raises(PlanError, match=said):
        snippet(comparison, comparison.plans[0], *HERE, simple=True)
