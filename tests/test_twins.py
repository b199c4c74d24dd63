"""tools/twins: each twin builds, loads with plain diffusers, and makes the same picture twice."""

from __future__ import annotations

import hashlib
import json
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, ModularPipeline
from PIL import Image

from quantlab.catalog.machine import missing_packages, this_machine
from quantlab.catalog.models import read_models
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.reach import why_not
from quantlab.catalog.read.twins import on_twins
from quantlab.catalog.sizes.shapes import component_shapes, from_rows, rows_of
from quantlab.catalog.table import load_catalog
from quantlab.lab.load.processor import load_processor
from quantlab.lab.load.trim import trim
from tests.twins import twin
from tools import tried
from tools.shapes import table
from tools.twins import FAMILIES, build, tokens
from tools.twins.schemes import stand_for

MODELS = read_models(PROJECT)
SIZE = 64
ALIKE = {"flux3-base": "flux3-klein-base"}
"""The model of a twin whose name is not its family's."""
LAST = {"z-image": ("35", "2"), "ernie-image": ("25", "2"), "sdxl": ("11", "1")}
"""The number of the last layer of a text encoder, in the model and in its twin."""
SETTINGS: dict[str, dict[str, Any]] = {
    "ernie-image": {"use_pe": False},
    "flux1-kontext": {"max_area": SIZE**2, "_auto_resize": False},
    "flux3": {"max_new_tokens": 4, "output": "images"},
    "flux3-base": {"max_new_tokens": 4, "output": "images"},
    "wan": {"num_frames": 5, "output_type": "np"},
}
EDITS = ("flux1-kontext", "qwen-image-edit")
CHANNELS = {"qwen-image-2.1": 4}


def digest(folder: Path) -> str:
    made = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        made.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return made.hexdigest()


def load(folder: Path) -> Any:
    """The pipeline as diffusers loads it; processors come from quantlab."""
    found = [p.parent.name for p in folder.glob("*/processor_config.json")]
    processors = {name: load_processor(str(folder / name)) for name in found}
    if (folder / "modular_model_index.json").exists():
        pipe = ModularPipeline.from_pretrained(str(folder))
        models = [path.parent.name for path in folder.glob("*/config.json")]
        pipe.load_components(names=models, dtype=torch.bfloat16)
        pipe.update_components(**processors)
        return pipe
    late = "tokenizer" in processors  # diffusers knows no PixtralProcessor without torchvision
    given = dict.fromkeys(processors) if late else processors
    pipe = DiffusionPipeline.from_pretrained(folder, dtype=torch.bfloat16, **given)
    if late:
        pipe.register_modules(**processors)
    return pipe


def picture(pipe: Any, family: str, **more: Any) -> torch.Tensor:
    settings: dict[str, Any] = {"output_type": "pt", **SETTINGS.get(family, {}), **more}
    if family in EDITS:
        noise = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
        settings["image"] = Image.fromarray(noise)
    pipe.set_progress_bar_config(disable=True)
    made = pipe(
        prompt="a fox", height=SIZE, width=SIZE, num_inference_steps=2,
        generator=torch.Generator().manual_seed(0), **settings,
    )  # fmt: skip
    return torch.as_tensor(made if isinstance(made, torch.Tensor) else made[0]).float()


def trim_what_idles(pipe: Any, family: str) -> set[str]:
    """Let go of the modules that the model's file calls idle; the patterns that fit none."""
    model_id = ALIKE.get(family, "")
    alike = (m for m in MODELS.values() if m.family.id == family)
    model = MODELS.get(model_id) or next(alike, None)
    unused = set()
    for part in model.components if model else ():
        module = getattr(pipe, part.name)
        patterns = tuple(pattern.replace(*LAST.get(family, ("", ""))) for pattern in part.idle)
        names = [name for name, _ in module.named_modules()]
        unused |= {p for p in patterns if not any(fnmatch(name, p) for name in names)}
        left = {name for name, _ in module.named_parameters()}
        trim(module, patterns)
        left -= {name for name, _ in module.named_parameters()}
        assert bool(left) == bool(patterns)
        assert all(any(fnmatch(name.rpartition(".")[0], p) for p in patterns) for name in left)
    return unused


