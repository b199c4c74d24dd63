"""The catalogue's cells held against the flags of the installed libraries' quantizer classes.

A flag is what a library enforces, not proof that it works: "yes" there and "no" here, or the
reverse, is a contradiction, and each that stays has its reason below.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import pytest

from quantlab.catalog.schema import Method
from quantlab.catalog.table import load_catalog
from quantlab.lab.specs import build
from tests.test_catalog_libraries import QUANTIZER_KEYS

CATALOG = load_catalog()
COLUMNS = {
    "transformers": {
        "is_serializable": "serializable",
        "is_trainable": "peft",
        "is_qat_trainable": "qat",
        "is_compileable": "compile",
    },
    "diffusers": {
        "is_serializable": "serializable",
        "is_trainable": "lora",
        "is_compileable": "compile",
    },
}
"""Library -> flag -> the column that says the same."""

STANDS_THOUGH_THE_CLASS_SAYS_YES = {
    ("transformers", "hqq", "serializable"): "5.23 does not quantize with it, so nothing is saved",
    ("transformers", "quanto", "peft"): "PEFT has no layer for it; a LoRA trains through diffusers",
}
STANDS_THOUGH_THE_CLASS_SAYS_NO = {
    ("transformers", "quanto", "qat"): "the library trains by itself, says its README",
    ("diffusers", "gguf", "lora"): "diffusers tests one, and the probe trains one",
    ("diffusers", "sdnq", "lora"): "an adapter is carried, measured",
}
ASKS_ITS_PACKAGE = {
    ("transformers", "aqlm", "is_trainable"),
    ("transformers", "awq", "is_trainable"),
    ("transformers", "compressed-tensors", "is_qat_trainable"),
    ("diffusers", "modelopt", "is_serializable"),
}
"""Flags that ask the version of a package which need not be here."""


def quantizers(library: str) -> Mapping[str, type[Any]]:
    mapping = importlib.import_module(f"{library}.quantizers.auto").AUTO_QUANTIZER_MAPPING
    return {key: cls for key, cls in mapping.items() if isinstance(cls, type) and key != "sdnq"}


def flag(library: str, key: str, cls: type[Any], name: str) -> bool | None:
    """What the class says, made without its checks; None where it does not have the flag."""
    made = object.__new__(cls)
    made.quantization_config = _config(library, CATALOG.methods[QUANTIZER_KEYS[key]], key)
    made.use_fp8_kernel = made.offload = False
    if not hasattr(cls, name):
        return None
    value = getattr(made, name)
    return bool(value() if callable(value) else value)


def _config(library: str, method: Method, key: str) -> Any:
    """The config object of the method's first scheme, or one as the library makes it by default."""
    for scheme in method.schemes:
        spec = getattr(scheme, library)
        if spec is not None and (not key.endswith("8bit") or scheme.bits == 8):
            try:
                return build(spec, "torch.float32")
            except Exception:  # its package is not here, and the flags do not ask it
                break
    configs = importlib.import_module(f"{library}.quantizers.auto").AUTO_QUANTIZATION_CONFIG_MAPPING
    made = object.__new__(configs[key])
    vars(made).update(linear_class="autobitlinear", quantization_mode="online")  # as BitNet trains
    return made


def values(library: str, method: Method, column: str) -> set[str]:
    """What the cells of a method and of its schemes for that library say."""
    schemes = [
        s for s in method.schemes if getattr(s, library) is not None or library == "diffusers"
    ]
    return {method.cells[column].value, *(method.cell(column, s).value for s in schemes)}


CASES = [
    (library, key, name)
    for library, names in COLUMNS.items()
    for key in quantizers(library)
    for name in names
    if (library, QUANTIZER_KEYS[key], name) not in ASKS_ITS_PACKAGE
]


