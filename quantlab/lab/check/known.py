"""What classes of the libraries take, and which scheme of the catalogue a config object is.

Classes and their arguments are those of the installed versions, kept in data/check by
tools/signatures.py; schemes, repositories and rules about them are the catalogue's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.schema import Model, Scheme, Spec
from quantlab.catalog.table import Catalog
from quantlab.lab.check.code.values import Call, Const, Made, Ref, Table, Value

__all__ = [
    "Class",
    "Libraries",
    "class_of",
    "libraries",
    "model_of",
    "scheme_of",
    "scheme_of_kwargs",
]

FILE = PROJECT / "data" / "check" / "signatures.json"
UNSAID = ("set_inductor_config",)
"""Arguments that change no weight: code need not give them."""
PREFIXES = {"Diffusers": "diffusers", "Transformers": "transformers", "HF": "transformers"}
"""What people put before a class's name when they import it from two libraries."""


@dataclass(frozen=True)
class Class:
    """A class of a library, by its name: ``diffusers`` and ``BitsAndBytesConfig``; the library is
    "" where the code does not say which of several it is."""

    library: str
    name: str


@dataclass(frozen=True)
class Libraries:
    """The contents of data/check/signatures.json."""

    versions: Mapping[str, str]
    configs: Mapping[str, Mapping[str, Any]]
    backends: Mapping[str, Mapping[str, str]]
    pipelines: Mapping[str, Any]
    names: Mapping[str, frozenset[str]]
    transformers: frozenset[str]
    torchao: Mapping[str, list[str]]
    loading: Mapping[str, list[str]]

    def takes(self, config: Class) -> Mapping[str, Any] | None:
        """Arguments of a config class with their defaults; None where they are not known."""
        found = self.configs.get(config.library, {}).get(config.name)
        return found["takes"] if found and found["takes"] else None

    def simple_form(self, backend: str) -> str:
        """Why diffusers' simple form refuses a backend, or ""; as its own check goes."""
        classes = [self.backends[name].get(backend) for name in ("diffusers", "transformers")]
        if None in classes:
            return "not found"
        pairs = zip(("diffusers", "transformers"), classes, strict=True)
        mine, theirs = (set(self.configs[lib][str(cls)]["takes"]) for lib, cls in pairs)
        return "" if mine == theirs else "other arguments"

    def components(self, pipeline: str) -> Mapping[str, str] | None:
        """Component -> library of a pipeline class; None where it is not known."""
        found = self.pipelines.get(pipeline)
        return {k: lib for k, lib in found["components"].items() if lib} if found else None


@lru_cache(maxsize=1)
def libraries() -> Libraries:
    """What the project was written against."""
    held = json.loads(FILE.read_text(encoding="utf-8"))
    names = {name: frozenset(each) for name, each in held["names"].items()}
    return Libraries(
        held["versions"],
        held["configs"],
        held["backends"],
        held["pipelines"],
        names,
        frozenset(held["transformers"]),
        held["torchao"],
        held["loading"],
    )


def class_of(value: Value) -> Class | None:
    """The class that a reference is, however it was imported; None where it is none that is known.

    Of a name that the code nowhere binds the library is told from the name, where that is plain.
    """
    return _of_path(value.path) if isinstance(value, Ref) else None


@lru_cache(maxsize=4096)
def _of_path(path: str) -> Class | None:
    root, name = path.split(".")[0], path.rpartition(".")[2]
    if root == "optimum":
        return Class("quanto", name)
    if root in ("diffusers", "transformers", "torchao", "sdnq", "torch", "accelerate"):
        return Class(root, name)
    return _by_name(name) if root == "?" else None


def _by_name(name: str) -> Class | None:
    known = libraries()
    for prefix, library in PREFIXES.items():
        plain = name.removeprefix(prefix)
        if plain != name and plain in known.configs[library]:
            return Class(library, plain)
    homes = [library for library in ("diffusers", "transformers") if name in known.configs[library]]
    if len(homes) > 1:
        return Class("", name)
    if homes or name in known.names["diffusers"] or name in known.pipelines:
        return Class(homes[0] if homes else "diffusers", name)
    if name in known.transformers:
        return Class("transformers", name)
    return Class("torchao", name) if name in known.names["torchao"] else None


