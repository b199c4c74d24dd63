"""Runs pieces of code that a parent sends as JSON, one after the other, and says what each did."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import sys
from typing import Any


def plain_picture(pipe: Any) -> str:
    """The digest of the picture that nothing beyond prompt and size is asked of."""
    import torch

    seeded = torch.Generator().manual_seed(0)
    made = pipe("a fox", num_inference_steps=1, height=64, width=64, generator=seeded).images[0]
    return hashlib.sha1(made.tobytes()).hexdigest()


def run(text: str, tells: str, fixed: bool) -> dict[str, Any]:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    for name in ("diffusers", "transformers"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
    names: dict[str, Any] = {"hashlib_of": plain_picture, "FIXED": fixed}
    try:
        exec(compile(text, "<snippet>", "exec"), names)
        return {"error": "", "value": eval(tells, names), "log": log.getvalue()}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "value": None, "log": log.getvalue()}


def main() -> None:
    """Read a list of {text, tells, fixed}, print the list of what each did."""
    import torch

    torch.set_num_threads(1)
    out, sys.stdout = sys.stdout, sys.stderr
    done = [run(**each) for each in json.load(sys.stdin)]
    json.dump(done, out, default=str)


if __name__ == "__main__":
    main()
