"""LoRAs on quantized Flux: each scheme's rule, verified by what comes out, and what is refused."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import app
from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.loras import lora_names
from quantlab.catalog.paths import OWN_LORAS, PROJECT
from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import InputError, LoadError, PlanError
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.keep.takeaway import take_away
from quantlab.lab.lora.attach import refuse_lora
from quantlab.lab.lora.file import admit_lora, layers
from quantlab.lab.script.pipeline import snippet
from quantlab.record.link import KEYS, from_query, to_query
from quantlab.record.results.export import Live
from quantlab.record.results.frame import frame_of
from quantlab.record.results.grouping import groups
from quantlab.record.results.groups import table
from quantlab.record.store.row import Stored, from_row, input_key, to_row
from quantlab.record.sweeps.table import tidy
from quantlab.ui.state import read_comparison
from quantlab.words.comparison import Comparison
from quantlab.words.lora import Lora
from quantlab.words.outcome import Outcome
from tests import warm
from tests.device import DEVICE
from tests.hub_server import Hub, serve
from tests.test_hub import hub  # noqa: F401
from tests.test_page import values
from tests.test_schemes import TRANSFORMER
from tests.test_snippet import IN_ONE_PROCESS

CATALOG = load_catalog()
MINI = CATALOG.models["flux-mini"]
MONO = PROJECT / "data" / "loras" / "mono" / "pytorch_lora_weights.safetensors"
PROMPT = "a red apple on a blue background"
REPO = "quantlab/mono"
AFTER = ["bf16", "bnb-nf4", "torchao-int8wo", "gguf-q4_k", "sdnq-int8", "bfl-fp8"]
BEFORE = ["sdnq-uint4", "quanto-int8", "layerwise-fp8", "hqq-int4"]
"""Each method's, each way; tools/sweep_all.py tries the others."""
SCRIPTS = ["bnb-nf4", "quanto-int8", "layerwise-fp8"]
SAVED = ["torchao-int8wo", "quanto-int8"]


