"""FLUX.3, a pipeline of blocks, from its files to the picture, on its tiny twin."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.sizes.needs import needs_of
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import PlanError
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.script.pipeline import snippet
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome
from tests import warm
from tests.device import DEVICE
from tools.twins import build
from tools.twins.model import as_model

LISTED = load_catalog()
KLEIN = LISTED.models["flux3-klein"]
SHORT = "prompt_upsampler=none"
PLANS = [
    SHORT,
    f"{SHORT}@trimmed",
    f"transformer=torchao-int8wo,text_encoder=torchao-int8wo,{SHORT}",
    f"transformer=bnb-nf4,{SHORT}",
    f"transformer=gguf-q8_0,{SHORT}",
    "transformer=sdnq-uint4,prompt_upsampler=torchao-int8wo",
]
IN_ONE_PROCESS = """
import json, os, runpy, sys
for folder in json.loads(sys.argv[1]):
    os.chdir(folder)
    runpy.run_path("script.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The catalogue with the twin in the place of FLUX.3 klein."""
    root = tmp_path_factory.mktemp("flux3")
    build("flux3", root / "twin")
    model = as_model(KLEIN, root / "twin", root / "shapes")
    return replace(LISTED, models={**LISTED.models, model.id: model})


def asked(plans: list[str], catalog: Catalog, **more: object) -> Comparison:
    given = {"prompt": "a fox", "steps": 2, "width": 256, "height": 256, "sequence_length": 80}
    return make_comparison(model=KLEIN.id, plans=plans, catalog=catalog, **{**given, **more})


def alone(folders: list[Path]) -> None:
    """Run the script of each folder, in one process that cannot import quantlab."""
    listed = json.dumps([str(folder) for folder in folders])
    # -I: neither the current folder nor PYTHONPATH is searched.
    done = warm.run(["-I", "-c", IN_ONE_PROCESS, listed], cwd=folders[0])
    assert done.returncode == 0, done.stderr[-2000:]


@dataclass(frozen=True)
class Made:
    """An outcome, and the picture of its script."""

    outcome: Outcome
    script: bytes


@pytest.fixture(scope="module")
def made(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Made]:
    root = tmp_path_factory.mktemp("made")
    comparison = asked(PLANS, catalog)
    outcomes = compare(comparison, bench=Bench(catalog, DEVICE), out=root, warmup=0)
    folders = [root / str(index) for index, _ in enumerate(PLANS)]
    for folder, plan in zip(folders, comparison.plans, strict=True):
        folder.mkdir()
        where = "staged" if plan == comparison.plans[-1] else "resident"
        text = snippet(comparison, plan, catalog, DEVICE, placement=where, target="cpu")
        (folder / "script.py").write_text(text, encoding="utf-8")
    alone(folders)
    pictures = [(folder / "image.png").read_bytes() for folder in folders]
    pairs = zip(PLANS, outcomes, pictures, strict=True)
    return {plan: Made(outcome, picture) for plan, outcome, picture in pairs}


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_runs_as_predicted_and_its_script_makes_the_same_picture(
    plan: str, made: Mapping[str, Made], catalog: Catalog
) -> None:
    found = made[plan].outcome
    assert found.error is None
    known = asked([plan], catalog).plans[0]
    predicted = needs_of(known, catalog.models[KLEIN.id], catalog=catalog).weights
    assert found.weights_bytes.keys() == predicted.keys()
    for name, size in found.weights_bytes.items():
        assert size == pytest.approx(predicted[name], rel=0.005), name
    assert made[plan].script == Path(found.image or "").read_bytes()


def test_a_quantized_plan_is_near_the_whole_one(made: Mapping[str, Made]) -> None:
    scored = [made[plan].outcome for plan in PLANS[2:]]
    distances = [outcome.transformer_rel_l2 or 0 for outcome in scored]
    assert all(0 < distance < 0.2 for distance in distances)
    assert [outcome.way for outcome in scored] == [
        "from_pretrained with a config",
        "the library, on the loaded component",
        "from_single_file",
        "from_pretrained with a config",
    ]


def test_what_idles_is_left_out_and_the_picture_stays_the_same(made: Mapping[str, Made]) -> None:
    whole, trimmed = (made[plan].outcome for plan in PLANS[:2])
    assert Path(whole.image or "").read_bytes() == Path(trimmed.image or "").read_bytes()
    for name in ("transformer", "text_encoder"):
        assert trimmed.weights_bytes[name] < 0.95 * whole.weights_bytes[name]
    assert trimmed.weights_bytes["vae"] == whole.weights_bytes["vae"]


def test_a_script_quantizes_by_a_dictionary_and_never_by_a_pipeline_config(
    catalog: Catalog,
) -> None:
    comparison = asked([PLANS[2]], catalog)
    text = snippet(comparison, comparison.plans[0], catalog, DEVICE)
    assert '"transformer": diffusers.TorchAoConfig(' in text
    assert '"text_encoder": transformers.TorchAoConfig(' in text
    assert "modules_to_not_convert=['proj_out']" in text
    assert 'blocks.sub_blocks.pop("prompt_upsampler")' in text
    assert "PipelineQuantizationConfig" not in text
    with pytest.raises(
        PlanError, match="takes no PipelineQuantizationConfig: diffusers only warns"
    ):
        snippet(comparison, comparison.plans[0], catalog, DEVICE, simple=True)


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("resident", 'pipe.to("cuda")'),
        ("staged", "decode_alone(pipe, 'vae'"),
        ("model-offload", "manager.enable_auto_cpu_offload("),
        ("group-offload", "diffusers.hooks.apply_group_offloading("),
    ],
)
def test_a_script_places_blocks_as_a_pipeline_of_blocks_can(kind: str, line: str) -> None:
    comparison = make_comparison(model=KLEIN.id, plans=[SHORT], prompt="a fox")

    def script(asked: Comparison) -> str:
        plan = asked.plans[0]
        return snippet(asked, plan, LISTED, DEVICE, placement=kind, target="cuda")

    text = script(comparison)
    ast.parse(text)
    assert line in text
    assert "enable_model_cpu_offload" not in text  # which blocks do not have
    shown = comparison.changed(reference="0" * 16)
    assert "    image=references," in script(shown)
