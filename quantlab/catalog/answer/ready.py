"""What stands beside a row's verdict and decides nothing: tried on a twin, ready to download, where
it is kept without what writes the prompt anew.

A twin has a few layers with random weights: that a library takes its layers on a CPU says nothing
of a GPU or of a picture. Files that others made are documented, and nobody ran them here.
"""

from __future__ import annotations

from collections.abc import Iterator

from quantlab.catalog.gpus import Gpu
from quantlab.catalog.models.schema import GgufFiles, Model
from quantlab.catalog.placement import Device, Placement, best_placement, how
from quantlab.catalog.read.twins import on_twin
from quantlab.catalog.sizes.rows import sizes
from quantlab.catalog.table import Catalog
from quantlab.words.plan import LEFT_OUT, Plan
from quantlab.words.units import gib, size

__all__ = ["beside", "files_of", "without_writers"]

CLOSE = 0.005
"""Of stored bytes: nearer than this a prediction is called right."""


def beside(
    model: Model, component: str, scheme: str, catalog: Catalog
) -> Iterator[tuple[bool, str]]:
    """What is known of a scheme on a component beside the catalogue's claims, a sentence each, and
    whether it is good news."""
    yield from ((True, text) for text in _ready(model, component, scheme))
    tried = _tried_on_twin(model, component, scheme, catalog)
    if tried is not None:
        yield tried


def without_writers(
    plan: Plan, model: Model, device: Gpu | Device, ram_bytes: int | None, catalog: Catalog
) -> tuple[Placement, str] | None:
    """Where ``plan`` is kept on ``device`` if what writes the prompt anew is left out, and that as
    a sentence; None: the model has no such part, or it does not fit even so."""
    writers = [name for name in model.prompt_writers if not plan.leaves_out(name)]
    if not writers:
        return None
    bare = Plan((*plan.parts, *((name, LEFT_OUT) for name in writers)))
    needs = sizes(catalog, model.id, bare)
    best = best_placement(needs, bare, device, catalog, ram_bytes) if needs else None
    if best is None:
        return None
    left = " and ".join(model.family.label(name) for name in writers)
    kept = how(best.kind) or "resident"
    return best, f"without the {left}: {kept}, {gib(best.peak_bytes)} at the peak"


def _tried_on_twin(
    model: Model, component: str, scheme: str, catalog: Catalog
) -> tuple[bool, str] | None:
    """Whether a scheme worked on the twin's component, and that as a sentence; None: not tried."""
    found = on_twin(model, component, scheme, catalog.models)
    if found is None:
        return None
    how = f"measured on a twin of random weights, on a CPU, {found.measured_on}"
    if not found.works:
        return False, f"twin: fails on the {component} ({how}): {found.detail}"
    near = found.off is not None and abs(found.off) <= CLOSE
    told = ", bytes as predicted" if near else ""
    return True, f"twin: runs on the {component}{told} ({how})"


def _ready(model: Model, component: str, scheme: str) -> list[str]:
    """What others offer of a component in a scheme, a sentence each."""
    said = [
        f"ready file: the {component} in {known.repo} (documented, {known.url}, {known.checked})"
        for known in model.prequantized
        if known.schemes.get(component) == scheme
    ]
    if component == model.denoiser:
        said += [text for known in model.gguf for text in _gguf(known, scheme)]
    return said


def _gguf(known: GgufFiles, scheme: str) -> Iterator[str]:
    if scheme in known.files or scheme in known.sizes:
        name = known.files.get(scheme, "a file whose name is not known")
        large = f", {size(known.sizes[scheme])}" if scheme in known.sizes else ""
        where = f"documented, {known.url}, {known.checked}"
        yield f"ready file: {name}{large} in {known.repo} ({where})"


def files_of(model: Model) -> list[tuple[str, str, str]]:
    """Every repository that stores the model quantized: its name, its address, what is in it."""
    found = []
    for known in model.prequantized:
        held = {**known.schemes, **known.described}
        said = ", ".join(f"{component} in {how}" for component, how in held.items())
        found.append((known.repo, known.url, said))
    for each in model.gguf:
        kinds = sorted({*each.files, *each.sizes})
        said = ", ".join(kinds) if kinds else "GGUF files, whose names are not known"
        found.append((each.repo, each.url, f"{model.denoiser} in {said}"))
    return found
