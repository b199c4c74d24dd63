"""The command gate: a plan against a reference within limits, exit status 1 where it is not."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from quantlab.cli.admit import make_folder, named_path
from quantlab.cli.options import comparison, settings_of

__all__ = ["options", "run_gate"]


def options(parser: argparse.ArgumentParser) -> None:
    """What is held against what, within which limits, over which prompts and seeds."""
    comparison(parser, plans=False, many=True)
    parser.add_argument("--plan", required=True, help="the plan, for example bnb-nf4")
    parser.add_argument("--reference", default="fp32", help="what it is held against (fp32)")
    parser.add_argument(
        "--thresholds", type=named_path, required=True, metavar="FILE", help="limits, a TOML file"
    )
    parser.add_argument("--prompts", type=named_path, metavar="FILE", help="a prompt a line")
    parser.add_argument("--out", type=named_path, metavar="DIR", help="keep the pictures here")


def run_gate(arguments: argparse.Namespace) -> int:
    """Run it and print the table or the document; the exit status.

    Raises:
        InputError: an argument is wrong.
        RunError: a plan failed.
    """
    from quantlab.cli.compare import tell_beforehand
    from quantlab.cli.sweep import read_prompts
    from quantlab.lab.bench.compare import Bench
    from quantlab.lab.device import this_device
    from quantlab.lab.gate.gate import gate
    from quantlab.lab.gate.pairs import pairs_of
    from quantlab.lab.gate.table import markdown
    from quantlab.lab.gate.thresholds import read_thresholds
    from quantlab.lab.libraries import versions

    thresholds = read_thresholds(arguments.thresholds)
    prompts = list(arguments.prompt or [])
    prompts += read_prompts(arguments.prompts) if arguments.prompts else []
    pairs, catalog = pairs_of(
        arguments.plan,
        arguments.reference,
        arguments.catalog,
        model=arguments.model,
        prompts=prompts,
        seeds=arguments.seed or (),
        **settings_of(arguments, swept=False),
    )
    if arguments.out is not None:
        make_folder("out", arguments.out)
    tell_beforehand(pairs, catalog)
    device = this_device()
    with tempfile.TemporaryDirectory() as folder:
        out = arguments.out or Path(folder)
        verdict = gate(pairs, thresholds, Bench(catalog, device), out, _say, arguments.ending)
    if arguments.json:
        document = {**verdict.as_dict(), "device": device.info(), "versions": versions()}
        json.dump(document, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        sys.stdout.write(markdown(verdict, device.info(), versions()))
    return 0 if verdict.passed else 1


def _say(text: str) -> None:
    print(f"quantlab: {text}", file=sys.stderr, flush=True)
