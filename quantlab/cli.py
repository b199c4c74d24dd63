"""The command line: ``python -m quantlab COMMAND``, from pick to sweep; ``--help`` lists them.

``--json`` prints one JSON document on stdout and nothing else there; progress and warnings go to
stderr. Exit status 0 when the command did its job (failed plans are rows), 2 for bad arguments,
1 for anything else. Torch is imported only by the commands that run something.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from quantlab.cli_save import run_save, save_arguments, use_variants, variants_arguments
from quantlab.errors import InputError, QuantlabError, first_line

__all__ = ["main"]

DEFAULT_PROMPT = "a red apple on a blue background"
DEFAULT_PLANS = ("fp32", "bnb-nf4", "torchao-int8wo", "quanto-int8", "gguf-q4_0")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        _admit_model(arguments)
        arguments.command(arguments)
    except InputError as error:
        return _complain(str(error), 2)
    except QuantlabError as error:
        return _complain(str(error), 1)
    except KeyboardInterrupt:
        return _complain("interrupted", 1)
    except BrokenPipeError:
        return 1
    except Exception as error:  # border: a person gets one line, whatever happened
        return _complain(f"{type(error).__name__}: {first_line(error)}", 1)
    return 0


def _admit_model(arguments: argparse.Namespace) -> None:
    """A folder or repository that --model names becomes a model of the catalogue.

    Raises:
        QuantlabError: as ``lab.own.admit`` does.
    """
    named = getattr(arguments, "model", None)
    if not named:
        return
    from quantlab.lab.own import about, admit, names_own

    if names_own(named):
        model = admit(named)
        print(f"quantlab: {about(model)}", file=sys.stderr)
        arguments.model = model.id


def _complain(message: str, status: int) -> int:
    print(f"quantlab: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="quantlab", description="Pick and try quantization methods on Flux.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, text: str, command: Callable[[argparse.Namespace], None]) -> _Parser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--json", action="store_true", help="print one JSON document")
        sub.set_defaults(command=command)
        return sub

    _pick_arguments(add("pick", "Say which methods suit hardware, bits and needs.", _pick))
    compare = add("compare", "Run plans side by side and measure them.", _compare)
    _comparison_arguments(compare)
    compare.add_argument("--repeats", type=int, default=1, help="counted runs of each plan")
    compare.add_argument("--warmup", type=int, default=1, help="runs before them, not counted")
    compare.add_argument("--out", type=Path, default=Path("quantlab-out"), help="image folder")
    compare.add_argument("--isolate", action="store_true", help="each plan in a fresh process")
    variants_arguments(compare)
    predict = add("predict", "Predict bytes of plans without loading anything.", _predict)
    _comparison_arguments(predict)
    snippet = add("snippet", "Print a script without quantlab that makes a plan's image.", _snippet)
    _comparison_arguments(snippet, plans=False)
    about = snippet.add_mutually_exclusive_group(required=True)
    about.add_argument("--plan", help="the plan, for example bnb-nf4")
    about.add_argument("--method", help="aqlm, awq, eetq or hqq: a language model instead")
    snippet.add_argument("--repo", help="with --method: the model on the hub, owner/name")
    snippet.add_argument("--simple", action="store_true", help="use diffusers' simple form")
    save = add("save", "Save a quantized pipeline as plain diffusers loads it.", _save)
    _comparison_arguments(save, plans=False)
    save_arguments(save)
    link = add("link", "Print the link of a comparison, or read one.", _link)
    _comparison_arguments(link)
    link.add_argument("--base", default="http://127.0.0.1:7860/", help="address of the page")
    link.add_argument("--open", metavar="URL", help="print the comparison that URL stands for")
    _probe_arguments(add("probe", "Try what the installed schemes can do here.", _probe))
    sweep = add("sweep", "Run plans over many prompts and seeds; goes on where it ended.", _sweep)
    _sweep_arguments(sweep)
    export = add("export", "Write the stored results as a file that import reads.", _export)
    export.add_argument("--out", type=Path, metavar="FILE", help="otherwise standard output")
    export.add_argument("--newest", type=int, metavar="N", help="only the newest N results")
    export.add_argument("--no-images", action="store_true", help="numbers alone")
    bring = add("import", "Keep results that another machine exported.", _import)
    bring.add_argument("files", nargs="+", type=Path, metavar="FILE", help="what export wrote")
    return parser


def _sweep_arguments(parser: argparse.ArgumentParser) -> None:
    _comparison_arguments(parser, many=True)
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="a prompt a line")
    parser.add_argument("--repeats", type=int, default=1, help="counted runs of each pair")
    parser.add_argument("--warmup", type=int, default=1, help="runs of each plan, not counted")
    parser.add_argument("--isolate", action="store_true", help="each plan in a fresh process")
    variants_arguments(parser)
    parser.add_argument("--no-noise-floor", action="store_true", help="no second reference")
    parser.add_argument("--retry", action="store_true", help="measure failed runs again")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write a tidy CSV file")
    parser.add_argument(
        "--summary", type=Path, metavar="FILE", help="also write the summary, .csv or .md"
    )
    parser.add_argument(
        "--ray", metavar="WHERE", help="run on Ray, a task per plan: local, auto or HOST:PORT"
    )
    parser.add_argument("--ray-cpus", type=int, help="CPUs of each task (1)")
    parser.add_argument("--ray-gpus", type=float, help="GPUs of each task (1 where there are any)")


def _probe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--schemes", nargs="+", help="only these; otherwise all installed here")
    parser.add_argument(
        "--component", default="transformer", help="transformer, or text_encoder_2: load and run"
    )
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--fresh", action="store_true", help="measure again what is known")
    parser.add_argument("--memory-gib", type=float, default=8.0, help="limit of each process")
    parser.add_argument("--out", type=Path, help="also write a CSV file with versions and machine")


def _pick_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hardware", help="cpu, cuda, rocm, metal or intel")
    parser.add_argument("--bits", type=float, help="bit width, for example 4")
    parser.add_argument(
        "--need", action="append", default=[], help="compile, peft, qat, serializable, on-the-fly"
    )
    parser.add_argument("--library", help="transformers or diffusers")
    parser.add_argument("--model", help="a model's id, a folder or owner/name")
    parser.add_argument("--memory-gib", type=float, help="memory of the device in GiB")
    parser.add_argument("--gpu", help="a card's id, for example rtx-3060-12gb, for both")


def _comparison_arguments(
    parser: argparse.ArgumentParser, plans: bool = True, many: bool = False
) -> None:
    parser.add_argument(
        "--model", default="flux-mini", help="a model's id, a folder, or owner/name on the hub"
    )
    if plans:
        parser.add_argument("--plans", nargs="+", default=list(DEFAULT_PLANS), help="plan texts")
    if many:
        parser.add_argument("--prompt", nargs="+", action="extend", help="prompt texts")
        parser.add_argument("--seed", "--seeds", nargs="+", action="extend", type=int)
    else:
        parser.add_argument("--prompt", default=DEFAULT_PROMPT)
        parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--width", type=int, help="pixels")
    parser.add_argument("--height", type=int, help="pixels")
    parser.add_argument("--sequence-length", type=int, help="tokens of the second text encoder")


def _comparison(arguments: argparse.Namespace, plans: Sequence[str]) -> Any:
    from quantlab.lab.plan import make_comparison

    return make_comparison(
        model=arguments.model,
        plans=plans,
        prompt=arguments.prompt,
        seed=arguments.seed,
        steps=arguments.steps,
        guidance=arguments.guidance,
        width=arguments.width,
        height=arguments.height,
        sequence_length=arguments.sequence_length,
    )


def _print_json(value: object) -> None:
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _pick(arguments: argparse.Namespace) -> None:
    from quantlab.catalog.pick import recommend

    rows = recommend(
        hardware=arguments.hardware,
        bits=arguments.bits,
        needs=arguments.need,
        library=arguments.library,
        model=arguments.model,
        memory_gib=arguments.memory_gib,
        gpu=arguments.gpu,
    )
    if arguments.json:
        _print_json([row.as_dict() for row in rows])
        return
    for row in rows:
        name = row.scheme or row.method
        print(f"{row.verdict:18} {name:24} {row.here:28.28} {'; '.join(row.reasons)}")


def _compare(arguments: argparse.Namespace) -> None:
    from quantlab.cli_compare import run

    _check_counts(arguments)
    use_variants(arguments)
    comparison = _comparison(arguments, arguments.plans)
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("out", f"cannot be used as a folder: {error.strerror}") from None
    run(
        comparison,
        out=arguments.out,
        repeats=arguments.repeats,
        warmup=arguments.warmup,
        isolate=arguments.isolate,
        as_json=arguments.json,
    )


def _check_counts(arguments: argparse.Namespace) -> None:
    for part in ("repeats", "warmup"):
        low = 1 if part == "repeats" else 0
        if not low <= getattr(arguments, part) <= 100:
            raise InputError(part, f"{getattr(arguments, part)}; {low} to 100 are allowed")


def _sweep(arguments: argparse.Namespace) -> None:
    from quantlab.cli_sweep import read_prompts, run_sweep

    _check_counts(arguments)
    use_variants(arguments)
    prompts = arguments.prompt or []
    if arguments.prompts is not None:
        prompts = [*prompts, *read_prompts(arguments.prompts)]
    run_sweep(arguments, prompts or [DEFAULT_PROMPT], arguments.seed or [0])


def _probe(arguments: argparse.Namespace) -> None:
    from quantlab.cli_evidence import run_probe

    run_probe(arguments)


def _predict(arguments: argparse.Namespace) -> None:
    from quantlab.catalog.footprint import rules_versions
    from quantlab.record.documents import predictions

    rows = predictions(_comparison(arguments, arguments.plans))
    if arguments.json:
        _print_json([row.as_dict() for row in rows])
    else:
        head = ("plan", "weights GiB", "peak GiB", "host GiB", "download GiB")
        print(f"{head[0]:40}" + "".join(f"{name:>14}" for name in head[1:]))
        for row in rows:
            sizes = (row.total_bytes, row.peak_bytes, row.host_bytes, row.download_bytes)
            print(f"{row.plan:40}" + "".join(f"{size / 2**30:14.3f}" for size in sizes))
    rules = ", ".join(f"{name} {version}" for name, version in rules_versions().items())
    print(f"predicted by the rules of {rules}", file=sys.stderr)


def _snippet(arguments: argparse.Namespace) -> None:
    if arguments.method is not None:
        from quantlab.lab.llm_snippet import llm_snippet

        about, text = {"method": arguments.method}, llm_snippet(arguments.method, arguments.repo)
    elif arguments.repo is not None:
        raise InputError("repo", "goes with --method; a plan's model is named by --model")
    else:
        from quantlab.lab.snippet import snippet

        comparison = _comparison(arguments, [arguments.plan])
        text = snippet(comparison, comparison.plans[0], simple=arguments.simple)
        about = {"plan": str(comparison.plans[0])}
    if arguments.json:
        _print_json({**about, "script": text})
        return
    sys.stdout.write(text)


def _save(arguments: argparse.Namespace) -> None:
    run_save(arguments, _comparison(arguments, [arguments.plan]))


def _export(arguments: argparse.Namespace) -> None:
    from quantlab.cli_records import run_export

    if arguments.newest is not None and arguments.newest < 1:
        raise InputError("newest", f"{arguments.newest}; at least 1 is needed")
    run_export(arguments.out, arguments.newest, images=not arguments.no_images)


def _import(arguments: argparse.Namespace) -> None:
    from quantlab.cli_records import run_import

    run_import(arguments.files, as_json=arguments.json)


def _link(arguments: argparse.Namespace) -> None:
    from quantlab.record.link import from_url, to_url

    if arguments.open is not None:
        _print_json(from_url(arguments.open).as_dict())
        return
    url = to_url(arguments.base, _comparison(arguments, arguments.plans))
    if arguments.json:
        _print_json({"url": url})
        return
    print(url)