@pytest.fixture(autouse=True)
def nobody_named_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test names is forgotten after it."""
    monkeypatch.setenv(OWN_LORAS, "")
    monkeypatch.delenv("SPACE_ID", raising=False)


def asked(*plans: str, lora: str | None = "mono", weight: float | None = None) -> Comparison:
    return make_comparison(plans=plans, prompt=PROMPT, steps=1, lora=lora, lora_weight=weight)


def run(comparison: Comparison, out: Path, bench: Bench | None = None) -> list[Outcome]:
    return compare(comparison, bench=bench or Bench(CATALOG, DEVICE), out=out, warmup=0)


def png(outcome: Outcome) -> bytes:
    assert outcome.image is not None, outcome.error
    return Path(outcome.image).read_bytes()


def colour(outcome: Outcome) -> float:
    """How far the channels of a pixel are apart, on average, 0 to 255."""
    pixels = np.asarray(Image.open(outcome.image or ""), dtype=float)
    return float(np.ptp(pixels, axis=-1).mean())


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    root, bench = tmp_path_factory.mktemp("lora"), Bench(CATALOG, DEVICE)
    others = [*AFTER, *BEFORE]
    found = {"plain": run(asked("fp32", lora=None), root / "plain", bench)[0]}
    for start in range(0, len(others), 5):
        comparison = asked("fp32", *others[start : start + 5])
        found |= {o.plan: o for o in run(comparison, root / str(start), bench)}
    return found


@pytest.mark.parametrize("plan", [*AFTER, *BEFORE])
def test_a_scheme_takes_it_the_way_the_catalogue_says(
    plan: str, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[plan]
    assert outcome.error is None
    how = "fused into 27 layers before quantizing" if plan in BEFORE else "on 27 layers"
    assert any(note.startswith(f"LoRA mono, weight 1, {how}") for note in outcome.notes)
    # Without the LoRA a plan is about 0.8 from the reference that carries it.
    assert outcome.transformer_rel_l2 is not None
    assert outcome.transformer_rel_l2 < 0.2


def test_it_does_to_the_image_what_it_was_taught(outcomes: dict[str, Outcome]) -> None:
    assert colour(outcomes["fp32"]) < colour(outcomes["plain"]) / 2
    (told,) = (note for note in outcomes["fp32"].notes if "moves the first step" in note)
    assert 0.3 < float(re.findall(r"by ([\d.]+) ", told)[0]) < 2


def test_every_rule_that_is_measured_can_be_measured_here() -> None:
    single = [s for s in CATALOG.schemes.values() if not s.layers]
    single = [s for s in single if s.way != "auto-round"]  # an extra with packages of its own
    ruled = {s.id for s in single if s.lora and s.lora.evidence == "measured"}
    assert ruled <= set(TRANSFORMER)
    families = {CATALOG.schemes[plan].method for plan in (*AFTER[1:], *BEFORE)}
    assert {CATALOG.schemes[scheme].method for scheme in ruled} == families
    assert all(CATALOG.schemes[plan].lora.way == "before" for plan in BEFORE)  # type: ignore[union-attr]
    assert all(CATALOG.schemes[plan].lora.way == "after" for plan in AFTER[1:])  # type: ignore[union-attr]


def test_afterwards_everything_is_as_it_was_to_the_bit(tmp_path: Path) -> None:
    bench, plans = Bench(CATALOG, DEVICE), ("fp32", "bnb-nf4", "quanto-int8")
    first = run(asked(*plans, lora=None), tmp_path / "1", bench)
    worn = run(asked(*plans), tmp_path / "2", bench)
    again = run(asked(*plans, lora=None), tmp_path / "3", bench)
    weak = run(asked(*plans, weight=0.5), tmp_path / "4", bench)
    assert [png(o) for o in first] == [png(o) for o in again]
    assert [o.weights_bytes for o in first] == [o.weights_bytes for o in again]
    for plain, full, half in zip(first, worn, weak, strict=True):
        assert len({png(plain), png(full), png(half)}) == 3
    adapter = MONO.stat().st_size * 2  # fp16 in the file
    for plain, full in list(zip(first, worn, strict=True))[:2]:
        more = full.weights_bytes["transformer"] - plain.weights_bytes["transformer"]
        assert more == pytest.approx(adapter, rel=0.05)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, bytes]]:
    """Our image and that of a script or a saved folder, all run in one process without quantlab."""
    root, ours, scripts = tmp_path_factory.mktemp("scripts"), {}, {}
    bench = Bench(CATALOG, DEVICE)
    for plan in SCRIPTS:
        comparison, folder = asked(plan, weight=0.8), root / plan
        folder.mkdir()
        (folder / "data").symlink_to(PROJECT / "data")
        ours[folder] = png(run(comparison, root / f"{plan}-ours", bench)[0])
        scripts[folder] = snippet(comparison, comparison.plans[0], CATALOG, DEVICE)
        assert "peft==" in scripts[folder].partition("import ")[0]
    for plan in SAVED:
        comparison, folder = asked(plan, weight=0.8), root / f"{plan}-saved"
        ours[folder] = png(run(comparison, root / f"{plan}-saved-ours", bench)[0])
        take_away(comparison, folder, catalog=CATALOG, device=DEVICE)
        card = (folder / "README.md").read_text()
        assert "carries the LoRA mono, weight 0.8" in card
        scripts[folder] = re.findall(r"```python\n(.*?)```", card, re.S)[0]
    for folder, text in scripts.items():
        (folder / "script.py").write_text(text)
    folders = json.dumps([str(folder) for folder in scripts])
    done = warm.run(["-I", "-c", IN_ONE_PROCESS, folders], cwd=root)
    assert done.returncode == 0, done.stderr[-2000:]
    return {f.name: (image, (f / "image.png").read_bytes()) for f, image in ours.items()}


@pytest.mark.parametrize("name", [*SCRIPTS, *(f"{plan}-saved" for plan in SAVED)])
def test_scripts_and_saved_folders_make_the_same_image_to_the_bit(
    name: str, pairs: dict[str, tuple[bytes, bytes]]
) -> None:
    ours, theirs = pairs[name]
    assert ours == theirs


@pytest.mark.parametrize(
    ("plan", "placement", "said"),
    [
        ("torchao-int4wo", "cpu", "torchao-int4wo is not known to take a LoRA; the nearest"),
        ("bnb-nf4@compiled", "cpu", "eager weights only; leave @compiled away"),
        ("bnb-nf4", "group-offload", "group offload only, under which a LoRA was not tried"),
    ],
)
def test_what_is_not_known_to_work_is_refused(plan: str, placement: str, said: str) -> None:
    comparison = asked(plan)
    with pytest.raises(PlanError, match=said):
        refuse_lora(comparison, comparison.plans[0], CATALOG, placement)
    refuse_lora(comparison.changed(lora=None), comparison.plans[0], CATALOG, placement)


def test_what_was_fused_before_may_be_compiled() -> None:
    comparison = asked("quanto-int8@compiled")
    refuse_lora(comparison, comparison.plans[0], CATALOG, "group-offload")


# Wrong files


def _changed(path: Path, change: str) -> Path:
    tensors = load_file(MONO)
    if change == "other":
        tensors = {k.replace("blocks.", "blocks.9"): v for k, v in tensors.items()}
    elif change == "wide":
        tensors = {
            k: torch.zeros(v.shape[0], 3072) if "lora_A" in k else v for k, v in tensors.items()
        }
    elif change == "encoder":
        tensors |= {"text_encoder.layers.0.q_proj.lora_A.weight": torch.zeros(4, 256)}
    elif change == "idle":
        tensors = {k: torch.zeros_like(v) if "lora_B" in k else v for k, v in tensors.items()}
    save_file(tensors, path)
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("other", "26 of its 27 layers are not there, such as single_transformer_blocks.90"),
        ("wide", "the LoRA's input is 3072 wide"),
        ("encoder", "changes text_encoder; only linear layers of the transformer are taken"),
    ],
)
def test_a_lora_that_does_not_fit_says_so(change: str, said: str, tmp_path: Path) -> None:
    path = _changed(tmp_path / "x.safetensors", change)
    with pytest.raises(LoadError) as caught:
        layers(path, Lora("x"), MINI)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_lora_that_changes_nothing_and_a_broken_one_are_failed_rows(tmp_path: Path) -> None:
    idle, broken = _changed(tmp_path / "idle.safetensors", "idle"), tmp_path / "broken.safetensors"
    broken.write_bytes(MONO.read_bytes())
    app.add_loras([str(idle), str(broken)])
    broken.write_bytes(MONO.read_bytes()[:5000])  # after it was named; before, it is refused
    with pytest.raises(InputError, match=r"lora: broken.safetensors is not a whole safetensors"):
        admit_lora(str(broken))
    named = {name.partition("@")[0]: name for name in lora_names(MINI)}
    after, before = run(asked("fp32", "quanto-int8", lora=named["idle"]), tmp_path / "1")
    assert after.error is not None
    assert before.error is not None
    assert (after.error.stage, before.error.stage) == ("verify", "verify")
    assert "changes nothing" in after.error.message
    assert "changes none of the base weights" in before.error.message
    (outcome,) = run(asked("fp32", lora=named["broken"]), tmp_path / "2")
    assert outcome.error is not None
    assert "is none that diffusers reads" in outcome.error.message
    assert str(tmp_path) not in outcome.error.message


# Names


@pytest.mark.parametrize(
    "name", ["nobody", "/etc/passwd", "../mono", "data/loras/mono", "a/b:../x.safetensors", "a/b:c"]
)
def test_a_path_or_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="lora: unknown LoRA"):
        asked("fp32", lora=name)


@pytest.mark.parametrize("weight", [0, -0.0, 4.1, float("nan"), True, "1"])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(InputError, match=r"lora-weight: .* are allowed"):
        asked("fp32", weight=weight)


def test_a_weight_needs_a_lora() -> None:
    with pytest.raises(InputError, match="lora-weight: goes with a LoRA"):
        asked("fp32", lora=None, weight=1.0)


def test_a_space_takes_listed_ones_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = _changed(tmp_path / "mine.safetensors", "")
    app.add_loras([str(path)])
    mine = lora_names(MINI)[-1]
    assert asked("fp32", lora=mine).lora == mine
    monkeypatch.setenv("SPACE_ID", "someone/space")
    assert asked("fp32").lora == "mono"
    for name in (mine, REPO):
        with pytest.raises(InputError, match="a Space takes only those that are: mono"):
            asked("fp32", lora=name)


def test_app_takes_a_folder_and_nothing_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder or safetensors file"):
        app.add_loras(["not a name"])
    assert app.add_loras(["owner/name@main"]) == ("owner/name",)
    with pytest.raises(InputError, match="has no safetensors file"):
        app.add_loras([str(tmp_path)])


def test_the_command_line_takes_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "My Look"
    folder.mkdir()
    _changed(folder / "any.safetensors", "")
    given = ["--plans", "fp32", "--lora", str(folder), "--lora-weight", "0.7", "--json"]
    out = ["--steps", "1", "--warmup", "0", "--out", str(tmp_path / "out")]
    assert main(["compare", *given, *out]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["outcomes"][0]["status"] == "ok"
    name = document["comparison"]["lora"]
    assert re.fullmatch(r"my-look@[0-9a-f]{12}", name)
    assert document["comparison"]["lora_weight"] == 0.7
    assert main(["link", *given]) == 0
    url = json.loads(capsys.readouterr().out)["url"]
    assert url.endswith(f"&lora={name}&lora_weight=0.7")
    assert main(["link", "--plans", "fp32", "--lora", "nobody"]) == 2
    assert "unknown LoRA 'nobody'" in capsys.readouterr().err


# Keys


def test_nothing_changes_where_no_lora_is_named() -> None:
    plain, worn = asked("fp32", lora=None), asked("fp32")
    assert "lora" not in to_query(plain)
    assert set(plain.as_dict()) == {*KEYS} - {"v"}
    assert set(worn.as_dict()) - set(plain.as_dict()) == {"lora", "lora_weight"}
    keys = {input_key(c, c.plans[0]) for c in (plain, worn, asked("fp32", weight=0.5))}
    assert len(keys) == 3


@pytest.mark.parametrize("name", ["mono", REPO, f"{REPO}@v1:sub/a b.safetensors"])
def test_links_and_stored_rows_keep_it(name: str) -> None:
    comparison = asked("fp32", lora=name, weight=-0.25)
    assert from_query(to_query(comparison)) == comparison
    assert make_comparison(**comparison.as_dict()) == comparison  # type: ignore[arg-type]
    when = "2025-11-21T08:21:00.000000Z"
    stored = Stored("", comparison, "fp32", Outcome("fp32", "ok"), None, {}, {}, when)
    row = to_row(stored)
    assert from_row("", when, None, row["record"], None).comparison == comparison


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        ("&lora=..%2Fx", "lora: unknown LoRA '../x'"),
        ("&lora=mono&lora=mono", "lora: is given twice"),
        ("&lora=mono&lora_weight=x", "lora_weight: 'x' is not a number"),
        ("&lora=mono&lora_weight=9", "lora-weight: 9; -4 to 4 are allowed"),
        ("&lora_weight=1", "lora-weight: goes with a LoRA"),
    ],
)
def test_a_bad_link_names_the_part(tail: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        from_query(to_query(asked("fp32", lora=None)) + tail)
    assert str(caught.value).startswith(said)


def test_the_page_hands_it_over() -> None:
    given = values("fp32", "bnb-nf4")
    assert read_comparison(given, CATALOG).carried is None
    given |= {"lora": "mono", "lora_weight": 0.5}
    assert read_comparison(given, CATALOG).carried == Lora("mono", 0.5)
    given["lora_weight"] = None
    with pytest.raises(InputError, match="lora-weight: is empty"):
        read_comparison(given, CATALOG)


def test_results_with_a_lora_stand_apart_and_say_so() -> None:
    def record(comparison: Comparison) -> dict[str, object]:
        outcome = Outcome("fp32", "ok", latency_s=(1.0,))
        return {**tidy(Live(comparison, outcome)), "evidence": "measured"}

    strong, weak = asked("fp32"), asked("fp32", weight=0.5)
    found = groups(frame_of([record(asked("fp32", lora=None)), record(strong), record(weak)]))
    weights = {group.settings.get("lora_weight") for group in found}
    assert weights == {None, 1.0, 0.5}
    assert {"LoRA mono, weight 0.5" in table(group).caption for group in found} == {True, False}


# The hub


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with serve(MONO.parent, REPO) as found:
        yield found


def test_a_lora_of_the_hub_is_fetched_once(hub: Hub, tmp_path: Path) -> None:  # noqa: F811
    ours = run(asked("fp32"), tmp_path / "1")[0]
    theirs = run(asked("fp32", lora=REPO), tmp_path / "2")[0]
    run(asked("fp32", lora=f"{REPO}:{MONO.name}"), tmp_path / "3")
    assert png(ours) == png(theirs)
    assert hub.fetched() == [MONO.name]


@pytest.mark.parametrize(
    ("name", "gated", "said"),
    [
        (REPO, True, "quantlab/mono is gated; accept its licence"),
        ("quantlab/nobody", False, "the hub has no model quantlab/nobody"),
        (f"{REPO}:other.safetensors", False, "quantlab/mono has no file 'other.safetensors'"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(
    name: str,
    gated: bool,
    said: str,
    hub: Hub,  # noqa: F811
    tmp_path: Path,
) -> None:
    hub.faults.gated = gated
    error = run(asked("fp32", lora=name), tmp_path)[0].error
    assert error is not None
    assert error.stage == "load"
    assert error.message.startswith(said)


def test_the_recipe_makes_one_that_fits(tmp_path: Path) -> None:
    from tools.flux_mini.lora import train

    state = torch.random.get_rng_state()
    path = train(tmp_path, steps=2)
    torch.random.set_rng_state(state)
    assert layers(path, Lora("quick"), MINI) == 27
    assert os.path.getsize(path) < 300_000
