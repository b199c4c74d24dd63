"""The save command, and the option that keeps quantized components on disk."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING

from quantlab.cli.admit import named_path
from quantlab.errors import InputError

if TYPE_CHECKING:
    from quantlab.words.comparison import Comparison

__all__ = ["run_save", "save_arguments", "use_variants", "variants_arguments"]

MIB = 2**20


def save_arguments(parser: argparse.ArgumentParser) -> None:
    """What is saved, and where to."""
    parser.add_argument("--plan", required=True, help="the plan, for example torchao-int8wo")
    parser.add_argument("--out", type=named_path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument(
        "--components-only", action="store_true", help="leave out what is not quantized"
    )


def run_save(arguments: argparse.Namespace, comparison: Comparison) -> None:
    """Save the first plan of ``comparison``, and say what was written.

    Raises:
        InputError: as ``take_away`` does; also PlanError.
    """
    from quantlab.lab.device import this_device
    from quantlab.lab.keep.takeaway import take_away

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    only = arguments.components_only
    saved = take_away(
        comparison,
        arguments.out,
        catalog=arguments.catalog,
        device=this_device(),
        components_only=only,
        say=say,
    )
    if not arguments.json:
        print(f"{saved.folder}: {saved.bytes / MIB:.1f} MiB")
        for name, difference in saved.differences.items():
            print(f"{name} was read back: {difference}")
        return
    document = {
        "plan": str(comparison.plans[0]),
        "model": comparison.model,
        "out": str(saved.folder.resolve()),
        "bytes": saved.bytes,
        "reload": {
            name: {"tensors": d.tensors, "changed": d.changed, "rel_l2": d.rel_l2}
            for name, d in saved.differences.items()
        },
    }
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def variants_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to keep quantized components, and how much of them."""
    parser.add_argument(
        "--variants",
        type=named_path,
        metavar="DIR",
        help="keep quantized components here for next time",
    )
    parser.add_argument(
        "--variants-gib", type=float, metavar="N", help="limit of that folder in GiB (50)"
    )


def use_variants(arguments: argparse.Namespace) -> None:
    """Say so in the environment, which the processes that are started for the plans take over.

    Raises:
        InputError: the folder is none, the limit is none, or nothing is kept that it could limit.
    """
    from quantlab.lab.keep.variants import FOLDER, LIMIT, limit_of, opted

    if arguments.variants is not None:
        if arguments.variants.exists() and not arguments.variants.is_dir():
            raise InputError("variants", "is not a folder")
        os.environ[FOLDER] = str(arguments.variants.resolve())
    if arguments.variants_gib is not None:
        if not os.environ.get(FOLDER):
            raise InputError("variants-gib", "goes with --variants")
        limit_of("variants-gib", repr(arguments.variants_gib))
        os.environ[LIMIT] = repr(arguments.variants_gib)
    opted()
