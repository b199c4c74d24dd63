"""Pick: verdicts follow from cells and sizes, and every method always comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.catalog.answer.choices import propose
from quantlab.catalog.answer.judge import VERDICTS
from quantlab.catalog.answer.pick import Recommendation, nearest, recommend
from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.machine import Machine, here
from quantlab.catalog.read import twins
from quantlab.catalog.schema import HARDWARE, LIBRARIES, NEEDS
from quantlab.catalog.sizes.predict import plan_bytes
from quantlab.catalog.table import load_catalog
from quantlab.errors import InputError

CATALOG = load_catalog()
EVERYTHING = dict.fromkeys(
    [
        *(name for method in CATALOG.methods.values() for name in method.packages),
        *(text.split(">=")[0] for s in CATALOG.schemes.values() for text in s.written_with),
    ],
    "99",
)
BARE = Machine(packages={})
CPU = Machine(compiler=True, packages=EVERYTHING)
ADA = Machine(("cpu", "cuda"), 8.9, compiler=True, packages=EVERYTHING | {"mslk-cuda": "1.0.0"})
HOPPER = Machine(("cpu", "cuda"), 9.0, compiler=True, packages=EVERYTHING)


def pick(**asked: Any) -> dict[str, Recommendation]:
    """Rows by scheme, or by method where there is no scheme."""
    return {row.scheme or row.method: row for row in recommend(**({"machine": CPU} | asked))}


def status(scheme_id: str, machine: Machine, model: str | None = None) -> str:
    scheme = CATALOG.schemes[scheme_id]
    known = CATALOG.models[model] if model else None
    return here(scheme, CATALOG.methods[scheme.method], machine, known)


questions = st.fixed_dictionaries(
    {
        "hardware": st.sampled_from([None, *HARDWARE]),
        "bits": st.sampled_from([None, 1, 1.58, 2, 3, 4, 5, 6, 8, 16]),
        "needs": st.lists(st.sampled_from(NEEDS), max_size=5),
        "library": st.sampled_from([None, *LIBRARIES]),
        "model": st.sampled_from(list(CATALOG.models)),
        "memory_gib": st.sampled_from([None, 4.0, 12.0, 24.0, 80.0]),
    }
)


@settings(max_examples=60, deadline=None)
@given(questions)
def test_every_method_and_scheme_comes_back_with_a_verdict_and_reasons(asked: Any) -> None:
    rows = recommend(**asked, machine=CPU)
    assert {row.method for row in rows} == set(CATALOG.methods)
    single = {scheme.id for scheme in CATALOG.schemes.values() if not scheme.layers}
    assert {row.scheme for row in rows if row.scheme} == single
    assert len({(row.method, row.scheme) for row in rows}) == len(rows)
    for row in rows:
        assert row.verdict == "runs" or row.reasons
        assert row.here.split(":")[0] in ("ok", "not-installed", "refused")
    order = [VERDICTS.index(row.verdict) for row in rows]
    assert order == sorted(order)


@settings(max_examples=60, deadline=None)
@given(questions)
def test_unknown_never_counts_as_yes(asked: Any) -> None:
    for row in recommend(**asked, machine=CPU):
        said = [reason.split(" (")[0] for reason in row.reasons]
        if row.verdict in ("runs", "runs-with-offload"):
            assert not any(text.endswith(": unknown") for text in said)
            refused = [text for text in said if text.endswith(": no")]
            assert refused in ([], ["diffusers on CPU: no"])


def test_keys_are_those_of_the_contract() -> None:
    row = recommend(machine=BARE)[0].as_dict()
    assert list(row) == ["method", "scheme", "verdict", "evidence", "bytes", "reasons", "here"]
    json.dumps(row)


@pytest.mark.parametrize("method", ["aqlm", "awq", "bitsandbytes", "eetq", "gguf", "hqq", "quanto"])
def test_the_seven_methods_of_2024_are_found_on_cuda(method: str) -> None:
    best = min((r for r in recommend(hardware="cuda") if r.method == method), key=_rank)
    assert best.verdict == "runs"


def _rank(row: Recommendation) -> int:
    return VERDICTS.index(row.verdict)


def test_hqq_is_found_at_four_bits_and_at_three() -> None:
    assert pick(hardware="cuda", bits=4)["hqq-int4"].verdict == "runs"
    three = pick(hardware="cuda", bits=3)
    assert (three["hqq-int3"].verdict, three["hqq-int4"].verdict) == ("runs", "no")
    assert "hqq" not in three  # schemes of these widths stand for the method


def test_a_rejected_row_cites_its_cell() -> None:
    row = pick(hardware="cpu")["eetq-int8"]
    assert row.verdict == "no"
    assert row.reasons == ("CPU: no (transformers docs, quantization overview, 2026-11)",)


def test_bitsandbytes_on_a_cpu_depends_on_who_does_it() -> None:
    plain = pick(hardware="cpu")["bnb-nf4"]
    assert plain.verdict == "runs"
    assert any("diffusers on CPU: no" in reason for reason in plain.reasons)
    assert any("quantlab lets the library do it" in reason for reason in plain.reasons)
    assert pick(hardware="cpu", model="flux-mini")["bnb-nf4"].verdict == "runs"
    assert pick(hardware="cpu", library="transformers")["bnb-nf4"].verdict == "runs"
    assert pick(hardware="cpu", library="diffusers")["bnb-nf4"].verdict == "no"


def test_bitsandbytes_on_metal_differs_between_four_and_eight_bits() -> None:
    through_diffusers = pick(hardware="metal", library="diffusers")
    assert through_diffusers["bnb-nf4"].verdict == "runs"
    assert through_diffusers["bnb-int8"].verdict == "no"
    assert pick(hardware="metal")["bnb-int8"].verdict == "partial"


@pytest.mark.parametrize("scheme", ["awq-int4", "aqlm-2bit", "eetq-int8", "gptq-int4"])
def test_methods_of_language_models_only_are_not_for_diffusers(scheme: str) -> None:
    assert pick(library="diffusers")[scheme].verdict == "no"
    assert pick(hardware="cuda", model="flux1-dev")[scheme].verdict == "no"


def test_hqq_is_for_diffusers_by_its_own_library_alone() -> None:
    for row in (pick(library="diffusers"), pick(hardware="cuda", model="flux1-dev")):
        assert row["hqq-int4"].verdict == "partial"
        assert any("diffusers has no config for it" in why for why in row["hqq-int4"].reasons)


def test_gguf_is_unpacked_for_a_text_encoder_and_layerwise_is_not_for_one() -> None:
    rows = pick(library="transformers")
    assert rows["gguf-q4_0"].verdict == "partial"
    assert "unpacked, which saves no memory" in "; ".join(rows["gguf-q4_0"].reasons)
    assert rows["layerwise-fp8"].verdict == "no"


def test_needs_are_judged_one_by_one() -> None:
    row = pick(hardware="cuda", needs=["serializable", "qat"], library="transformers")[
        "quanto-int8"
    ]
    assert row.verdict == "partial"
    assert [reason.split(":")[0] for reason in row.reasons] == [
        "CUDA",
        "serializable",
        "QAT",
        "transformers",
    ]


def test_bits_reject_with_what_the_method_has() -> None:
    row = pick(bits=4)["bnb-int8"]
    assert row.verdict == "no"
    assert "8, not 4" in row.reasons[0]
    assert "4, 8" in row.reasons[0]


# Memory


def test_memory_turns_a_fit_into_runs_offload_or_no() -> None:
    def verdict(gib: float, scheme: str = "bnb-nf4") -> str:
        return pick(hardware="cuda", model="flux1-dev", memory_gib=gib)[scheme].verdict

    assert verdict(80) == "runs"
    assert verdict(12) == "runs-with-offload"
    assert verdict(6) == "no"
    assert verdict(16, "torchao-int8wo") == "runs-with-offload"
    assert verdict(12, "quanto-int8") == "no"


def test_a_row_tells_where_its_weights_are_kept() -> None:
    rows = pick(gpu="rtx-3060-12gb", model="flux1-dev")
    kinds = {name: row.placement.kind for name, row in rows.items() if row.placement}
    assert kinds["bnb-nf4"] == "staged"
    assert kinds["torchao-int8wo"] == "group-offload"
    assert "quanto-int8" not in kinds
    told = "; ".join(rows["torchao-int8wo"].reasons)
    for part in ("of 11.8 GiB at the peak with group offload", "of host memory", "download: "):
        assert part in told
    assert rows["torchao-int8wo"].verdict == "runs-with-offload"
    assert rows["quanto-int8"].verdict == "no"
    assert "11.7 GiB with model offload" in "; ".join(rows["quanto-int8"].reasons)


def test_a_card_stands_for_its_hardware_and_its_memory() -> None:
    card, plain = pick(gpu="apple-32gb", model="flux1-dev"), pick(hardware="metal")
    assert card["bnb-int8"].verdict == "no"
    assert plain["bnb-int8"].verdict == "partial"
    fp8 = pick(gpu="rtx-3090-24gb", model="flux1-dev")["torchao-fp8dq"]
    assert fp8.verdict == "no"
    assert "needs compute capability 8.9; this GPU has 8.6" in "; ".join(fp8.reasons)
    assert pick(gpu="rtx-4090-24gb", model="flux1-dev")["torchao-fp8dq"].placement is not None


# A whole pipeline


def test_there_is_no_offloading_on_a_cpu() -> None:
    row = pick(hardware="cpu", model="flux1-dev", memory_gib=12)["bnb-nf4"]
    assert row.verdict == "no"
    assert row.evidence == "predicted"


def test_bytes_are_weights_of_the_whole_pipeline() -> None:
    rows = pick(model="flux1-dev")
    assert rows["bnb-nf4"].bytes == sum(
        plan_bytes("flux1-dev", {"transformer": "bnb-nf4"}).values()
    )
    assert rows["torchao-int8wo"].bytes > rows["bnb-nf4"].bytes  # type: ignore[operator]
    assert rows["vptq"].bytes is None
    assert pick()["bnb-nf4"].bytes is None
    through = pick(model="flux1-dev", library="transformers")["bnb-nf4"]
    assert through.bytes == sum(plan_bytes("flux1-dev", {"text_encoder_2": "bnb-nf4"}).values())


def test_a_missing_checkpoint_is_unknown_and_a_local_one_is_written() -> None:
    assert pick(hardware="cuda", model="flux1-dev")["gguf-q4_k"].verdict == "runs"
    assert pick(hardware="cuda", model="flux2-klein-4b")["gguf-q4_k"].verdict == "unknown"
    assert pick(hardware="cuda", model="flux-mini")["gguf-q4_k"].verdict == "runs"
    assert pick(hardware="cuda", model="flux1-dev")["bfl-nvfp4"].verdict == "unknown"


def test_what_was_measured_wins_and_comes_first() -> None:
    measured = {"layerwise-fp8": {"compile": "yes"}, "sdnq-int8": {"compile": "no"}}
    rows = recommend(hardware="cpu", needs=["compile"], measured=measured, machine=CPU)  # type: ignore[arg-type]
    found = {row.scheme: row for row in rows}
    assert found["layerwise-fp8"].verdict == "runs"
    assert (
        found["layerwise-fp8"]
        .reasons[1]
        .startswith("torch.compile: yes (measured on this machine); documented: unknown (")
    )
    assert found["sdnq-int8"].verdict == "no"
    assert found["sdnq-int8"].evidence == "measured"
    assert next(r for r in rows if r.verdict == "no").scheme == "sdnq-int8"


# This machine


@pytest.mark.parametrize(
    ("scheme", "machine", "said"),
    [
        ("bnb-nf4", CPU, "ok"),
        ("bnb-nf4", BARE, "not-installed: bitsandbytes, accelerate"),
        ("quanto-int4", Machine(packages=EVERYTHING), "not-installed: a C++ compiler"),
        ("quanto-int8", Machine(packages=EVERYTHING), "ok"),
        ("torchao-int4wo", CPU, "refused: needs a CUDA device"),
        ("torchao-int4wo", HOPPER, "not-installed: mslk-cuda>=1.0.0"),
        ("torchao-int4wo", ADA, "ok"),
        ("torchao-fp8dq", Machine(("cpu", "cuda"), 8.6, packages=EVERYTHING), "refused: needs"),
        ("torchao-fp8dq", ADA, "ok"),
        ("torchao-fp8dq", Machine(("cpu", "intel"), packages=EVERYTHING), "ok"),
        ("fbgemm-fp8-row", ADA, "refused: needs a CUDA device of compute capability 9.0"),
        ("gguf-q4_k", CPU, "ok"),
        ("gguf-q4_k", Machine(packages={"gguf": "0.19"}), "not-installed: libggml-python>=0.20.2"),
        ("nunchaku-svdq-int4", ADA, "refused: needs a checkpoint"),
    ],
)
def test_what_a_machine_makes_of_a_scheme(scheme: str, machine: Machine, said: str) -> None:
    assert status(scheme, machine).startswith(said)


def test_a_gguf_file_is_known_or_written_here() -> None:
    reads = Machine(("cpu", "cuda"), 8.9, packages={"gguf": "0.19"})
    assert status("gguf-q4_k", reads, "flux1-dev") == "ok"
    assert status("gguf-q4_k", ADA, "flux2-klein-4b") == "refused: needs a ready file of this model"
    assert status("gguf-q4_k", reads, "flux-mini").startswith("not-installed: libggml-python")
    assert status("gguf-q4_k", ADA, "flux-mini") == "ok"


def test_a_method_without_schemes_is_refused() -> None:
    assert here(None, CATALOG.methods["vptq"], ADA).startswith("refused: ")


@pytest.mark.parametrize(
    ("scheme", "found"),
    [
        ("bnb-nf4", "bnb-nf4"),
        ("torchao-int4wo", "torchao-int4wo-cpu"),
        ("torchao-fp8dq", "torchao-fp8wo"),
        ("hqq-int4", "hqq-int4"),
        ("aqlm-2bit", "gguf-q2_k"),
    ],
)
def test_the_nearest_scheme_that_runs(scheme: str, found: str) -> None:
    assert nearest(scheme, CPU) == found


def test_nothing_is_near_on_a_machine_without_libraries() -> None:
    assert nearest("bnb-nf4", BARE) is None


# Bad arguments


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"hardware": "gpu"}, "hardware: unknown hardware 'gpu'; allowed: cpu, cuda"),
        ({"needs": ["haste"]}, "need: unknown need 'haste'; allowed: compile"),
        ({"library": "mlx"}, "library: unknown library 'mlx'; allowed: transformers"),
        ({"model": "sd15"}, "model: unknown model 'sd15'; allowed: sdxl"),
        ({"bits": 0}, "bits: 0; a number above 0"),
        ({"bits": float("nan")}, "bits: nan"),
        ({"bits": True}, "bits: True"),
        ({"model": "flux-mini", "memory_gib": -1}, "memory-gib: -1"),
        ({"memory_gib": 12}, "memory-gib: needs a model"),
        ({"gpu": "rtx-3060-12gb"}, "gpu: needs a model"),
        (
            {"model": "flux-mini", "gpu": "voodoo-2"},
            "gpu: 'voodoo-2' is not listed: choose its hardware and memory",
        ),
        (
            {"model": "flux-mini", "gpu": "rtx-3060-12gb", "hardware": "metal"},
            "hardware: NVIDIA GeForce RTX 3060 12 GB is cuda, not metal",
        ),
        (
            {"model": "flux-mini", "gpu": "rtx-3060-12gb", "memory_gib": 12},
            "memory-gib: is what gpu says already",
        ),
    ],
)
def test_bad_arguments_name_the_part_and_what_is_allowed(asked: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        recommend(**asked)
    assert str(caught.value).startswith(said)


def test_an_unknown_scheme_has_no_nearest() -> None:
    with pytest.raises(InputError, match="unknown scheme"):
        nearest("fp7")


def test_pick_needs_neither_torch_nor_gradio_nor_pandas() -> None:
    code = (
        "import sys; from quantlab.catalog.answer.pick import recommend;"
        "recommend(hardware='cuda', model='flux1-dev', memory_gib=12);"
        "sys.exit(bool({'torch', 'gradio', 'pandas'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_failed_on_a_twin_is_no_on_a_cpu_a_warning_elsewhere_and_never_proposed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = {"model": "flux3-klein", "gpu": "rtx-4090-24gb", "machine": CPU}
    model = CATALOG.models["flux3-klein"]
    scheme = str(parse_plan(propose(**card).choices[0].plan, model).scheme("transformer"))
    key = ("flux3-klein", "transformer", scheme)
    works = pick(model="flux3-klein", hardware="cpu")[scheme]
    assert works.verdict in ("runs", "partial")
    assert any(r.startswith("twin: runs on the transformer, bytes as") for r in works.reasons)
    failed = replace(twins.on_twins()[key], works=False, detail="run: it cannot")
    monkeypatch.setattr(twins, "on_twins", lambda: {key: failed})
    on_cpu = pick(model="flux3-klein", hardware="cpu")[scheme]
    assert (on_cpu.verdict, on_cpu.evidence) == ("no", "measured")
    on_card = pick(model="flux3-klein", gpu="rtx-4090-24gb")[scheme]
    assert on_card.verdict in ("runs", "runs-with-offload")
    for row in (on_cpu, on_card):
        said = next(r for r in row.reasons if r.startswith("twin: fails on the transformer"))
        assert said in row.against
        assert said.endswith("run: it cannot")
    fresh = replace(CATALOG)  # of which nothing was proposed yet
    plans = [parse_plan(c.plan, model) for c in propose(**card, catalog=fresh).choices]
    assert plans
    assert scheme not in {plan.scheme("transformer") for plan in plans}