@pytest.mark.parametrize("family", FAMILIES)
def test_a_twin_makes_the_same_picture_twice_without_what_idles(family: str) -> None:
    pipe = load(twin(family))
    first = picture(pipe, family)
    pixels = (SIZE, SIZE, 3) if family == "wan" else (CHANNELS.get(family, 3), SIZE, SIZE)
    assert tuple(first.shape[-3:]) == pixels
    assert first.isfinite().all()
    assert first.std() > 0.05
    unused = trim_what_idles(pipe, family)
    assert unused <= {"model.layers.3?.*"}, "klein's twin ends before layer 30"
    assert torch.equal(first, picture(pipe, family))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_twin_is_small_and_the_same_each_time(family: str, tmp_path: Path) -> None:
    build(family, tmp_path / "other", repo=str(twin(family)))
    files = [path for path in twin(family).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 5_000_000
    assert digest(twin(family)) == digest(tmp_path / "other")


def test_the_prompt_enhancer_of_ernie_image_draws_its_words() -> None:
    """The pipeline's generator does not reach it: the same seed makes another picture."""
    pipe = load(twin("ernie-image"))
    first = picture(pipe, "ernie-image", use_pe=True)
    assert not torch.equal(first, picture(pipe, "ernie-image", use_pe=True))


def test_a_denoiser_can_be_quantized_by_blocks() -> None:
    """Linear layers 16 at a time on both sides; where a real one is narrower, so is its twin's."""
    for family in FAMILIES:
        denoiser = twin(family) / ("unet" if family == "sdxl" else "transformer")
        rows = table(json.loads((denoiser / "config.json").read_text()))["modules"]
        layers = {name: own["weight"] for name, kind, own in rows if kind == "linear"}
        narrow = {name for name, (out, into) in layers.items() if into % 16 or out % 16}
        assert narrow == ({"text_fusion.projector"} if family == "krea-2" else set()), family
        assert max(out * into for out, into in layers.values()) >= 16384, family


def test_a_language_model_s_head_is_tied_where_the_model_s_is() -> None:
    """FLUX.2's and Qwen-Image 2.1's were tied by default: HQQ made a head of its own of them."""
    for family, model in stand_for(load_catalog()).items():
        for component in model.components:
            heads = {m.name for m in component_shapes(model, component.name) if m.weight}
            if "lm_head" not in {row[0] for row in rows_of(component.shapes)}:
                continue
            config = json.loads((twin(family) / component.name / "config.json").read_text())
            rows = from_rows(table(config)["modules"])
            own = {m.name for m in rows if m.weight}
            assert ("lm_head" in own) == ("lm_head" in heads), (family, component.name)


@pytest.mark.parametrize("name", ["Qwen3VLProcessor", "Qwen2VLProcessor", "PixtralProcessor"])
def test_a_processor_reads_text_as_its_tokenizer_does(name: str, tmp_path: Path) -> None:
    halves = {"image_processor": {"image_processor_type": f"{name[:7]}ImageProcessor"}}
    if name.startswith("Qwen"):
        halves = {
            "image_processor": {"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 16},
            "video_processor": {"video_processor_type": f"{name[:7]}VideoProcessor"},
        }
    tokens.save_processor(tmp_path, name, **halves)
    processor, tokenizer = load_processor(str(tmp_path)), tokens.chat()
    messages = [{"role": "user", "content": [{"type": "text", "text": "a red cube"}]}]
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\na red cube<|im_end|>\n<|im_start|>assistant\n"
    found = processor.apply_chat_template(
        [messages], tokenize=True, return_dict=True, return_tensors="pt", padding="max_length",
        truncation=True, max_length=40, add_generation_prompt=True,
    )  # fmt: skip
    assert found["input_ids"].shape == (1, 40)
    length = int(found["attention_mask"].sum())
    assert found["input_ids"][0, :length].tolist() == tokenizer(text)["input_ids"]


def test_a_processor_puts_a_picture_where_the_prompt_says() -> None:
    """64 x 64 pixels in patches of 16, four to a token."""
    processor = load_processor(str(twin("qwen-image-edit") / "processor"))
    found = processor(
        text=["<|vision_start|><|image_pad|><|vision_end|>a fox"],
        images=[Image.new("RGB", (64, 64))], return_tensors="pt",
    )  # fmt: skip
    assert found["image_grid_thw"].tolist() == [[1, 4, 4]]
    assert int((found["input_ids"] == processor.image_token_id).sum()) == 4


def test_the_readme_s_ticks_are_those_of_the_kept_rows(tmp_path: Path) -> None:
    assert tried.main(["--check"]) == 0, "run python -m tools.tried"
    stale = tmp_path / "README.md"
    stale.write_text(tried.PAGE.read_text(encoding="utf-8").replace("✓ H200", "no"))
    assert tried.main(["--check"], stale) == 1
    assert tried.main([], stale) == 0
    assert stale.read_text(encoding="utf-8") == tried.PAGE.read_text(encoding="utf-8")


def test_the_kept_rows_are_all_that_run_on_a_cpu_with_reason_or_bytes() -> None:
    """Of FLUX.3's denoiser every scheme works."""
    rows, catalog = on_twins(), load_catalog()
    machine, methods = this_machine(), catalog.methods
    here = {m.id for m in methods.values() if not missing_packages(m, machine)}
    every = [s for s in catalog.schemes.values() if s.on_cpu != "no" and not s.layers]
    for model in stand_for(catalog).values():
        for name in (*model.family.denoisers, *model.family.encoders):
            part = model.component(name)
            assert part is not None
            can = [s for s in every if why_not(s, part.library, part.cls) is None]
            runs = {s.id for s in can if s.method in here}
            kept = {s for m, c, s in rows if (m, c) == (model.id, name)}
            assert runs <= kept <= {s.id for s in can}, (model.id, name)
            if model.family.modular and name == model.denoiser:
                assert all(rows[model.id, name, scheme].works for scheme in kept)
    assert {model for model, _, _ in rows} <= {model.id for model in MODELS.values()}
    for key, row in rows.items():
        assert row.detail, key
        assert not row.works or row.off is not None, key
        assert abs(row.off or 0) <= 0.005, key
