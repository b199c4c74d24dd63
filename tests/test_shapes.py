"""data/shapes: built from their configs, and as large as the published weights."""

from __future__ import annotations

import csv
import json
from math import prod
from pathlib import Path
from typing import Any

import pytest

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.sizes.shapes import from_rows
from quantlab.catalog.table import load_catalog
from tools import shapes

FOLDER = PROJECT / "data" / "shapes"
COUNTED = FOLDER / "counts.csv"
"""Parameters of published weights, to the last one, tied weights once: ``published`` where a source
states them or builds the same, ``total`` where the known total fits, ``counted`` where a second
config, made apart from ours, gave them on torch's meta device and nothing published is known."""

BYTES: dict[str, tuple[float, str]] = {
    "denoisers/flux3-klein": (
        11.1e9,
        "https://huggingface.co/FP8Enjoyer/FLUX.3-Klein-Step-Distilled-MXFP8",
    ),
    "denoisers/krea-2": (14.31e9 * 16 / 8.93, "https://huggingface.co/byteshape/Krea-2-Turbo-GGUF"),
    "denoisers/qwen-image-2.1": (14.23e9, "https://huggingface.co/LanguaMan/Qwen-Image-2.1-FP8"),
    "denoisers/sd3.5-large": (
        9.99e9 + 6.31e9,
        "https://huggingface.co/frankjoshua/stable-diffusion-3.5-large/tree/ceddf0a7fdf2064ea28e2213e3b84e4afa170a0f/transformer",
    ),
    "encoders/clip-g": (
        1.39e9,
        "https://huggingface.co/frankjoshua/stable-diffusion-3.5-large/tree/fed9c89d629a1951833546b6a2a363ee69f133a8/text_encoder_2",
    ),
    "encoders/clip-l": (
        0.246e9,
        "https://huggingface.co/prithivMLmods/Flux.1-Krea-Merged-Dev/tree/main/text_encoder",
    ),
    "encoders/t5-xxl": (
        4.99e9 + 4.53e9,
        "https://huggingface.co/prithivMLmods/Flux.1-Krea-Merged-Dev/tree/main/text_encoder_2",
    ),
    "encoders/umt5-xxl": (
        4.94e9 + 4.98e9 + 1.44e9,
        "https://huggingface.co/inference-sh/Wan2.2-TI2V-5B-Diffusers/tree/main/text_encoder",
    ),
}
"""Published bytes in 16 bits, buffers included; of a quantized file, as if it held 16 bits."""

BUFFERS = ("running_mean", "running_var", "pos_embed")
"""Stored with the weights and no parameters."""


def described(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def test_parameters_are_those_that_others_counted() -> None:
    with COUNTED.open(encoding="utf-8", newline="") as lines:
        rows = {row["shapes"]: row for row in csv.DictReader(lines)}
    for name, row in rows.items():
        assert described(name)["parameters"] == int(row["parameters"]), name
        assert row["known"] in ("published", "total", "counted")
        assert (row["known"] == "published") == row["source"].startswith("https://")
    used = {
        component.shapes
        for model in load_catalog().models.values()
        if not model.local
        for component in model.components
    }
    assert used - rows.keys() == {"denoisers/sd3-medium", "encoders/qwen3-4b"}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_are_those_of_the_published_weights(name: str) -> None:
    numbers = sum(module.numbers for module in from_rows(described(name)["modules"]))
    assert numbers * 2 == pytest.approx(BYTES[name][0], rel=0.005)


def test_the_rows_of_every_file_add_up_to_its_parameters() -> None:
    for path in FOLDER.glob("*/*.json"):
        values = json.loads(path.read_text(encoding="utf-8"))
        buffers = sum(
            prod(shape)
            for _, _, tensors in values["modules"]
            for key, shape in tensors.items()
            if key in BUFFERS and isinstance(shape, list)
        )
        numbers = sum(module.numbers for module in from_rows(values["modules"]))
        assert numbers - buffers == values["parameters"], path.name


def test_a_component_is_added_from_its_config_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shapes, "SHAPES", tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(described("autoencoders/flux1")["config"]), encoding="utf-8")
    assert shapes.main(["autoencoders/mine", str(config)]) == 0
    made = tmp_path / "autoencoders" / "mine.json"
    assert made.read_bytes() == (FOLDER / "autoencoders" / "flux1.json").read_bytes()
    assert shapes.main(["--check"]) == 0
    stale = made.read_text(encoding="utf-8").replace("conv_in", "conv_on", 1)
    made.write_text(stale, encoding="utf-8")
    assert shapes.main(["--check"]) == 1
    assert "stale: autoencoders/mine.json" in capsys.readouterr().err


def test_a_config_without_a_class_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"hidden_size": 8}', encoding="utf-8")
    with pytest.raises(SystemExit, match="names no class"):
        shapes.main(["encoders/nameless", str(config)])


def test_the_pipeline_that_ships_has_the_configs_that_its_shapes_are_of() -> None:
    parts = {
        "transformer": "denoisers/flux-mini",
        "text_encoder": "encoders/flux-mini-clip",
        "text_encoder_2": "encoders/flux-mini-t5",
        "vae": "autoencoders/flux-mini",
    }
    for part, name in parts.items():
        path = PROJECT / "data" / "flux-mini" / part / "config.json"
        assert described(name)["config"] == json.loads(path.read_text(encoding="utf-8"))
