"""The command line: ``python -m quantlab COMMAND``, from pick to sweep; ``--help`` lists them.

``--json`` prints one JSON document on stdout and nothing else there; progress and warnings go to
stderr. Exit status 0 when the command did its job (failed plans are rows), 2 for bad arguments,
143 for SIGTERM, 1 for anything else. Torch is imported only by the commands that run something.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from quantlab.catalog.table import load_catalog
from quantlab.cli import options
from quantlab.cli.admit import admit_named, check_own_mixes, make_folder
from quantlab.cli.gate import options as gate_options
from quantlab.cli.gate import run_gate
from quantlab.cli.save import run_save, use_variants
from quantlab.cli.tune import options as tune_options
from quantlab.cli.tune import run_tune
from quantlab.errors import Ending, InputError, QuantlabError, first_line
from quantlab.words.numbers import whole

__all__ = ["main"]

AddOptions = Callable[[argparse.ArgumentParser], None]
Command = Callable[[argparse.Namespace], int | None]
MOST_RESULTS = 10**9
"""That export is asked for; more than any store holds."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None, ending: Ending | None = None) -> int:
    """Run one command; the return value is the exit status. ``ending`` is set to end it."""
    arguments = _parser().parse_args(argv)
    arguments.ending = ending or Ending()
    try:
        admit_named(arguments)
        arguments.catalog = load_catalog()  # handed in to everything below
        return arguments.command(arguments) or 0
    except (KeyboardInterrupt, Exception) as error:  # border: one line, whatever happened
        if arguments.ending.is_set() or isinstance(error, KeyboardInterrupt):
            return _complain("interrupted" + arguments.kept, arguments.ending.status)
        return _told(error)


def _told(error: BaseException) -> int:
    """Say what went wrong; the exit status."""
    if isinstance(error, InputError):
        return _complain(str(error), 2)
    if isinstance(error, QuantlabError):
        return _complain(str(error), 1)
    if isinstance(error, BrokenPipeError):
        return 1
    return _complain(f"{type(error).__name__}: {first_line(error)}", 1)


