"""The options of each command; what they do is in the files beside this one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from quantlab.cli.admit import named_path
from quantlab.cli.save import save_arguments, variants_arguments
from quantlab.words.comparison import SHIPPED
from quantlab.words.settings import SETTINGS

__all__ = [
    "DEFAULT_PROMPT",
    "bring",
    "check",
    "compare",
    "comparison",
    "export",
    "link",
    "pick",
    "predict",
    "probe",
    "propose",
    "remove",
    "save",
    "settings_of",
    "snippet",
    "sweep",
]

DEFAULT_PROMPT = "a red apple on a blue background"
RAM = "the host's memory in GiB; it is not checked where it is left out"
DEFAULT_PLANS = ("fp32", "bnb-nf4", "torchao-int8wo", "quanto-int8", "gguf-q4_0")
TYPES = {"text": str, "whole": int, "number": float, "flag": bool}


def comparison(
    parser: argparse.ArgumentParser, *, plans: bool = True, many: bool = False, every: bool = True
) -> None:
    """What a comparison is made of; ``many`` prompts and seeds, ``every`` setting or those that
    each comparison has."""
    parser.add_argument(
        "--model", default=SHIPPED, help="a model's id, a folder, or owner/name on the hub"
    )
    if plans:
        parser.add_argument("--plans", nargs="+", default=list(DEFAULT_PLANS), help="plan texts")
    for row in SETTINGS:
        if row.optional and not (every or row.sized):
            continue
        if row.many and many:  # one comparison goes by pictures; many are made of prompts and seeds
            continue
        named: dict[str, Any] = {"type": TYPES[row.kind], "help": row.about}
        if row.kind == "flag":
            named = {"action": "store_true", "default": None, "help": row.about}
        if row.many:
            named |= {"action": "append", "metavar": "FILE"}
        if many and row.swept:
            names = [row.option] if row.kind == "text" else [row.option, f"{row.option}s"]
            parser.add_argument(*names, nargs="+", action="extend", **named)
        else:
            parser.add_argument(row.option, **named)
    if not many:
        parser.set_defaults(prompt=DEFAULT_PROMPT)


def settings_of(arguments: argparse.Namespace, *, swept: bool = True) -> dict[str, Any]:
    """The settings that were given, by key; without ``swept`` those that a sweep takes one of."""
    rows = (row for row in SETTINGS if swept or not (row.swept or row.many))
    return {row.key: getattr(arguments, row.key, None) for row in rows}


def propose(parser: argparse.ArgumentParser) -> None:
    """The device, the model and what is to be drawn."""
    _question(parser)
    parser.add_argument("--model", required=True, help="a model's id, a folder or owner/name")
    parser.add_argument("--width", type=int, help="pixels")
    parser.add_argument("--height", type=int, help="pixels")
    parser.add_argument("--batch", type=int, help="images at once (1)")
    parser.add_argument("--references", type=int, help="pictures to go by")
    parser.add_argument("--steps", type=int, help="denoising steps")


def pick(parser: argparse.ArgumentParser) -> None:
    """What is asked for."""
    _question(parser)
    parser.add_argument("--library", help="transformers or diffusers")
    parser.add_argument("--model", help="a model's id, a folder or owner/name")


def _question(parser: argparse.ArgumentParser) -> None:
    """What pick and propose are both asked."""
    parser.add_argument("--hardware", help="cpu, cuda, rocm, metal or intel")
    parser.add_argument("--bits", type=float, help="bit width, for example 4")
    parser.add_argument(
        "--need",
        action="append",
        default=[],
        help="compile, peft, lora, qat, serializable, on-the-fly, speed",
    )
    parser.add_argument("--memory-gib", type=float, help="memory of the device in GiB")
    parser.add_argument("--gpu", help="a card's id, for example rtx-3060-12gb, for both")
    parser.add_argument("--ram-gib", type=float, help=RAM)


def compare(parser: argparse.ArgumentParser) -> None:
    """A comparison, and how it is run."""
    comparison(parser)
    parser.add_argument("--repeats", type=int, default=1, help="counted runs of each plan")
    parser.add_argument("--warmup", type=int, default=1, help="runs before them, not counted")
    parser.add_argument("--out", type=named_path, default=Path("quantlab-out"), help="image folder")
    parser.add_argument("--isolate", action="store_true", help="each plan in a fresh process")
    variants_arguments(parser)


def snippet(parser: argparse.ArgumentParser) -> None:
    """What the script is to do."""
    comparison(parser, plans=False)
    about = parser.add_mutually_exclusive_group(required=True)
    about.add_argument("--plan", help="the plan, for example bnb-nf4")
    about.add_argument("--method", help="aqlm, awq, eetq or hqq: a language model instead")
    parser.add_argument("--repo", help="with --method: the model on the hub, owner/name")
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--placement", help="resident (default), staged, model-offload, group-offload"
    )
    place.add_argument("--gpu", help="a card: the placement that is predicted to fit it")
    parser.add_argument("--simple", action="store_true", help="use diffusers' simple form")


def save(parser: argparse.ArgumentParser) -> None:
    """What is saved, and where to."""
    comparison(parser, plans=False)
    save_arguments(parser)


def link(parser: argparse.ArgumentParser) -> None:
    """A comparison, or a link to read."""
    comparison(parser)
    parser.add_argument("--base", default="http://127.0.0.1:7860/", help="address of the page")
    parser.add_argument("--open", metavar="URL", help="print the comparison that URL stands for")


def predict(parser: argparse.ArgumentParser) -> None:
    """A comparison without what is not predicted."""
    comparison(parser, every=False)
    parser.add_argument("--batch", type=int, help="images in one call (1)")
    parser.add_argument("--references", type=int, metavar="N", help="pictures to go by (0)")
    parser.add_argument(
        "--gpu",
        help="a card: where plans are kept on it, seconds of an image, the largest size",
    )
    parser.add_argument("--hardware", help="or a kind: cuda, rocm, metal, intel or cpu")
    parser.add_argument("--memory-gib", type=float, help="its memory; of a CPU this machine's")
    parser.add_argument("--ram-gib", type=float, help=RAM)


def check(parser: argparse.ArgumentParser) -> None:
    """What is checked, and how it is told."""
    about = "a script, a notebook or a folder of them; - reads standard input"
    parser.add_argument("files", nargs="+", metavar="FILE", help=about)
    parser.add_argument("--gpu", help="a card: what fails there, and where the plan is kept")
    parser.add_argument(
        "--fail-on", choices=("error", "silent"), help="exit with 1 where there is such a finding"
    )
    formats = ("text", "github", "sarif")
    parser.add_argument("--format", choices=formats, default="text", help="how it is printed")


def probe(parser: argparse.ArgumentParser) -> None:
    """What is tried, and within which limits."""
    parser.add_argument("--schemes", nargs="+", help="only these; otherwise all installed here")
    parser.add_argument(
        "--component", default="transformer", help="transformer, or text_encoder_2: load and run"
    )
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--fresh", action="store_true", help="measure again what is known")
    parser.add_argument("--memory-gib", type=float, default=8.0, help="limit of each process")
    parser.add_argument(
        "--out", type=named_path, help="also write a .csv file with versions and machine"
    )


def sweep(parser: argparse.ArgumentParser) -> None:
    """A comparison of many prompts and seeds, and where it is run."""
    comparison(parser, many=True)
    parser.set_defaults(kept="; what was measured is kept: the same command goes on")
    parser.add_argument("--prompts", type=named_path, metavar="FILE", help="a prompt a line")
    parser.add_argument("--repeats", type=int, default=1, help="counted runs of each pair")
    parser.add_argument("--warmup", type=int, default=1, help="runs of each plan, not counted")
    parser.add_argument("--isolate", action="store_true", help="each plan in a fresh process")
    variants_arguments(parser)
    parser.add_argument("--no-noise-floor", action="store_true", help="no second reference")
    parser.add_argument("--retry", action="store_true", help="measure failed runs again")
    parser.add_argument(
        "--out", type=named_path, metavar="FILE", help="also write a tidy .csv file"
    )
    parser.add_argument(
        "--summary",
        type=named_path,
        metavar="FILE",
        help="also write the summary, .csv or .md (Markdown)",
    )
    parser.add_argument(
        "--ray", metavar="WHERE", help="run on Ray, a task per plan: local, auto or HOST:PORT"
    )
    parser.add_argument("--ray-cpus", type=int, help="CPUs of each task (1)")
    parser.add_argument("--ray-gpus", type=float, help="GPUs of each task (1 where there are any)")


def export(parser: argparse.ArgumentParser) -> None:
    """What is written, and where to."""
    parser.add_argument(
        "--out", type=named_path, metavar="FILE", help="a .json file; otherwise standard output"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--newest", type=int, metavar="N", help="only the newest N results")
    which.add_argument("--id", nargs="+", dest="ids", metavar="ID", help="only these results")
    parser.add_argument("--no-images", action="store_true", help="numbers alone")


def bring(parser: argparse.ArgumentParser) -> None:
    """Files to import."""
    parser.add_argument(
        "files", nargs="+", type=named_path, metavar="FILE", help="what export wrote"
    )


def remove(parser: argparse.ArgumentParser) -> None:
    """Which results go: those that meet every condition given."""
    parser.add_argument("--id", nargs="+", dest="ids", metavar="ID", help="results by their ids")
    parser.add_argument("--older-than", type=float, metavar="DAYS", help="measured longer ago")
    parser.add_argument("--search", metavar="TEXT", help="with this text in the prompt or plan")
