"""What is taken away loads with plain diffusers, and makes the image that the plan made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.models.schema import Licence
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import InputError, LoadError, PlanError
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.keep import takeaway
from quantlab.lab.keep.model_card import model_card
from quantlab.lab.keep.saving import Difference
from quantlab.lab.keep.takeaway import quantized, take_away
from quantlab.lab.libraries import torch
from quantlab.lab.load.pool import LoadedPlan
from quantlab.words.comparison import Comparison
from tests import warm
from tests.device import DEVICE

CATALOG = load_catalog()
PROMPT = 'a green frog\'s "hat" on a white background'
BOTH = "transformer=torchao-int8wo,text_encoder_2=sdnq-int8"
ON: dict[str, Any] = {"catalog": CATALOG, "device": DEVICE}


def asked(plan: str, model: str = "flux-mini") -> Comparison:
    small = {"steps": 2, "width": 64, "height": 64} if model == "flux-mini" else {}
    return make_comparison(model=model, plans=[plan], prompt=PROMPT, **small)


def code(folder: Path) -> str:
    """The Python of the card."""
    return (folder / "README.md").read_text().partition("```python\n")[2].partition("```")[0]


def alone(script: str, folder: Path) -> bytes:
    """The image that ``script`` writes in ``folder`` in a process that cannot import quantlab."""
    head = f"import torch\ntorch.set_num_threads({torch().get_num_threads()})\n"
    # -I: neither the current folder nor PYTHONPATH is searched, so quantlab cannot be imported.
    done = warm.run(["-I", "-c", head + script], cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return (folder / "image.png").read_bytes()


@pytest.mark.parametrize("plan", [BOTH, "quanto-int4"])
def test_plain_diffusers_makes_the_same_image_by_the_card(plan: str, tmp_path: Path) -> None:
    comparison = asked(plan)
    (outcome,) = compare(comparison, bench=Bench(CATALOG, DEVICE), out=tmp_path / "ours", warmup=0)
    saved = take_away(comparison, tmp_path / "away", **ON)
    assert saved.differences.keys() == dict(comparison.plans[0].parts).keys()
    assert not any(d.changed for d in saved.differences.values())
    assert (
        alone(code(tmp_path / "away"), tmp_path / "away") == Path(outcome.image or "").read_bytes()
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["away", "ours"]


def test_the_components_alone_go_with_the_base_model(tmp_path: Path) -> None:
    comparison = asked("torchao-int8wo")
    (outcome,) = compare(comparison, bench=Bench(CATALOG, DEVICE), out=tmp_path / "ours", warmup=0)
    saved = take_away(
        comparison, tmp_path / "away", components_only=True, catalog=CATALOG, device=DEVICE
    )
    assert sorted(p.name for p in saved.folder.iterdir()) == ["README.md", "transformer"]
    usual = (tmp_path / "ours").stat().st_mode  # a server may be another user
    assert {path.stat().st_mode for path in (saved.folder, saved.folder / "transformer")} == {usual}
    modes = {path.stat().st_mode for path in saved.folder.rglob("*") if path.is_file()}
    assert modes == {(saved.folder / "README.md").stat().st_mode}
    assert saved.bytes < 12 * 2**20
    (saved.folder / "data").symlink_to(PROJECT / "data")
    script = code(saved.folder)
    assert "data/flux-mini" in script
    assert alone(script, saved.folder) == Path(outcome.image or "").read_bytes()


def test_the_card_names_plan_versions_and_licence_and_no_place(tmp_path: Path) -> None:
    folder = take_away(
        asked("torchao-int8wo"), tmp_path / "away", catalog=CATALOG, device=DEVICE
    ).folder
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert "by the plan `torchao-int8wo`" in card
    assert "are the same to the bit" in card
    for name in ("torch", "diffusers", "torchao"):
        assert f"- {name} " in card
    assert "apache-2.0, holds for them too" in card
    config = json.loads((folder / "transformer" / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == "torchao"
    for path in folder.rglob("*.json"):
        assert str(PROJECT) not in path.read_text(), path


def test_the_card_of_a_gated_model_names_its_repository_and_licence() -> None:
    comparison = asked("transformer=bnb-nf4,text_encoder_2=sdnq-int8", "flux1-dev")
    parts = quantized(comparison, CATALOG, DEVICE)
    sizes = dict.fromkeys(parts, 2**30)
    loaded = LoadedPlan(None, {}, sizes, 0.0, "", "resident", DEVICE)
    differences = dict.fromkeys(parts, Difference(3, 1, 0.00123))
    for only in (True, False):
        card = model_card(comparison, parts, loaded, differences, only, CATALOG)
        assert "license: other\nlicense_name: flux-1-dev-non-commercial-license" in card
        assert "base_model: black-forest-labs/FLUX.1-dev\nbase_model_relation: quantized" in card
        assert "1 of 3 tensors differ, by 0.0012 (relative L2) at most" in card
        assert "accepts it first" in card
        script = card.partition("```python\n")[2].partition("```")[0]
        compile(script, "card", "exec")
        assert "import sdnq" in script  # transformers does not know sdnq by itself
        assert ("black-forest-labs" in script) == only


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("gguf-q4_0", "the GGUF file is the saved form; diffusers writes none"),
        ("bnb-nf4", "diffusers refuses it on a CPU"),
        ("layerwise-fp8", "of full width"),
        ("text_encoder_2=quanto-int8", "transformers does not save it"),
        ("fp32", "only what a library quantizes is saved"),
        ("transformer=bf16,text_encoder_2=sdnq-int8", "only what a library quantizes is saved"),
        ("torchao-int8wo@compiled", "compiled code is not saved"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_anything_is_loaded(
    plan: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeaway, "Pool", _never)
    with pytest.raises(PlanError) as refused:
        take_away(asked(plan), tmp_path / "away", **ON)
    assert said in str(refused.value)
    assert list(tmp_path.iterdir()) == []
    _, found, other = str(refused.value).partition("the nearest that can is ")
    if "cannot be saved" in str(refused.value):
        assert found
        name = "text_encoder_2" if "text_encoder" in plan else "transformer"
        takeaway.refuse_unsaveable(asked(f"{name}={other}"), CATALOG, DEVICE)  # and it can


def _never(*_: Any) -> None:
    raise AssertionError("loaded")


def test_a_folder_that_holds_something_is_refused_and_left(tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "mine").write_text("mine")
    with pytest.raises(InputError, match="out: is there already and not empty"):
        take_away(asked("torchao-int8wo"), tmp_path / "away", **ON)
    assert (tmp_path / "away" / "mine").read_text() == "mine"
    with pytest.raises(InputError, match="out"):
        take_away(
            asked("torchao-int8wo"),
            tmp_path / "away" / "mine" / "deeper",
            catalog=CATALOG,
            device=DEVICE,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["away"]


def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(*_: Any) -> None:
        raise LoadError("transformer in torchao-int8wo comes back changed")

    monkeypatch.setattr(takeaway, "read_back", changed)
    with pytest.raises(LoadError, match="comes back changed"):
        take_away(asked("torchao-int8wo"), tmp_path / "away", **ON)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_saves_and_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "away").mkdir()  # empty: may be used
    away = str(tmp_path / "away")
    assert main(["save", "--plan", "sdnq-int8", "--out", away, "--steps", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["out"] == away
    assert document["plan"] == "sdnq-int8"
    assert document["reload"]["transformer"]["changed"] == 0
    files = [p for p in Path(away).rglob("*") if p.is_file()]
    assert document["bytes"] == sum(path.stat().st_size for path in files)
    assert main(["save", "--plan", "sdnq-int8", "--out", away]) == 2
    assert "out: is there already" in capsys.readouterr().err
    assert main(["save", "--plan", "gguf-q4_0", "--out", str(tmp_path / "other")]) == 2
    assert "cannot be saved" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("licence", "front", "said"),
    [
        ("some-licence", "license: other\nlicense_name: some-licence\n", "some-licence, holds"),
        ("", "license: other\nlibrary_name", "which is not known here, holds"),
    ],
)
def test_a_model_of_ones_own_is_named_without_its_place(
    licence: str, front: str, said: str
) -> None:
    comparison = asked("torchao-int8wo")
    model = replace(
        CATALOG.models["flux-mini"],
        licence=Licence(licence, licence, "unknown"),
        source="/home/somebody/models/my-flux",
    )
    catalog = replace(CATALOG, models={"flux-mini": model})
    parts = quantized(comparison, catalog, DEVICE)
    loaded = LoadedPlan(None, {}, dict.fromkeys(parts, 1), 0.0, "", "cpu", DEVICE)
    differences = dict.fromkeys(parts, Difference(1, 0, 0.0))
    card = model_card(comparison, parts, loaded, differences, True, catalog)
    assert front in card
    assert said in card
    assert "base_model" not in card.partition("---\n\n")[0]
    assert "from_pretrained('my-flux', transformer=transformer" in card
    assert "somebody" not in card
