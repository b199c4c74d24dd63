"""The catalogue held against the installed libraries: quantizer maps, config objects, modules."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchao.quantization import Int8WeightOnlyConfig, quantize_

from quantlab.catalog.machine import here, this_machine
from quantlab.catalog.schema import Spec
from quantlab.catalog.table import load_catalog
from quantlab.errors import PlanError, Unavailable, VerificationError
from quantlab.lab.libraries import resolve
from quantlab.lab.load.weights import verify
from quantlab.lab.specs import build

CATALOG = load_catalog()

QUANTIZER_KEYS = {
    "aqlm": "aqlm",
    "auto-round": "auto-round",
    "awq": "awq",
    "bfl": "bfl",
    "bitnet": "bitnet",
    "bitsandbytes_4bit": "bitsandbytes",
    "bitsandbytes_8bit": "bitsandbytes",
    "compressed-tensors": "compressed-tensors",
    "eetq": "eetq",
    "fbgemm_fp8": "fbgemm-fp8",
    "fouroversix": "four-over-six",
    "fp8": "finegrained-fp8",
    "fp_quant": "fp-quant",
    "gemma": "gemma",
    "gguf": "gguf",
    "gptq": "gptqmodel",
    "higgs": "higgs",
    "hqq": "hqq",
    "metal": "metal",
    "modelopt": "modelopt",
    "mxfp4": "mxfp4",
    "mxfp8": "finegrained-fp8",
    "nunchaku_lite": "nunchaku-lite",
    "nvfp4": "nvfp4",
    "quanto": "quanto",
    "quark": "quark",
    "sdnq": "sdnq",
    "sinq": "sinq",
    "spqr": "spqr",
    "torchao": "torchao",
    "vptq": "vptq",
}

WANTS_ITS_PACKAGE = {
    "diffusers.AutoRoundConfig": "auto_round",
    "diffusers.NVIDIAModelOptConfig": "modelopt",
    "transformers.HqqConfig": "hqq",
}
"""Config classes that cannot be made without the package of their method."""


@pytest.mark.parametrize("library", ["diffusers", "transformers"])
def test_every_quantizer_of_the_installed_library_is_covered(library: str) -> None:
    auto = importlib.import_module(f"{library}.quantizers.auto")
    keys = set(auto.AUTO_QUANTIZATION_CONFIG_MAPPING) - {"sdnq_training"}
    assert keys <= set(QUANTIZER_KEYS), "a new quantizer: add its method"
    for key in keys:
        cell = CATALOG.methods[QUANTIZER_KEYS[key]].cells[library]
        assert cell.value in ("yes", "partial"), f"{library} has {key}, the catalogue says no"


@pytest.mark.parametrize("library", ["diffusers", "transformers"])
def test_no_library_is_said_to_support_what_it_has_no_quantizer_for(library: str) -> None:
    auto = importlib.import_module(f"{library}.quantizers.auto")
    known = {
        QUANTIZER_KEYS[key]
        for key in auto.AUTO_QUANTIZATION_CONFIG_MAPPING
        if key in QUANTIZER_KEYS
    }
    known |= {"layerwise"} if library == "diffusers" else {"sdnq"}
    claimed = {
        m.id for m in CATALOG.methods.values() if m.cells[library].value in ("yes", "partial")
    }
    assert claimed == known


def specs() -> list[tuple[str, Spec]]:
    found = []
    for scheme in CATALOG.schemes.values():
        if scheme.way not in ("layerwise", "quanto"):  # functions that take the model
            found += [(scheme.id, s) for s in (scheme.diffusers, scheme.transformers) if s]
    return found


@pytest.mark.parametrize(("scheme", "spec"), specs())
def test_every_config_object_can_be_made(scheme: str, spec: Spec) -> None:
    package = WANTS_ITS_PACKAGE.get(spec.path)
    if package is not None and importlib.util.find_spec(package) is None:
        with pytest.raises((Unavailable, ImportError, KeyError), match=rf"(?i){package}"):
            build(spec, "torch.float32")
    else:
        made = build(spec, "torch.float32")
        if isinstance(resolve(spec.path), type):
            assert type(made).__name__ == spec.path.rpartition(".")[2], scheme
        else:  # HQQ's is a function, of what its layers are told about their weights
            assert made["weight_quant_params"].items() >= spec.args.items(), scheme


@pytest.mark.skipif(len(this_machine().hardware) > 1, reason="for a machine without a GPU")
@pytest.mark.parametrize(
    ("scheme", "said"), [("torchao-fp8dq", "compute capability"), ("torchao-int4wo", "mslk")]
)
def test_what_the_catalogue_keeps_from_a_cpu_its_library_refuses(
    scheme: str, said: str, tiny: Path
) -> None:
    asked = CATALOG.schemes[scheme]
    assert here(asked, CATALOG.methods[asked.method], this_machine()) != "ok"
    assert asked.diffusers is not None
    config = build(asked.diffusers, "torch.float32")
    flux = importlib.import_module("diffusers").FluxTransformer2DModel
    with pytest.raises((AssertionError, ImportError), match=said):
        flux.from_pretrained(tiny / "transformer", quantization_config=config)


def test_a_mistyped_argument_of_a_spec_is_found() -> None:
    with pytest.raises((PlanError, Unavailable)):
        build(
            Spec("transformers.BitsAndBytesConfig", {"bnb_4bit_quant_typ": "nf4"}), "torch.float32"
        )


def test_the_simple_form_is_told_as_diffusers_has_it() -> None:
    from diffusers.quantizers import PipelineQuantizationConfig

    for scheme in CATALOG.schemes.values():
        if scheme.simple is not None:
            backend, kwargs = scheme.simple
            PipelineQuantizationConfig(
                quant_backend=backend,
                quant_kwargs=dict(kwargs),
                components_to_quantize=["transformer"],
            )
    for backend, kwargs in (
        ("quanto", {"weights_dtype": "int8"}),
        ("sdnq", {"weights_dtype": "int8"}),
    ):
        with pytest.raises(ValueError, match=r"."):
            PipelineQuantizationConfig(quant_backend=backend, quant_kwargs=kwargs)
    with_simple = {scheme.method for scheme in CATALOG.schemes.values() if scheme.simple}
    assert with_simple == {"bitsandbytes"}


# What a scheme holds tells it from every other


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Flux transformer of Gaussian weights, saved as a pipeline's component."""
    import diffusers
    import torch

    torch.manual_seed(0)
    model = diffusers.FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=64,
        num_attention_heads=4,
        joint_attention_dim=256,
        pooled_projection_dim=256,
        axes_dims_rope=(16, 24, 24),
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    folder = tmp_path_factory.mktemp("tiny")
    model.save_pretrained(folder / "transformer")
    return folder


def test_a_layer_that_does_not_suit_a_scheme_stays_as_it_is_and_no_other() -> None:
    """torchao's int4 leaves FLUX's x_embedder alone: its 64 inputs are no whole group of 128."""
    model = torch.nn.Sequential(torch.nn.Linear(256, 8), torch.nn.Linear(64, 8))
    config = Int8WeightOnlyConfig(set_inductor_config=False)
    quantize_(model, config, lambda _, name: name == "0")
    whole = CATALOG.schemes["torchao-int8wo"]
    verify(model, replace(whole, storage=CATALOG.schemes["torchao-int4wo"].storage), "transformer")
    with pytest.raises(VerificationError, match="1 of 2 linear layers"):
        verify(model, whole, "transformer")


def test_every_scheme_that_is_loaded_through_a_config_can_be_verified() -> None:
    assert not [
        s.id for s in CATALOG.schemes.values() if s.loadable and not s.holds and not s.layers
    ]