def _complain(message: str, status: int) -> int:
    print(f"quantlab: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="quantlab", description="Pick and try quantization methods.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, (text, add_options, command) in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--json", action="store_true", help="print one JSON document")
        sub.set_defaults(command=command, kept="")
        add_options(sub)
    return parser


def _comparison(arguments: argparse.Namespace, plans: Sequence[str]) -> Any:
    from quantlab.catalog.comparison import make_comparison
    from quantlab.catalog.own.mixes import admit_all

    named, arguments.catalog = admit_all(plans, arguments.catalog)
    given = options.settings_of(arguments)
    return make_comparison(model=arguments.model, plans=named, catalog=arguments.catalog, **given)


def _print_json(value: object) -> None:
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _pick(arguments: argparse.Namespace) -> None:
    from quantlab.cli import pick

    rows = pick.ask(arguments)
    if arguments.json:
        _print_json([row.as_dict() for row in rows])
    else:
        pick.tell(arguments, rows)


def _propose(arguments: argparse.Namespace) -> None:
    from quantlab.cli.propose import run_propose

    documents = run_propose(arguments)
    if documents is not None:
        _print_json(documents)


def _compare(arguments: argparse.Namespace) -> None:
    from quantlab.cli.compare import run

    _check_counts(arguments)
    use_variants(arguments)
    comparison = _comparison(arguments, arguments.plans)
    check_own_mixes(arguments, comparison.plans)
    make_folder("out", arguments.out)
    run(
        comparison,
        arguments.catalog,
        out=arguments.out,
        repeats=arguments.repeats,
        warmup=arguments.warmup,
        isolate=arguments.isolate,
        as_json=arguments.json,
        stop=arguments.ending,
    )


def _check_counts(arguments: argparse.Namespace) -> None:
    for part in ("repeats", "warmup"):
        low = 1 if part == "repeats" else 0
        if not low <= getattr(arguments, part) <= 100:
            raise InputError(part, f"{getattr(arguments, part)}; {low} to 100 are allowed")


def _sweep(arguments: argparse.Namespace) -> None:
    from quantlab.cli.sweep import read_prompts, run_sweep

    _check_counts(arguments)
    use_variants(arguments)
    prompts = arguments.prompt or []
    if arguments.prompts is not None:
        prompts = [*prompts, *read_prompts(arguments.prompts)]
    run_sweep(arguments, prompts or [options.DEFAULT_PROMPT], arguments.seed or [0])


def _probe(arguments: argparse.Namespace) -> None:
    from quantlab.cli.probe import run_probe

    run_probe(arguments)


def _predict(arguments: argparse.Namespace) -> None:
    from quantlab.cli.predict import ask, tell

    rows = ask(arguments)
    if arguments.json:
        _print_json([row.as_dict() for row in rows])
    tell(rows, arguments.model, arguments.catalog, table=not arguments.json)


def _check(arguments: argparse.Namespace) -> int:
    from quantlab.cli.check import run_check

    return run_check(arguments)


def _snippet(arguments: argparse.Namespace) -> None:
    if arguments.method is not None:
        from quantlab.lab.script.language_model import llm_snippet

        about, text = {"method": arguments.method}, llm_snippet(arguments.method, arguments.repo)
    elif arguments.repo is not None:
        raise InputError("repo", "goes with --method; a plan's model is named by --model")
    else:
        from quantlab.lab.device import this_device
        from quantlab.lab.script.card import placed_for
        from quantlab.lab.script.pipeline import snippet

        comparison = _comparison(arguments, [arguments.plan])
        plan, catalog = comparison.plans[0], arguments.catalog
        where = placed_for(comparison, plan, arguments.placement, arguments.gpu, catalog)
        text = snippet(comparison, plan, catalog, this_device(), simple=arguments.simple, **where)
        about = {"plan": str(comparison.plans[0])}
    if arguments.json:
        _print_json({**about, "script": text})
        return
    sys.stdout.write(text)


def _save(arguments: argparse.Namespace) -> None:
    run_save(arguments, _comparison(arguments, [arguments.plan]))


def _export(arguments: argparse.Namespace) -> None:
    from quantlab.cli.records import run_export

    if arguments.newest is not None:
        whole("newest", arguments.newest, 1, MOST_RESULTS)
    run_export(arguments.out, arguments.newest, arguments.ids, images=not arguments.no_images)


def _import(arguments: argparse.Namespace) -> None:
    from quantlab.cli.records import run_import

    run_import(arguments.files, as_json=arguments.json)


def _delete(arguments: argparse.Namespace) -> None:
    from quantlab.cli.records import run_delete

    run_delete(arguments.ids, arguments.older_than, arguments.search, as_json=arguments.json)


def _link(arguments: argparse.Namespace) -> None:
    from quantlab.catalog.own.mixes import known_here_only
    from quantlab.record.link import NOT_CARRIED, from_url, to_url

    if arguments.open is not None:
        _print_json(from_url(arguments.open).as_dict())
        return
    comparison = _comparison(arguments, arguments.plans)
    if known_here_only(comparison.plans):
        raise InputError("plans", "a mix of one's own is a folder here; no link can carry it")
    url = to_url(arguments.base, comparison)
    if comparison.references:
        print(f"quantlab: {NOT_CARRIED}", file=sys.stderr)
    if arguments.json:
        _print_json({"url": url})
        return
    print(url)


COMMANDS: Mapping[str, tuple[str, AddOptions, Command]] = {
    "pick": ("Say which methods suit hardware, bits and needs.", options.pick, _pick),
    "propose": ("Say which plan to take on a device.", options.propose, _propose),
    "compare": ("Run plans side by side and measure them.", options.compare, _compare),
    "predict": ("Predict bytes of plans without loading anything.", options.predict, _predict),
    "check": ("Say what a piece of code really does.", options.check, _check),
    "snippet": (
        "Print a script without quantlab that makes a plan's image.",
        options.snippet,
        _snippet,
    ),
    "save": ("Save a quantized pipeline as plain diffusers loads it.", options.save, _save),
    "tune": (
        "Find which layers to spare for a budget of bits, and a mix of schemes.",
        tune_options,
        run_tune,
    ),
    "gate": (
        "Hold a plan within limits; exit status 1 where it is past one.",
        gate_options,
        run_gate,
    ),
    "link": ("Print the link of a comparison, or read one.", options.link, _link),
    "probe": ("Try what the installed schemes can do here.", options.probe, _probe),
    "sweep": (
        "Run plans over many prompts and seeds; goes on where it ended.",
        options.sweep,
        _sweep,
    ),
    "export": ("Write the stored results as a file that import reads.", options.export, _export),
    "import": ("Keep results that another machine exported.", options.bring, _import),
    "delete": ("Remove stored results and their pictures.", options.remove, _delete),
}
"""What each command does, in the order of the help."""
