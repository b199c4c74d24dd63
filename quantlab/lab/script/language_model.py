"""A complete script that loads a language model with a method of transformers, without quantlab.

For methods that no part of an image pipeline can use here, and whose file says how
(``[language_model]``). The config is the catalogue's. What a script needs, calibration or a CUDA
kernel, stands in its head; it is not run by quantlab, and its head says that too.
"""

from __future__ import annotations

import re

from quantlab.catalog.facts import LanguageModel
from quantlab.catalog.schema import Scheme
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import InputError
from quantlab.lab.libraries import versions
from quantlab.lab.specs import render, spec_for

__all__ = ["llm_snippet", "scheme_of"]

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def scheme_of(key: str, catalog: Catalog | None = None) -> Scheme | None:
    """The scheme that a method's or a scheme's script is about; None where there is no script."""
    catalog = catalog or load_catalog()
    method = catalog.methods.get(key)
    scheme = method.schemes[0] if method and method.schemes else catalog.schemes.get(key)
    return scheme if scheme and catalog.methods[scheme.method].language_model else None


def llm_snippet(key: str, repo: str | None = None, catalog: Catalog | None = None) -> str:
    """The script for ``key``, a method or one of its schemes; ``repo`` is a model on the hub.

    Raises:
        InputError: there is no script for ``key``, or ``repo`` is not like ``owner/name``.
    """
    catalog = catalog or load_catalog()
    scheme = scheme_of(key, catalog)
    recipe = catalog.methods[scheme.method].language_model if scheme else None
    if scheme is None or recipe is None:
        known = ", ".join(m.id for m in catalog.methods.values() if m.language_model)
        raise InputError("method", f"{key[:40]!r} has no such script; {known} have")
    if repo is not None and not _REPO.fullmatch(repo):
        raise InputError("repo", f"{repo[:60]!r} is not like owner/name")
    expression, modules = render(spec_for(scheme, "transformers"), "torch.float32")
    imports = ("import collections", "", *(f"import {m}" for m in sorted({"torch"} | modules)))
    return "\n".join([*_head(scheme, recipe), *imports, "", *_body(recipe, expression, repo)])


def _head(scheme: Scheme, recipe: LanguageModel) -> list[str]:
    lines = [
        f"{scheme.name}: a language model through transformers.",
        "It needs:",
        *(f"  {line}" for line in recipe.needs),
        "quantlab's tests build the config below; they do not run the rest.",
        f"pip install {' '.join(_pins(recipe))}",
    ]
    return [f"# {line}" for line in lines]


def _pins(recipe: LanguageModel) -> list[str]:
    installed = versions()
    wanted = ("torch", "transformers")
    pins = {**{name: installed[name] for name in wanted if name in installed}, **recipe.pins}
    return [_pin(name, version, recipe) for name, version in pins.items()]


def _pin(name: str, version: str, recipe: LanguageModel) -> str:
    extra = f"[{recipe.extras[name]}]" if name in recipe.extras else ""
    text = f"{name}{extra}=={version.partition('+')[0]}"
    return f'"{text}"' if extra else text  # a shell would read the brackets as a pattern


def _body(recipe: LanguageModel, expression: str, repo: str | None) -> list[str]:
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
