"""The time of a plan where it is placed: what that moves, and whether the host holds it."""

from __future__ import annotations

from quantlab.catalog.gpus import Gpu
from quantlab.catalog.placement import HOST_KEPT, Device, Kind
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.needs import Needs
from quantlab.catalog.sizes.picture import Picture
from quantlab.catalog.table import Catalog
from quantlab.catalog.time import Reason, Seconds
from quantlab.catalog.time.of_plan import image_seconds
from quantlab.words.plan import Plan

__all__ = ["placed_seconds"]


def placed_seconds(
    plan: Plan,
    model: Model,
    device: Gpu | Device,
    picture: Picture,
    kind: Kind,
    needs: Needs,
    *,
    ram_bytes: int | None,
    steps: int | None,
    catalog: Catalog,
) -> Seconds | Reason:
    """Seconds of one image of ``plan`` in the placement ``kind``, warm; ``needs`` are the plan's.

    ``ram_bytes`` is the host's memory, taken for enough where it is None. A reason where nothing
    honest can be said; of a device without a name nothing can.
    """
    if not isinstance(device, Gpu):
        return Reason.NO_FIGURES
    moves = kind != "resident"
    waiting = needs.offload_host_bytes + HOST_KEPT
    return image_seconds(
        plan,
        model,
        device,
        picture,
        steps=steps,
        placement=kind,
        moved_bytes=needs.weights_bytes if moves else 0,
        host_memory_suffices=not moves or ram_bytes is None or waiting <= ram_bytes,
        catalog=catalog,
    )
