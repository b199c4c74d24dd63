"""The Python that tests/warm.py starts. It imports the libraries, then forks itself for every
program that it is asked for: the fork becomes that program.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

LIBRARIES = {
    "torch": "nn",
    "transformers": "CLIPTextModel T5EncoderModel PreTrainedTokenizerFast",
    "diffusers": "FluxPipeline FluxTransformer2DModel AutoencoderKL",
    "pandas": "DataFrame",
    "scipy.stats": "norm",
    "skimage.metrics": "structural_similarity",
}
"""What programs here import in any case, and names whose first use imports more."""


def programs() -> dict[str, Any]:
    """Fork for each line of stdin and tell how the fork ended; gives the program, in the fork."""
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if child == 0:
            asked: dict[str, Any] = json.loads(line)
            return asked
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    raise SystemExit


def become(files: list[str], cwd: str, environment: dict[str, str]) -> None:
    """Take the program's input, output, folder and environment."""
    for number, name in enumerate(files):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY
        os.dup2(os.open(name, flags), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the program
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)


def run(arguments: list[str]) -> None:
    """As ``python arguments`` does, with -I or without."""
    isolated = arguments[0] == "-I"
    first, *rest = arguments[1:] if isolated else arguments
    if not isolated:
        where = str(Path(first).parent) if first not in ("-c", "-m") else os.getcwd()
        own = [] if os.environ.get("PYTHONSAFEPATH") else [where]
        sys.path[:0] = [*own, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    if first == "-c":
        sys.argv = [first, *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    elif first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    gc.disable()
    for library, names in LIBRARIES.items():
        for name in names.split():
            getattr(importlib.import_module(library), name)
    gc.freeze()  # what is imported stays in every fork: no collection need look through it
    gc.enable()
    program = programs()
    become(program["files"], program["cwd"], program["environment"])
    try:
        run(program["arguments"])
    finally:
        # The program may have put something else in the place of its output.
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
