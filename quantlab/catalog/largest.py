"""The largest picture that a plan can make on a device, by prediction, and what decoding it in
another way would change."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from quantlab.catalog.gpus import Gpu
from quantlab.catalog.placement import Device, best_placement
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.decoding import lighter
from quantlab.catalog.sizes.needs import needs_of
from quantlab.catalog.sizes.picture import Picture
from quantlab.catalog.table import Catalog
from quantlab.words.plan import Plan
from quantlab.words.settings import setting

__all__ = ["Size", "decoded_lighter", "largest_size"]


@dataclass(frozen=True)
class Size:
    """Pixels."""

    width: int
    height: int

    def as_dict(self) -> dict[str, int]:
        """As ``predict --json`` has it."""
        return {"width": self.width, "height": self.height}

    def __str__(self) -> str:
        return f"{self.width} x {self.height} px"


def largest_size(
    plan: Plan,
    model: Model,
    gpu: Gpu | Device,
    asked: Picture,
    catalog: Catalog,
    ram_bytes: int | None = None,
) -> Size | None:
    """The largest size at which ``plan`` fits in some placement, or None where none does.

    Of the sizes that the model allows, with the shape of its default; all else as ``asked``.

    Raises:
        PlanError: a scheme whose way of storing is not known.
    """
    sizes = _sizes(model)

    def too_large(size: Size) -> bool:
        picture = asked.sized(size.width, size.height)
        needs = needs_of(plan, model, picture, catalog=catalog)
        return best_placement(needs, plan, gpu, catalog, ram_bytes) is None

    count = bisect_left(sizes, True, key=too_large)
    return sizes[count - 1] if count else None


def decoded_lighter(
    plan: Plan,
    model: Model,
    asked: Picture,
    gpu: Gpu | Device,
    catalog: Catalog,
    ram_bytes: int | None = None,
) -> str:
    """That ``plan``, which fits in no placement, fits with VAE tiling or slicing, and how; "" where
    it does not."""
    light = lighter(model, asked)
    if light == asked:
        return ""
    needs = needs_of(plan, model, light, catalog=catalog)
    best = best_placement(needs, plan, gpu, catalog, ram_bytes)
    if best is None:
        return ""
    changed = {
        "vae_tiling": light.tiling and not asked.tiling,
        "vae_slicing": light.slicing and not asked.slicing,
    }
    options = " ".join(setting(key).option for key, anew in changed.items() if anew)
    return f"; it fits with {options}, {best.kind.replace('-', ' ')}"


def _sizes(model: Model) -> list[Size]:
    """The sizes in the shape of the model's default, smallest first, by its longer side."""
    d, limits = model.defaults, model.limits
    step, longer = limits.size_multiple, max(d.width, d.height)
    found = []
    for side in range(step * -(-limits.min_size // step), limits.max_size + 1, step):
        width, height = (step * round(side * of / longer / step) for of in (d.width, d.height))
        if min(width, height) >= limits.min_size:
            found.append(Size(width, height))
    return found
