"""What the probe tries things on: one scheme on one component, and the finding that comes out."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.schema import Scheme
from quantlab.catalog.table import Catalog
from quantlab.lab.bench.run import FirstStep, Run, encode, forward, generate
from quantlab.lab.device import Device
from quantlab.lab.libraries import resolve
from quantlab.lab.load.keys import DTYPES, compute_dtype
from quantlab.lab.load.pool import LoadedPlan, Pool
from quantlab.lab.load.weights import stored_bytes, verify
from quantlab.lab.specs import build, spec_for
from quantlab.words.comparison import SHIPPED, Comparison

__all__ = ["Finding", "Measured", "Subject"]

PROMPT = "a red apple on a blue background"

Measured = Literal["yes", "no", "error", "skipped"]


@dataclass(frozen=True)
class Finding:
    """What was measured, and the figures or the reason, in one line."""

    measured: Measured
    detail: str


@dataclass
class Subject:
    """``scheme`` on ``component`` of ``model``, tried on ``device``."""

    scheme: str
    catalog: Catalog
    device: Device
    component: str = "transformer"
    model: str = SHIPPED

    @cached_property
    def comparison(self) -> Comparison:
        """One image in two steps.

        Raises:
            PlanError: the component cannot hold the scheme.
        """
        plan = f"{self.component}={self.scheme}"
        return make_comparison(
            model=self.model, plans=[plan], prompt=PROMPT, steps=2, catalog=self.catalog
        )

    @property
    def facts(self) -> Scheme:
        """The scheme as the catalogue has it."""
        return self.catalog.schemes[self.scheme]

    @property
    def dtype(self) -> Any:
        """The torch dtype that the plan computes in."""
        known = self.catalog.models[self.model]
        return resolve(compute_dtype(self.comparison.plans[0], known))

    def load(self) -> LoadedPlan:
        """The pipeline, loaded afresh and verified."""
        known = self.catalog.models[self.model]
        return Pool(0, self.catalog, self.device).load(
            known, self.comparison.plans[0], lambda _: None
        )

    def attempt(self) -> Finding:
        """Ask transformers itself for a scheme that quantlab says cannot be loaded.

        The library's refusal is raised as it is: that is the reason, in its own words.
        """
        known = self.catalog.models[self.model]
        part = known.component(self.component)
        assert part is not None
        config = build(spec_for(self.facts, part.library), DTYPES[known.base_dtype])
        folder = PROJECT / known.source / self.component
        module = resolve(f"{part.library}.{part.cls}").from_pretrained(
            folder, quantization_config=config, dtype=resolve(DTYPES[known.base_dtype])
        )
        verify(module, self.facts, self.component)
        size = stored_bytes(module) / 2**20
        return Finding("yes", f"{size:.2f} MiB stored; the catalogue says: {self.facts.note}")

    def run(self, pipe: Any) -> Run:
        """One image in two steps."""
        encoded = encode(pipe, self.comparison, self.device)
        stop = threading.Event()
        return generate(
            pipe, self.comparison, encoded, self.device, on_step=lambda _: None, stop=stop
        )

    def module(self, pipe: Any) -> Any:
        """The component under test."""
        return getattr(pipe, self.component)

    def output(self, module: Any, step: FirstStep) -> Any:
        """The transformer's output, (1, image tokens, channels), on the inputs of ``step``."""
        return forward(module, step, self.dtype, self.device.target)
