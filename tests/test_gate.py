"""The gate: limits, noise, and whether it catches what is broken and lets be what is not."""

from __future__ import annotations

import importlib
import json
import math
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import InputError, RunError
from quantlab.lab import ways as folder_of_ways
from quantlab.lab.bench.compare import Bench
from quantlab.lab.gate.gate import Verdict, gate
from quantlab.lab.gate.pairs import pairs_of
from quantlab.lab.gate.table import markdown
from quantlab.lab.gate.thresholds import read_thresholds, thresholds_of
from tests.device import DEVICE

pytest_plugins = ["pytester"]
CATALOG = load_catalog()
PROMPTS = ("a fox on a black background", "robot, white")
SMALL = {"steps": 2, "width": 64, "height": 64}
LIMITS = {
    "psnr_db": {"min": 35},
    "ssim": {"min": 0.97},
    "transformer_rel_l2": {"max": 0.02},
    "weights_bytes": {"max": 120_000_000},
}


def held(plan: str, limits: object, place: Path, catalog: object = CATALOG) -> Verdict:
    assert isinstance(limits, dict)
    pairs, known = pairs_of(
        plan,
        "fp32",
        catalog,
        prompts=PROMPTS,
        seeds=(0,),
        **SMALL,  # type: ignore[arg-type]
    )
    return gate(pairs, thresholds_of(limits), Bench(known, DEVICE), place)


def test_two_runs_of_the_same_are_not_told_apart(tmp_path: Path) -> None:
    strict = {"psnr_db": {"min": 90}, "ssim": {"min": 1.0}, "transformer_rel_l2": {"max": 0.0}}
    verdict = held("fp32", strict, tmp_path)
    assert verdict.passed
    table = markdown(verdict, DEVICE.info(), {"torch": "2"})
    assert "passed" in table
    assert "identical" in table


SLIP = '''
"""GGUF as it is, but for a slip: the biases of the layers are lost."""

from quantlab.lab.ways.gguf import _Gguf


class _Slip(_Gguf):
    def load(self, part):
        loaded = super().load(part)
        for name, parameter in loaded.module.named_parameters():
            if name.endswith("bias"):
                parameter.data.zero_()
        return loaded


WAY = _Slip()
'''


def test_a_good_scheme_passes_and_one_broken_on_purpose_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each layer still holds Q8_0, so that verification cannot see what is wrong."""
    good = held("gguf-q8_0", LIMITS, tmp_path / "good")
    assert good.passed, good.as_dict()
    assert good.pairs == 2
    for line in good.lines:
        assert line.found is not None
        assert line.found.low <= line.found.mean <= line.found.high
    place = tmp_path / "ways"
    place.mkdir()
    (place / "slip.py").write_text(SLIP, encoding="utf-8")
    monkeypatch.setattr(folder_of_ways, "__path__", [*folder_of_ways.__path__, str(place)])
    importlib.invalidate_caches()
    worse = replace(CATALOG.schemes["gguf-q8_0"], way="slip")
    broken = replace(CATALOG, schemes=MappingProxyType({**CATALOG.schemes, worse.id: worse}))
    bad = held("gguf-q8_0", LIMITS, tmp_path / "bad", broken)
    assert not bad.passed
    failed = {line.threshold.metric.key for line in bad.lines if not line.passed}
    assert failed == {"psnr_db", "ssim", "transformer_rel_l2"}
    assert "**failed**" in markdown(bad, DEVICE.info(), {})


def test_noise_widens_a_limit_by_as_much_as_it_is() -> None:
    psnr, ssim, step = thresholds_of(
        {"psnr_db": {"min": 35}, "ssim": {"min": 0.9}, "transformer_rel_l2": {"max": 0.1}}
    )
    assert not psnr.passed(34.9, math.inf)
    assert psnr.passed(34.9, 50.0)
    assert not psnr.passed(34.8, 50.0)
    assert psnr.passed(32.0, 35.0)
    assert ssim.passed(0.89, 0.99)
    assert not ssim.passed(0.88, 0.99)
    assert step.passed(0.11, 0.01)
    assert not step.passed(0.12, 0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[psnr]\nmin = 1", "'psnr' is no metric"),
        ("[psnr_db]\nmax = 1", r"\[psnr_db\] takes min = NUMBER"),
        ("[ssim]\nmin = true", r"\[ssim\] takes min = NUMBER"),
        ("[ssim]\nmin = nan", r"\[ssim\] min is nan"),
        ("", "are empty"),
        ("[", "is not TOML"),
    ],
)
def test_wrong_limits_are_told(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_thresholds(path)


def test_a_plan_that_fails_is_no_verdict_and_neither_is_what_was_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match="torchao-fp8dq failed at check"):
        held("torchao-fp8dq", LIMITS, tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # whose cache has no weights for LPIPS
    with pytest.raises(RunError, match="lpips was not measured here"):
        held("gguf-q8_0", {"lpips": {"max": 0.1}}, tmp_path)


def test_the_command_exits_1_where_a_limit_is_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = tmp_path / "limits.toml"
    command = [
        "gate", "--plan", "gguf-q4_0", "--thresholds", str(limits), "--steps", "1",
        "--width", "64", "--height", "64", "--prompt", PROMPTS[0], "--seed", "0", "--seed", "0",
    ]  # fmt: skip
    limits.write_text("[psnr_db]\nmin = 60.0\n", encoding="utf-8")
    assert main(command) == 1
    shown = capsys.readouterr()
    assert "| PSNR (dB) |" in shown.out
    assert "**past it**" in shown.out
    limits.write_text("[psnr_db]\nmin = 10.0\n", encoding="utf-8")
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is True
    assert document["pairs"] == 1  # what is named twice is drawn once
    assert document["metrics"][0]["min"] == 10
    assert main(["gate", "--plan", "fp32", "--thresholds", str(tmp_path / "none")]) == 2


def test_the_plugin_fails_a_test_with_the_table(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        SMALL = dict(steps=1, width=64, height=64, prompts=["robot, white"], seeds=[0])

        def test_near(quantlab_gate):
            assert quantlab_gate("gguf-q8_0", {"psnr_db": {"min": 20}}, **SMALL).passed

        def test_far(quantlab_gate):
            quantlab_gate("gguf-q8_0", {"psnr_db": {"min": 90}}, **SMALL)

        def test_wrong(quantlab_gate):
            quantlab_gate("gguf-q8_0", {"psnr_db": {"min": 20}}, prompts="robot, white")
        """
    )
    result = pytester.runpytest("-p", "quantlab.pytest_plugin", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*PSNR (dB)*past it*"])
    result.stdout.fnmatch_lines(["quantlab: prompts: 'robot, white' is one; a list is wanted"])
