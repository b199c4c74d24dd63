"""Quantized components kept on disk: reloaded instead of quantized, whole, and never mistaken."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import InputError, VerificationError
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.bench.run import forward
from quantlab.lab.keep import variants
from quantlab.lab.keep.bounded_folder import Shelf
from quantlab.lab.keep.saving import Difference, cannot_save, difference
from quantlab.lab.keep.variants import RELOADED, Variants
from quantlab.lab.libraries import versions
from quantlab.lab.load.keys import keys_of
from quantlab.lab.load.part import Base, Part, part_of
from quantlab.lab.load.pool import LoadedPlan, Pool
from quantlab.lab.probe.subject import Subject
from quantlab.words.outcome import Outcome
from tests.device import DEVICE
from tests.hub_server import Hub
from tests.test_hub import MINI as HUB_MINI
from tests.test_hub import SHARD, hub, server  # noqa: F401

CATALOG = load_catalog()
MINI = CATALOG.models["flux-mini"]
PROMPT = "a red apple on a blue background"
CONFIG = "PipelineQuantizationConfig"
GIB = 2**30
TWO_PLANS = "transformer=torchao-int8wo,text_encoder_2=torchao-int8wo"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is opted for."""
    monkeypatch.setenv("QUANTLAB_VARIANTS", str(tmp_path / "variants"))
    monkeypatch.delenv("QUANTLAB_VARIANTS_LIMIT_GIB", raising=False)
    return tmp_path / "variants"


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def load(folder: Path, plan: str, limit: int = GIB) -> LoadedPlan:
    """The plan, loaded by a pool that holds nothing yet."""
    pool = Pool(0, CATALOG, DEVICE, Variants(folder, limit))
    return pool.load(MINI, parse_plan(plan, MINI), lambda _: None)


def shown(plan: str, out: Path) -> Outcome:
    """The outcome of one plan in a bench of its own."""
    comparison = make_comparison(plans=[plan], prompt=PROMPT, steps=2)
    (outcome,) = compare(comparison, bench=Bench(CATALOG, DEVICE), out=out, warmup=0)
    assert outcome.status == "ok", outcome.error
    return outcome


def pixels(outcome: Outcome) -> bytes:
    return Path(outcome.image or "").read_bytes()


@pytest.mark.parametrize("plan", [TWO_PLANS, "sdnq-uint4", "quanto-int8", "text_encoder_2=bnb-nf4"])
def test_the_second_time_it_comes_from_disk_and_makes_the_same_image(
    plan: str, folder: Path, tmp_path: Path
) -> None:
    first = shown(plan, tmp_path / "1")
    assert first.way == CONFIG
    assert any("was kept on disk" in note for note in first.notes)
    assert len(entries(folder)) == len(dict(parse_plan(plan, MINI).parts))
    second = shown(plan, tmp_path / "2")
    assert second.way == RELOADED == "reloaded from disk"
    assert second.notes == ()  # the same to the bit: nothing to be said
    assert second.weights_bytes == first.weights_bytes
    assert pixels(second) == pixels(first)


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUANTLAB_VARIANTS", raising=False)
    for turn in "12":
        outcome = shown("torchao-int8wo", tmp_path / turn)
        assert (outcome.way, outcome.notes) == (CONFIG, ())


def test_a_difference_that_is_not_zero_is_in_the_notes(folder: Path) -> None:
    load(folder, "quanto-int8")
    (entry,) = entries(folder)
    record = json.loads((entry / "entry.json").read_text())
    assert record["about"] == {"tensors": record["about"]["tensors"], "changed": 0, "rel_l2": 0.0}
    record["about"] |= {"changed": 3, "rel_l2": 0.00123}
    (entry / "entry.json").write_text(json.dumps(record))
    (note,) = load(folder, "quanto-int8").notes
    assert note.startswith("transformer was reloaded from disk, not quantized here: 3 of ")
    assert "0.0012 (relative L2)" in note


