"""What the probe tries things on: one scheme on one component, and the finding that comes out."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Literal

from quantlab.catalog.schema import Scheme
from quantlab.catalog.table import load_catalog
from quantlab.lab.libraries import resolve
from quantlab.lab.load import LoadedPlan, Pool, compute_dtype
from quantlab.lab.plan import Comparison, make_comparison
from quantlab.lab.run import FirstStep, Run, encode, forward, generate

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
    """``scheme`` on ``component`` of ``model``."""

    scheme: str
    component: str = "transformer"
    model: str = "flux-mini"
    comparison: Comparison = field(init=False)

    def __post_init__(self) -> None:
        plan = f"{self.component}={self.scheme}"
        self.comparison = make_comparison(model=self.model, plans=[plan], prompt=PROMPT, steps=2)

    @property
    def facts(self) -> Scheme:
        """The scheme as the catalogue has it."""
        return load_catalog().schemes[self.scheme]

    @property
    def dtype(self) -> Any:
        """The torch dtype that the plan computes in."""
        known = load_catalog().models[self.model]
        return resolve(compute_dtype(self.comparison.plans[0], known))

    def load(self) -> LoadedPlan:
        """The pipeline, loaded afresh and verified."""
        known = load_catalog().models[self.model]
        return Pool(0).load(known, self.comparison.plans[0], lambda _: None)

    def run(self, pipe: Any) -> Run:
        """One image in two steps."""
        encoded = encode(pipe, self.comparison)
        stop = threading.Event()
        return generate(pipe, self.comparison, encoded, on_step=lambda _: None, stop=stop)

    def module(self, pipe: Any) -> Any:
        """The component under test."""
        return getattr(pipe, self.component)

    def output(self, module: Any, step: FirstStep) -> Any:
        """The transformer's output, (1, image tokens, channels), on the inputs of ``step``."""
        return forward(module, step, self.dtype)
