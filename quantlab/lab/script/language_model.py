"""A complete script that loads a language model with a method of transformers, without quantlab.

For methods that no part of an image pipeline can use here: AQLM, AWQ, EETQ and HQQ. The config is
the catalogue's, the same as ``lab/ways/config.py`` builds. What a script needs, calibration or a
CUDA kernel, stands in its head; it is not run by quantlab, and its head says that too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from quantlab.catalog.schema import Scheme
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import InputError
from quantlab.lab.libraries import versions
from quantlab.lab.ways.config import render, spec_for

__all__ = ["llm_snippet", "scheme_of"]

ANY_DEVICE = '"cuda" if torch.cuda.is_available() else "cpu"'
SMALL = "Qwen/Qwen2.5-0.5B-Instruct"
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class _Recipe:
    """How a method's script differs: model, versions, device, and what a reader must know.

    ``pins`` holds against what is installed: these versions belong together.
    """

    repo: str
    pins: Mapping[str, str]
    needs: tuple[str, ...]
    dtype: str = '"auto"'
    device: str = ANY_DEVICE
    extras: Mapping[str, str] = field(default_factory=dict)


_RECIPES: Mapping[str, _Recipe] = {
    "aqlm": _Recipe(
        repo="BlackSamorez/TinyLlama-1_1B-Chat-v1_0-AQLM-2Bit-1x16-hf",
        pins={"aqlm": "1.1.7", "accelerate": "1.15.0"},
        extras={"aqlm": "gpu,cpu"},
        needs=(
            "Weights that were quantized beforehand with calibration data, by the AQLM project's",
            "own tools: transformers only loads them. The config below must be of the class that",
            "the model's files name; their values win over the ones given here.",
        ),
    ),
    "awq": _Recipe(
        repo="Qwen/Qwen2.5-0.5B-Instruct-AWQ",
        pins={"gptqmodel": "7.7.0", "accelerate": "1.15.0"},
        needs=(
            "Weights that were quantized beforehand with calibration data, for example by",
            "gptqmodel: transformers only loads them. The config below must be of the class that",
            "the model's files name; their values win over the ones given here.",
        ),
    ),
    "eetq": _Recipe(
        repo=SMALL,
        pins={"kernels": "0.17.2", "accelerate": "1.15.0"},
        needs=(
            "An NVIDIA GPU; transformers refuses without one. The CUDA kernel is downloaded by the",
            "kernels package on first use. No calibration: weights are quantized while loading.",
        ),
        dtype="torch.float16",
        device='"cuda"',
    ),
    "hqq": _Recipe(
        repo=SMALL,
        pins={"transformers": "4.57.6", "hqq": "0.2.8.post1", "accelerate": "1.15.0"},
        needs=(
            "No calibration and no GPU: weights are quantized while loading. transformers 5.23",
            'raises "not available yet" here, therefore the older release: use an environment of',
            "its own.",
        ),
        dtype="torch.bfloat16",
    ),
}


def scheme_of(key: str, catalog: Catalog | None = None) -> Scheme | None:
    """The scheme that a method's or a scheme's script is about; None where there is no script."""
    catalog = catalog or load_catalog()
    if key in _RECIPES:
        return catalog.methods[key].schemes[0]
    scheme = catalog.schemes.get(key)
    return scheme if scheme is not None and scheme.method in _RECIPES else None


def llm_snippet(key: str, repo: str | None = None, catalog: Catalog | None = None) -> str:
    """The script for ``key``, a method or one of its schemes; ``repo`` is a model on the hub.

    Raises:
        InputError: there is no script for ``key``, or ``repo`` is not like ``owner/name``.
    """
    scheme = scheme_of(key, catalog)
    if scheme is None:
        raise InputError("method", f"{key[:40]!r} has no such script; {', '.join(_RECIPES)} have")
    recipe = _RECIPES[scheme.method]
    if repo is not None and not _REPO.fullmatch(repo):
        raise InputError("repo", f"{repo[:60]!r} is not like owner/name")
    expression, modules = render(spec_for(scheme, "transformers"), "torch.float32")
    imports = ("import collections", "", *(f"import {m}" for m in sorted({"torch"} | modules)))
    return "\n".join([*_head(scheme, recipe), *imports, "", *_body(recipe, expression, repo)])


def _head(scheme: Scheme, recipe: _Recipe) -> list[str]:
    lines = [
        f"{scheme.name}: a language model through transformers.",
        "It needs:",
        *(f"  {line}" for line in recipe.needs),
        "quantlab's tests build the config below; they do not run the rest.",
        f"pip install {' '.join(_pins(recipe))}",
    ]
    return [f"# {line}" for line in lines]


def _pins(recipe: _Recipe) -> list[str]:
    installed = versions()
    wanted = ("torch", "transformers")
    pins = {**{name: installed[name] for name in wanted if name in installed}, **recipe.pins}
    return [_pin(name, version, recipe) for name, version in pins.items()]


def _pin(name: str, version: str, recipe: _Recipe) -> str:
    extra = f"[{recipe.extras[name]}]" if name in recipe.extras else ""
    text = f"{name}{extra}=={version.partition('+')[0]}"
    return f'"{text}"' if extra else text  # a shell would read the brackets as a pattern


def _body(recipe: _Recipe, expression: str, repo: str | None) -> list[str]:
    return [
        f"MODEL = {(repo or recipe.repo)!r}",
        f"DEVICE = {recipe.device}",
        "",
        f"quantization_config = {expression}",
        "model = transformers.AutoModelForCausalLM.from_pretrained(",
        "    MODEL,",
        "    quantization_config=quantization_config,",
        f"    dtype={recipe.dtype},",
        "    device_map=DEVICE,",
        ")",
        "print(collections.Counter(type(module).__name__ for module in model.modules()))",
        "",
        "tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)",
        'inputs = tokenizer("Quantization is", return_tensors="pt").to(DEVICE)',
        "tokens = model.generate(**inputs, max_new_tokens=20, do_sample=False)",
        "print(tokenizer.decode(tokens[0], skip_special_tokens=True))",
        "",
    ]
