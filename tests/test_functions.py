"""The package as programs use it: a few typed functions."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import quantlab
from quantlab.catalog.paths import PROJECT
from quantlab.errors import InputError


def test_what_the_package_offers() -> None:
    offered = sorted(name for name in quantlab.__all__ if not name.startswith("_"))
    functions = {n for n, f in vars(quantlab).items() if inspect.isfunction(f)}
    assert set(offered) == functions
    for name in offered:
        signature = inspect.signature(getattr(quantlab, name))
        assert signature.return_annotation is not inspect.Signature.empty
        assert getattr(quantlab, name).__doc__


def test_importing_and_picking_stay_free_of_torch() -> None:
    code = (
        "import sys, quantlab; quantlab.pick(hardware='cuda', bits=4, model='flux1-dev');"
        "quantlab.predict(['bnb-nf4'], model='flux1-dev'); quantlab.link(['fp32'], 'a fox');"
        "print([name for name in ('torch', 'gradio', 'diffusers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_comparison_of_two_plans(tmp_path: Path) -> None:
    found = quantlab.compare(
        ["fp32", "bnb-nf4"], "a fox", out=tmp_path / "out", steps=1, width=64, height=64, warmup=0
    )
    assert [outcome.status for outcome in found] == ["ok", "ok"]
    assert all(Path(str(outcome.image)).exists() for outcome in found)


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(InputError, match="steps"):
        quantlab.link(["fp32"], "a fox", steps=0)
    with pytest.raises(InputError, match="plan"):
        quantlab.predict(["nothing"])
    assert quantlab.link(["fp32"], "a fox").startswith("http://127.0.0.1:7860/?v=1&model=flux-mini")
