"""What the handlers work with: the one object that app.py puts together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from quantlab.catalog.table import Catalog
from quantlab.lab.runners.beside import BesideRunner
from quantlab.lab.runners.runner import Runner
from quantlab.record.gallery import Gallery
from quantlab.record.known import Measurements
from quantlab.record.store.store import Store
from quantlab.ui.guard.budget import Budget
from quantlab.ui.guard.fetching import Consent
from quantlab.ui.jobs import Jobs
from quantlab.words.comparison import Comparison

__all__ = ["Services"]

T = TypeVar("T")


@dataclass(frozen=True)
class Services:
    """Catalogue, runner, store and jobs of one page. ``store`` is None where it cannot open."""

    catalog: Catalog
    runner: Runner
    store: Store | None
    base_url: str | None = None
    """Where links lead; None takes the address that the visitor used."""
    consent: Consent = field(default_factory=Consent)
    """What may be fetched from a hub for a visitor."""
    budget: Budget = field(default_factory=Budget)
    """How long a visitor's job may take."""
    jobs: Jobs = field(default_factory=Jobs)
    allow_probe: bool = False
    """Whether visitors of a public page may probe its machine."""
    gallery: Gallery | None = None
    """Comparisons that ship with the project, shown where nothing was measured here."""
    takes_pictures: bool = True
    """Whether visitors may give pictures to go by."""
    public: bool = False
    """Whether the page is reached from other machines: visitors are then told by address."""

    def do(self, work: Callable[..., T], *given: object) -> T:
        """What ``work`` gives for ``given`` and the catalogue. It is done where comparisons run, if
        that is a process beside this one: it imports torch, which this one then need not.

        Raises:
            QuantlabError: as ``work`` does.
        """
        if isinstance(self.runner, BesideRunner):
            return self.runner.do(work, *given)
        return work(*given, self.catalog)

    @cached_property
    def measured(self) -> Measurements:
        """What was measured on the device that somebody asks about."""
        return Measurements(self.catalog, lambda: self.store, lambda: self.jobs.running)

    def admit(self, comparison: Comparison) -> None:
        """Refuse what a visitor may not run here, whichever way they ask, before it waits.

        Raises:
            InputError: it would be fetched without consent, or takes too long.
        """
        self.consent.check(comparison, self.catalog.models[comparison.model])
        self.budget.check(comparison, self.catalog)
