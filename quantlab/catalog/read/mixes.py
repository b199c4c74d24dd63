"""Reads data/mixes/*.toml: tuned mixes, each a scheme ``mix-<name>`` for one component.

    name = "flux-mini at 4.5 bits"
    method = "gguf"
    shapes = "denoisers/flux-mini"
    bits = 4.499
    importance = "flux-mini.safetensors"

    [layers]
    gguf-q6_k = ["transformer_blocks.0.attn.to_out.0", ...]

``[layers]`` lists each layer once, under the scheme that it holds; ``quantlab tune`` writes such
files. ``importance`` is a file beside it, or left out (``Scheme.importance``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.read.toml import Table, read_toml
from quantlab.catalog.schema import Method, Scheme
from quantlab.errors import CatalogError

__all__ = ["PREFIX", "content_of", "mix_of", "mix_text", "read_mix", "read_mixes"]

PREFIX = "mix-"
"""How the id of every mix begins."""
FOLDER = "data/mixes"


def read_mixes(
    root: Path, methods: Mapping[str, Method], schemes: Mapping[str, Scheme]
) -> dict[str, Scheme]:
    """The mixes under ``root``/data by id.

    Raises:
        CatalogError: a file breaks the schema.
    """
    paths = sorted((root / FOLDER).glob("*.toml"))
    found = (read_mix(read_toml(p, root), p.stem, FOLDER, methods, schemes) for p in paths)
    return {scheme.id: scheme for scheme in found}


def read_mix(
    table: Table,
    name: str,
    folder: str,
    methods: Mapping[str, Method],
    schemes: Mapping[str, Scheme],
) -> Scheme:
    """The mix that one file describes; ``name`` is that of the file or its folder, ``folder`` holds
    the file of what it rounds by.

    Raises:
        CatalogError: a key is unknown, missing or wrong.
    """
    method = methods[table.choice("method", tuple(m.id for m in methods.values() if m.mixing))]
    assert method.mixing is not None
    listed = table.table("layers")
    layers: dict[str, str] = {}
    for scheme in listed.names():
        if scheme not in (*method.mixing.schemes, method.mixing.kept):
            raise listed.fail(scheme, f"is no scheme that {method.id} mixes")
        for layer in listed.texts(scheme):
            if layer in layers:
                raise listed.fail(scheme, f"{layer} is listed twice")
            layers[layer] = scheme
    about, shapes, bits = table.text("name"), table.text("shapes"), table.get("bits", float)
    beside = table.text("importance", "")
    table.done()
    if not layers:
        raise table.fail("layers", "is empty; a mix names the layers that it quantizes")
    importance = f"{folder}/{beside}" if beside else ""
    return mix_of(name, about, shapes, bits, layers, schemes, importance)


def mix_of(
    name: str,
    about: str,
    shapes: str,
    bits: float,
    layers: Mapping[str, str],
    schemes: Mapping[str, Scheme],
    importance: str = "",
) -> Scheme:
    """The scheme ``mix-<name>`` that holds ``layers``, module names with the ids of schemes.

    What is not said of it is as with the first of these schemes, which are all of one method.

    Raises:
        CatalogError: they are of several methods, or none.
    """
    known = {scheme: schemes[scheme] for scheme in layers.values()}
    if len({scheme.method for scheme in known.values()}) != 1:
        raise CatalogError(f"{PREFIX}{name}: its schemes must be of one method")
    first = next(iter(known.values()))
    return replace(
        first,
        id=f"{PREFIX}{name}",
        name=about,
        bits=bits,
        holds={},
        storage=None,
        skip={},
        simple=None,
        timing="untimed",
        from_file=False,
        requires=_all((*each.requires, *each.written_with) for each in known.values()),
        written_with=_all(each.written_with for each in known.values()),
        layers=MappingProxyType({layer: known[scheme] for layer, scheme in layers.items()}),
        shapes=shapes,
        importance=importance,
    )


def content_of(schemes: Iterable[Scheme]) -> str:
    """A digest of what the mixes among ``schemes`` hold and round by, "" where none is one: a mix
    that is tuned anew keeps its id, and what was measured of it then says nothing of it any more.

    Raises:
        CatalogError: what one rounds by cannot be read.
    """
    digest = hashlib.sha256()
    mixes = {scheme.id: scheme for scheme in schemes if scheme.layers}
    for scheme in mixes.values():
        held = sorted((layer, each.id) for layer, each in scheme.layers.items())
        digest.update(repr((scheme.shapes, held)).encode())
        if scheme.importance:
            try:
                digest.update((PROJECT / scheme.importance).read_bytes())
            except OSError as error:
                raise CatalogError(f"{scheme.importance}: {error.strerror}") from None
    return digest.hexdigest()[:12] if mixes else ""


def mix_text(scheme: Scheme) -> str:
    """The file that ``read_mix`` reads back as ``scheme``."""
    held: dict[str, list[str]] = {}
    for layer, each in scheme.layers.items():
        held.setdefault(each.id, []).append(layer)
    lines = [
        f'name = "{scheme.name}"',
        f'method = "{scheme.method}"',
        f'shapes = "{scheme.shapes}"',
        f"bits = {scheme.bits:.4f}",
        *([f'importance = "{Path(scheme.importance).name}"'] if scheme.importance else []),
        "",
        "[layers]",
    ]
    for known in sorted(held):
        lines += [f"{known} = [", *(f'    "{layer}",' for layer in held[known]), "]"]
    return "\n".join(lines) + "\n"


def _all(texts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for each in texts for text in each))
