"""What SDNQ and layerwise casting leave alone by themselves, held against their own lists.

Both go by names, for classes that nobody named by defaults. A layer that is missed here is a plan
that fails its verification, and bytes that are predicted too small.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from math import prod
from typing import Any

import pytest
from diffusers.hooks.layerwise_casting import DEFAULT_SKIP_MODULES_PATTERN
from diffusers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, AUTO_QUANTIZER_MAPPING
from sdnq import SDNQConfig, SDNQQuantizer
from sdnq.utils import add_module_skip_keys, check_param_name_in

from quantlab.catalog.models.schema import Component
from quantlab.catalog.reach import why_not
from quantlab.catalog.sizes.shapes import component_shapes, shapes_of
from quantlab.catalog.sizes.weights import scheme_bytes
from quantlab.catalog.table import load_catalog
from quantlab.lab.libraries import resolve

CATALOG = load_catalog()
COMPONENTS = {
    component.shapes: component
    for model in CATALOG.models.values()
    for component in model.components
    if not component.cls.startswith("Autoencoder")
}
TOLD = ("_keep_in_fp32_modules", "_tied_weights_keys", "_skip_layerwise_casting_patterns")


def named(component: Component, *kinds: str) -> list[str]:
    modules = shapes_of(component.shapes)
    return [module.name for module in modules if module.kind in kinds and module.weight]


def left_alone(scheme: str, component: Component, names: list[str]) -> set[str]:
    patterns = CATALOG.schemes[scheme].left_alone(component.cls)
    return {name for name in names if any(fnmatchcase(name, p) for p in patterns)}


@pytest.mark.parametrize("shapes", COMPONENTS)
def test_sdnq_leaves_alone_what_the_catalogue_says(shapes: str) -> None:
    component = COMPONENTS[shapes]
    cls = resolve(f"{component.library}.{component.cls}")
    config = SDNQConfig(weights_dtype="int8")
    config.modules_to_not_convert, config.modules_dtype_dict = [], {}
    bare: Any = type(cls.__name__, (), {name: getattr(cls, name, None) for name in TOLD})
    add_module_skip_keys(bare(), config)
    names = named(component, "linear")
    skipped = config.modules_to_not_convert
    theirs = {name for name in names if check_param_name_in(f"{name}.weight", skipped)}
    if component.library == "transformers":  # it has every library leave alone what comes last
        theirs |= {shapes_of(component.shapes)[-1].name} & set(names)
    assert left_alone("sdnq-int8", component, names) == theirs


def test_sdnq_understands_what_it_is_told_to_leave_alone() -> None:
    for scheme in CATALOG.methods["sdnq"].schemes:
        for cls, spare in scheme.spare.items():
            component = next(c for c in COMPONENTS.values() if c.cls == cls)
            names = named(component, "linear")
            theirs = {n for n in names if check_param_name_in(f"{n}.weight", list(spare))}
            assert theirs, scheme.id
            assert theirs == {n for n in names if any(fnmatchcase(n, p) for p in spare)}, scheme.id


@pytest.mark.parametrize("shapes", [s for s, c in COMPONENTS.items() if c.library == "diffusers"])
def test_layerwise_casting_leaves_alone_what_the_catalogue_says(shapes: str) -> None:
    component = COMPONENTS[shapes]
    cls = resolve(f"diffusers.{component.cls}")
    patterns = [*DEFAULT_SKIP_MODULES_PATTERN, *(cls._keep_in_fp32_modules or [])]
    patterns += cls._skip_layerwise_casting_patterns or []
    names = named(component, "linear", "conv", "embedding")
    found = {
        name for name in names if any(re.search(p, part) for part in within(name) for p in patterns)
    }
    assert left_alone("layerwise-fp8", component, names) == found


def test_what_takes_whole_blocks_alone_leaves_alone_what_is_none() -> None:
    """bitsandbytes' blocks are so on a CPU alone, by its own kernel there."""
    schemes = [s for s in CATALOG.schemes.values() if s.storage and s.on_cpu == "diffusers"]
    picky = [s for s in schemes if s.storage.whole_inputs > 1 or s.storage.whole_numbers > 1]
    names = {"int8wo-g64", "nf4", "mxfp8", "mxfp4", "nvfp4wo"}
    assert {s.id for s in picky} == {"bfl-fp8", *(f"torchao-{name}" for name in names)}
    for scheme in picky:
        for component in COMPONENTS.values():
            if why_not(scheme, component.library, component.cls) is not None:
                continue
            linear = [m for m in shapes_of(component.shapes) if m.kind == "linear" and m.weight]
            odd = {
                m.name
                for m in linear
                if m.weight[0] % scheme.storage.whole_outputs
                or m.weight[1] % scheme.storage.whole_inputs
                or prod(m.weight) % scheme.storage.whole_numbers
            }
            assert odd <= left_alone(scheme.id, component, [m.name for m in linear]), scheme.id


def within(name: str) -> Iterator[str]:
    """The name and those of the modules around it: what is left alone is so with all in it."""
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def test_what_diffusers_keeps_in_fp32_is_counted_as_its_quantizers_keep_it() -> None:
    """Wan's twin in AutoRound was predicted 7 % too large: that quantizer keeps nothing in fp32."""
    configs = AUTO_QUANTIZATION_CONFIG_MAPPING.items()
    by_config = {f"diffusers.{c.__name__}": AUTO_QUANTIZER_MAPPING[method] for method, c in configs}
    by_config["sdnq.SDNQConfig"] = SDNQQuantizer  # diffusers' own class makes one of these
    ready = {"nunchaku-lite": "diffusers.NunchakuLiteQuantizationConfig"}  # read from files alone
    found = set()
    for scheme in CATALOG.schemes.values():
        path = scheme.diffusers.path if scheme.diffusers else ready.get(scheme.method)
        if path in by_config:
            keeps = getattr(by_config[path], "use_keep_in_fp32_modules", False)
            assert scheme.keeps_fp32 == keeps, scheme.id
            found.add(scheme.method)
    assert {"auto-round", "bitsandbytes", "nunchaku-lite", "quanto", "sdnq", "torchao"} <= found
    wan = next(model for model in CATALOG.models.values() if model.family.id == "wan")
    kept = sum(m.numbers for m in component_shapes(wan, wan.denoiser) if m.in_fp32)
    rounding = CATALOG.schemes["auto-round-int4"]
    keeping = replace(rounding, keeps_fp32=True)
    sizes = [scheme_bytes(wan, wan.denoiser, s, 2) for s in (rounding, keeping)]
    assert kept > 0
    assert sizes[1] - sizes[0] == 2 * kept
