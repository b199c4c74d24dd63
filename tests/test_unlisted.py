"""A pipeline of a class that no family has, Stable Diffusion 1.5's, tiny: read, predicted, run."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from PIL import Image

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.paths import OWN_MODELS
from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import InputError
from quantlab.families import pipelines
from quantlab.lab.hub.admit import admit
from tests.twins import twin
from tools.twins import autoencoders, encoders, tokens

CLASS = "StableDiffusionPipeline"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pipeline with random weights, saved as its own class saves it."""
    monkeypatch.setenv(OWN_MODELS, "")
    monkeypatch.delenv("SPACE_ID", raising=False)
    torch.manual_seed(0)
    pipe = diffusers.StableDiffusionPipeline(
        unet=diffusers.UNet2DConditionModel(
            block_out_channels=(32, 64), layers_per_block=1, sample_size=8, attention_head_dim=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), norm_num_groups=16,
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), use_linear_projection=True,
            cross_attention_dim=encoders.WIDTH,
        ),
        vae=autoencoders.plain(4, use_quant_conv=True, use_post_quant_conv=True),
        text_encoder=encoders.clip(transformers.CLIPTextModel),
        tokenizer=tokens.clip(),
        scheduler=diffusers.DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipe.save_pretrained(tmp_path / "unlisted")
    return tmp_path / "unlisted"


def test_what_its_class_says_is_enough_to_predict_and_run_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert CLASS not in pipelines()
    model = admit(str(folder))
    family = model.family
    assert (family.denoisers, family.decoder, family.encoders) == (
        ("unet",), "vae", ("text_encoder",),
    )  # fmt: skip
    assert family.embeddings == ("prompt_embeds", "negative_prompt_embeds")
    assert (family.scale, family.negative, family.cfg_from) == ("guidance_scale", "same call", 1.0)
    asked = ["--model", str(folder), "--plans", "fp32", "unet=torchao-int8wo"]
    small = ["--steps", "1", "--width", "64", "--height", "64", "--warmup", "0"]
    out = ["--prompt", "a fox", "--out", str(tmp_path / "out"), "--json"]
    assert main(["compare", *asked, *small, *out]) == 0
    said = capsys.readouterr()
    assert "its kind of pipeline is not described in quantlab" in said.err
    outcomes = json.loads(said.out)["outcomes"]
    assert [outcome["error"] for outcome in outcomes] == [None, None]
    assert main(["predict", *asked, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    for outcome, row in zip(outcomes, rows, strict=True):
        assert row["component_bytes"] == pytest.approx(outcome["weights_bytes"], rel=0.005)
    on_card = [*asked[:2], "--gpu", "rtx-3060-12gb", "--json"]
    assert main(["pick", *on_card]) == 0
    verdicts = {row["scheme"]: row["verdict"] for row in json.loads(capsys.readouterr().out)}
    assert verdicts["bnb-nf4"] == "runs"
    assert main(["propose", *on_card, "--ram-gib", "16"]) == 0
    assert json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("part", ["vae", "unet", "text_encoder", "tokenizer", "scheduler"])
def test_one_without_a_part_that_it_needs_is_refused_with_that_part(
    folder: Path, part: str
) -> None:
    path = folder / "model_index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**index, part: [None, None]}), encoding="utf-8")
    with pytest.raises(InputError, match=f"has no {part}, which a {CLASS} does not run without"):
        admit(str(folder))
    path.write_text(json.dumps(index), encoding="utf-8")
    shutil.rmtree(folder / part)
    with pytest.raises(InputError, match=f"{part} (is missing|without)"):
        admit(str(folder))


def test_a_part_whose_config_does_not_fit_its_files_is_named(folder: Path) -> None:
    path = folder / "unet" / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "cross_attention_dim": 48}), encoding="utf-8")
    with pytest.raises(InputError, match="unet does not fit"):
        admit(str(folder))


@pytest.mark.parametrize(
    ("cls", "picture", "said"),
    [
        ("FluxFillPipeline", True, "does not take a prompt alone"),
        ("FluxInpaintPipeline", True, "does not take a prompt alone"),
        ("FluxControlPipeline", False, "does not take a prompt alone"),
        ("FluxImg2ImgPipeline", False, "goes by a picture"),
        ("FluxImg2ImgPipeline", True, None),
    ],
)
def test_what_needs_more_than_a_picture_is_predicted_and_refused_with_the_reason(
    cls: str,
    picture: bool,
    said: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Masks and control pictures have no setting; one to start from is a picture to go by."""
    monkeypatch.setenv(OWN_MODELS, "")
    shutil.copytree(twin("flux1"), tmp_path / "kind")
    path = tmp_path / "kind" / "model_index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**index, "_class_name": cls}), encoding="utf-8")
    assert main(["predict", "--model", str(path.parent), "--plans", "bf16", "--json"]) == 0
    (model,) = (model for model in load_catalog().models.values() if model.own)
    call = inspect.signature(getattr(diffusers, cls).__call__).parameters
    assert (model.family.scale == "guidance_scale") == ("guidance_scale" in call)
    assert (model.family.true_scale == "true_cfg_scale") == ("true_cfg_scale" in call)
    published = call[str(model.family.scale)].default
    assert model.defaults.guidance == published  # of FluxFill 30
    twice = 2 * published
    true = 3.0 if model.family.true_scale else None
    comparison = make_comparison(
        model=model.id, plans=["bf16"], prompt="a fox", guidance=twice, true_cfg_scale=true
    )
    assert (comparison.guidance, comparison.true_cfg_scale) == (twice, true)
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "teal.png")
    given = ["--reference", str(tmp_path / "teal.png")] if picture else []
    small = ["--steps", "2", "--width", "64", "--height", "64", "--warmup", "0"]
    asked = ["--model", str(path.parent), "--plans", "fp32", "--prompt", "a fox", *small, *given]
    capsys.readouterr()
    assert main(["compare", *asked, "--out", str(tmp_path / "out"), "--json"]) == 0
    error = json.loads(capsys.readouterr().out)["outcomes"][0]["error"]
    assert (said is None) == (error is None), error
    assert said is None or said in error["message"]


def test_blocks_whose_folder_lacks_a_part_that_can_be_left_out_run_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(OWN_MODELS, "")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(twin("flux3"), tmp_path / "whole")
    shutil.rmtree(tmp_path / "whole" / "prompt_upsampler")
    small = ["--steps", "1", "--width", "64", "--height", "64", "--sequence-length", "80"]
    asked = ["--model", str(tmp_path / "whole"), "--prompt", "a fox", *small]
    out = ["--warmup", "0", "--out", str(tmp_path / "out"), "--json"]
    assert main(["compare", *asked, "--plans", "fp32", *out]) == 0
    (outcome,) = json.loads(capsys.readouterr().out)["outcomes"]
    assert outcome["error"] is None
    assert main(["snippet", *asked, "--plan", "fp32"]) == 0
    exec(compile(capsys.readouterr().out, "script.py", "exec"), {"__name__": "__main__"})
    assert Path("image.png").read_bytes() == Path(outcome["image"]).read_bytes()
