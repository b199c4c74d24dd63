"""Results go from one machine to another whole; a file that is not right leaves nothing behind."""

from __future__ import annotations

import base64
import copy
import io
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from quantlab.cli import main
from quantlab.errors import InputError
from quantlab.record.results.file import pieces
from quantlab.record.results.importing import read_results
from quantlab.record.store.store import Store, Stored
from quantlab.words.metrics import SCORES
from quantlab.words.outcome import Failure, NoiseFloor, Outcome
from quantlab.words.plan import Plan
from quantlab.words.settings import SETTINGS
from tests.stored_rows import asked

NF4 = Plan((("transformer", "bnb-nf4"),))
BOTH = Plan((("transformer", "future-int3"), ("text_encoder_2", "torchao-int8wo")), compiled=True)
PLANS = (Plan(dtype="fp32"), NF4, BOTH, Plan((("transformer", "fp32"),)))
MORE = {"negative_prompt": "rain", "true_cfg_scale": 2.0, "frames": 1, "reference": "0" * 64}
MORE |= {"vae_tiling": True, "vae_slicing": True}
COMPARISON = asked(PLANS, "狐 🦊 <b>'--", (32, 16), lora="mono", lora_weight=0.5, **MORE)
DEVICE = {"kind": "cuda", "name": "a big machine", "memory_bytes": 8 * 2**30, "threads": 2}
VERSIONS = {"torch": "2.13.0", "diffusers": "0.42.1"}
GOOD = Outcome(
    "bnb-nf4",
    "ok",
    way="library",
    weights_bytes={"transformer": 2**30, "vae": 3},
    peak_bytes=3 * 2**30,
    peak_kind="cuda-allocated",
    load_s=0.5,
    latency_s=(3.0, 1.0 / 3),
    encode_s=0.1,
    step_s=0.2,
    decode_s=0.3,
    scores={"psnr_db": 31.23456, "ssim": 0.1 + 0.2, "transformer_rel_l2": 0.0123456},
    notes=("loaded by the library",),
    placement="cuda",
    load_peak_bytes=2 * 2**30,
    run_peak_bytes=3 * 2**30,
    reserved_bytes=4 * 2**30,
    device_bytes=5 * 2**30,
    noise_floor=NoiseFloor(60.5, 0.0001, "image"),
    across_modes=True,
)
BAD = Outcome("fp32", "failed", error=Failure("load", "LoadError", "no | way\nto *load* it \ud800"))


def png(width: int = 32, height: int = 16, colour: tuple[int, int, int] = (200, 80, 20)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(data, "PNG")
    return data.getvalue()


def fill(store: Store) -> list[str]:
    """One result of each kind; gives their ids, the newest first."""
    saved = [
        store.save(COMPARISON, 0, BAD, None, DEVICE, VERSIONS),
        store.save(COMPARISON, 1, GOOD, png(), DEVICE, VERSIONS),
        store.save(COMPARISON, 2, replace(GOOD, plan=str(BOTH)), png(), DEVICE, {}),
        store.save(COMPARISON, 3, replace(GOOD, plan=str(PLANS[3])), None, {}, VERSIONS),
    ]
    return [str(result) for result in reversed(saved)]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What export writes."""
    store = Store(tmp_path_factory.mktemp("far"))
    fill(store)
    return dict(json.loads("".join(pieces(store.recent()))))


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of another machine; what runs afterwards is on this one, with a store of its own.

    Gives the file that the other one exported.
    """
    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path / "there"))
    fill(Store())
    assert main(["export", "--out", str(tmp_path / "results.json")]) == 0
    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path / "here"))
    yield tmp_path / "results.json"
    assert not list(tmp_path.glob("*.part"))


def text(document: object) -> bytes:
    return json.dumps(document).encode()


