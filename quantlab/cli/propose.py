"""What ``quantlab propose`` prints: at most three plans for a device, each with what it costs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any

from quantlab.catalog.answer.choices import Answer
from quantlab.catalog.sizes.idle import to_know
from quantlab.record.asking import proposed
from quantlab.record.known import Measurements, measurements_here
from quantlab.words.choice import Choice
from quantlab.words.units import gib

__all__ = ["answer_to", "lines_of", "run_propose"]


def run_propose(arguments: argparse.Namespace) -> list[dict[str, Any]] | None:
    """Print the choices; with ``--json`` give them as documents instead.

    Raises:
        InputError: names the argument that is wrong and what is allowed.
    """
    settings = {"width": arguments.width, "height": arguments.height, "steps": arguments.steps}
    at_once = {"batch": arguments.batch, "references": arguments.references}
    answer = answer_to(arguments, measurements_here(arguments.catalog), **settings, **at_once)
    for told in filter(None, (answer.nearest, answer.instead)):
        print(f"quantlab: {told}", file=sys.stderr)
    if arguments.json:
        from quantlab.record.documents import choice_documents

        return choice_documents(answer.choices, arguments.model, settings, arguments.catalog)
    for choice in answer.choices:
        for line in (*lines_of(choice), *(f"    {reason}" for reason in choice.reasons)):
            print(line)
        print(f"    {choice.install}")
    for line in to_know(arguments.catalog.models[arguments.model]):
        print(line, file=sys.stderr)
    return None


def answer_to(arguments: argparse.Namespace, measured: Measurements, **more: Any) -> Answer:
    """The answer to what ``pick`` and ``propose`` both ask."""
    return proposed(
        arguments.catalog,
        measured,
        model=arguments.model,
        gpu=arguments.gpu,
        hardware=arguments.hardware,
        memory_gib=arguments.memory_gib,
        bits=arguments.bits,
        needs=arguments.need,
        ram_gib=arguments.ram_gib,
        **more,
    )


def lines_of(choice: Choice) -> Iterable[str]:
    """A choice in a few lines: the plan, what it takes, what is given up."""
    yield f"{', '.join(choice.heads)}: {choice.plan} ({', '.join(choice.ways)})"
    takes = f"{gib(choice.peak_bytes)} of {gib(choice.device_bytes)} at the peak"
    if choice.host_bytes:
        takes += f", {gib(choice.host_bytes)} of host memory"
    if choice.download_bytes:
        takes += f", {gib(choice.download_bytes)} to download"
    yield f"    {takes}; predicted"
    if choice.image_s is not None:
        yield f"    an image in {choice.image_s}, {choice.image_s_why}"
    elif choice.drawn_s is not None:
        yield f"    an image in at least {choice.drawn_s}, predicted. {choice.image_s_why}"
    else:
        yield f"    seconds: none. {choice.image_s_why}"
    if choice.given_up:
        yield f"    {choice.given_up}"
