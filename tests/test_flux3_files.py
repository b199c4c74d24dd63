"""FLUX.3's twin where files matter: two repositories, saving, a LoRA, parts that take turns."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import LoadError, VerificationError
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.bench.fidelity import image_array
from quantlab.lab.bench.run import encode, generate
from quantlab.lab.keep.takeaway import take_away
from quantlab.lab.load.pool import Pool
from quantlab.lab.load.weights import verify
from quantlab.lab.lora.file import admit_lora
from quantlab.lab.specs import build as built
from quantlab.lab.specs import spec_for
from quantlab.lab.ways.bitsandbytes import quantize_with_bitsandbytes
from tests.device import DEVICE
from tests.hub_server import Faults, Hub, serve
from tests.test_flux3 import KLEIN, LISTED, SHORT, alone, asked
from tests.test_hub import ask_only
from tools.twins import build
from tools.twins.model import as_model

REPO, WRITER = "quantlab/flux3", "quantlab/flux3-pup"
WRITERS = ("prompt_upsampler", "prompt_upsampler_processor")


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files") / "twin"
    build("flux3", folder, REPO)
    return folder


@pytest.fixture(scope="module")
def catalog(twin: Path) -> Catalog:
    model = as_model(KLEIN, twin, twin.parent / "shapes")
    return replace(LISTED, models={**LISTED.models, model.id: model})


@pytest.fixture
def hub(twin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The twin as it is published: its prompt upsampler in a repository of its own, at the top."""
    main, writer = tmp_path / "main", tmp_path / "writer"
    main.mkdir()
    writer.mkdir()
    for path in (p for p in twin.rglob("*") if p.is_file()):
        inside = path.relative_to(twin)
        own = inside.parts[0] not in WRITERS
        copy = main / inside if own else writer / inside.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    index = json.loads((main / "modular_model_index.json").read_text())
    for name in WRITERS:
        index[name][2] |= {"pretrained_model_name_or_path": WRITER, "subfolder": ""}
    (main / "modular_model_index.json").write_text(json.dumps(index))
    with serve(main, REPO) as found:
        found.others.append(Hub(writer, WRITER))
        ask_only(found, tmp_path, monkeypatch)
        monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 30.0)
        yield found


def test_each_part_comes_from_its_repository_and_only_if_it_is_used(
    hub: Hub, catalog: Catalog
) -> None:
    model = replace(catalog.models[KLEIN.id], local=False, source=REPO)
    served = replace(catalog, models={**catalog.models, model.id: model})
    pool, (writer,) = Pool(0, served, DEVICE), hub.others
    short, whole = asked([SHORT, "bf16"], served).plans
    assert pool.load(model, short, lambda _: None).weights_bytes.keys() == {
        "transformer", "text_encoder", "vae",
    }  # fmt: skip
    assert not writer.fetched()
    loaded = pool.load(model, whole, lambda _: None)
    assert "prompt_upsampler" in loaded.weights_bytes
    assert "model.safetensors" in writer.fetched()
    assert not [path for path in hub.fetched() if path.startswith("prompt_upsampler")]


def test_a_gate_or_damage_in_either_repository_is_named(hub: Hub, catalog: Catalog) -> None:
    model = replace(catalog.models[KLEIN.id], local=False, source=REPO)
    served = replace(catalog, models={**catalog.models, model.id: model})
    short, whole = asked([SHORT, "bf16"], served).plans
    (writer,) = hub.others
    writer.faults.gated = True
    with pytest.raises(LoadError, match=f"{WRITER}.*gated"):
        Pool(0, served, DEVICE).load(model, whole, lambda _: None)
    assert Pool(0, served, DEVICE).load(model, short, lambda _: None).weights_bytes
    writer.faults.gated, writer.faults.corrupt = False, {"model.safetensors"}
    with pytest.raises(LoadError, match=f"model.safetensors of {WRITER} arrived damaged"):
        Pool(0, served, DEVICE).load(model, whole, lambda _: None)
    writer.faults = Faults(cut={"model.safetensors": (10_000, 1)})
    assert "prompt_upsampler" in Pool(0, served, DEVICE).load(model, whole, print).weights_bytes


