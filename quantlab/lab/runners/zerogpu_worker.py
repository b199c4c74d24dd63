"""What runs inside ZeroGPU's forked worker, and the plain values that leave it.

No tensor, module or exception of a library crosses the border between the processes: texts,
numbers and PNG bytes do.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.machine import this_machine
from quantlab.catalog.paths import whole_file
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.lab.runners.runner import events_of
from quantlab.words.outcome import Event, Finished, Outcome, Progress

if TYPE_CHECKING:
    from quantlab.lab.bench.compare import Bench

__all__ = ["Item", "pack", "unpack", "work"]

Item = dict[str, Any]
"""Plain values that can cross the border by pickle."""


def work(job: Item) -> Iterator[Item]:
    """Run the comparison of ``job``; yields the machine first, then packed events.

    ``job["folder"]`` is the parent's, who removes it even when this process is killed.
    """
    from quantlab.lab.bench.compare import compare
    from quantlab.lab.device import this_device
    from quantlab.lab.libraries import load, versions

    this_machine.cache_clear()  # what the parent saw, without a GPU, came along with the fork
    # The parent has downloaded what is needed: no paid second is spent on asking the hub again.
    constants: Any = load("huggingface_hub.constants")
    constants.HF_HUB_OFFLINE = True
    stop, catalog = threading.Event(), load_catalog()

    def body(report: Callable[[Event], None]) -> None:
        compare(
            make_comparison(**job["comparison"], catalog=catalog),
            bench=_bench(catalog),
            out=Path(job["folder"]),
            report=report,
            stop=stop,
            repeats=job["repeats"],
            warmup=job["warmup"],
        )

    yield {"device": this_device().info(), "versions": versions()}
    events = events_of(body)
    try:
        for event in events:
            yield pack(event)
    finally:
        # Closed early: the run ends at its next step, and is waited for, because the next call may
        # come to this same process.
        stop.set()
        for _ in events:
            pass


@functools.cache
def _bench(catalog: Catalog) -> Bench:
    """What this worker keeps loaded while it lives. Only the plan under way stays on the GPU."""
    from quantlab.lab.bench.compare import Bench
    from quantlab.lab.device import this_device

    return Bench(catalog, this_device(), budget_bytes=0)


def pack(event: Event) -> Item:
    """An event as plain values; a finished plan's image comes along as PNG bytes."""
    if isinstance(event, Progress):
        return {"index": event.index, "text": event.text, "fraction": event.fraction}
    outcome = event.outcome.as_dict()
    image = outcome.pop("image")
    png = Path(image).read_bytes() if image else None
    name = Path(image).name if image else None
    return {"index": event.index, "outcome": outcome, "name": name, "png": png}


def unpack(item: Mapping[str, Any], index: int, out: Path) -> Event:
    """The event of ``item`` as plan ``index``; its image is under ``out``, whole or not at all."""
    if "outcome" not in item:
        return Progress(index, item["text"], item["fraction"])
    image = None
    if item["png"] is not None:
        path = out.resolve() / f"{index + 1}-{item['name'].partition('-')[2]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            part.write_bytes(item["png"])
        image = str(path)
    return Finished(index, Outcome.from_dict({**item["outcome"], "image": image}))
