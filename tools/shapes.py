"""Makes data/shapes/*/NAME.json: every module with weights, by shape, of one component.

    python -m tools.shapes                              writes stale files anew
    python -m tools.shapes --check                      writes nothing; status 1 where one is stale
    python -m tools.shapes encoders/t5-xxl config.json  adds one, or renews it, from its config

A file holds the config that the component is built from, so that it can be made again without
anything else. Components are built on torch's meta device, of whatever class of diffusers or
transformers the config names: no weights, no network. Models share files: whoever uses T5-XXL names
"encoders/t5-xxl". Only names and shapes are known here, nothing of any checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import PROJECT
from quantlab.lab.own.built import build, decoding_of, kept_in_fp32, module_rows

__all__ = ["class_of", "main", "render", "table"]

SHAPES = PROJECT / "data" / "shapes"


def main(argv: list[str] | None = None) -> int:
    """Write the files, or say which are stale; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail when stale")
    parser.add_argument("name", nargs="?", help="such as encoders/t5-xxl")
    parser.add_argument("config", nargs="?", type=Path, help="the component's config.json")
    given = parser.parse_args(argv)
    if given.name:
        if given.config is None:
            parser.error("say which config NAME is made from")
        configs = {SHAPES / f"{given.name}.json": given.config.read_text(encoding="utf-8")}
    else:
        configs = {path: _config_in(path) for path in sorted(SHAPES.glob("*/*.json"))}
    stale = [path for path, config in configs.items() if _renew(path, config, given.check)]
    names = ", ".join(path.relative_to(SHAPES).as_posix() for path in stale) or "none"
    print(f"{'stale' if given.check else 'written'}: {names}", file=sys.stderr)
    return int(given.check and bool(stale))


def _config_in(path: Path) -> str:
    return json.dumps(json.loads(path.read_text(encoding="utf-8"))["config"])


def _renew(path: Path, config: str, check: bool) -> bool:
    """Whether the file at ``path`` is not what ``config`` makes; it is then, unless ``check``."""
    text = render(table(json.loads(config)))
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    if not check:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return True


def table(config: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a component: class, library, parameter count, config and module rows."""
    library, name = class_of(config)
    module = build(library, name, config)
    in_fp32 = kept_in_fp32(module)
    return {
        "cls": name,
        "library": library,
        "parameters": sum(p.numel() for p in module.parameters()),
        "config": dict(config),
        **({"in_fp32": in_fp32} if in_fp32 else {}),
        **decoding_of(module),
        "modules": module_rows(module),
    }


def class_of(config: Mapping[str, Any]) -> tuple[str, str]:
    """The library and the class that a config is for, as the library itself wrote them.

    Raises:
        SystemExit: the config names no class.
    """
    if "_class_name" in config:
        return "diffusers", str(config["_class_name"])
    if config.get("architectures"):
        return "transformers", str(config["architectures"][0])
    raise SystemExit("the config names no class: it has neither _class_name nor architectures")


def render(values: Mapping[str, Any]) -> str:
    """The description as JSON with one module a line, so that a diff shows which one changed."""
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in values["modules"])
    head = ",\n".join(f'"{key}": {json.dumps(values[key])}' for key in values if key != "modules")
    return f'{{{head},\n"modules": [\n{rows}\n]}}\n'


if __name__ == "__main__":
    sys.exit(main())