def test_one_bit_is_a_difference() -> None:
    before, after = (torch.nn.Linear(4, 4) for _ in range(2))
    after.load_state_dict(before.state_dict())
    assert difference(before, after) == Difference(2, 0, 0.0)
    with torch.no_grad():
        after.weight[0, 0] *= 1.5
    found = difference(before, after)
    assert (found.tensors, found.changed) == (2, 1)
    norm = float(before.weight.detach().double().norm())
    assert found.rel_l2 == pytest.approx(float(before.weight.detach()[0, 0].abs()) * 0.5 / norm)
    assert difference(before, torch.nn.Linear(4, 5)).rel_l2 == float("inf")
    assert difference(before, torch.nn.Linear(4, 4, bias=False)).rel_l2 == float("inf")


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "record", "half-record"])
def test_a_damaged_entry_is_not_used_and_written_again(damage: str, folder: Path) -> None:
    load(folder, "torchao-int8wo")
    (entry,) = entries(folder)
    weights, record = next(entry.glob("*.safetensors")), entry / "entry.json"
    content = bytearray(weights.read_bytes())
    if damage == "flip":
        content[-1000] ^= 1
        weights.write_bytes(content)
    elif damage == "cut":
        weights.write_bytes(content[:-1000])
    elif damage == "missing":
        weights.unlink()
    elif damage == "record":
        record.unlink()
    else:
        record.write_text(record.read_text()[:100])
    again = load(folder, "torchao-int8wo")
    assert again.way == CONFIG
    assert load(folder, "torchao-int8wo").way == RELOADED
    assert entries(folder) == [entry]


