"""A ZeroGPU Space in small: each scenario of test_zerogpu.py, one after the other, in one process.

Prints one JSON document: scenario -> what was seen. Worker pids go to the file named first on the
command line as they come, so that the test can end them even if this process is killed; the second
argument is the id of FLUX.3's twin, a model of one's own.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from quantlab.catalog.table import load_catalog
from tools.zerogpu_rehearsal import DeviceService, import_spaces, launch, serve

PLANS = ["fp32", "quanto-int8", "bf16@compiled"]
EMPTY_JWT = "x.e30.x"


class Logged(DeviceService):
    """Also writes the workers' pids to a file."""

    pids: Path

    def end_workers(self) -> None:
        self.note()
        super().end_workers()

    def note(self) -> None:
        self.pids.write_text(json.dumps(self.workers()))


def main() -> None:
    """Run the scenarios; the order matters, since workers are kept between calls."""
    service = Logged()
    service.pids = Path(sys.argv[1])
    seen: dict[str, Any] = {}
    with serve(service):
        import_spaces(service.url)
        space = Space(service)
        launch()
        for name in ("plain", "warm", "stop", "quota", "visitor", "queue", "timeout", "busy"):
            seen[name] = getattr(space, name)()
        seen["blocks"] = space.blocks(sys.argv[2])
        seen["death"] = space.death()
        seen["modules"] = sorted(m for m in sys.modules if m.startswith(("optimum", "sdnq")))
        seen["log"] = service.log
        seen["pid"] = os.getpid()
        service.url = "http://127.0.0.1:9"
        seen["nobody"] = space.nobody()
    print(json.dumps(seen))


class Space:
    """A runner on the stand-in service, and one method a scenario."""

    def __init__(self, service: Logged) -> None:
        from quantlab.lab.runners.zerogpu import ZeroGpuRunner

        self.service, self.runner = service, ZeroGpuRunner(load_catalog())

    def run(
        self, plans: list[str], steps: int = 2, on_step: Any = lambda _: None, **more: Any
    ) -> dict[str, Any]:
        """Stream a comparison; ``on_step`` is called at each step that is done."""
        from quantlab.catalog.comparison import make_comparison
        from quantlab.errors import RunError
        from quantlab.words.outcome import Finished

        asked: dict[str, Any] = {
            "prompt": "a fox",
            "steps": steps,
            "width": 64,
            "height": 64,
            **more,
        }
        comparison = make_comparison(plans=plans, **asked)
        calls, stop = len(self.service.log), threading.Event()
        found: dict[str, Any] = {"outcomes": [], "order": [], "texts": [], "pngs": []}
        found["quota"] = self.runner.cost_s(comparison)
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                for event in self.runner.stream(comparison, out=Path(folder), stop=stop):
                    self.service.note()
                    if isinstance(event, Finished):
                        found["outcomes"].append(event.outcome.as_dict())
                        found["order"].append(event.index)
                    else:
                        found["texts"].append(event.text)
                        if event.text.startswith("step"):
                            on_step(stop)
            except RunError as error:
                found["error"] = str(error)
            for path in sorted(Path(folder).iterdir()):
                found["pngs"].append([path.name, path.read_bytes()[:4].hex()])
        found["seconds"] = time.monotonic() - started
        found["calls"] = self.service.log[calls:]
        return found

    def plain(self) -> dict[str, Any]:
        return self.run(PLANS)

    def warm(self) -> dict[str, Any]:
        self.service.idle = True
        return self.run(["bf16@compiled", "fp32"])

    def stop(self) -> dict[str, Any]:
        return self.run(["fp32", "bnb-nf4"], steps=50, on_step=threading.Event.set)

    def quota(self) -> dict[str, Any]:
        self.service.mood = "quota"
        return self.run(["fp32"])

    def visitor(self) -> dict[str, Any]:
        """As a visitor with a token of the platform, who is told what is left."""
        from gradio.context import LocalContext
        from starlette.datastructures import Headers

        headers = Headers({"x-ip-token": EMPTY_JWT, "x-gradio-user": "app"})
        before = LocalContext.request.set(SimpleNamespace(headers=headers))
        try:
            return self.run(["fp32"])
        finally:
            LocalContext.request.reset(before)

    def queue(self) -> dict[str, Any]:
        self.service.mood = "queue"
        return self.run(["fp32"])

    def timeout(self) -> dict[str, Any]:
        self.service.mood = "queue-timeout"
        return self.run(["fp32"])

    def busy(self) -> dict[str, Any]:
        self.service.mood = "busy"
        return self.run(["fp32"])

    def blocks(self, model: str) -> dict[str, Any]:
        """A pipeline of blocks whose prompt a language model rewrites, or not."""
        self.service.mood = "free"
        plans = ["prompt_upsampler=none", "transformer=torchao-int8wo,prompt_upsampler=none"]
        plans += ["text_encoder=torchao-int8wo", "prompt_upsampler=none@compiled"]
        return self.run(plans, model=model, sequence_length=80)

    def death(self) -> dict[str, Any]:
        self.service.mood = "free"

        def kill(_: threading.Event) -> None:
            os.kill(self.service.workers()[-1], signal.SIGKILL)

        return self.run(["fp32", "bnb-nf4", "bf16@compiled"], steps=50, on_step=kill)

    def nobody(self) -> dict[str, Any]:
        """The service is gone."""
        import spaces.config

        spaces.config.Config.zero_device_api_url = self.service.url
        return self.run(["fp32"])


if __name__ == "__main__":
    main()
