"""Components that a repository stores quantized: taken as they are, where that saves a download."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
from huggingface_hub import constants

from quantlab.catalog.answer.choices import propose
from quantlab.catalog.answer.ready import files_of
from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.models.schema import Prequantized
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.sizes.idle import to_know
from quantlab.catalog.sizes.published import published_peaks
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import PlanError
from quantlab.lab.bench.run import forward
from quantlab.lab.load.pool import Pool
from quantlab.lab.probe.subject import Subject
from quantlab.lab.ways.stored import unquantized_layers
from quantlab.ui.pick.card_view import proposed
from tests.device import DEVICE
from tests.hub_server import Hub
from tests.test_hub import MINI, SHARD, hub, server  # noqa: F401

READY = "quantlab/flux-mini-int8"
SCHEME = "torchao-int8wo"
COMMIT = "f" * 40


def listed(scheme: str = SCHEME) -> Catalog:
    """The catalogue with flux-mini on the hub, and a repository that has it quantized."""
    known = Prequantized(READY, "https://huggingface.co", "2026-11", {"transformer": scheme}, {})
    model = replace(MINI, prequantized=(known,))
    return replace(load_catalog(), models={"flux-mini": model})


def put_in_cache() -> Path:
    """flux-mini with its transformer quantized, as the hub's client would have cached it."""
    root = Path(constants.HF_HUB_CACHE) / f"models--{READY.replace('/', '--')}"
    folder = root / "snapshots" / COMMIT
    source = PROJECT / "data" / "flux-mini"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    subject = Subject(SCHEME, load_catalog(), DEVICE)
    subject.module(subject.load().pipe).save_pretrained(folder / "transformer")
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(COMMIT)
    return folder


def test_a_stored_component_is_taken_as_it_is_and_the_base_is_not_fetched(
    hub: Hub,  # noqa: F811
) -> None:
    folder = put_in_cache()
    assert "quantization_config" in json.loads((folder / "transformer/config.json").read_text())
    catalog, said = listed(), list[str]()
    model = catalog.models["flux-mini"]
    plan = parse_plan(SCHEME, model, catalog)
    loaded = Pool(0, catalog, DEVICE).load(model, plan, said.append)
    assert loaded.way == f"stored quantized in {READY}"
    assert SHARD not in hub.fetched()
    subject = Subject(SCHEME, load_catalog(), DEVICE)
    pipe = subject.load().pipe
    step = subject.run(pipe).first
    here = subject.output(pipe.transformer, step)
    assert (forward(loaded.pipe.transformer, step, subject.dtype, DEVICE.target) == here).all()


def test_where_the_repository_cannot_be_used_the_base_weights_are(hub: Hub) -> None:  # noqa: F811
    catalog, said = listed(), list[str]()
    model = catalog.models["flux-mini"]
    pool = Pool(2**30, catalog, DEVICE)
    loaded = pool.load(model, parse_plan(SCHEME, model, catalog), said.append)
    assert loaded.way == "PipelineQuantizationConfig"
    assert any(t.startswith(f"{READY} cannot be used") and "base weights" in t for t in said)
    assert SHARD in hub.fetched()
    put_in_cache()  # the base weights are here by now: nothing would be saved
    again = Pool(0, catalog, DEVICE).load(model, parse_plan(SCHEME, model, catalog), said.append)
    assert again.way == "PipelineQuantizationConfig"


def test_what_diffusers_refuses_on_a_cpu_is_not_fetched_stored(
    hub: Hub,  # noqa: F811
) -> None:
    catalog, said = listed("bnb-nf4"), list[str]()
    model = catalog.models["flux-mini"]
    loaded = Pool(0, catalog, DEVICE).load(
        model, parse_plan("bnb-nf4", model, catalog), said.append
    )
    assert loaded.way == "the library, on the loaded component"
    assert SHARD in hub.fetched()
    assert not any(READY in text for text in said)


def test_a_base_that_is_stored_quantized_is_never_quantized_again(tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(PROJECT / "data" / "flux-mini", copy)
    config = copy / "transformer" / "config.json"
    stored = {"quant_method": "torchao", "modules_to_not_convert": ["proj_out"]}
    config.write_text(json.dumps(json.loads(config.read_text()) | {"quantization_config": stored}))
    assert unquantized_layers(copy, "transformer") == ("proj_out", "proj_out.*")
    catalog = load_catalog()
    model = replace(catalog.models["flux-mini"], source=str(copy))
    pool = Pool(0, replace(catalog, models={"flux-mini": model}), DEVICE)
    for scheme in ("bnb-nf4", "layerwise-fp8"):
        with pytest.raises(PlanError, match="twice"):
            pool.load(model, parse_plan(scheme, model), lambda _: None)


def test_the_answer_s_drawers_name_ready_files_and_what_others_measured() -> None:
    """Every repository of the model's file, each a link, and every published peak with its own."""
    catalog = load_catalog()
    for name in ("z-image-turbo", "flux3-klein", "flux-mini"):
        model = catalog.models[name]
        found = propose(model=name, gpu="rtx-4090-24gb", ram_gib=64, catalog=catalog)
        said = proposed("On an RTX 4090", found.choices, model)
        ready = files_of(model)
        assert all(f'href="{url}"' in said and escape(told) in said for _, url, told in ready)
        assert ("nobody ran them here" in said) == bool(ready)
        peaks = list(published_peaks(model, catalog))
        assert all(f"<li>{escape(peak)}</li>" in said for peak in peaks)
        assert ("Memory that others measured" in said) == bool(peaks)
        assert all(f"<li>{escape(text)}</li>" in said for text in to_know(model))


def test_another_choice_says_what_it_gains_before_what_that_costs() -> None:
    """Better for worse, of the card that it was read wrongly on and of others; and truly so."""
    catalog = load_catalog()
    gains = {
        "fastest",
        "likely fastest",
        "best picture",
        "smallest",
        "sharper",
        "smaller",
        "faster",
    }
    costs = {"less sharp", "larger", "slower", "slow", "likely slower"}
    for gpu in ("rx-7900-xtx-24gb", "rtx-3060-12gb", "apple-36gb"):
        found = propose(model="flux3-klein", gpu=gpu, catalog=catalog)
        first, *others = found.choices
        said = proposed("On a card", found.choices, catalog.models["flux3-klein"])
        told = re.findall(r'<span class="ql-class"><b>([^<]*)</b>(?:: ([^<]*))?</span>', said)
        assert len(told) == len(others)
        for choice, (head, rest) in zip(others, told, strict=True):
            assert set(head.lower().split(" and ")) <= gains
            assert set(filter(None, rest.split(", "))) <= costs
            sharper = choice.loss.value < first.loss.value
            assert ("sharper" in head or "Best picture" in head) == sharper
            assert ("larger" in rest) == (choice.peak_bytes > first.peak_bytes)
