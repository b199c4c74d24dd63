"""Rehearses a ZeroGPU Space on one machine: the real ``spaces`` client, a stand-in for its service.

    python -m tools.zerogpu_rehearsal --plans fp32 bnb-nf4

The client's scheduling, fork, queues and release are the real ones; the device service is a few
HTTP calls on loopback that give the GPU to whoever asks. With a CUDA build of torch and a GPU the
worker's CUDA hooks are real too; on a CPU build they are stood in for and the worker computes on
the CPU. Quota and queue answers of the real service are not known to this file beyond their form.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

CARD = "Model: NVIDIA RTX PRO 6000 Blackwell Server Edition"
HOOKS = ("patch", "unpatch", "init", "move", "pack", "size")


@dataclass
class DeviceService:
    """The device service as the client sees it: five calls, a log of them, and a mood."""

    mood: str = "free"
    """"free", "quota", "queue" (a GPU after a wait), "queue-timeout" or "busy"."""
    idle: bool = False
    """Whether the worker of the last call may be used again."""
    log: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""
    uuid: str = "0"

    def calls(self, name: str) -> list[dict[str, str]]:
        """The parameters of every call of ``name``."""
        return [params for called, params in self.log if called == name]

    def workers(self) -> list[int]:
        """Process ids of the workers that were allowed to use the GPU."""
        return [int(params["pid"]) for params in self.calls("allow")]

    def end_workers(self) -> None:
        """Kill the workers: they outlive a parent that is killed."""
        for pid in self.workers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def serve(service: DeviceService) -> Iterator[DeviceService]:
    """Answer on loopback while the context lasts, and end what workers are left."""

    class Handler(_Handler):
        pass

    Handler.service = service
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield service
    finally:
        service.end_workers()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    service: DeviceService
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing: ``DeviceService.log`` has it."""

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        parts = urlsplit(self.path)
        name = parts.path.strip("/")
        params = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.service.log.append((name, params))
        if name == "schedule":
            self.schedule()
        elif name == "queue-size":
            self.send(200, b"0")
        else:
            self.send(200 if name in ("startup-report", "allow", "release") else 404, b"")

    def schedule(self) -> None:
        mood = self.service.mood
        given = {
            "idle": self.service.idle,
            "nvidiaIndex": 0,
            "nvidiaUUID": self.service.uuid,
            "allowToken": f"token-{len(self.service.log)}",
        }
        if mood == "quota":
            self.send(429, json.dumps({"left": 12, "wait": 3600}).encode())
        elif mood == "busy":
            self.send(503, b"")
        elif mood.startswith("queue"):
            end = "event: failed" if mood == "queue-timeout" else "event: succeeded"
            data = "" if mood == "queue-timeout" else f"\ndata: {json.dumps(given)}"
            self.stream(["event: ping", end + data])
        else:
            self.send(200, json.dumps(given).encode())

    def send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, events: list[str]) -> None:
        """Server-sent events, each in a chunk of its own."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            body = f"{event}\n\n".encode()
            self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")
            self.wfile.flush()
            time.sleep(0.2)
        self.wfile.write(b"0\r\n\r\n")


def on_cpu() -> bool:
    """Whether torch here is built without CUDA."""
    import torch

    return torch.version.cuda is None


def never() -> bool:
    """Stands in for ``torch.cuda._is_in_bad_fork``; a plain function, since it is pickled."""
    return False


def import_spaces(url: str) -> Any:
    """The real ``spaces`` client, told that this is a ZeroGPU Space whose service is at ``url``."""
    os.environ |= {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": url}
    without_cuda = on_cpu()
    if without_cuda:
        _stand_in_for_cuda()
    import spaces
    import spaces.zero.config as config

    config._read_gpu_information = lambda: CARD
    config.get_config.cache_clear()
    if without_cuda:
        _stand_back()
    return spaces


def _stand_in_for_cuda() -> None:
    """What the client asks of a CUDA build of torch while it is imported."""
    import torch

    torch.version.cuda = "13.0"
    torch._C._cuda_init = lambda: None
    torch._C._cuda_getDeviceCount = lambda: 1
    torch.cuda._is_in_bad_fork = never


def _stand_back() -> None:
    """From here on torch is a CPU build again, in this process and in the workers."""
    import spaces.zero.torch as hooks
    import torch

    hooks.unpatch()
    for name in HOOKS:
        setattr(hooks, name, lambda *_, **__: 0)
    torch.version.cuda = None
    del torch._C._cuda_getDeviceCount, torch._C._cuda_init


def launch() -> None:
    """Launch an empty page, which is when the client reports to the service."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import gradio

    from quantlab.ui.blocks import Page
    from quantlab.ui.serve import serve as serve_page

    with Page() as page:
        gradio.Markdown("rehearsal")
    with redirect_stdout(sys.stderr):  # stdout is for the results
        serve_page(page, wait=False)


def main(arguments: list[str] | None = None) -> int:
    """Run one comparison as a ZeroGPU Space would, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tools.zerogpu_rehearsal")
    parser.add_argument("--model", default="flux-mini")
    parser.add_argument("--plans", nargs="+", default=["fp32", "bnb-nf4"])
    parser.add_argument("--prompt", default="a fox on a white background")
    parser.add_argument("--steps", type=int)
    asked = parser.parse_args(arguments)
    with serve(DeviceService(uuid=os.environ.get("CUDA_VISIBLE_DEVICES", "0"))) as service:
        import_spaces(service.url)
        from quantlab.catalog.comparison import make_comparison
        from quantlab.catalog.table import load_catalog
        from quantlab.lab.runners.zerogpu import ZeroGpuRunner
        from quantlab.words.outcome import Finished

        comparison = make_comparison(
            model=asked.model, plans=asked.plans, prompt=asked.prompt, steps=asked.steps
        )
        runner = ZeroGpuRunner(load_catalog())
        launch()
        print(f"quota: {runner.cost_s(comparison)} s", file=sys.stderr)
        failed = 0
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="quantlab-") as folder:
            for event in runner.stream(comparison, out=Path(folder), stop=threading.Event()):
                if isinstance(event, Finished):
                    failed += event.outcome.status == "failed"
                    print(json.dumps(event.outcome.as_dict()))
                else:
                    print(f"{event.index + 1}: {event.text}", file=sys.stderr)
        print(f"took: {time.monotonic() - started:.1f} s of GPU at most", file=sys.stderr)
        print(json.dumps({"machine": runner.machine()[0], "calls": service.log}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
