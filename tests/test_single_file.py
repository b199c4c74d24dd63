"""A denoiser of one's own in a single file: told by its header, predicted, run and scripted."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import torchao
from safetensors.torch import load_file, save_file

from quantlab.catalog.advice import beforehand
from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.paths import OWN_MODELS, PROJECT, cache_folder
from quantlab.catalog.sizes.picture import picture_of
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import load_catalog
from quantlab.catalog.time.of_plan import UNKNOWN, run_of, work_of
from quantlab.cli import main
from quantlab.errors import InputError, VerificationError
from quantlab.lab.hub.admit import about, admit, names_own
from quantlab.lab.load.pool import Pool
from quantlab.lab.load.weights import verify
from quantlab.lab.ways.bfl import write_bfl
from quantlab.lab.ways.gguf import write_gguf
from tests.device import DEVICE
from tools.twins import build

TRANSFORMER = PROJECT / "data" / "flux-mini" / "transformer"


@pytest.fixture(autouse=True)
def nobody_named_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test names is forgotten after it."""
    monkeypatch.setenv(OWN_MODELS, "")
    monkeypatch.delenv("SPACE_ID", raising=False)


def tensors() -> dict[str, torch.Tensor]:
    """All weights of flux-mini's transformer."""
    found: dict[str, torch.Tensor] = {}
    for shard in sorted(TRANSFORMER.glob("*.safetensors")):
        found |= load_file(shard)
    return found