def test_what_is_reloaded_is_verified(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(folder, "torchao-int8wo")
    plain = Subject("torchao-int8wo", CATALOG, DEVICE)
    full = (
        Pool(0, CATALOG, DEVICE)
        .load(MINI, parse_plan("fp32", MINI), lambda _: None)
        .pipe.transformer
    )
    monkeypatch.setattr(variants, "reload", lambda *_: full)
    again = load(folder, "torchao-int8wo")
    assert again.way == CONFIG  # full width came back: it is quantized
    with pytest.raises(VerificationError):
        variants.verify(full, plain.facts, "transformer")


def test_other_versions_weights_and_dtypes_are_other_entries(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Variants(folder, GIB)
    asked = part("torchao-int8wo")

    def key(folder: Path = PROJECT / MINI.source, **other: Any) -> str:
        base = Base(other.get("model", MINI))
        base.folder = str(folder)
        found = shelf.variant(replace(asked, base=base, **other), CATALOG)
        assert found is not None
        return json.dumps(found._key, sort_keys=True)

    copy = tmp_path / "flux-mini" / "transformer"
    copy.mkdir(parents=True)
    (copy / "x.safetensors").write_bytes(b"other weights")
    far = replace(MINI, local=False)
    keys = [
        key(),
        key(dtype="torch.bfloat16"),
        key(device="cuda"),
        key(scheme=CATALOG.schemes["torchao-fp8wo"]),
        key(folder=copy.parent),
        key(model=far, folder=Path("snapshots/" + "a" * 40)),
        key(model=far, folder=Path("snapshots/" + "b" * 40)),
    ]
    installed = versions()
    monkeypatch.setattr(variants, "versions", lambda: installed | {"torchao": "99"})
    keys.append(key())
    assert len(set(keys)) == len(keys)


def test_the_least_recently_used_goes_first(folder: Path) -> None:
    load(folder, "torchao-int8wo")
    (first,) = entries(folder)
    size = json.loads((first / "entry.json").read_text())["bytes"]
    load(folder, "torchao-fp8wo", limit=3 * size)
    (second,) = set(entries(folder)) - {first}
    os.utime(second / "entry.json", (1, 1))
    load(folder, "quanto-int8", limit=int(2.5 * size))  # room for two
    assert second not in entries(folder)
    assert first in entries(folder)
    assert load(folder, "torchao-int8wo").way == RELOADED


def test_what_is_larger_than_the_limit_is_not_kept_and_the_plan_runs(folder: Path) -> None:
    loaded = load(folder, "torchao-int8wo", limit=2**20)
    assert entries(folder) == []
    assert any("no room" in note for note in loaded.notes)


def test_a_folder_that_cannot_be_written_is_a_note(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    (note,) = load(file, "torchao-int8wo").notes
    assert note.startswith("transformer in torchao-int8wo could not be kept on disk")


def test_what_a_killed_process_left_is_swept_and_foreign_files_stay(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 1000)
    stale, fresh, foreign = (tmp_path / n for n in (".part-old", ".part-new", "my-model"))
    for path in (stale, fresh, foreign):
        path.mkdir()
        (path / "weights").write_bytes(b"x")
    hour = time.time() - 4000
    os.utime(stale / "weights", (hour, hour))
    os.utime(stale, (hour, hour))
    assert shelf.put({"a": 1}, 10, _writer(b"1234567890"))
    assert not stale.exists()
    assert fresh.exists()
    assert (foreign / "weights").exists()
    entry = shelf.get({"a": 1})
    assert entry is not None
    assert entry.about == {"said": 1}
    assert (entry.folder / "w").read_bytes() == b"1234567890"
    assert shelf.get({"a": 2}) is None


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", 1000)

    def write(folder: Path) -> dict[str, Any]:
        (folder / "w").write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        shelf.put({"a": 1}, 10, write)
    assert list((tmp_path / "shelf").iterdir()) == []


def _writer(content: bytes) -> Any:
    def write(folder: Path) -> dict[str, int]:
        (folder / "w").write_bytes(content)
        return {"said": 1}

    return write


IN_A_PROCESS = """
import sys
from pathlib import Path
from quantlab.lab.keep.bounded_folder import Shelf
shelf, name = Shelf(Path(sys.argv[1]), 250_000), sys.argv[2]

def write(folder):
    for part in range(10):
        (folder / str(part)).write_bytes(bytes([int(what)]) * 10_000)
    return {"of": what}

for turn in range(60):
    what = str((turn * int(name)) % 4)
    shelf.put({"what": what}, 100_000, write)
    entry = shelf.get({"what": what})
    if entry is not None:
        try:
            read = {(entry.folder / str(part)).read_bytes() for part in range(10)}
        except FileNotFoundError:
            continue  # made room for another since
        assert read == {bytes([int(what)]) * 10_000}, what
"""


def test_processes_share_a_folder(tmp_path: Path) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", IN_A_PROCESS, str(tmp_path / "shelf"), name],
            cwd=PROJECT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("1", "3", "1")
    ]
    for process in running:
        _, said = process.communicate()
        assert process.returncode == 0, said
    left = list((tmp_path / "shelf").iterdir())
    assert 1 <= len(left) <= 2  # the limit has room for two, and nothing half-written stays
    assert not [path for path in left if path.name.startswith(".")]


@pytest.mark.parametrize("text", ["much", "0", "-1", "nan"])
def test_a_limit_that_is_none_is_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTLAB_VARIANTS", str(tmp_path))
    monkeypatch.setenv("QUANTLAB_VARIANTS_LIMIT_GIB", text)
    with pytest.raises(InputError, match="QUANTLAB_VARIANTS_LIMIT_GIB"):
        variants.opted()


def part(plan: str) -> Part:
    """What a plan of flux-mini quantizes, on a CPU."""
    model, parsed = CATALOG.models["flux-mini"], parse_plan(plan, CATALOG.models["flux-mini"])
    return part_of(keys_of(model, parsed)[parsed.parts[0][0]], model, CATALOG, "cpu")


@pytest.mark.parametrize(
    ("scheme", "library", "said"),
    [
        ("torchao-int8wo", "diffusers", None),
        ("sdnq-int8", "transformers", None),
        ("quanto-int4", "diffusers", None),
        ("quanto-int4", "transformers", "transformers does not save it"),
        ("bnb-nf4", "transformers", None),
        ("bnb-nf4", "diffusers", "refuses it on a CPU"),
        ("gguf-q4_0", "diffusers", "the GGUF file is the saved form"),
        ("layerwise-fp8", "diffusers", "of full width"),
    ],
)
def test_which_schemes_can_be_saved(scheme: str, library: str, said: str | None) -> None:
    name = {"diffusers": "transformer", "transformers": "text_encoder_2"}[library]
    found = cannot_save(part(f"{name}={scheme}"), CATALOG)
    assert found is None if said is None else said in (found or "")


def test_what_can_be_saved_is_what_the_probe_measured() -> None:
    """The rule against data/results/probe-cpu.csv: transformers, saved and reloaded."""
    with open(PROJECT / "data/results/probe-cpu.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["capability"] == "save-reload"]
    rows = [row for row in rows if row["component"] == "transformer"]
    assert len(rows) > 10
    for row in rows:
        refused = cannot_save(part(row["scheme"]), CATALOG)
        assert (refused is None) == (row["measured"] == "yes"), row["scheme"]


def test_a_scheme_that_cannot_be_saved_is_quantized_each_time(folder: Path) -> None:
    for _ in range(2):
        loaded = load(folder, "bnb-nf4")
        assert loaded.way == "the library, on the loaded component"
        assert loaded.notes == ()
    assert not folder.exists()


def test_base_weights_are_not_downloaded_for_what_is_kept(
    hub: Hub,  # noqa: F811
    folder: Path,
) -> None:
    catalog = replace(CATALOG, models={"flux-mini": HUB_MINI})

    def again() -> LoadedPlan:
        shutil.rmtree(constants.HF_HUB_CACHE, ignore_errors=True)
        hub.requests.clear()
        pool = Pool(0, catalog, DEVICE, Variants(folder, GIB))
        return pool.load(HUB_MINI, parse_plan("torchao-int8wo", MINI), lambda _: None)

    assert again().way == CONFIG
    assert SHARD in hub.fetched()
    assert again().way == RELOADED
    assert SHARD not in hub.fetched()
    (entry,) = entries(folder)
    next(entry.glob("*.safetensors")).unlink()
    assert again().way == CONFIG  # damaged: now the base is needed after all
    assert SHARD in hub.fetched()


@pytest.mark.parametrize("isolate", [False, True])
def test_the_command_line_names_the_folder(
    isolate: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("QUANTLAB_VARIANTS", "")  # set back when the test is over
    monkeypatch.setenv("QUANTLAB_VARIANTS_LIMIT_GIB", "")
    compare = ["compare", "--plans", "torchao-int8wo", "--steps", "1", "--warmup", "0", "--json"]
    compare += ["--out", str(tmp_path / "out"), "--variants", str(tmp_path / "kept")]
    compare += ["--isolate"] if isolate else []
    ways = []
    for _ in range(2):
        assert main([*compare, "--variants-gib", "0.5"]) == 0
        (outcome,) = json.loads(capsys.readouterr().out)["outcomes"]
        ways.append(outcome["way"])
    assert ways == [CONFIG, RELOADED]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--variants-gib", "1"], "variants-gib: goes with --variants"),
        (["--variants", "kept", "--variants-gib", "0"], "variants-gib: '0.0' is not a number"),
        (["--variants", "/dev/null"], "variants: is not a folder"),
    ],
)
def test_a_limit_that_means_nothing_is_refused(
    more: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("QUANTLAB_VARIANTS", "")
    monkeypatch.setenv("QUANTLAB_VARIANTS_LIMIT_GIB", "")
    assert main(["compare", "--plans", "fp32", *more]) == 2
    assert said in capsys.readouterr().err


def test_the_output_of_what_is_reloaded_is_the_same(folder: Path) -> None:
    first = load(folder, "torchao-int8wo")
    again = load(folder, "torchao-int8wo")
    assert again.way == RELOADED
    subject = Subject("torchao-int8wo", CATALOG, DEVICE)
    step = subject.run(first.pipe).first
    output = forward(again.pipe.transformer, step, subject.dtype, DEVICE.target)
    assert torch.equal(output, subject.output(first.pipe.transformer, step))
