"""Starts the page: chooses the runner, opens the store, launches Gradio.

The usual GRADIO_SERVER_NAME and GRADIO_SERVER_PORT name another host and port. ``--model`` adds
models of one's own, each a folder or a repository ``owner/name``, and ``--lora`` LoRAs, each a
folder or a file; on a Space they are left out.
"""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is a page to close: the end, at once

import argparse
import logging
import os
import sys
from asyncio import AbstractEventLoop
from collections.abc import Sequence
from dataclasses import replace

if os.environ.get("SPACES_ZERO_GPU"):  # must come before anything that touches CUDA
    import spaces  # noqa: F401

from quantlab.errors import InputError
from quantlab.lab.runners.beside import BesideRunner
from quantlab.lab.runners.choose import choose_runner
from quantlab.ui.guard.hosts import allowed_names, check_listening

if __name__ == "__main__":  # before all else: torch is imported beside while Gradio is here
    try:
        check_listening(os.environ)
    except InputError as error:
        print(f"quantlab: {error}", file=sys.stderr)
        sys.exit(2)
    chosen = choose_runner(os.environ)
    if isinstance(chosen, BesideRunner):
        chosen.start()

from quantlab.catalog.machine import this_machine
from quantlab.catalog.own.mixes import Growing, kept_mixes
from quantlab.catalog.schema import Model
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import QuantlabError, StoreError
from quantlab.lab.heap import give_back_at_rest
from quantlab.lab.hub.admit import about, admit
from quantlab.lab.lora.file import admit_lora
from quantlab.lab.runners.runner import OwnRunner, Runner
from quantlab.lab.runners.warm import start_warm
from quantlab.record.gallery import Gallery
from quantlab.record.store.store import Store
from quantlab.ui.compare.tab import first_runs
from quantlab.ui.guard.budget import PUBLIC_S, Budget, here, learn
from quantlab.ui.guard.fetching import Consent
from quantlab.ui.kept.ahead import answer_ahead
from quantlab.ui.page import build
from quantlab.ui.serve import serve
from quantlab.ui.services import Services
from quantlab.words.lora import hub_parts
from quantlab.words.numbers import show

log = logging.getLogger("quantlab")
MOST_S = 10**9
"""That an operator can say; longer than anything runs."""


def open_store() -> Store | None:
    """The store of results, or None with a warning: the page works without it."""
    try:
        return Store()
    except (InputError, StoreError) as error:
        log.warning("Results are not kept: %s", error)
        return None


def add_models(named: Sequence[str]) -> None:
    """Have the catalogue know the folders and repositories that were named at the start.

    Raises:
        QuantlabError: one of them cannot be used.
    """
    if named and os.environ.get("SPACE_ID"):
        log.warning("On a Space only the listed models are offered; --model is left out.")
        return
    for text in named:
        log.warning("%s", about(admit(text)))


def add_loras(named: Sequence[str]) -> tuple[str, ...]:
    """Have comparisons know the LoRAs whose folders or files were named at the start; gives the
    repositories among them.

    Raises:
        InputError: one of them is no LoRA.
    """
    if named and os.environ.get("SPACE_ID"):
        log.warning("On a Space only the listed LoRAs are offered; --lora is left out.")
        return ()
    repositories = []
    for text in named:
        name = admit_lora(text)
        if name != text:
            log.warning("%s can be named as a LoRA", name)
        elif found := hub_parts(text):
            repositories.append(found[0])
        else:
            raise InputError("lora", f"there is no folder or safetensors file {text[:200]!r}")
    return tuple(repositories)


def _is_here(model: Model) -> bool:
    """Whether the weights of ``model`` are on this machine."""
    from quantlab.lab.hub.snapshot import cached

    return cached(model, [component.name for component in model.components]) is not None