def scheme_of(config: Value, catalog: Catalog) -> Scheme | None:
    """The scheme of the catalogue that a config object asks for; None where that is not plain."""
    if not isinstance(config, Made) or config.call.more:
        return None
    cls = class_of(config.call.function)
    if cls is None:
        return None
    given = {name: each.value for name, each in config.call.kwargs.items()}
    order = list(libraries().takes(cls) or ())
    given |= dict(zip(order, (each.value for each in config.call.args), strict=False))
    return _match(cls, given, catalog)


def scheme_of_kwargs(backend: str, kwargs: Mapping[str, Value], catalog: Catalog) -> Scheme | None:
    """The scheme that the simple form's backend and keywords ask for."""
    name = libraries().backends["diffusers"].get(backend)
    return _match(Class("diffusers", name), kwargs, catalog) if name else None


def _match(cls: Class, given: Mapping[str, Value], catalog: Catalog) -> Scheme | None:
    """Of the schemes whose arguments are all met, the one that says most."""
    fitting = []
    for scheme in catalog.schemes.values():
        for library, spec in (
            ("diffusers", scheme.diffusers),
            ("transformers", scheme.transformers),
        ):
            if spec is None or cls.library not in ("", library):
                continue
            if spec.path.rpartition(".")[2] == cls.name and _meets(spec, cls, library, given):
                fitting.append((_said(spec), scheme))
    best = max((size for size, _ in fitting), default=0)
    found = {scheme.id: scheme for size, scheme in fitting if size == best}
    return next(iter(found.values())) if len(found) == 1 else None


def _meets(spec: Spec, cls: Class, library: str, given: Mapping[str, Value]) -> bool:
    defaults = libraries().takes(Class(library, cls.name)) or {}
    for name, wanted in spec.args.items():
        if wanted == "$compute" or name in UNSAID:
            continue
        value = given.get(name)
        if isinstance(wanted, Spec):
            if not isinstance(value, Made) or not _is(value.call, wanted):
                return False
        elif value is None:
            if defaults.get(name) != wanted:
                return False
        elif not isinstance(value, Const) or value.value != wanted:
            return False
    return all(name in given or wanted == defaults.get(name) for name, wanted in _plain(spec))


def _plain(spec: Spec) -> list[tuple[str, Any]]:
    return [(n, w) for n, w in spec.args.items() if not isinstance(w, Spec) and w != "$compute"]


def _is(call: Call, spec: Spec) -> bool:
    """Whether ``call`` makes what ``spec`` does: of its class, with all that it says."""
    cls = class_of(call.function)
    if cls is None or cls.name != spec.path.rpartition(".")[2] or call.more:
        return False
    given = {name: each.value for name, each in call.kwargs.items()}
    wanted = {name: value for name, value in spec.args.items() if name not in UNSAID}
    given |= dict(zip(wanted, (each.value for each in call.args), strict=False))
    # Another packing or another group is another scheme.
    groups = _in_groups(given.get("granularity")) and "granularity" not in wanted
    if groups or ("int4_packing_format" in given and "int4_packing_format" not in wanted):
        return False
    return all(_same(given.get(name), value) for name, value in wanted.items())


def _in_groups(granularity: Value | None) -> bool:
    return isinstance(granularity, Made) and granularity.call.method == "PerGroup"


def _same(value: Value | None, wanted: object) -> bool:
    if isinstance(wanted, Spec):
        return isinstance(value, Made) and _is(value.call, wanted)
    if isinstance(value, Ref):
        return bool(value.path == wanted)
    return isinstance(value, Const) and bool(value.value == wanted)


def _said(spec: Spec) -> int:
    """How many arguments it names, those of what it is made of too."""
    return sum(1 + (_said(each) if isinstance(each, Spec) else 0) for each in spec.args.values())


def model_of(repo: str, catalog: Catalog) -> Model | None:
    """The model whose repository or folder ``repo`` is, or one that is made of its weights."""
    for model in catalog.models.values():
        if repo.lower().rstrip("/") == model.source.lower():
            return model
        if any(each.repo.lower() == repo.lower() for each in model.prequantized):
            return model
    return None


def table_of(value: Value | None) -> Mapping[str, Value]:
    """The known entries of a dictionary by their keys."""
    entries = value.entries if isinstance(value, Table) else {}
    return {name: each.value for name, each in entries.items()}
