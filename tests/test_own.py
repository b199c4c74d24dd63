"""Models of one's own: a folder or a repository, predicted and run like those that are listed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import app
from quantlab.catalog.answer.pick import recommend
from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.own.headers import Folder, Tensor
from quantlab.catalog.paths import OWN_MODELS, PROJECT
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.sizes.shapes import component_shapes
from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import Damaged, InputError, PlanError, QuantlabError, Unavailable
from quantlab.lab.hub.admit import about, admit, names_own
from quantlab.lab.load.pool import Pool
from quantlab.lab.own.stored import stored_rows
from quantlab.lab.probe.subject import Subject
from quantlab.lab.runners.local import LocalRunner
from quantlab.lab.script.pipeline import snippet
from quantlab.record.link import from_query, to_query
from quantlab.record.store.row import input_key
from quantlab.ui.compare.edit import change_model
from quantlab.ui.named import Call
from quantlab.ui.services import Services
from tests.device import DEVICE
from tests.hub_server import COMMIT, Hub
from tests.test_hub import REPO, hub, server  # noqa: F401

MINI = PROJECT / "data" / "flux-mini"
SHARD = "transformer/diffusion_pytorch_model-00002-of-00003.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def nobody_named_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test names is forgotten after it."""
    monkeypatch.setenv(OWN_MODELS, "")
    monkeypatch.delenv("SPACE_ID", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped model under another name."""
    copy = tmp_path / "My Flux"
    shutil.copytree(MINI, copy, ignore=shutil.ignore_patterns("*.npz", "*.md"))
    return copy


@pytest.mark.parametrize("text", ["fp32", "bf16", "bnb-nf4", "text_encoder_2=quanto-int4"])
def test_a_copy_of_a_listed_model_is_predicted_like_it(folder: Path, text: str) -> None:
    model = admit(str(folder))
    plan = parse_plan(text, model)
    own, listed = predict(model.id, plan), predict("flux-mini", plan)
    assert own.as_dict() | {"host_bytes": 0} == listed.as_dict() | {"host_bytes": 0}
    assert own.host_bytes <= listed.host_bytes  # its largest file is known
    mini = load_catalog().models["flux-mini"]
    for component in model.components:
        known = component_shapes(mini, component.name)
        assert component_shapes(model, component.name) == known


def test_the_command_line_runs_a_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ["--model", str(folder), "--plans", "fp32", "torchao-int8wo", "--json"]
    run = ["compare", *named, "--steps", "1", "--warmup", "0", "--out", str(tmp_path / "images")]
    assert main(run) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert [outcome["status"] for outcome in document["outcomes"]] == ["ok", "ok"]
    assert "it runs like flux-mini, the listed model nearest to it in width: 8 steps" in said.err
    assert main(["predict", *named]) == 0
    rows = json.loads(capsys.readouterr().out)
    for outcome, row in zip(document["outcomes"], rows, strict=True):
        for name, stored in outcome["weights_bytes"].items():
            assert row["component_bytes"][name] == pytest.approx(stored, rel=0.005)
    assert str(folder) not in json.dumps(document["comparison"])


def test_each_plan_may_have_a_process_of_its_own(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--plans", "fp32", "--steps", "1", "--warmup", "0", "--out", str(tmp_path / "images")]
    assert main(["compare", "--model", str(folder), "--isolate", "--json", *more]) == 0
    (outcome,) = json.loads(capsys.readouterr().out)["outcomes"]
    assert outcome["status"] == "ok", outcome["error"]


def test_pick_and_snippet_take_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pick", "--model", str(folder), "--bits", "4", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert main(["pick", "--model", "flux-mini", "--bits", "4", "--json"]) == 0
    assert rows == json.loads(capsys.readouterr().out)
    assert main(["snippet", "--model", str(folder), "--plan", "quanto-int8"]) == 0
    script = capsys.readouterr().out
    assert f'MODEL = "{folder.resolve()}"' in script
    assert "Run it from anywhere" in script


def test_the_id_follows_the_files_not_the_place(folder: Path, tmp_path: Path) -> None:
    model = admit(str(folder))
    assert model.id.startswith("my-flux@")
    elsewhere = tmp_path / "elsewhere" / "my flux"
    shutil.copytree(folder, elsewhere)
    assert admit(str(elsewhere)).id == model.id
    weights = load_file(elsewhere / VAE)
    save_file({name: tensor * 1.001 for name, tensor in weights.items()}, elsewhere / VAE)
    other = admit(str(elsewhere))
    assert other.id != model.id
    keys = set()
    for each in (model.id, other.id, "flux-mini"):
        comparison = make_comparison(model=each, plans=["fp32"], prompt="a fox")
        keys.add(input_key(comparison, comparison.plans[0]))
    assert len(keys) == 3


def test_a_repository_is_predicted_without_its_weights(
    hub: Hub,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.served_bytes = 0
    plans = ["fp32", "bnb-nf4"]
    assert main(["predict", "--model", REPO, "--plans", *plans, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    files = {name: len(data) for name, (data, _) in hub.files.items() if "safetensors" in name}
    weights = {name: size for name, size in files.items() if not name.endswith(".json")}
    assert 0 < hub.served_bytes < 0.01 * sum(weights.values())
    asked = {path for method, path, part in hub.requests if method == "GET" and part}
    assert asked == set(weights)
    mini = load_catalog().models["flux-mini"]
    for row, text in zip(rows, plans, strict=True):
        listed = predict("flux-mini", parse_plan(text, mini))
        assert row["component_bytes"] == listed.component_bytes
        assert row["download_bytes"] == sum(weights.values())


def test_a_repository_runs_and_is_known_without_the_hub_afterwards(
    hub: Hub,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plans = ["--plans", "fp32", "torchao-int8wo"]
    more = ["--steps", "1", "--warmup", "0", "--out", str(tmp_path / "images"), "--json"]
    assert main(["compare", "--model", REPO, *plans, *more]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [outcome["status"] for outcome in document["outcomes"]] == ["ok", "ok"]
    model_id = document["comparison"]["model"]
    assert model_id == f"{REPO}@{COMMIT[:12]}"
    comparison = make_comparison(model=model_id, plans=["fp32"], prompt="a fox")
    assert f'    revision="{COMMIT}",' in snippet(
        comparison, comparison.plans[0], load_catalog(), DEVICE
    )
    hub.faults.status = 503
    assert admit(REPO).id == model_id


def test_what_the_hub_refuses_is_one_line(
    hub: Hub,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(PROJECT)
    hub.faults.gated = True
    assert main(["predict", "--model", REPO]) == 1
    assert_one_line(capsys.readouterr().err, f"{REPO} is gated; accept its licence")
    hub.faults.gated = False
    assert main(["predict", "--model", "nobody/nothing"]) == 1
    said = capsys.readouterr().err
    assert_one_line(said, "the hub has no model nobody/nothing")
    assert "folder" not in said
    assert main(["predict", "--model", "data/flux-minni"]) == 1
    assert_one_line(capsys.readouterr().err, "there is no folder data/flux-minni here either")
    assert main(["predict", "--model", f"{REPO}@v9"]) == 1
    assert_one_line(capsys.readouterr().err, f"{REPO} has no revision 'v9'")
    hub.faults.truncated[VAE] = 4
    assert main(["predict", "--model", REPO]) == 1
    assert_one_line(capsys.readouterr().err, VAE)


def test_a_hub_that_cannot_be_reached_and_no_cache(hub: Hub) -> None:  # noqa: F811
    hub.faults.status = 503
    with pytest.raises(Unavailable, match="status 503"):
        admit(REPO)


def test_a_repository_without_a_pipeline(
    hub: Hub,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = hub.files
    files = {name: file for name, file in whole.items() if name != "model_index.json"}
    monkeypatch.setattr(hub, "files", files)
    assert main(["predict", "--model", REPO]) == 2
    assert_one_line(capsys.readouterr().err, f"{REPO} has no model_index.json")
    rest = {name: file for name, file in whole.items() if not name.startswith("tokenizer/")}
    monkeypatch.setattr(hub, "files", rest)
    assert main(["predict", "--model", REPO]) == 2
    assert_one_line(capsys.readouterr().err, f"{REPO} has a tokenizer without tokenizer.json")


def assert_one_line(said: str, expected: str) -> None:
    """One line for people, without a traceback."""
    assert said.startswith("quantlab: ")
    assert expected in said
    assert said.count("\n") == 1


def _index(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "model_index.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def _write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def _cut(name: str, count: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:count]) and None


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _layers(count: int) -> Callable[[Path], None]:
    return _write("transformer/config.json", json.dumps({"num_layers": count}).encode())


LTX = _index(_class_name="LTXPipeline")
OTHER_ENCODER = _index(text_encoder=["transformers", "BertModel"])
NO_PIPELINE = _index(_class_name="FoxPipeline")
NO_ENCODER = _index(text_encoder=["transformers", "FoxModel"])
FOREIGN_CODE = _index(tokenizer=["my_code", "MyTokenizer"])
OUTSIDE = b'{"weight_map": {"proj_out.weight": "../vae/diffusion_pytorch_model.safetensors"}}'
INDEX = "transformer/diffusion_pytorch_model.safetensors.index.json"
WRONG = {
    "no index": (lambda f: (f / "model_index.json").unlink(), "has no model_index.json"),
    "another pipeline": (LTX, "has a text_encoder_2, which LTXPipeline does not take"),
    "no pipeline": (NO_PIPELINE, "is a FoxPipeline, which diffusers"),
    "another encoder": (OTHER_ENCODER, "text_encoder does not fit: a BertModel of its config"),
    "unknown encoder": (NO_ENCODER, "a text_encoder of class FoxModel, which transformers"),
    "endless layers": (_layers(10**9), "says 1000000000 layers, which its files lack"),
    "code of its own": (FOREIGN_CODE, "brings code of its own for tokenizer"),
    "broken index": (_write("model_index.json", b"{"), "model_index.json cannot be read"),
    "a list": (_write("vae/config.json", b"[1]"), "vae/config.json cannot be read as JSON"),
    "nested": (_write("vae/config.json", b"[" * 99999), "cannot be read as JSON"),
    "no width": (_write("transformer/config.json", b"{}"), "transformer does not fit"),
    "no shard": (lambda f: (f / SHARD).unlink(), f"{SHARD} is missing"),
    "no weights": (lambda f: (f / VAE).unlink(), f"used, as {VAE}"),
    "cut short": (_cut(SHARD, 100_000), "its size is not what its header says"),
    "cut in the header": (_cut(SHARD, 100), "it ends within its header"),
    "empty": (_write(VAE, b""), "it does not start with a header"),
    "endless": (_write(VAE, b"\xff" * 99), "it does not start with a header"),
    "no JSON": (_write(VAE, (9).to_bytes(8, "little") + b"not  json"), "header cannot be read"),
    "no tensors": (_write(VAE, (2).to_bytes(8, "little") + b"{}"), "header cannot be read"),
    "outside": (_write(INDEX, OUTSIDE), "does not name weight files"),
    "no map": (_write(INDEX, b"{}"), "does not name weight files"),
    "no tokenizer": (
        lambda f: shutil.rmtree(f / "tokenizer"),
        "has a tokenizer without tokenizer.json",
    ),
    "half of one": (_remove("tokenizer_2/tokenizer.json"), "has a tokenizer_2 without"),
    "no scheduler": (_remove("scheduler/scheduler_config.json"), "without scheduler_config.json"),
    "unnamed tokenizer": (_index(tokenizer=[None, None]), "has no tokenizer, which a FluxPipeline"),
    "unnamed encoder": (_index(text_encoder=[None, None]), "has no text_encoder, which"),
    "cut tokenizer": (
        _cut("tokenizer/tokenizer.json", 99),
        "tokenizer.json cannot be read as JSON",
    ),
    "cut scheduler": (_cut("scheduler/scheduler_config.json", 9), "config.json cannot be read"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_used_is_one_line(
    wrong: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, expected = WRONG[wrong]
    change(folder)
    assert main(["predict", "--model", str(folder)]) == 2
    assert_one_line(capsys.readouterr().err, expected)


@pytest.mark.parametrize(
    "text", ["./nowhere", "/nowhere/at/all", "a/b/c", "../data", "https://x/y"]
)
def test_a_folder_that_is_not_there(
    text: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")  # whatever lies beside the checkout
    assert main(["predict", "--model", text]) == 2
    assert_one_line(capsys.readouterr().err, "model: there is no folder")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = tmp_path_factory.mktemp("header")
    shutil.copy(MINI / VAE, folder / "file.safetensors")
    return Folder(folder)


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_header_is_refused_or_read_but_never_breaks(
    small: Folder, changes: list[tuple[int, int]]
) -> None:
    data = bytearray((MINI / VAE).read_bytes())
    for place, value in changes:
        data[place] = value
    (small.root / "file.safetensors").write_bytes(data)
    try:
        header = small.header("file.safetensors")
    except Damaged:
        return
    assert header is not None
    assert all(tensor.bytes >= 0 for tensor in header.tensors.values())


def test_headers_say_what_the_library_reads() -> None:
    header = Folder(MINI).header(VAE)
    assert header is not None
    with safe_open(MINI / VAE, "pt") as file:
        assert set(header.tensors) == set(file.keys())
        for name, tensor in header.tensors.items():
            assert list(tensor.shape) == file.get_slice(name).get_shape()
            assert tensor.dtype == file.get_slice(name).get_dtype()


def test_packed_and_renamed_tensors_belong_to_their_modules() -> None:
    built = [
        ["encoder.layers.11.mlp.fc1", "linear", {"weight": [32, 8]}],
        ["embed", "embedding", {"weight": [100, 8]}],
        ["lm_head", "linear", {"weight": "=embed.weight"}],
    ]
    table = Tensor("BF16", (100, 8), 1600)
    tensors = {
        "text_model.encoder.layers.11.mlp.fc1.weight": Tensor("U8", (128, 1), 128),
        "text_model.encoder.layers.11.mlp.fc1.weight.absmax": Tensor("F32", (4,), 16),
        "embed.weight": table,
        "lm_head.weight": table,
        "text_model.embeddings.position_ids": Tensor("I64", (1, 77), 616),
    }
    assert stored_rows(built, tensors) == [
        ["encoder.layers.11.mlp.fc1", "linear", {"stored:uint8": [144]}],
        ["embed", "embedding", {"weight": [100, 8]}],
        ["text_model.embeddings", "unknown", {"stored:uint8": [616]}],
    ]


def test_a_component_that_is_stored_quantized_is_taken_as_it_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subject = Subject("torchao-int8wo", load_catalog(), DEVICE)
    pipe = subject.load().pipe
    shutil.rmtree(folder / "transformer")
    subject.module(pipe).save_pretrained(folder / "transformer")
    model = admit(str(folder))
    assert [c.stored_as for c in model.components] == ["torchao", "", "", ""]
    with pytest.raises(PlanError, match=r"transformer of my-flux.*stored quantized already"):
        parse_plan("bnb-nf4", model)
    plan = parse_plan("text_encoder_2=quanto-int8", model)
    loaded = Pool(0, load_catalog(), DEVICE).load(model, plan, lambda _: None)
    predicted = predict(model.id, plan)
    for name, stored in loaded.weights_bytes.items():
        assert predicted.component_bytes[name] == pytest.approx(stored, rel=0.005)
    verdicts = {row.scheme: row.verdict for row in recommend(model=model.id)}
    assert verdicts["bnb-nf4"] == "no"
    command = ["compare", "--model", str(folder), "--plans", "fp32", "--warmup", "0"]
    command += ["--steps", "1", "--width", "64", "--height", "64", "--out", str(folder / "out")]
    capsys.readouterr()
    assert main(command) == 0
    said = "used as stored: the transformer (torchao); a plan of fp32 or bf16 is about the rest"
    assert said in capsys.readouterr().err


def test_no_link_and_no_request_names_one(folder: Path) -> None:
    named = [str(folder), "black-forest-labs/FLUX.1-Krea-dev", "../data/flux-mini"]
    for text in named:
        query = [("v", "1"), ("model", text), ("plans", "fp32"), ("prompt", "a fox")]
        with pytest.raises(InputError, match="never by a link or a request") as error:
            from_query(query)
        assert "named at the start with --model" in str(error.value)
    model = admit(str(folder))
    comparison = make_comparison(model=model.id, plans=["fp32"], prompt="a fox")
    assert from_query(to_query(comparison)) == comparison
    assert str(folder.parent) not in to_query(comparison)


def test_on_a_space_only_the_listed_models_are_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = admit(str(folder))
    monkeypatch.setenv("SPACE_ID", "someone/quantlab")
    assert model.id not in load_catalog().models
    with pytest.raises(InputError, match="only the listed models"):
        admit(str(folder))
    app.add_models([str(folder)])
    assert "only the listed models are offered" in caplog.text


def test_the_page_starts_with_them_or_says_what_is_wrong(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app.add_models([str(folder)])
    assert "is a FluxPipeline" in caplog.text
    assert any(model.own for model in load_catalog().models.values())
    done = subprocess.run(
        [sys.executable, "app.py", "--model", str(folder / "nothing")],
        cwd=PROJECT,
        env={**os.environ, OWN_MODELS: ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert_one_line(done.stderr, "there is no folder")


def test_what_is_listed_comes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.rename(folder.parent / "flux-mini")
    monkeypatch.chdir(folder.parent)
    assert not names_own("flux-mini")
    assert names_own("./flux-mini")
    model = admit("./flux-mini")
    assert model.id.startswith("flux-mini@")
    assert about(model).startswith(f"{model.id} is a FluxPipeline")
    folder.parent.joinpath("flux-mini").rename(folder.parent / "other")
    assert names_own("other")
    assert not names_own("no-such-model")


def test_the_page_says_where_its_defaults_come_from(folder: Path) -> None:
    model = admit(str(folder))
    services = Services(load_catalog(), LocalRunner(load_catalog()), None)
    changed = Call(services, {"model": model.id, "before": "flux1-dev", "transformer-0": "fp32"})
    told = change_model(changed)["model"]["info"]
    assert told.startswith("Where nothing else is said it runs like flux-mini, the listed model")
    assert told in about(model)
    back = Call(services, {"model": "flux1-dev", "before": model.id, "transformer-0": "fp32"})
    assert change_model(back)["model"]["info"] == ""


def test_a_description_that_is_gone_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    admit(str(folder))
    monkeypatch.setenv(OWN_MODELS, str(tmp_path / "gone@123.json"))
    with pytest.raises(QuantlabError, match="what is known of gone@123 is gone; start again"):
        load_catalog()


def test_files_that_lack_what_the_config_says_are_refused(folder: Path) -> None:
    path = folder / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"guidance_embeds": True}))
    with pytest.raises(InputError, match=r"transformer does not fit.*9,303,616 numbers, its files"):
        admit(str(folder))
