"""Tuning: the allocation, mixes as schemes, and the whole way on flux-mini in small."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.own.mixes import admit_mixes
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.read.mixes import mix_of, mix_text
from quantlab.catalog.sizes.predict import plan_bytes
from quantlab.catalog.sizes.shapes import component_shapes
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.cli import main
from quantlab.errors import InputError, PlanError, Stopped, VerificationError
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.bench.interval import span
from quantlab.lab.load.weights import verify
from quantlab.lab.script.pipeline import snippet
from quantlab.lab.tune.allocate import Option, allocate, mean_bits
from quantlab.lab.tune.layers import Layer, bits_of, layers_of, usually_kept
from quantlab.lab.tune.question import question
from quantlab.lab.tune.report import additive, verdict, write
from quantlab.lab.tune.tune import Tuned, tune
from quantlab.lab.tune.validate import Held, gain_db
from quantlab.ui.compare.plans import choices
from tests import warm
from tests.device import DEVICE
from tests.twins import twin

CATALOG = load_catalog()
MINI = CATALOG.models["flux-mini"]
PROMPTS = ("a fox on a black background", "lemon, black", "robot, white", "a frog on red")
KEPT = pd.read_csv(PROJECT / "data" / "results" / "tune-flux-mini.csv")
HELD = KEPT[KEPT["kind"] == "mix"].set_index("plan")
SMALL = {"steps": 2, "width": 64, "height": 64}


def some_layers() -> dict[str, str]:
    """A mix by hand: all but the usual layers, in three schemes by turns."""
    named = [m for m in component_shapes(MINI, "transformer") if m.kind == "linear"]
    names = [m.name for m in named if "blocks" in m.name]
    kinds = ("gguf-q4_k", "gguf-q8_0", "gguf-bf16")
    return {name: kinds[index % 3] for index, name in enumerate(names)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as ``tune`` leaves it, of a mix by hand."""
    place = tmp_path / "by hand"
    place.mkdir()
    shapes = MINI.components[0].shapes
    mix = mix_of("by-hand", "by hand", shapes, 9.5, some_layers(), CATALOG.schemes)
    (place / "mix.toml").write_text(mix_text(mix), encoding="utf-8")
    return place


def test_an_allocation_keeps_to_the_budget_and_spares_what_matters() -> None:
    tender, tough = Layer("tender", 64, 64), Layer("tough", 64, 64)
    options = {
        tender: [Option("four", 4, 1.0), Option("eight", 8, 0.01)],
        tough: [Option("four", 4, 0.1), Option("eight", 8, 0.001)],
    }
    chosen = allocate(options, 6.0)
    assert {layer.name: one.scheme for layer, one in chosen.items()} == {
        "tender": "eight",
        "tough": "four",
    }
    assert mean_bits(chosen) == 6
    assert {one.scheme for one in allocate(options, 8.0).values()} == {"eight"}
    with pytest.raises(InputError, match=r"budget-bits: 3; the smallest schemes here take 4\.00"):
        allocate(options, 3.0)


def test_the_usual_layers_are_those_outside_the_blocks() -> None:
    names = ("x_embedder", "proj_out", "time_text_embed.text_embedder.linear_1")
    inside = ("transformer_blocks.0.ff.net.2", "single_transformer_blocks.11.proj_out")
    assert usually_kept([Layer(name, 8, 8) for name in (*names, *inside)]) == names