def test_a_saved_pipeline_draws_the_same_by_its_card(catalog: Catalog, tmp_path: Path) -> None:
    comparison = asked([f"transformer=torchao-int8wo,{SHORT}"], catalog)
    (outcome,) = compare(comparison, bench=Bench(catalog, DEVICE), out=tmp_path, warmup=0)
    saved = take_away(comparison, tmp_path / "away", catalog=catalog, device=DEVICE)
    assert not any(each.changed for each in saved.differences.values())
    card = (saved.folder / "README.md").read_text().partition("```python\n")[2]
    threads = f"import torch\ntorch.set_num_threads({DEVICE.threads})\n"
    (saved.folder / "script.py").write_text(threads + card.partition("```")[0])
    alone([saved.folder])
    assert (saved.folder / "image.png").read_bytes() == Path(outcome.image or "").read_bytes()
    index = (saved.folder / "modular_model_index.json").read_text()
    assert str(tmp_path) not in index


def test_a_lora_goes_on_after_quantizing_or_before(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QUANTLAB_OWN_LORAS", raising=False)
    layer = "transformer.single_transformer_blocks.0.attn.to_q"
    drawn = torch.Generator().manual_seed(0)
    tensors = {
        f"{layer}.lora_A.weight": torch.randn(4, 64, generator=drawn),
        f"{layer}.lora_B.weight": torch.randn(64, 4, generator=drawn),
    }
    save_file(tensors, tmp_path / "tiny.safetensors")
    name = admit_lora(str(tmp_path / "tiny.safetensors"))
    plans = [SHORT, f"transformer=torchao-int8wo,{SHORT}", f"transformer=quanto-fp8,{SHORT}"]
    comparison = asked(plans, catalog, lora=name, lora_weight=1.0)
    outcomes = compare(comparison, bench=Bench(catalog, DEVICE), out=tmp_path, warmup=0)
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert "on 1 layers, after quantizing" in " ".join(outcomes[1].notes)
    assert "fused into 1 layers before quantizing" in " ".join(outcomes[2].notes)
    assert all((outcome.transformer_rel_l2 or 0) < 0.1 for outcome in outcomes[1:])


def test_parts_that_take_turns_draw_the_same(catalog: Catalog) -> None:
    comparison = asked(["bf16"], catalog)
    pictures = []
    for placement in ("resident", "staged"):
        pool = Pool(0, catalog, DEVICE)
        loaded = pool.load(catalog.models[KLEIN.id], comparison.plans[0], lambda _: None, placement)
        with loaded.reading() as pipe:
            encoded = encode(pipe, comparison, DEVICE)
        with loaded.drawing() as pipe:
            run = generate(
                pipe, comparison, encoded, DEVICE,
                on_step=lambda _: None, stop=threading.Event(),
            )  # fmt: skip
        pictures.append(image_array(run.image).tobytes())
        if placement == "staged":
            assert "prompt_upsampler" not in {key.component for key in pool.held()}
    assert pictures[0] == pictures[1]


def test_bitsandbytes_reads_a_transposed_input_right_in_evaluation_mode() -> None:
    """As FLUX.2 and FLUX.3 hand their latents to their embedders."""
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(128, 64, bias=False)).to(torch.bfloat16)
    latents = torch.randn(1, 128, 256).to(torch.bfloat16).transpose(1, 2)
    plain = layers(latents).detach()
    quantize_with_bitsandbytes(layers, compute_dtype=torch.bfloat16)
    layers.eval()
    with torch.no_grad():
        found = layers(latents)
    assert float((found - plain).norm() / plain.norm()) < 0.2


def test_what_a_single_file_loads_unquantized_is_noticed(twin: Path) -> None:
    """diffusers passes over a TorchAoConfig there without a word."""
    scheme = load_catalog().schemes["torchao-int8wo"]
    config: Any = built(spec_for(scheme, "diffusers"), "torch.bfloat16")
    module = diffusers.Flux3Transformer2DModel.from_single_file(
        str(twin / "transformer" / "diffusion_pytorch_model.safetensors"),
        config=str(twin / "transformer"),
        quantization_config=config,
        dtype=torch.bfloat16,
    )
    with pytest.raises(VerificationError, match=r"linear layers do not hold it"):
        verify(module, scheme, "transformer", ("proj_out",))