def changed(document: dict[str, Any], path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """The document with another value at ``path``."""
    other: Any = copy.deepcopy(document)
    place = other
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return dict(other)


# There and back


def test_results_keep_their_provenance(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(there), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"added": 4, "known": 0}
    far, near = Store(tmp_path / "there").recent(), Store().recent()
    clean = replace(BAD, error=Failure("load", "LoadError", "no | way\nto *load* it ?"))
    for theirs, ours in zip(reversed(far), near, strict=True):
        assert ours.imported_at is not None
        if theirs.outcome.error is None:
            assert replace(ours, imported_at=None) == theirs  # the same id: a link works in both
        else:
            assert ours.outcome == clean
            assert (ours.device, ours.measured_at) == (theirs.device, theirs.measured_at)


def test_importing_twice_changes_nothing(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["import", str(there)])
    once = Store().recent()
    assert main(["import", str(there), str(there)]) == 0
    assert "0 results added; 8 were there already." in capsys.readouterr().out
    assert Store().recent() == once
    again = tmp_path / "again.json"
    main(["export", "--out", str(again)])
    main(["import", str(again)])
    assert Store().recent() == once


def test_own_results_come_back_as_own(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exported with or without images: they are still the ones that were measured here."""
    monkeypatch.setenv("QUANTLAB_DATA", str(there.parent / "there"))
    bare = there.with_name("bare.json")
    assert main(["export", "--newest", "3", "--no-images", "--out", str(bare)]) == 0
    assert "image_png" not in bare.read_text(encoding="utf-8")
    assert len(json.loads(bare.read_text(encoding="utf-8"))["results"]) == 3
    before = Store().recent(3)
    assert main(["import", str(bare)]) == 0
    assert Store().recent(3) == before


def test_export_to_standard_output(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["import", str(there)])
    capsys.readouterr()
    assert main(["export", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"format", "version", "results"}
    assert all(item["outcome"]["image"] is None for item in found["results"])


def test_every_part_of_an_outcome_and_a_comparison_is_carried(document: dict[str, Any]) -> None:
    item = document["results"][0]
    named = {field.name for field in fields(Outcome)} - {"scores"}
    assert set(item["outcome"]) == named | {row.key for row in SCORES}
    assert list(item["comparison"]) == ["model", "plans", *(row.key for row in SETTINGS)]


def test_an_empty_store_makes_an_empty_file(tmp_path: Path) -> None:
    assert read_results("x", "".join(pieces([])).encode()) == []
    assert Store(tmp_path).add([]) == 0


def test_the_page_says_that_a_result_was_imported(there: Path) -> None:
    from quantlab.catalog.table import load_catalog
    from quantlab.lab.runners.choose import choose_runner
    from quantlab.ui.compare.share import stored
    from quantlab.ui.services import Services

    main(["import", str(there)])
    services = Services(load_catalog(), choose_runner({}), Store())
    results = dict(stored(COMPARISON, services).results)
    today = str(Store().recent(1)[0].imported_at)[:10]
    assert str(results["bnb-nf4"].origin).endswith(
        f"a big machine, torch 2.13.0, diffusers 0.42.1, imported from another machine on {today}"
    )


def test_files_of_older_versions_can_be_read(document: dict[str, Any]) -> None:
    """They lack what outcomes have learnt to say since."""
    old = copy.deepcopy(document)
    later = [field.name for field in fields(Outcome)][-8:]
    for item in old["results"]:
        for name in later:
            del item["outcome"][name]
    assert later[0] == "placement"
    assert [row.outcome.placement for row in read_results("x", text(old))] == [None] * 4


# Files that are not right


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format",), "other", "x: is not a results file of version 1, as quantlab export writes"),
        (("version",), 2, "x: is not a results file of version 1"),
        (("results",), {}, "x: results: input should be a valid array"),
        (("results", 1), 7, "x: result 2: "),
        (("results", 1, "extra"), 7, "x: result 2: extra inputs are not permitted"),
        (("results", 2, "comparison", "seed"), -1, "result 3, comparison.seed: input should be gr"),
        (("results", 2, "comparison", "seed"), 1.5, "comparison.seed: input should be a valid int"),
        (("results", 2, "comparison", "seed"), True, "comparison.seed: input should be a valid"),
        (("results", 2, "comparison", "prompt"), "a\nb", "prompt: contains characters that are"),
        (("results", 2, "comparison", "prompt"), "a" * 1001, "prompt: 1001 characters; at most"),
        (("results", 2, "comparison", "plans", 1), "<b>", "comparison: one of the plans is not"),
        (("results", 2, "comparison", "plans", 1), "transformer=bnb-nf4", "one of the plans is"),
        (("results", 2, "comparison", "plans", 1), "../../etc", "one of the plans is not"),
        (("results", 2, "comparison", "width"), 10**6, "comparison.width: input should be less"),
        (("results", 2, "outcome", "image"), "/etc/passwd", "outcome.image: input should be null"),
        (("results", 2, "outcome", "psnr_db"), math.nan, "outcome.psnr_db: input should be a fin"),
        (("results", 2, "outcome", "load_s"), math.inf, "outcome.load_s: input should be a finite"),
        (("results", 2, "outcome", "load_s"), "0.5", "outcome.load_s: input should be a valid num"),
        (("results", 2, "outcome", "peak_bytes"), -5, "outcome.peak_bytes: input should be great"),
        (("results", 2, "outcome", "weights_bytes"), [1], "outcome.weights_bytes: input should be"),
        (("results", 2, "outcome", "latency_s", 0), None, "outcome.latency_s.0: input should be a"),
        (("results", 2, "outcome", "plan"), "bnb-fp4", "a plan that the comparison does not have"),
        (("results", 2, "outcome", "status"), "failed", "status and error do not go together"),
        (("results", 3, "outcome", "error", "stage"), "stopped", "a stopped plan is no result"),
        (("results", 2, "device"), {"a": {"b": 1}}, "result 3, device"),
        (("results", 2, "device"), {"a": 10**400}, "result 3, device"),
        (("results", 2, "versions"), {"torch": 2}, "result 3, versions"),
        (("results", 2, "measured_at"), None, "measured_at: input should be a valid string"),
        (("results", 2, "measured_at"), "yesterday", "measured_at: is not a moment in UTC such as"),
        (("results", 2, "measured_at"), "2025-02-30T00:00:00Z", "measured_at: day is out of range"),
        (("results", 2, "image_png"), "!", "image_png: is not base64"),
        (("results", 2, "image_png"), "", "image_png: is not a whole PNG file"),
        (("results", 3, "image_png"), base64.b64encode(png()).decode(), "a failed plan has no ima"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_one_line_names_what_is_wrong(
    document: dict[str, Any], path: tuple[str | int, ...], value: object, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_results("x", text(changed(document, path, value)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format":' * 10_000],
    ids=len,
)
def test_what_is_no_results_file_is_called_so(data: bytes) -> None:
    with pytest.raises(InputError, match=r"^x: is not a results file of version 1"):
        read_results("x", data)


def test_images_must_be_whole_and_of_the_size_that_is_said(document: dict[str, Any]) -> None:
    whole = png()
    torn = [
        whole[:-1],
        whole + b"<script>",
        whole[:60] + whole[64:],
        whole[:20] + b"\xff" * 8 + whole[28:],  # says it is larger than any image
        whole[:8] + whole[-12:],
        b"GIF89a" + whole[-12:],
        png(16, 32),
    ]
    for data in torn:
        image = base64.b64encode(data).decode()
        wrong = changed(document, ("results", 2, "image_png"), image)
        with pytest.raises(InputError, match=r"result 3, image_png: (is not a whole PNG|has not)"):
            read_results("x", text(wrong))


def test_one_wrong_row_keeps_all_of_them_out(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.json"
    good = json.loads(there.read_text(encoding="utf-8"))
    wrong.write_bytes(text(changed(good, ("results", 3, "outcome", "ssim"), 2)))
    for files in ([wrong], [there, wrong]):
        assert main(["import", *map(str, files)]) == 2
        caught = capsys.readouterr()
        assert caught.err == (
            f"quantlab: {wrong}: result 4, outcome.ssim: input should be less than or equal to 1\n"
        )
        assert caught.out == ""
    assert Store().recent() == []


@pytest.mark.parametrize("name", ["nowhere.json", "."])
def test_files_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["import", str(tmp_path / name)]) == 2
    assert "cannot be read: " in capsys.readouterr().err
    assert main(["export", "--out", str(tmp_path / "no" / "such" / "folder")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err
    assert main(["export", "--out", str(tmp_path / "rows.csv")]) == 2
    assert "rows.csv ends in .csv; .json is written" in capsys.readouterr().err
    assert main(["export", "--newest", "0"]) == 2


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of everything in a document, itself left out."""
    items: Any = value.items() if isinstance(value, dict) else []
    for key, item in enumerate(value) if isinstance(value, list) else items:
        yield (*path, key)
        yield from leaves(item, (*path, key))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_mutated_value_is_refused_or_harmless(
    document: dict[str, Any], data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(list(leaves(document))))
    value = data.draw(JSON_VALUES)
    check(text(changed(document, path, value)))


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.floats(0, 1, exclude_max=True), junk=st.binary(max_size=6), cut=st.integers(0, 30))
@example(at=0.0, junk=b"", cut=0)
def test_mutated_bytes_are_refused_or_harmless(
    document: dict[str, Any], at: float, junk: bytes, cut: int
) -> None:
    whole = text(document)
    start = int(at * len(whole))
    check(whole[:start] + junk + whole[start + cut :])


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 90), junk=st.binary(max_size=6), cut=st.integers(0, 30))
def test_a_mutated_image_is_refused_or_harmless(at: int, junk: bytes, cut: int) -> None:
    image = png()
    mutated = image[:at] + junk + image[at + cut :]
    row = Stored("", COMPARISON, "bnb-nf4", GOOD, mutated, DEVICE, VERSIONS, "2025-01-01T00:00:00Z")
    check("".join(pieces([row])).encode())


def check(data: bytes) -> None:
    """The file is refused in one line, or what it gives can be kept and shown."""
    rows: list[Stored] = []
    try:
        rows = read_results("x", data)
    except InputError as error:
        message = str(error)
    else:
        message = "x: "
    assert message.startswith("x: ")
    assert "\n" not in message
    for row in rows:
        json.dumps(asdict(replace(row, image_png=None)), allow_nan=False)
        assert row.plan in [str(plan) for plan in row.comparison.plans]
        if row.image_png is not None:
            with Image.open(io.BytesIO(row.image_png)) as image:
                image.load()
                assert image.size == (row.comparison.width, row.comparison.height)
    assert read_results("x", "".join(pieces(rows)).encode()) == rows
