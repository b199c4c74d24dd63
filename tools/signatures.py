"""Writes data/check/signatures.json: what the installed libraries' classes take, for ``check``.

``python -m tools.signatures`` reads the sources of diffusers, transformers and torchao as they are
installed, by ``ast``: nothing of them is imported. ``--check`` says whether the file is stale. It
holds arguments with their defaults, components with their libraries, public names, the most
tokens of text that a pipeline's own check lets pass, and the scale above which it takes a second
pass; what a class does with them is for the rules (quantlab/lab/check/rules).
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["FILE", "LIBRARIES", "main", "quickly", "signatures"]

FILE = Path(__file__).resolve().parents[1] / "data" / "check" / "signatures.json"
LIBRARIES = ("diffusers", "transformers", "torchao")
CONFIGS = {
    "diffusers": "quantizers/quantization_config.py",
    "transformers": "utils/quantization_config.py",
}
LENGTH, TRUE_SCALE = "max_sequence_length", "true_cfg_scale"
BACKENDS = "AUTO_QUANTIZATION_CONFIG_MAPPING"


def quickly() -> dict[str, Any]:
    """The parts of it that few files are read for."""
    return {
        "configs": {name: _configs(name) for name in CONFIGS},
        "backends": {name: _backends(name) for name in CONFIGS},
        "torchao": _torchao_configs(),
    }


def signatures() -> dict[str, Any]:
    """The whole document."""
    return {
        "versions": {name: version(name) for name in LIBRARIES},
        **quickly(),
        "pipelines": dict(sorted(_pipelines())),
        "names": {"diffusers": _diffusers_names(), "torchao": _torchao_names()},
        "transformers": sorted(_transformers_classes()),
        "loading": _loading(),
    }


@cache
def _root(library: str) -> Path:
    found = find_spec(library)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _classes(path: Path) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in _parsed(path).body if isinstance(node, ast.ClassDef)}


def _configs(library: str) -> dict[str, Any]:
    found = {}
    for name, node in _classes(_root(library) / CONFIGS[library]).items():
        method = _method(node, "__init__") or _method(node, "__new__")
        if name.endswith("Config") and method is not None:
            found[name] = _arguments(method)
    return dict(sorted(found.items()))


def _method(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    known = (n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == name)
    return next(known, None)


def _arguments(method: ast.FunctionDef) -> dict[str, Any]:
    """``takes``: argument -> default, None where it is needed or no plain value; ``needs``: those
    without a default; ``swallows``: whether any other keyword is accepted too."""
    names = [arg.arg for arg in (*method.args.args, *method.args.kwonlyargs)][1:]
    given = [None] * (len(method.args.args) - len(method.args.defaults)) + method.args.defaults
    defaults = dict(zip(names, [*given[1:], *method.args.kw_defaults], strict=True))
    return {
        "takes": {name: _plain(node) for name, node in defaults.items()},
        "needs": [name for name, node in defaults.items() if node is None],
        "swallows": method.args.kwarg is not None,
    }


def _plain(node: ast.expr | None) -> Any:
    try:
        value = ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None
    return value if isinstance(value, str | int | float | bool) else None


def _backends(library: str) -> dict[str, str]:
    """quant_backend -> class, of the map that the simple form looks into."""
    for node in _parsed(_root(library) / "quantizers" / "auto.py").body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            target = node.targets[0]
            if isinstance(target, ast.Name) and target.id == BACKENDS:
                pairs = zip(node.value.keys, node.value.values, strict=True)
                return {k.value: v.id for k, v in pairs}  # type: ignore[union-attr, attr-defined]
    raise SystemExit(f"{library}: {BACKENDS} is not there")


def _pipelines() -> Iterator[tuple[str, Any]]:
    for path in sorted((_root("diffusers") / "pipelines").rglob("pipeline*.py")):
        foreign = _imported_from(path, "transformers")
        for name, node in _classes(path).items():
            method, call = _method(node, "__init__"), _method(node, "__call__")
            if name.endswith("Pipeline") and method is not None and not name.startswith("Auto"):
                taken = [arg.arg for arg in call.args.args][1:] if call else []
                found = {"components": _components(method, foreign), "call": taken}
                yield name, found | _compared(node, call)


def _compared(node: ast.ClassDef, call: ast.FunctionDef | None) -> dict[str, Any]:
    """``longest``: the tokens above which it raises; ``second_pass``: the default of the scale
    that has to be above 1 for a negative prompt to be looked at. Neither where there is none."""
    found: dict[str, Any] = {}
    for each in (n for n in ast.walk(node) if isinstance(n, ast.Compare) and len(n.ops) == 1):
        most = _plain(each.comparators[0])
        if not isinstance(each.left, ast.Name) or not isinstance(each.ops[0], ast.Gt):
            continue
        if each.left.id == LENGTH:
            found["longest"] = most
        elif each.left.id == TRUE_SCALE and most == 1 and call is not None:
            found["second_pass"] = _arguments(call)["takes"][TRUE_SCALE]
    return found


def _imported_from(path: Path, library: str) -> set[str]:
    nodes = (n for n in _top(_parsed(path).body) if isinstance(n, ast.ImportFrom))
    return {a.name for n in nodes if (n.module or "").startswith(library) for a in n.names}


def _top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module, those inside its ``if`` and ``try`` too."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _top([*node.body, *node.orelse])


def _components(method: ast.FunctionDef, foreign: set[str]) -> dict[str, str]:
    """Component -> library, "" of what is neither a component nor a module: settings."""
    found = {}
    for arg in (*method.args.args[1:], *method.args.kwonlyargs):
        named = (
            {n.id for n in ast.walk(arg.annotation) if isinstance(n, ast.Name)}
            if (arg.annotation)
            else set()
        )
        plain = named <= {"bool", "int", "float", "str", "None", "dict", "list"}
        found[arg.arg] = "" if plain else "transformers" if named & foreign else "diffusers"
    return found


def _loading() -> dict[str, list[str]]:
    """Keywords that ``from_pretrained`` of pipelines takes, beside components."""
    path = _root("diffusers") / "pipelines" / "pipeline_utils.py"
    method = _method(_classes(path)["DiffusionPipeline"], "from_pretrained")
    download = _method(_classes(path)["DiffusionPipeline"], "download")
    assert method is not None
    assert download is not None
    found = {
        node.args[0].value
        for each in (method, download)
        for node in ast.walk(each)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "pop"
        and isinstance(node.args[0], ast.Constant)
    }
    return {"pipeline": sorted(map(str, found))}


def _diffusers_names() -> list[str]:
    """What can be imported from diffusers itself: the names in its table of lazy imports."""
    found: set[str] = set()
    for node in ast.walk(_parsed(_root("diffusers") / "__init__.py")):
        listed = node.elts if isinstance(node, ast.List) else []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            listed = node.args if node.func.attr == "append" else []
        if listed:
            items = [item.value for item in listed if isinstance(item, ast.Constant)]
            found |= {item for item in items if isinstance(item, str) and item.isidentifier()}
    return sorted(found | _submodules(_root("diffusers")))


def _submodules(folder: Path) -> set[str]:
    files = {path.stem for path in folder.glob("*.py")}
    return files | {path.parent.name for path in folder.glob("*/__init__.py")}


def _torchao_names() -> list[str]:
    path = _root("torchao") / "quantization" / "__init__.py"
    found = _submodules(path.parent)
    for node in _top(_parsed(path).body):
        if isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {n.id for n in node.targets if isinstance(n, ast.Name)}
    return sorted(found)


def _torchao_configs() -> dict[str, list[str]]:
    """Arguments of the config classes, which are dataclasses, in their order."""
    found = {}
    for name, node in _classes(_root("torchao") / "quantization" / "quant_api.py").items():
        if name.endswith("Config"):
            fields = [n for n in node.body if isinstance(n, ast.AnnAssign)]
            found[name] = [f.target.id for f in fields if isinstance(f.target, ast.Name)]
    return dict(sorted(found.items()))


def _transformers_classes() -> set[str]:
    """Classes of transformers that pipelines of diffusers are made of, and its Auto classes."""
    found = {
        "AutoModel",
        "AutoModelForCausalLM",
        "AutoModelForImageTextToText",
        "AutoModelForSeq2SeqLM",
    }
    for path in (_root("diffusers") / "pipelines").rglob("pipeline*.py"):
        found |= {name for name in _imported_from(path, "transformers") if name[:1].isupper()}
    return found


def _written(document: dict[str, Any]) -> str:
    """JSON with a line for each class, so that changes are read easily."""
    parts = []
    for section, held in document.items():
        items = held.items() if isinstance(held, dict) else ()
        lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in items)
        parts.append(
            f" {json.dumps(section)}: " + (f"{{\n{lines}\n }}" if lines else json.dumps(held))
        )
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main(argv: list[str] | None = None) -> int:
    """Write the file, or with ``--check`` say whether it is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if stale")
    text = _written(signatures())
    if parser.parse_args(argv).check:
        return 0 if FILE.read_text(encoding="utf-8") == text else 1
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
