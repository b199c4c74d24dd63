"""The command tune: progress with the time left on stderr, the report on stdout."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from quantlab.cli.admit import make_folder, named_path
from quantlab.errors import InputError
from quantlab.words.comparison import SHIPPED

__all__ = ["options", "run_tune"]

MOST_PROMPTS = 8
"""Prompts that are tuned on, unless more are asked for."""
SIZES = ("steps", "width", "height")


def options(parser: argparse.ArgumentParser) -> None:
    """What is tuned, for which budget, on which prompts."""
    parser.set_defaults(kept="; what was measured is kept: the same command goes on")
    parser.add_argument("--model", default=SHIPPED, help="a model's id, or a folder")
    parser.add_argument("--method", default="gguf", help="the library whose schemes are mixed")
    parser.add_argument(
        "--budget-bits", type=float, required=True, metavar="B", help="stored bits of a number"
    )
    parser.add_argument(
        "--out", type=named_path, required=True, metavar="DIR", help="folder of results"
    )
    parser.add_argument(
        "--prompts", type=named_path, metavar="FILE", help="a line each, half held out"
    )
    parser.add_argument(
        "--count", type=int, default=MOST_PROMPTS, metavar="N", help="prompts to tune on (8)"
    )
    for name in SIZES:
        parser.add_argument(f"--{name}", type=int, help="of the images that are tuned on")


def run_tune(arguments: argparse.Namespace) -> None:
    """Tune, write the folder, and print what came of it.

    Raises:
        InputError: an argument is wrong.
        LoadError, Unavailable: as ``lab.tune.tune.tune`` does.
        StoreError: the folder cannot be written.
    """
    from quantlab.cli.sweep import read_prompts
    from quantlab.lab.device import this_device
    from quantlab.lab.tune.question import PROMPTS, question
    from quantlab.lab.tune.report import write
    from quantlab.lab.tune.tune import tune

    if not 2 <= arguments.count <= 256:
        raise InputError("count", f"{arguments.count}; 2 to 256 are allowed")
    asked = question(
        arguments.model,
        arguments.method,
        arguments.budget_bits,
        read_prompts(arguments.prompts or PROMPTS),
        arguments.out,
        arguments.catalog,
        most=arguments.count,
        **{name: getattr(arguments, name) for name in SIZES},
    )
    make_folder("out", arguments.out)
    device = this_device()
    tuned = tune(asked, arguments.catalog, device, _tell, arguments.ending)
    document = write(tuned, device)
    if arguments.json:
        json.dump(document, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    _print(document, arguments.out)


def _tell(text: str, left_s: float) -> None:
    minutes, seconds = divmod(round(left_s), 60)
    left = f"; {minutes}:{seconds:02} left" if left_s else ""
    print(f"quantlab: {text}{left}", file=sys.stderr, flush=True)


def _print(document: dict[str, Any], out: Path) -> None:
    print(f"{'plan':34}{'bits':>7}{'loss':>9}{'PSNR dB':>9}")
    named = (
        (document["plan"], document),
        (f"{document['uniform']['scheme']}, usual layers kept", document["uniform"]),
        (document["uniform_plain"]["scheme"], document["uniform_plain"]),
    )
    for name, each in named:
        psnr = each["psnr_db"]
        shown = f"{psnr['mean']:9.1f}" if psnr else f"{'-':>9}"
        print(f"{name:34}{each['bits']:7.2f}{each['loss']:9.4f}{shown}")
    print(document["verdict"])
    for warning in document["warnings"]:
        print(f"quantlab: {warning}", file=sys.stderr)
    print(f"{out}: report.json, mix.toml, image.py; the plan is {document['plan']}")
