"""Every family on its tiny twin, from a hub on loopback: predicted, compared, scripted, linked.

A twin goes through the command line as any repository does that nobody listed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from PIL import Image

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.paths import OWN_MODELS
from quantlab.cli import main
from quantlab.families import families
from quantlab.record.link import from_query, to_query
from tests.hub_server import Hub, serve
from tests.test_hub import ask_only
from tests.twins import scale_pictures_less
from tools.twins import build

PLANS = ("torchao-int8wo", "bnb-nf4")
ONCE = ("--warmup", "0", "--out")
SIZE = 64
ASKED = {
    "flux1": ["--true-cfg-scale", "3", "--negative-prompt", "a dog"],
    "flux1-kontext": ["--reference", "reference.jpg"],
    "flux2": ["--reference", "reference.jpg"],
    "flux2-klein": ["--reference", "reference.jpg", "--reference", "reference.jpg"],
    "qwen-image": ["--negative-prompt", "a dog", "--true-cfg-scale", "3"],
    "qwen-image-edit": ["--reference", "reference.jpg"],
    "qwen-image-2.1": ["--reference", "reference.jpg", "--true-cfg-scale", "2"],
    "sdxl": ["--negative-prompt", "a dog"],
    "wan": ["--frames", "5"],
    "flux3": ["--sequence-length", "80", "--reference", "reference.jpg"],
}
"""What else is asked of a family, where it has more than others."""
WITHOUT = {
    "flux3": (",prompt_upsampler=none", ",prompt_upsampler=none"),
    "sd3": ("", ",text_encoder_3=none"),
}
"""What the plans leave out, where something can be."""


@pytest.fixture
def repo(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The twin of the family that a test is for, as a repository; no own model before or after."""
    monkeypatch.setenv(OWN_MODELS, "")
    name = f"twins/{request.param}"
    build(request.param, tmp_path / "twin", repo=name)
    with serve(tmp_path / "twin", name) as server:
        ask_only(server, tmp_path, monkeypatch)
        monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 30.0)  # this hub has no faults
        yield server


@pytest.mark.parametrize("repo", families(), indirect=True)
def test_a_twin_goes_the_whole_way(
    repo: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    family = repo.repo.removeprefix("twins/")
    pairs = zip(PLANS, WITHOUT.get(family, ("", "")), strict=True)
    plans = [f"{families()[family].denoiser}={scheme}{less}" for scheme, less in pairs]
    asked = [
        "--model", repo.repo, "--prompt", "a fox", "--steps", "2", "--width", str(SIZE),
        "--height", str(SIZE), *ASKED.get(family, []), "--json",
    ]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    scale_pictures_less(monkeypatch)
    Image.new("RGB", (SIZE + 32, SIZE), "teal").save("reference.jpg")
    document = said(capsys, "compare", *asked, "--plans", *plans, *ONCE, str(tmp_path / "out"))
    outcomes = document["outcomes"]
    assert [outcome["error"] for outcome in outcomes] == [None, None]
    predicted = said(capsys, "predict", *asked[:2], "--plans", *plans, "--json")
    for outcome, row in zip(outcomes, predicted, strict=True):
        assert row["component_bytes"] == pytest.approx(outcome["weights_bytes"], rel=0.005)
    assert main(["snippet", *asked[:-1], "--plan", plans[1]]) == 0
    script = capsys.readouterr().out
    monkeypatch.chdir(tmp_path / "out")
    exec(compile(script, "script.py", "exec"), {"__name__": "__main__"})
    made, seen = Path("image.png"), Path(outcomes[1]["image"])
    assert made.read_bytes() == seen.read_bytes()
    comparison = document["comparison"]
    model = comparison.pop("model")
    linked = make_comparison(model=model, **comparison)
    assert from_query(to_query(linked)) == linked
    assert main(["compare", *asked[:2], "--plans", "vae=bnb-nf4-of-mine"]) == 2
    assert "unknown scheme" in capsys.readouterr().err


def said(capsys: pytest.CaptureFixture[str], *command: str) -> Any:
    """The document that a command prints."""
    assert main(list(command)) == 0
    return json.loads(capsys.readouterr().out)