def test_a_mix_holds_what_it_says_and_takes_the_predicted_bytes(
    folder: Path, tmp_path: Path
) -> None:
    text, catalog = admit_mixes(str(folder), CATALOG)
    assert text.startswith("mix-by-hand.")
    mix = catalog.schemes[text]
    assert {name: each.id for name, each in mix.layers.items()} == some_layers()
    comparison = make_comparison(
        plans=["fp32", text, "gguf-q8_0"], prompt=PROMPTS[0], catalog=catalog, **SMALL
    )
    bench = Bench(catalog, DEVICE)
    _, mixed, plain = compare(comparison, bench=bench, out=tmp_path / "out", warmup=0)
    assert mixed.status == "ok", mixed.error
    predicted = plan_bytes("flux-mini", {"transformer": text}, catalog=catalog)["transformer"]
    assert mixed.weights_bytes["transformer"] == predicted
    assert predicted < plan_bytes("flux-mini", {})["transformer"] / 2
    assert mixed.weights_bytes["transformer"] > plain.weights_bytes["transformer"]
    whole = bench.pool.load(MINI, comparison.plans[2], lambda _: None)
    with pytest.raises(VerificationError, match=text):
        verify(whole.denoiser, mix, "transformer")
    assert mixed.image is not None
    script = tmp_path / "script.py"
    script.write_text(snippet(comparison, comparison.plans[1], catalog, DEVICE), encoding="utf-8")
    assert "libggml-python" in script.read_text(encoding="utf-8")
    (tmp_path / "data").symlink_to(PROJECT / "data")
    done = warm.run(["-I", script], cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert Path(mixed.image).read_bytes() == (tmp_path / "image.png").read_bytes()


def test_a_mix_goes_with_its_own_model_and_no_link_carries_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, catalog = admit_mixes(f"transformer={folder}@compiled", CATALOG)
    assert text.startswith("transformer=mix-by-hand.")
    assert text.endswith("@compiled")
    assert str(parse_plan(text, MINI, catalog)).startswith("mix-by-hand.")
    with pytest.raises(PlanError, match="names the layers of denoisers/flux-mini"):
        parse_plan(text, CATALOG.models["flux1-schnell"], catalog)
    assert main(["link", "--plans", "fp32", str(folder)]) == 2
    assert "no link can carry it" in capsys.readouterr().err
    assert main(["compare", "--isolate", "--plans", "fp32", str(folder)]) == 2
    assert "known to this process alone" in capsys.readouterr().err
    assert main(["sweep", "--isolate", "--plans", "fp32", str(folder)]) == 2
    assert "known to this process alone" in capsys.readouterr().err
    small = ["--steps", "1", "--width", "64", "--height", "64", "--no-noise-floor"]
    assert main(["sweep", "--json", "--plans", "fp32", str(folder), *small]) == 0
    swept = json.loads(capsys.readouterr().out)["plans"][1]
    assert swept["plan"].startswith("mix-by-hand.")
    assert swept["error"] is None
    assert main(["predict", "--json", "--plans", str(folder)]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["plan"].startswith("mix-by-hand.")
    (folder / "mix.toml").write_text('method = "gguf"', encoding="utf-8")
    assert main(["snippet", "--plan", str(folder)]) == 2
    assert "holds no mix that can be read" in capsys.readouterr().err


def test_what_is_said_of_the_mixes_is_what_was_kept() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    said = text.partition("How mixes of flux-mini")[2].partition("IQ4_XS on every layer")[0]
    found = re.findall(r"(-?[\d.]+)(?: dB)?(?: of PSNR)?\s\((-?[\d.]+)\sto\s(-?[\d.]+)\)", said)
    uniform = KEPT[KEPT["kind"] == "uniform"].set_index("budget_bits")
    columns = ["gain_db", "gain_db_low", "gain_db_high"]
    gains = uniform.loc[[4.11, 4.88, 8.9, 3.5, 4.5, 5.5, 8.5], columns]
    assert np.array(found, float) == pytest.approx(gains.to_numpy(), abs=0.051)


def test_the_mixes_that_ship_go_with_flux_mini_and_keep_to_their_budgets() -> None:
    shipped = {scheme.id: scheme for scheme in CATALOG.schemes.values() if scheme.layers}
    assert set(shipped) == {f"mix-flux-mini-{budget}" for budget in ("3_5", "4_5", "5_5", "8_5")}
    linear = {m.name: m for m in component_shapes(MINI, "transformer") if m.kind == "linear"}
    sizes = []
    for scheme in shipped.values():
        assert set(scheme.layers) == set(linear)
        numbers = {name: linear[name].weight[0] * linear[name].weight[1] for name in linear}
        stored = sum(
            numbers[name] * (bits_of(Layer(name, *linear[name].weight), held) or 0)
            for name, held in scheme.layers.items()
        )
        assert stored / sum(numbers.values()) == pytest.approx(scheme.bits, abs=1e-3)
        assert scheme.bits <= float(scheme.id.rpartition("-")[2].replace("_", "."))
        assert HELD.loc[scheme.id, "bits"] == pytest.approx(scheme.bits, abs=5e-4)
        assert (PROJECT / scheme.importance).is_file()
        sizes.append(plan_bytes("flux-mini", {"transformer": scheme.id})["transformer"])
        assert parse_plan(scheme.id, MINI).parts == (("transformer", scheme.id),)
    assert sorted(sizes) == sizes
    offered = {key for _, key in choices(MINI, MINI.components[0], CATALOG)}
    assert set(shipped) <= offered
    other = CATALOG.models["flux1-dev"]
    assert not set(shipped) & {key for _, key in choices(other, other.components[0], CATALOG)}


@pytest.mark.parametrize(("steps", "drawn"), [(1, 4), (8, 4), (28, 2), (50, 2)])
def test_the_longer_a_picture_takes_the_fewer_judge_a_layer(steps: int, drawn: int) -> None:
    some = [f"prompt {number}" for number in range(8)]
    asked = question("flux-mini", "gguf", 4.5, some, Path(), CATALOG, most=8, steps=steps)
    assert len(asked.tuning) == 4
    assert asked.drawn == drawn
    assert asked.judged == drawn * steps


def few_schemes(*schemes: str, method: str = "gguf") -> Catalog:
    """The catalogue with these schemes of a method to mix, so that a tuning is short."""
    known = CATALOG.methods[method]
    assert known.mixing is not None
    few = replace(known, mixing=replace(known.mixing, schemes=schemes))
    return replace(CATALOG, methods=MappingProxyType({**CATALOG.methods, method: few}))


def test_tuning_goes_on_where_it_was_stopped_and_judges_by_other_prompts(tmp_path: Path) -> None:
    catalog, said = few_schemes("gguf-q4_k", "gguf-q8_0"), []
    out = tmp_path / "small"
    out.mkdir()
    asked = question("flux-mini", "gguf", 5.5, PROMPTS, out, catalog, most=2, **SMALL)
    stop = threading.Event()

    def tell(text: str, left_s: float) -> None:
        said.append((text, left_s))
        if text.startswith("swapping") and not stop.is_set() and len(said) > 30:
            stop.set()

    with pytest.raises(Stopped):
        tune(asked, catalog, DEVICE, tell, stop)
    swapped = {text for text, _ in said if text.startswith("swapping")}
    assert swapped
    said.clear()
    stop.clear()
    tuned = tune(asked, catalog, DEVICE, lambda text, left: said.append((text, left)), stop)
    again = {text for text, _ in said if text.startswith("swapping")}
    assert len(swapped & again) <= 1
    assert said[-1][1] < max(left for _, left in said)
    document = write(tuned, DEVICE)
    check_report(document)
    assert json.loads((out / "report.json").read_text(encoding="utf-8")) == document
    text, own = admit_mixes(str(out), CATALOG)
    assert {n: s.id for n, s in own.schemes[text].layers.items()} == document["config"]


def test_torchao_is_tuned_by_the_command_as_a_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the twin of FLUX.1, which has few layers to swap; tests/test_tuning.py does SDNQ."""
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text("\n".join(PROMPTS), encoding="utf-8")
    sizes = ["--count", "2", "--steps", "1", "--width", "64", "--height", "64"]
    asked = ["tune", "--json", "--model", str(twin("flux1")), "--method", "torchao", *sizes]
    assert main([*asked, "--budget-bits", "7", "--prompts", str(prompts), "--out", str(out)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document["config"].values()) == {"torchao-int4wo-cpu", "torchao-int8wo"}
    assert document["bits"] <= 7 <= document["uniform"]["bits"]
    assert document["interval"][0] < document["loss"] < document["interval"][1]
    assert "FqnToConfig" in (out / "image.py").read_text(encoding="utf-8")


def check_report(document: dict[str, Any]) -> None:
    wanted = {"bits", "loss", "uniform", "uniform_plain", "keep", "config", "prompts", "interval"}
    assert wanted <= set(document)
    assert document["bits"] <= 5.5 <= document["uniform"]["bits"]
    assert document["interval"][0] < document["loss"] < document["interval"][1]
    assert not set(document["prompts"]["tuning"]) & set(document["prompts"]["held_out"])
    assert document["prompts"]["drawn"] == len(document["prompts"]["tuning"])
    assert not set(document["prompts"]["tuned_at"]) & set(document["prompts"]["held_out_at"])
    layers = layers_of(tuned_denoiser())
    stored = sum(
        layer.numbers * next(one["bits"] for one in document["layers"] if one["name"] == layer.name)
        for layer in layers
    )
    assert stored / sum(layer.numbers for layer in layers) == pytest.approx(document["bits"])
    # proj_out is by far the most sensitive layer of flux-mini; each layer's ladder falls.
    assert document["layers"][0]["name"] == "proj_out"
    for one in document["layers"]:
        assert one["rel_l2"]["gguf-q8_0"] < one["rel_l2"].get("gguf-q4_k", 1)


def tuned_denoiser() -> Any:
    pool = Bench(CATALOG, DEVICE).pool
    comparison = make_comparison(plans=["fp32"], prompt="")
    return pool.load(MINI, comparison.plans[0], lambda _: None).denoiser


def test_what_is_no_better_is_called_so(tmp_path: Path) -> None:
    one, other = Held((0.1, 0.2), (30.0, 31.0)), Held((0.1, 0.2), (29.0, 32.0))
    gain = gain_db(one, other)
    assert gain.mean == 0
    assert gain.low < 0 < gain.high
    assert span([3.0, 3.0]).low == span([3.0, 3.0]).high == 3
    tuned = replace(_tuned(tmp_path), predicted=0.01, together=0.02)
    assert verdict(tuned).startswith("no better than uniform")
    assert "do not add up" in additive(tuned)
    assert additive(replace(tuned, together=0.011)) == ""


def _tuned(out: Path) -> Tuned:
    from quantlab.lab.tune.tune import Rival

    asked = question("flux-mini", "gguf", 5.5, PROMPTS, out, CATALOG, most=2)
    schemes = CATALOG.schemes
    mix = Rival(schemes["gguf-q5_k"], 5.5, Held((0.1, 0.2), (30.0, 31.0)))
    same = Rival(schemes["gguf-q5_k"], 5.6, Held((0.1, 0.2), (29.5, 32.0)))
    return Tuned(asked, {}, {}, mix, same, same, 0.0, 0.0, CATALOG, 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget_bits": 0.5}, "budget-bits: 0.5; 1 to 16 are allowed"),
        ({"method_id": "nonsense"}, "method: 'nonsense' is not one of"),
        ({"prompts": ("one", "two")}, "prompts: 2 given; at least 4"),
        ({"model_id": "nonsense"}, "model"),
    ],
)
def test_a_wrong_question_is_told_which_part(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    given: dict[str, Any] = {
        "model_id": "flux-mini",
        "method_id": "gguf",
        "budget_bits": 4.5,
        "prompts": PROMPTS,
    }
    with pytest.raises(InputError, match=message):
        question(**{**given, **change}, out=tmp_path, catalog=CATALOG, most=2)


def test_a_budget_that_nothing_meets_is_refused_before_anything_is_measured(
    tmp_path: Path,
) -> None:
    asked = question("flux-mini", "gguf", 1.0, PROMPTS, tmp_path, CATALOG, most=2)
    told: list[str] = []
    with pytest.raises(InputError, match="budget-bits: 1; the smallest schemes here take"):
        tune(asked, CATALOG, DEVICE, lambda text, _: told.append(text), threading.Event())
    assert told == []


@pytest.mark.parametrize(
    ("schemes", "said"),
    [
        (("sdnq-uint4", "sdnq-int8"), "modules_dtype_dict"),
        (("torchao-int4wo-cpu", "torchao-int8wo"), "FqnToConfig"),
    ],
)
def test_a_mix_can_be_one_config_that_plain_diffusers_reads(
    schemes: tuple[str, str], said: str, tmp_path: Path
) -> None:
    """Embedders and last layers stay as they are; the rest holds two schemes by turns."""
    names = [name for name in some_layers() if "blocks" in name]
    layers = {name: schemes[index % 2] for index, name in enumerate(names)}
    mix = mix_of("own", "own", MINI.components[0].shapes, 6.0, layers, CATALOG.schemes)
    catalog = replace(CATALOG, schemes=MappingProxyType({**CATALOG.schemes, mix.id: mix}))
    comparison = make_comparison(
        plans=["fp32", mix.id], prompt=PROMPTS[0], catalog=catalog, **SMALL
    )
    bench = Bench(catalog, DEVICE)
    mixed = compare(comparison, bench=bench, out=tmp_path / "out", warmup=0)[1]
    assert mixed.status == "ok", mixed.error
    predicted = plan_bytes("flux-mini", {"transformer": mix.id}, catalog=catalog)["transformer"]
    assert mixed.weights_bytes["transformer"] == predicted
    text = snippet(comparison, comparison.plans[1], catalog, DEVICE)
    assert said in text
    (tmp_path / "script.py").write_text(text, encoding="utf-8")
    (tmp_path / "data").symlink_to(PROJECT / "data")
    done = warm.run(["-I", tmp_path / "script.py"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert mixed.image is not None
    assert Path(mixed.image).read_bytes() == (tmp_path / "image.png").read_bytes()