def budget_of(asked: float | None, *, public: bool) -> Budget:
    """How long a visitor's job may take; what that is here is found out when the page is there.

    Raises:
        InputError: no number of seconds.
    """
    if asked is not None and not 0 <= asked < MOST_S:
        said = f"{show(asked)}; 0, for no limit, to {MOST_S} are allowed"
        raise InputError("max-job-seconds", said)
    most = (PUBLIC_S if public else 0.0) if asked is None else asked
    return Budget(most or None)


def takes_pictures(runner: Runner, *, public: bool) -> bool:
    """Whether visitors may give pictures to go by: on one's own machine, and where a GPU of this
    server goes by them; on ZeroGPU they would have to travel with every call."""
    has_gpu = this_machine().hardware[-1] != "cpu"
    return isinstance(runner, OwnRunner) and (has_gpu or not public)


def main(runner: Runner) -> None:
    """Build and launch; does not return while the page is served."""
    parser = argparse.ArgumentParser(description="Serve the page.")
    parser.add_argument(
        "--model", nargs="+", action="extend", default=[], help="models of your own"
    )
    parser.add_argument(
        "--lora",
        nargs="+",
        action="extend",
        default=[],
        help="your LoRAs: folders, files, owner/name",
    )
    parser.add_argument(
        "--host",
        nargs="+",
        action="extend",
        default=[],
        help="names under which a page on this machine is reached besides localhost",
    )
    parser.add_argument(
        "--proxy",
        action="store_true",
        help="a proxy of yours stands before the page and says in X-Forwarded-For where visitors "
        "are; without it nobody is believed",
    )
    parser.add_argument(
        "--allow-probe", action="store_true", help="let visitors of a public page probe its machine"
    )
    parser.add_argument(
        "--allow-hub",
        action="store_true",
        help="fetch any LoRA, of 4 GiB at most, and listed model that visitors ask for, with the "
        "token that is set",
    )
    parser.add_argument(
        "--max-job-seconds",
        type=float,
        default=None,
        help="predicted seconds that a visitor's job may take; 0: no limit; without it "
        f"{PUBLIC_S:g} on a public page, none on this machine's own",
    )
    try:
        arguments = parser.parse_args()
        add_models(arguments.model)
        repositories = add_loras(arguments.lora)
        services = services_of(arguments, repositories, runner)
    except QuantlabError as error:
        print(f"quantlab: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 1)
    page = build(services)

    def start(loop: AbstractEventLoop) -> None:
        warming = start_warm(runner, first_runs())
        if services.budget.most_s and isinstance(runner, BesideRunner):  # ZeroGPU has a quota
            learn(services.budget, lambda: runner.do_alone(here), warming)
        answer_ahead(page.answers, loop, lambda: services.jobs.running, warming)
        give_back_at_rest(lambda: services.jobs.running)
        if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    serve(page, hosts=arguments.host, proxied=arguments.proxy, then=start)


def grown(catalog: Catalog) -> Growing:
    """The schemes of ``catalog`` and what was tuned on this machine before, to grow further."""
    schemes = Growing(catalog.schemes)
    for mix in kept_mixes(catalog, log.warning):
        schemes.add(mix)
    return schemes


def services_of(
    arguments: argparse.Namespace, repositories: Sequence[str], runner: Runner
) -> Services:
    """What the page works with; ``repositories`` have LoRAs that were named at the start."""
    catalog = load_catalog()
    public = arguments.proxy or allowed_names(os.environ) is None
    if not public:  # what is tuned on one's own machine joins its schemes
        catalog = replace(catalog, schemes=grown(catalog))
    return Services(
        catalog=catalog,
        runner=runner,
        store=open_store(),
        gallery=Gallery(),
        allow_probe=arguments.allow_probe,
        public=public,
        takes_pictures=takes_pictures(runner, public=public),
        budget=budget_of(arguments.max_job_seconds, public=public),
        consent=Consent(
            tuple(repositories),
            everything=arguments.allow_hub,
            # A Space's operator chose which models it offers.
            public=public and not os.environ.get("SPACE_ID"),
            here=_is_here,
        ),
    )


if __name__ == "__main__":
    main(chosen)
