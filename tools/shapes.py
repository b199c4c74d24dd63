"""Makes data/shapes/<model>.json: every module with weights, by shape, of the models we know.

    python -m tools.shapes            writes the tables
    python -m tools.shapes --check    writes nothing; exit status 1 where a table is stale

Components are built from the configs that data/models.toml names, on torch's meta device: no
weights, no network. quantlab/catalog/sizes/shapes.py reads the tables without torch. Only the names
and shapes of the installed libraries' classes are known here, nothing of any checkpoint.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.schema import Component, Model
from quantlab.catalog.table import load_catalog

__all__ = ["main", "module_rows", "table"]

KINDS = (("linear", "Linear"), ("conv", "Conv"), ("embedding", "Embedding"), ("norm", "Norm"))
"""(kind, part of torch's class name); whatever fits none is "other"."""


def main(argv: list[str] | None = None) -> int:
    """Write the tables, or say which are stale; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail when stale")
    check = parser.parse_args(argv).check
    stale = []
    for model in load_catalog().models.values():
        path = PROJECT / "data" / "shapes" / f"{model.id}.json"
        text = render(table(model))
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    print(f"{'stale' if check else 'written'}: {', '.join(stale) or 'none'}", file=sys.stderr)
    return int(check and bool(stale))


def table(model: Model) -> dict[str, Any]:
    """The shape table of ``model``: component -> class, parameter count and module rows."""
    components = {}
    for component in model.components:
        module = build(component, PROJECT / model.extra["configs"][component.name])
        components[component.name] = {
            "cls": component.cls,
            "parameters": sum(p.numel() for p in module.parameters()),
            "modules": module_rows(module),
        }
    return {"model": model.id, "components": components}


def build(component: Component, config: Path) -> Any:
    """The component's module on the meta device, from its config file."""
    import torch

    values = json.loads(config.read_text(encoding="utf-8"))
    cls = getattr(importlib.import_module(component.library), component.cls)
    with torch.device("meta"):
        if component.library == "diffusers":
            return cls.from_config(values)
        return cls(cls.config_class(**values))


def module_rows(module: Any) -> list[list[Any]]:
    """``[name, kind, {parameter: shape}]`` of every module that holds tensors of its own.

    A tensor that was there before (tied weights) is "=" and its first name instead of a shape.
    Buffers count where they are saved with the weights; "name:dtype" where they are not floats.
    """
    first: dict[int, str] = {}
    rows = []
    for name, part in module.named_modules():
        tensors = {}
        for key, tensor in _own(part):
            full = f"{name}.{key}" if name else key
            known = first.setdefault(id(tensor), full)
            label = key if tensor.is_floating_point() else f"{key}:{str(tensor.dtype)[6:]}"
            tensors[label] = list(tensor.shape) if known == full else f"={known}"
        if tensors:
            rows.append([name, _kind(part), tensors])
    return rows


def _own(part: Any) -> list[tuple[str, Any]]:
    lasting = part._non_persistent_buffers_set
    buffers = [(key, b) for key, b in part._buffers.items() if key not in lasting]
    return [(key, t) for key, t in [*part._parameters.items(), *buffers] if t is not None]


def _kind(part: Any) -> str:
    name = type(part).__name__
    return next((kind for kind, piece in KINDS if piece in name), "other")


def render(values: dict[str, Any]) -> str:
    """The table as JSON with one module a line, so that a diff shows which module changed."""
    blocks = []
    for name, component in values["components"].items():
        rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in component["modules"])
        head = f'"cls": "{component["cls"]}", "parameters": {component["parameters"]}'
        blocks.append(f'"{name}": {{{head}, "modules": [\n{rows}\n]}}')
    joined = ",\n".join(blocks)
    return f'{{"model": "{values["model"]}", "components": {{\n{joined}\n}}}}\n'


if __name__ == "__main__":
    sys.exit(main())
