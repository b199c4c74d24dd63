"""Questions whose answers were wrong once, each with its whole kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantlab.catalog.advice import beforehand, tokens_kept
from quantlab.catalog.answer.pick import Recommendation, recommend
from quantlab.catalog.columns import column
from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.machine import Machine
from quantlab.catalog.read.measured import COLUMN_OF, findings_for, load_findings
from quantlab.catalog.schema import HARDWARE
from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import CatalogError, PlanError
from quantlab.lab.runners.zerogpu_cost import who_has_less
from quantlab.record.probes import kept_probes
from quantlab.ui.compare.fields import limits_line

CATALOG = load_catalog()
CPU = Machine(packages={})


def pick(**asked: Any) -> dict[str, Recommendation]:
    """Rows by scheme, or by method where there is no scheme."""
    return {row.scheme or row.method: row for row in recommend(**({"machine": CPU} | asked))}


FLOAT8 = [s for s in CATALOG.schemes if "fp8" in s or s in ("bfl-nvfp4", "modelopt-nvfp4")]
"""Schemes that keep weights or scales in float8."""


@pytest.mark.parametrize("asked", [{"hardware": "metal", "bits": 8}, {"gpu": "apple-32gb"}])
def test_no_float8_runs_on_metal(asked: dict[str, Any]) -> None:
    rows = pick(model="flux1-dev", **asked)
    assert {"quanto-fp8", "torchao-fp8wo", "torchao-fp8dq", "layerwise-fp8"} <= set(FLOAT8)
    for scheme in FLOAT8:
        assert rows[scheme].verdict == "no", scheme
    ruled_out = "; ".join(rows["torchao-fp8wo"].reasons)
    assert "Metal: no (PyTorch pull request 194074" in ruled_out
    assert rows["quanto-int8"].verdict != "no" or "memory" in "; ".join(rows["quanto-int8"].reasons)


def test_int4_of_torchao_is_not_for_metal_and_for_intel_with_another_packing_only() -> None:
    assert pick(hardware="metal", model="flux1-dev")["torchao-int4wo"].verdict == "no"
    intel = pick(hardware="intel", model="flux1-dev")["torchao-int4wo"]
    assert intel.verdict == "partial"
    assert "plain_int32" in "; ".join(intel.reasons)


@pytest.mark.parametrize("scheme", ["gguf-q4_0", "gguf-q4_k", "gguf-q4_1"])
def test_gguf_runs_on_rocm_through_diffusers_and_is_partial_elsewhere(scheme: str) -> None:
    row = pick(gpu="rx-7900-xtx-24gb", bits=4, model="flux1-dev")[scheme]
    assert row.verdict == "runs"
    assert "diffusers on ROCm: yes" in row.reasons[0]
    assert pick(hardware="rocm", bits=4)[scheme].verdict == "partial"


@pytest.mark.parametrize("method", ["bitsandbytes", "gguf", "torchao", "quanto", "layerwise"])
def test_what_is_plain_pytorch_or_has_kernels_for_it_is_not_no_on_rocm(method: str) -> None:
    cell = CATALOG.methods[method].cell("rocm")
    assert cell.value in ("yes", "partial")
    assert cell.checked == "2026-11-26"
    for scheme in CATALOG.methods[method].schemes:
        cells = [CATALOG.methods[method].cell(kind, scheme) for kind in ("rocm", "cuda")]
        for_cpus = {cell.note for cell in cells if "for CPUs alone" in cell.note}
        known = ("yes", "partial", "unknown") if scheme.emulated else ("yes", "partial")
        assert for_cpus or cells[0].value in known, scheme.id


def test_a_card_without_what_float8_needs_has_no_where_one_with_it_runs() -> None:
    asked = {"bits": 8, "model": "flux1-dev"}
    amd = pick(gpu="rx-7900-xtx-24gb", **asked)
    assert amd["torchao-fp8dq"].verdict == "no"
    assert "this GPU has RDNA3" in "; ".join(amd["torchao-fp8dq"].reasons)
    assert pick(gpu="mi300x-192gb", **asked)["torchao-fp8dq"].verdict == "runs"
    assert pick(gpu="mi300x-192gb", **asked)["torchao-int8wo"].verdict == "partial"


@pytest.mark.parametrize("gpu", ["h100-80gb", "rtx-4090-24gb", "h200-141gb"])
def test_a_card_newer_than_asked_fulfils_it(gpu: str) -> None:
    row = pick(gpu=gpu, bits=8, model="flux1-dev")["torchao-fp8dq"]
    assert row.verdict.startswith("runs")
    assert pick(hardware="cuda", bits=8, model="flux1-dev")["torchao-fp8dq"].verdict == "partial"
    # What an H200 did says nothing for a card that lacks what it takes.
    older = pick(gpu="rtx-3090-24gb", bits=8, model="flux1-dev")["torchao-fp8dq"]
    assert older.verdict == "no"
    assert "NVIDIA H200" in older.reasons[0]


def test_hopper_is_not_for_nunchaku_and_older_cards_not_for_its_nvfp4() -> None:
    def said(gpu: str, scheme: str) -> str:
        return pick(gpu=gpu, model="flux1-dev")[scheme].reasons[0].split(" (")[0]

    assert said("h100-80gb", "nunchaku-svdq-int4") == "CUDA: no"
    assert said("rtx-4090-24gb", "nunchaku-svdq-int4") == "CUDA: yes"
    assert said("rtx-4090-24gb", "nunchaku-svdq-nvfp4") == "CUDA: no"


# A LoRA through diffusers, and PEFT through transformers


@pytest.mark.parametrize("scheme", ["gguf-q4_0", "gguf-q4_1", "gguf-q4_k"])
def test_gguf_takes_a_lora_through_diffusers_and_no_peft_through_transformers(scheme: str) -> None:
    asked = {"hardware": "cuda", "bits": 4}
    for needs in (["peft"], ["lora"]):
        assert pick(needs=needs, model="flux1-dev", **asked)[scheme].verdict == "runs"
    assert pick(needs=["peft"], library="transformers", **asked)[scheme].verdict == "no"
    assert pick(needs=["peft"], **asked)[scheme].verdict == "no"


def test_measured_leads_and_the_claim_stands_beside_it() -> None:
    row = pick(hardware="cuda", needs=["peft"], model="flux1-dev", bits=8)["torchao-int8wo"]
    [lora] = [reason for reason in row.reasons if reason.startswith("LoRA: ")]
    assert lora.startswith("LoRA: yes (measured on AMD EPYC")
    assert "2026-11-21" in lora
    assert "; documented: yes (diffusers 0.42.1 source" in lora


@pytest.mark.parametrize(
    ("scheme", "value", "said"),
    [
        ("gguf-q4_0", "yes", "base unchanged"),
        ("quanto-int8", "partial", "fused into the weights before"),
        ("sdnq-int8", "partial", "a stored one is carried"),
        ("layerwise-fp8", "partial", "fused into the weights before"),
    ],
)
def test_a_lora_is_trained_by_the_probe_and_carried_by_the_schemes_rule(
    scheme: str, value: str, said: str
) -> None:
    found = findings_for(CATALOG.schemes[scheme], None, "cuda")["lora"]
    assert found.value == value
    assert said in found.detail


def test_a_probe_speaks_for_other_hardware_only_where_it_is_the_same_code() -> None:
    quanto, bnb = CATALOG.schemes["quanto-int8"], CATALOG.schemes["bnb-nf4"]
    assert {"cpu", "compile", "serializable", "lora"} <= set(findings_for(quanto, None, "cpu"))
    assert "cuda" in findings_for(quanto, None, "cuda")
    assert set(findings_for(quanto, None, "rocm")) == {"serializable", "lora", "on-the-fly"}
    assert findings_for(bnb, None, "cpu")["serializable"].value == "no"
    # On a CPU its library did it, not diffusers: only what a GPU showed speaks for others.
    assert {f.hardware for f in findings_for(bnb, None, "rocm").values()} == {"cuda"}
    assert pick(needs=["serializable"], hardware="cuda")["bnb-nf4"].verdict == "runs"
    assert pick(needs=["serializable"], hardware="cpu")["bnb-nf4"].verdict == "no"


def test_a_probe_of_the_text_encoder_speaks_for_transformers_alone() -> None:
    """Of an encoder only loading and running are tried; the rest is of the denoiser."""
    scheme = CATALOG.schemes["quanto-int8"]
    of_encoder = findings_for(scheme, "transformers", "cpu")
    of_denoiser = findings_for(scheme, "diffusers", "cpu")
    assert set(of_encoder) == {"on-the-fly", "cpu"} < set(of_denoiser)
    assert of_encoder["cpu"].detail != of_denoiser["cpu"].detail


def test_what_was_measured_against_a_claim_leads_and_the_claim_stands_beside_it() -> None:
    hqq = CATALOG.schemes["hqq-int4"]
    claim = CATALOG.methods["hqq"].cell("lora", hqq)
    assert claim.value == "no"
    assert "measured on a CPU, a LoRA trains" in claim.note
    measured = findings_for(hqq, None, "cpu")["lora"]
    assert measured.value == "partial"  # it trains; a stored one is fused before
    assert "base unchanged" in measured.detail
    assert "lora" not in findings_for(hqq, None, "cuda")  # there hqq may run other kernels


def test_every_answer_that_was_kept_is_found() -> None:
    answers = [k for k in kept_probes() if k.cell.measured in ("yes", "no")]
    mapped = [k for k in answers if k.cell.capability in (*COLUMN_OF, "run")]
    assert len(mapped) == sum(len(found) for found in load_findings().values())


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("probe-tpu.csv", "a\n", "expected probe-HARDWARE"), ("probe-cpu.csv", "a\n1\n", "not the")],
)
def test_a_file_that_is_no_probe_is_refused(
    name: str, text: str, said: str, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "results"
    folder.mkdir(parents=True)
    (folder / name).write_text(text, "utf-8")
    with pytest.raises(CatalogError, match=said):
        load_findings(tmp_path)


@pytest.mark.parametrize("hardware", HARDWARE)
def test_every_kind_of_hardware_has_its_label_through_diffusers(hardware: str) -> None:
    assert column(f"diffusers-{hardware}").name == f"diffusers on {column(hardware).name}"


# What is proposed where little fits


def test_a_mac_that_is_too_small_is_told_the_nearest_plan(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["--gpu", "apple-8gb", "--model", "flux2-dev"]
    assert main(["propose", *asked, "--json"]) == 0
    written = capsys.readouterr()
    assert written.out.strip() == "[]"
    assert "nothing fits; the nearest is" in written.err
    assert main(["pick", *asked]) == 0
    assert capsys.readouterr().out.startswith("nothing fits; the nearest is")


def test_a_mac_of_8_gb_runs_a_small_model_in_turns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pick", "--gpu", "apple-8gb", "--model", "flux2-klein-4b"]) == 0
    written = capsys.readouterr().out
    assert "(staged)" in written.splitlines()[0]
    assert "nothing" not in written.partition("verdict")[0]


def test_two_bits_never_come_first_where_more_runs() -> None:
    rows = recommend(gpu="apple-36gb", model="flux1-dev", machine=CPU)
    running = [row.scheme for row in rows if row.verdict == "runs"]
    assert running
    assert CATALOG.schemes[str(running[0])].bits > 2


# What people type


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("nf4", "bnb-nf4, bnb-nf4-dq"),
        ("int8wo", "torchao-int8wo"),
        ("q4_0", "gguf-q4_0"),
        ("bnb-nf3", "bnb-nf4"),
    ],
)
def test_an_unknown_scheme_is_answered_with_the_nearest(
    typed: str, nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["snippet", "--plan", typed]) == 2
    said = capsys.readouterr().err
    assert f"unknown scheme {typed!r}; the nearest: {nearest}" in said
    assert "tab" not in said.lower()


@pytest.mark.parametrize("typed", ["zzzzzzzz", "x" * 64])
def test_where_nothing_is_near_pick_is_named(typed: str) -> None:
    with pytest.raises(PlanError, match="pick names them all"):
        parse_plan(typed, CATALOG.models["flux1-dev"])


def test_a_model_that_is_stored_quantized_is_told_to_run_as_stored() -> None:
    model = CATALOG.models["flux1-dev"]
    first, *rest = model.components
    stored = replace(model, components=(replace(first, stored_as="bitsandbytes 4-bit"), *rest))
    assert not beforehand(model, ["a cat"], 512)
    [said] = beforehand(stored, ["a cat"], 512)
    assert "used as stored: the transformer (bitsandbytes 4-bit)" in said


def test_how_many_tokens_each_encoder_keeps_is_told_where_a_prompt_has_more() -> None:
    flux, mini = CATALOG.models["flux1-dev"], CATALOG.models["flux-mini"]
    assert tokens_kept(flux, 512) == {"text encoder": 77, "T5 encoder": 512}
    assert tokens_kept(mini, 32) == {"text encoder": 77, "T5 encoder": 32}
    assert beforehand(flux, ["word " * 49], 512) == ()
    [may] = beforehand(flux, ["word " * 70], 512)
    assert "70 words and marks may have more tokens than are kept; the text encoder keeps 77" in may
    line = limits_line(flux)
    assert "Of a prompt the text encoder keeps 77, the T5 encoder keeps 512 tokens." in line
    [some] = beforehand(flux, ["word " * 80], 512)
    assert "the text encoder keeps 77, the T5 encoder keeps 512" in some
    assert "same picture" not in some
    [every] = beforehand(flux, ["word " * 600], 512)
    assert "Prompts that differ only after that give the same picture" in every


@pytest.mark.parametrize(
    ("seconds", "said"), [(100, None), (123, "without an account"), (400, "with a free account")]
)
def test_who_cannot_afford_a_run_is_known_before(seconds: int, said: str | None) -> None:
    found = who_has_less(seconds)
    assert (found[0] if found else None) == said
    assert not found or found[1] < seconds
