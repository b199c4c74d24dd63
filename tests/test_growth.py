"""The test of the house: one of each is added in a temporary place, by one file or one row."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from diffusers import AuraFlowTransformer2DModel, AutoencoderKL, FlowMatchEulerDiscreteScheduler

import quantlab.families as families
from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.script.pipeline import snippet
from quantlab.record.link import from_query, to_query
from tests import warm
from tests.device import DEVICE
from tools.shapes import render, table

PLANS = ["fp32", "torchao-int8wo", "bnb-nf4"]
PARTS = {"transformer": "denoisers", "text_encoder": "encoders", "vae": "autoencoders"}


class TestFamily:
    """AuraFlow, which nobody has described: one file, one model file and its shapes."""

    FILE = '''"""AuraFlow."""

from quantlab.families.family import Family

FAMILY = Family(
    id="aura-flow",
    pipelines=("AuraFlowPipeline",),
    encoders=("text_encoder",),
    embeddings=(
        "prompt_embeds", "prompt_attention_mask",
        "negative_prompt_embeds", "negative_prompt_attention_mask",
    ),
    cfg_from=1.0,
    cfg_batched=True,
    negative="same call",
    stream="pos_embed.proj",
    as_given=("timestep",),
)
'''
    MODEL = """
id = "aura-mini"
name = "AuraFlow, tiny"
family = "aura-flow"
folder = {folder}
pipeline = "AuraFlowPipeline"
base_dtype = "fp32"
gated = "no"
distilled = false
guidance = "cfg"
licence = {{ id = "apache-2.0", name = "Apache License 2.0", commercial = "yes" }}
defaults = {{ steps = 2, guidance = 3.5, width = 64, height = 64, sequence_length = 32 }}

[components.transformer]
library = "diffusers"
cls = "AuraFlowTransformer2DModel"
shapes = "denoisers/aura-mini"

[components.text_encoder]
library = "transformers"
cls = "UMT5EncoderModel"
shapes = "encoders/aura-mini"

[components.vae]
library = "diffusers"
cls = "AutoencoderKL"
shapes = "autoencoders/aura-mini"

[limits]
max_steps = 50
min_size = 32
max_size = 256
size_multiple = 16
max_sequence_length = 256
"""

    def build(self, folder: Path) -> None:
        """A tiny pipeline with random weights, saved as it would be published."""
        torch.manual_seed(0)
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            PROJECT / "data" / "flux-mini" / "tokenizer_2"
        )
        encoder = transformers.UMT5Config(
            d_model=64, d_ff=128, d_kv=16, num_layers=1, num_heads=4, vocab_size=len(tokenizer)
        )
        encoder.architectures = ["UMT5EncoderModel"]
        diffusers.AuraFlowPipeline(
            tokenizer=tokenizer,
            text_encoder=transformers.UMT5EncoderModel(encoder),
            vae=AutoencoderKL(
                block_out_channels=(32, 32, 32, 32), layers_per_block=1, latent_channels=4,
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
            ),
            transformer=AuraFlowTransformer2DModel(
                sample_size=8, num_mmdit_layers=1, num_single_dit_layers=1, attention_head_dim=32,
                num_attention_heads=4, joint_attention_dim=64, caption_projection_dim=128,
                pos_embed_max_size=64,
            ),
            scheduler=FlowMatchEulerDiscreteScheduler(),
        ).save_pretrained(folder)  # fmt: skip

    @pytest.fixture(scope="class")
    @staticmethod
    def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
        """The catalogue with the new model in it, in a folder of its own."""
        self, root = TestFamily(), tmp_path_factory.mktemp("grown")
        folder, code = root / "aura-mini", tmp_path_factory.mktemp("families")
        (code / "aura_flow.py").write_text(self.FILE)
        patch = pytest.MonkeyPatch()
        patch.setattr(families, "__path__", [*families.__path__, str(code)])
        self.build(folder)
        shutil.copytree(PROJECT / "data" / "methods", root / "data" / "methods")
        shutil.copyfile(PROJECT / "data" / "offload.toml", root / "data" / "offload.toml")
        models = root / "data" / "models"
        models.mkdir()
        (models / "aura-mini.toml").write_text(self.MODEL.format(folder=json.dumps(str(folder))))
        for part, kind in PARTS.items():
            path = root / "data" / "shapes" / kind / "aura-mini.json"
            path.parent.mkdir(parents=True)
            path.write_text(render(table(json.loads((folder / part / "config.json").read_text()))))
        return load_catalog(root)

    @pytest.fixture(scope="class", autouse=True)
    @staticmethod
    def images(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
        """Plan -> the image that comparing it made; its bytes are as predicted."""
        comparison = make_comparison(
            model="aura-mini", plans=PLANS, prompt="a fox", catalog=catalog
        )
        outcomes = compare(
            comparison, bench=Bench(catalog, DEVICE), out=tmp_path_factory.mktemp("out"), warmup=0
        )
        assert [outcome.error for outcome in outcomes] == [None, None, None]
        for outcome, plan in zip(outcomes, comparison.plans, strict=True):
            said = predict("aura-mini", plan, catalog=catalog).component_bytes
            assert outcome.weights_bytes == pytest.approx(said, rel=0.005)
        assert 0 < (outcomes[1].transformer_rel_l2 or 0) < 0.1
        return {str(p): Path(str(o.image)) for o, p in zip(outcomes, comparison.plans, strict=True)}

    @pytest.mark.parametrize("text", PLANS[1:])
    def test_the_script_makes_the_same_image(
        self, text: str, catalog: Catalog, images: dict[str, Path], tmp_path: Path
    ) -> None:
        model = catalog.models["aura-mini"]
        comparison = make_comparison(
            model="aura-mini", plans=[text], prompt="a fox", catalog=catalog
        )
        script = snippet(comparison, parse_plan(text, model, catalog), catalog, DEVICE)
        (tmp_path / "script.py").write_text(script)
        run = warm.run(["-I", "script.py"], cwd=tmp_path)
        assert run.returncode == 0, run.stderr[-2000:]
        assert (tmp_path / "image.png").read_bytes() == images[text].read_bytes()

    def test_the_link_leads_back(self, catalog: Catalog) -> None:
        comparison = make_comparison(
            model="aura-mini", plans=PLANS, prompt="a fox", guidance=1.0, catalog=catalog
        )
        assert from_query(to_query(comparison), catalog) == comparison