def scaled_float8(path: Path) -> None:
    """As ComfyUI writes it: one scale for a weight, a scale for its inputs, and a marker."""
    stored = {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    for name, tensor in tensors().items():
        if tensor.ndim != 2:
            stored[name] = tensor
            continue
        module = name.removesuffix(".weight")
        scale = tensor.abs().amax().float() / 448
        stored[name] = (tensor.float() / scale).to(torch.float8_e4m3fn)
        stored[f"{module}.scale_weight"] = scale
        stored[f"{module}.scale_input"] = torch.tensor(1.0)
    save_file(stored, path)


def narrow(dtype: torch.dtype) -> Callable[[Path], None]:
    return lambda path: save_file({n: t.to(dtype) for n, t in tensors().items()}, path)


WRITERS: dict[str, Callable[[Path], None]] = {
    "q4_k.gguf": lambda path: write_gguf(str(TRANSFORMER), str(path), "flux", "Q4_K"),
    "fp8.safetensors": lambda path: write_bfl(str(TRANSFORMER), str(path), "FP8"),
    "nvfp4.safetensors": lambda path: write_bfl(str(TRANSFORMER), str(path), "NVFP4"),
    "scaled.safetensors": scaled_float8,
    "bf16.safetensors": narrow(torch.bfloat16),
    "plain-fp8.safetensors": narrow(torch.float8_e4m3fn),
}
SAID = {
    "q4_k.gguf": "GGUF Q4_K",
    "fp8.safetensors": "float8 with a scale a row",
    "nvfp4.safetensors": "NVFP4",
    "scaled.safetensors": "float8 with a scale a weight",
    "bf16.safetensors": "BF16",
    "plain-fp8.safetensors": "float8 without scales, widened when it is loaded",
}

TIMED = {"q4_k.gguf": "gguf-k", "bf16.safetensors": "none", "plain-fp8.safetensors": "none"}
"""The class of times of what most of a file is in; of the others none is known."""


@pytest.mark.parametrize("name", WRITERS)
def test_what_a_file_holds_is_told_and_taken_as_it_is(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    model = admit(str(tmp_path / name))
    denoiser = model.components[0]
    assert model.like == "flux-mini"
    assert SAID[name] in denoiser.stored_as
    plan, catalog = parse_plan("fp32", model), load_catalog()
    assert run_of(plan, model, "resident", 0, True, catalog).timing == TIMED.get(name, UNKNOWN)
    both = (model, catalog.models[model.like])
    own, listed = (work_of(plan, each, picture_of(model), catalog) for each in both)
    assert own == listed
    loaded = Pool(0, load_catalog(), DEVICE).load(model, plan, lambda _: None)
    predicted = predict(model.id, plan)
    for component, stored in loaded.weights_bytes.items():
        assert predicted.component_bytes[component] == pytest.approx(stored, rel=0.005)


@pytest.mark.parametrize("name", ["q4_k.gguf", "scaled.safetensors"])
def test_it_goes_the_whole_way(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    WRITERS[name](tmp_path / name)
    asked = ["--model", str(tmp_path / name), "--prompt", "a fox", "--steps", "1"]
    plans = ["--plans", "fp32", "text_encoder_2=torchao-int8wo"]
    out = ["--warmup", "0", "--out", str(tmp_path / "out"), "--json"]
    assert main(["compare", *asked, *plans, *out]) == 0
    said = capsys.readouterr()
    assert "stored quantized and used as stored" in said.err
    document = json.loads(said.out)
    first, second = document["outcomes"]
    assert [first["error"], second["error"]] == [None, None]
    assert main(["snippet", *asked, "--plan", plans[2]]) == 0
    script = capsys.readouterr().out
    assert "from_single_file" in script
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "script.py", "exec"), {"__name__": "__main__"})
    assert Path("image.png").read_bytes() == Path(second["image"]).read_bytes()
    assert main(["propose", *asked[:2], "--gpu", "rtx-3060-12gb", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows
    assert all("transformer=" not in row["plan"] for row in rows)
    assert main(["compare", *asked, "--plans", "bnb-nf4", *out]) == 2
    assert "stored quantized already" in capsys.readouterr().err


WAYS = ("torchao-int8wo", "gguf-q4_k")
"""By a config, and by a file that is written; by the library itself goes the LoRA's test."""
SMALL = ["--steps", "1", "--width", "64", "--height", "64"]


def test_plain_weights_are_quantized_as_a_models_own_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, mini = tmp_path / "bf16.safetensors", load_catalog().models["flux-mini"]
    WRITERS[file.name](file)
    model = admit(str(file))
    assert beforehand(model, ["a fox"], 32) == ()  # nothing of it stays as it is
    asked = ["--model", str(file), "--prompt", "a fox", *SMALL]
    out = ["--warmup", "0", "--out", str(tmp_path / "out"), "--json"]
    assert main(["compare", *asked, "--plans", *WAYS, *out]) == 0
    outcomes = json.loads(capsys.readouterr().out)["outcomes"]
    assert [outcome["error"] for outcome in outcomes] == [None] * len(outcomes)
    for text, outcome in zip(WAYS, outcomes, strict=True):
        own, listed = (
            predict(model.id, parse_plan(text, model)),
            predict(mini.id, parse_plan(text, mini)),
        )
        assert own.component_bytes == listed.component_bytes == outcome["weights_bytes"]
        assert main(["snippet", *asked, "--plan", text]) == 0
        script = capsys.readouterr().out
        with monkeypatch.context() as inside:
            inside.chdir(tmp_path)
            exec(compile(script, "script.py", "exec"), {"__name__": "__main__"})
        drawn = (tmp_path / "image.png").read_bytes()
        assert drawn == Path(outcome["image"]).read_bytes(), text
    assert not list(cache_folder().glob("quantlab-run-*"))  # what was laid out is gone
    assert main(["propose", *asked[:2], "--gpu", "rtx-3060-12gb", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert any("transformer=" in row["plan"] for row in rows)
    assert {row["download_bytes"] for row in rows} == {0}


def test_a_lora_goes_into_a_plain_file_before_it_is_quantized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    WRITERS["bf16.safetensors"](tmp_path / "bf16.safetensors")
    mono = PROJECT / load_catalog().models["flux-mini"].loras["mono"].folder
    asked = ["--model", str(tmp_path / "bf16.safetensors"), "--lora", str(mono), *SMALL]
    out = ["--warmup", "0", "--out", str(tmp_path / "out"), "--json"]
    assert main(["compare", *asked, "--plans", "quanto-int8", *out]) == 0
    (outcome,) = json.loads(capsys.readouterr().out)["outcomes"]
    assert outcome["error"] is None
    assert any("before quantizing" in note for note in outcome["notes"])
    assert main(["snippet", *asked, "--plan", "quanto-int8"]) == 0
    script = capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "script.py", "exec"), {"__name__": "__main__"})
    assert Path("image.png").read_bytes() == Path(outcome["image"]).read_bytes()


def test_what_diffusers_leaves_unquantized_without_a_word_is_found(tmp_path: Path) -> None:
    WRITERS["bf16.safetensors"](tmp_path / "bf16.safetensors")
    config = torchao.quantization.Int8WeightOnlyConfig()
    found = diffusers.FluxTransformer2DModel.from_single_file(
        str(tmp_path / "bf16.safetensors"),
        config=str(TRANSFORMER),
        quantization_config=diffusers.TorchAoConfig(config),
        dtype=torch.bfloat16,
    )
    with pytest.raises(VerificationError, match=r"do not hold it; .* holds Tensor of torch.bf"):
        verify(found, load_catalog().schemes["torchao-int8wo"], "transformer")


def test_a_file_whose_ending_diffusers_does_not_know_is_refused(tmp_path: Path) -> None:
    WRITERS["q4_k.gguf"](tmp_path / "small.gguf")
    (tmp_path / "small.gguf").rename(tmp_path / "LOUD.GGUF")
    with pytest.raises(InputError, match=r"LOUD.GGUF must end in \.gguf"):
        admit(str(tmp_path / "LOUD.GGUF"))


def test_names_of_other_programs_are_read_and_another_model_stands_beside(tmp_path: Path) -> None:
    """Z-Image's makers keep queries, keys and values in one weight."""
    build("z-image", tmp_path / "twin")
    own: dict[str, torch.Tensor] = {}
    for shard in (tmp_path / "twin" / "transformer").glob("*.safetensors"):
        own |= load_file(shard)
    for name in [name for name in own if name.endswith(".to_q.weight")]:
        parts = [own.pop(name.replace("to_q", each)) for each in ("to_q", "to_k", "to_v")]
        own[name.replace("to_q", "qkv")] = torch.cat(parts)
    renamed = {
        name.replace("all_x_embedder.2-1", "x_embedder")
        .replace("all_final_layer.2-1", "final_layer")
        .replace("to_out.0", "out")
        .replace("norm_q", "q_norm")
        .replace("norm_k", "k_norm"): tensor
        for name, tensor in own.items()
    }
    path = tmp_path / "theirs.safetensors"
    save_file(renamed, path)
    with pytest.raises(InputError, match="is no listed model's denoiser"):
        admit(str(path))
    model = admit(f"{tmp_path / 'twin'}={path}")
    assert model.like == "z-image-turbo"
    loaded = Pool(0, load_catalog(), DEVICE).load(model, parse_plan("bf16", model), lambda _: None)
    weights = loaded.denoiser.state_dict()
    assert len(weights) > len(renamed)
    assert torch.equal(
        torch.cat([weights[f"layers.0.attention.{n}.weight"] for n in ("to_q", "to_k", "to_v")]),
        renamed["layers.0.attention.qkv.weight"],
    )


def test_of_several_models_that_fit_the_files_name_decides(tmp_path: Path) -> None:
    from quantlab.catalog.sizes.shapes import rows_of

    shapes = {
        f"{module}.{key}": torch.empty(shape, device="meta")
        for module, _, own in rows_of("denoisers/flux1-dev")
        for key, shape in own.items()
    }
    for name, meant in (
        ("my-kontext-q8", "flux1-kontext-dev"),
        ("flux1_krea_dev", "flux1-krea-dev"),
    ):
        path = tmp_path / f"{name}.safetensors"
        _write_header(path, shapes)
        model = admit(str(path))
        assert model.like == meant
        assert "would fit it too" in about(model)
    assert admit(f"flux1-dev={path}").like == "flux1-dev"


def _write_header(path: Path, shapes: dict[str, torch.Tensor]) -> None:
    """A safetensors file of the right size whose weights are a hole in the disk."""
    place, entries = 0, {}
    for name, tensor in shapes.items():
        end = place + 2 * tensor.numel()
        entries[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + place)


def foreign(**more: Any) -> Callable[[Path], None]:
    return lambda path: save_file({**tensors(), **more}, path)


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut.gguf": (
        lambda path: path.write_bytes(_whole_gguf(path)[:-4096]),
        "cut.gguf is not a whole GGUF file",
    ),
    "endless.gguf": (  # one value: an array of 2**60 numbers, of which none is there
        lambda path: path.write_bytes(
            b"GGUF" + struct.pack("<IQQQcIIQ", 3, 0, 1, 1, b"a", 9, 4, 2**60)
        ),
        "it ends before what its header says",
    ),
    "text.gguf": (lambda path: path.write_text("hello " * 99), "not a whole GGUF file"),
    "cut.safetensors": (
        lambda path: path.write_bytes(next(TRANSFORMER.glob("*.safetensors")).read_bytes()[:-9]),
        "not a whole safetensors file",
    ),
    "bnb.safetensors": (
        foreign(**{"x.weight.quant_state.bitsandbytes__nf4": torch.zeros(9, dtype=torch.uint8)}),
        "holds bitsandbytes nf4, which is not read from a single file",
    ),
    "lora.safetensors": (
        lambda path: save_file({"a.lora_A.weight": torch.zeros(4, 4)}, path),
        "is a LoRA, not a model",
    ),
    "int8.safetensors": (narrow(torch.int8), "I8 without scales"),
    "vae.safetensors": (
        lambda path: save_file({"decoder.conv_in.weight": torch.zeros(4, 4)}, path),
        "is no listed model's denoiser",
    ),
    "absent.gguf": (lambda _: None, "there is no file"),
}


def _whole_gguf(path: Path) -> bytes:
    write_gguf(str(TRANSFORMER), str(path), "flux", "Q8_0")
    return path.read_bytes()


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_is_one_message(name: str, tmp_path: Path) -> None:
    write, said = BROKEN[name]
    write(tmp_path / name)
    assert names_own(str(tmp_path / name))
    with pytest.raises(InputError, match=said) as found:
        admit(str(tmp_path / name))
    assert "\n" not in str(found.value)