@pytest.mark.parametrize(("library", "key", "name"), CASES)
def test_cells_do_not_contradict_the_quantizer_classes(library: str, key: str, name: str) -> None:
    method = CATALOG.methods[QUANTIZER_KEYS[key]]
    column = COLUMNS[library][name]
    said = flag(library, key, quantizers(library)[key], name)
    case = (library, method.id, column)
    if said and case not in STANDS_THOUGH_THE_CLASS_SAYS_YES:
        assert values(library, method, column) != {"no"}, f"{case}: the class says yes"
    if said is False and name != "is_compileable" and case not in STANDS_THOUGH_THE_CLASS_SAYS_NO:
        # Classes say compileable only where generate() compiles by itself.
        assert method.cells[column].value != "yes", f"{case}: the class says no"


def test_every_exception_is_one() -> None:
    """None stays on the lists above once cell and class agree."""
    for (library, name, column), yes in [
        *((case, True) for case in STANDS_THOUGH_THE_CLASS_SAYS_YES),
        *((case, False) for case in STANDS_THOUGH_THE_CLASS_SAYS_NO),
    ]:
        method = CATALOG.methods[name]
        if name == "sdnq":
            continue  # its class is the library's own and asks is_training
        key = next(k for k in quantizers(library) if QUANTIZER_KEYS[k] == name)
        names = {c: n for n, c in COLUMNS[library].items()}
        assert flag(library, key, quantizers(library)[key], names[column]) is yes
        assert (method.cells[column].value == "no") is yes


def test_gguf_compiles_and_the_nvfp4_link_is_what_transformers_downloads() -> None:
    hub = importlib.import_module("transformers.integrations.hub_kernels")
    source = importlib.import_module("inspect").getsource(hub)
    repo = CATALOG.methods["nvfp4"].library.removeprefix("https://huggingface.co/")
    assert f'"{repo}"' in source
    assert CATALOG.methods["gguf"].cells["compile"].value == "yes"


def test_transformers_reads_a_t5_encoder_from_gguf_by_unpacking_it() -> None:
    reader = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    packed = importlib.import_module("transformers.integrations.gguf.utils")
    assert "t5encoder" in reader.TENSOR_PROCESSORS
    assert not packed.is_gguf_arch_supported("t5encoder")
    assert CATALOG.methods["gguf"].cell("transformers").value == "partial"


def test_gemma_has_the_widths_that_its_config_names() -> None:
    config = importlib.import_module("transformers").GemmaQuantizationConfig
    assert all(str(bits) in config.__doc__ for bits in (2, 4, 8))
    assert [str(span) for span in CATALOG.methods["gemma"].bits] == ["2", "4", "8"]


def test_int4_of_torchao_is_for_what_the_catalogue_says() -> None:
    import torch
    from torchao.quantization.quantize_.workflows import Int4PlainInt32Tensor

    with pytest.raises(NotImplementedError, match="does not support device 'cpu'"):
        Int4PlainInt32Tensor.from_hp(torch.ones(64, 128), [1, 128])
    int4 = CATALOG.schemes["torchao-int4wo"].capabilities
    assert "plain_int32" in int4["intel"].note
    assert (int4["metal"].value, int4["cpu"].value) == ("no", "no")


def test_layerwise_casting_is_not_saved_and_takes_no_adapter_afterwards() -> None:
    import torch
    from diffusers.hooks import apply_layerwise_casting

    layer = torch.nn.Sequential(torch.nn.Linear(4, 4))
    apply_layerwise_casting(layer, torch.float8_e4m3fn, torch.float32)
    assert torch.isfinite(layer(torch.ones(1, 4))).all()
    saved = layer.state_dict()
    assert saved["0.weight"].dtype is torch.float8_e4m3fn  # and nothing of the hook that casts it
    assert set(saved) == {"0.weight", "0.bias"}
    with pytest.raises(NotImplementedError, match="Float8"):
        saved["0.weight"] * 2
    cells = CATALOG.methods["layerwise"].cells
    assert (cells["serializable"].value, cells["peft"].value, cells["metal"].value) == ("no",) * 3
    assert cells["lora"].value == "partial"
