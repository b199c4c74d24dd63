"""The full-size pipeline under offload: seconds of its parts, the peak against the prediction."""

from __future__ import annotations

import gc
import threading
from typing import Any

from benchmarks.gpu_day.flux_bench import Bench, allocated
from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.sizes.needs import needs_of
from quantlab.catalog.sizes.picture import Picture
from quantlab.lab.bench.measure import PeakMemory
from quantlab.lab.bench.run import encode, generate
from quantlab.lab.device import this_device
from quantlab.lab.load import place
from quantlab.lab.load.pool import Pool

__all__ = ["offloaded"]

STEPS = 3


def offloaded(bench: Bench, text: str, placement: str) -> None:
    """Plan ``text`` in a pipeline of its own, everything else let go.

    ``placement`` is "model-offload", "group-offload" or "group-offload-plain", without a second
    stream.
    """
    device = this_device()
    if device.is_cpu:
        return
    bench.pool.drop_all()
    gc.collect()
    device.counters.release()
    catalog = bench.subject.catalog
    plan = parse_plan(text, bench.model, catalog)
    kind = placement.removesuffix("-plain")
    started = device.clock()
    with PeakMemory(device.counters) as peak:
        loaded = Pool(0, catalog, device).load(bench.model, plan, lambda _: None, kind)
        if kind != placement:
            _without_stream(loaded.pipe, device.target)
        load_s, there = device.clock() - started, allocated()
        peak.loaded()
        encoded = [encode(loaded.pipe, bench.asked, device) for _ in range(2)][-1]
        asked, stop = bench.asked.changed(steps=STEPS), threading.Event()
        run = generate(loaded.pipe, asked, encoded, device, on_step=lambda _: None, stop=stop)
    picture = Picture(asked.width, asked.height, asked.sequence_length)
    needs = needs_of(plan, bench.model, picture, catalog=catalog)
    predicted = needs.offload_bytes if kind == "model-offload" else needs.group_bytes
    bench.book.add(
        "offload",
        plan=text,
        placement=placement,
        width=asked.width,
        load_s=load_s,
        allocated_bytes=there,
        **bench.peaks(peak, predicted),
        encode_s=encoded.seconds,
        steps=STEPS,
        total_s=run.total_s,
        step_s=run.step_s,
        decode_s=run.decode_s,
    )


def _without_stream(pipe: Any, target: str) -> None:
    """Group offload once more, as for plans whose tensors a second stream does not suit."""
    place.clear(place.modules_of(pipe))
    place.apply(pipe, "group-offload", target, {"offload_type": "leaf_level"})
