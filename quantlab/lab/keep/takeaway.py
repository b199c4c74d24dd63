"""Take a quantized pipeline away: a folder that plain diffusers loads, with a model card.

What is written is read back before the folder appears under its name, so that there is either the
whole of it or nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from quantlab.catalog.answer.pick import nearest
from quantlab.catalog.reach import why_not
from quantlab.catalog.schema import Model, Scheme
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError, PlanError
from quantlab.lab.device import Device
from quantlab.lab.keep.model_card import model_card
from quantlab.lab.keep.saving import Difference, cannot_save, read_back, save
from quantlab.lab.load import place
from quantlab.lab.load.blocks import saved as blocks
from quantlab.lab.load.blocks.pipeline import BlockPipeline
from quantlab.lab.load.check import check
from quantlab.lab.load.keys import keys_of
from quantlab.lab.load.part import Part, part_of
from quantlab.lab.load.pool import LoadedPlan, Pool
from quantlab.lab.lora.attach import fitting, fused_lora
from quantlab.lab.lora.file import USUAL
from quantlab.words.comparison import Comparison
from quantlab.words.lora import Lora
from quantlab.words.plan import TRIMMED

__all__ = ["Saved", "quantized", "refuse_unsaveable", "take_away"]


@dataclass(frozen=True)
class Saved:
    """What was written: the folder, bytes of all its files, and what reading back changed."""

    folder: Path
    bytes: int
    differences: Mapping[str, Difference]


def take_away(
    comparison: Comparison,
    out: Path,
    *,
    catalog: Catalog,
    device: Device,
    components_only: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Saved:
    """Save the first plan of ``comparison`` to the folder ``out``, whole or not at all.

    ``components_only`` leaves out what is not quantized: the card then loads the rest from the
    model's own repository. Everything that can be known is refused before anything is loaded.

    Raises:
        PlanError: a part of the plan cannot be saved; names the nearest scheme that can.
        InputError: ``out`` is no new or empty folder, or cannot be written.
        LoadError, Unavailable, DoesNotFit: as loading does; also where it does not come back as it
            was.
    """
    refuse_unsaveable(comparison, catalog, device)
    part = _prepare(out)
    try:
        pool = Pool(0, catalog, device)
        kind = check(comparison, comparison.plans[0], pool)
        model = catalog.models[comparison.model]
        fused = fused_lora(comparison, comparison.plans[0], catalog)
        loaded = pool.load(model, comparison.plans[0], say, kind, fused)
        if comparison.carried is not None and fused is None:
            _add_lora(comparison.carried, model, part, say)
        parts = quantized(comparison, catalog, device)
        differences = _write(loaded, parts, part, components_only, say)
        _forget_paths(part)
        card = model_card(comparison, parts, loaded, differences, components_only, catalog)
        (part / "README.md").write_text(card, encoding="utf-8")
        size = sum(path.stat().st_size for path in part.rglob("*") if path.is_file())
        _open_to_others(part)
        if out.exists():
            out.rmdir()
        part.rename(out)
    except OSError as error:
        raise InputError("out", f"cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Saved(out, size, differences)


def _open_to_others(folder: Path) -> None:
    """Let be read by others what a usual file here may be: a temporary folder and safetensors'
    files are the owner's alone, and a server is often another user."""
    mode = (folder / "README.md").stat().st_mode & 0o777
    for path in (folder, *folder.rglob("*")):
        path.chmod(mode | (mode & 0o444) >> 2 if path.is_dir() else mode)


def quantized(comparison: Comparison, catalog: Catalog, device: Device) -> dict[str, Part]:
    """The components that the first plan quantizes, by name."""
    model, plan = catalog.models[comparison.model], comparison.plans[0]
    keys = keys_of(model, plan)
    named = [name for name, _ in plan.parts if name in keys]
    parts = [part_of(keys[name], model, catalog, device.target) for name in named]
    return {part.component.name: part for part in parts if part.scheme is not None}


def refuse_unsaveable(comparison: Comparison, catalog: Catalog, device: Device) -> None:
    """Raises PlanError where the first plan is nothing that a folder can hold."""
    plan, parts = comparison.plans[0], quantized(comparison, catalog, device)
    kept = [name for name, _ in plan.parts if not plan.leaves_out(name)]
    if not parts or len(parts) < len(kept):
        raise PlanError(f"{plan}: only what a library quantizes is saved; name such a scheme")
    if plan.compiled:
        raise PlanError("compiled code is not saved; leave @compiled away")
    if plan.trimmed:
        raise PlanError(f"a library reads components whole again; leave {TRIMMED} away")
    for name, part in parts.items():
        reason = cannot_save(part, catalog)
        if reason is not None and part.scheme is not None:
            asked = part.scheme.id
            fits = partial(_fits, part, catalog)
            other = nearest(asked, device.machine, catalog, fits=fits)
            hint = f"; the nearest that can is {other}" if other else ""
            raise PlanError(f"{asked} on {name} cannot be saved: {reason}{hint}")


def _fits(part: Part, catalog: Catalog, other: Scheme) -> bool:
    """Whether ``part`` could be held, and saved, in another scheme."""
    component = part.component
    known = why_not(other, component.library, component.cls) is None
    return known and cannot_save(replace(part, scheme=other), catalog) is None


def _prepare(out: Path) -> Path:
    """A folder beside ``out`` to write to."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("out", "is there already and not empty; name a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{out.name}-", suffix=".part", dir=out.parent))
    except OSError as error:
        raise InputError("out", f"cannot be written: {error.strerror}") from None


def _write(
    loaded: LoadedPlan,
    parts: Mapping[str, Part],
    folder: Path,
    components_only: bool,
    say: Callable[[str], None],
) -> dict[str, Difference]:
    for module in place.modules_of(loaded.pipe):
        place.park(module)
    say("saving")
    if not components_only:
        _save_whole(loaded, folder)
    found = {}
    for name, part in parts.items():
        module = getattr(loaded.pipe, name)
        if components_only:
            save(module, part, folder / name)
        say(f"reading {name} back")
        found[name] = read_back(module, part, folder / name)
    return found


def _save_whole(loaded: LoadedPlan, folder: Path) -> None:
    pipe = loaded.pipe
    if isinstance(pipe, BlockPipeline):
        blocks.save(pipe, folder)
    else:
        pipe.save_pretrained(folder)


def _add_lora(lora: Lora, model: Model, folder: Path, say: Callable[[str], None]) -> None:
    path, _ = fitting(lora, model, say)
    shutil.copyfile(path, folder / USUAL)


def _forget_paths(folder: Path) -> None:
    """Take out of the configs where on this machine the base weights lay."""
    for path in folder.rglob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(content, indent=2) + os.linesep, encoding="utf-8")
