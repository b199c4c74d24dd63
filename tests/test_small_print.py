"""Odd input and odd endings on the command line: one honest sentence each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.catalog.paths import PROJECT
from quantlab.cli import main
from quantlab.record.results.export import Table, plain, to_csv, to_markdown
from quantlab.words.text import shown

FORMULAS = ("=1+1", "a;=cmd|' /C calc'!A0", "a; =1", "x;@SUM(1)", "a;-1;+2", "\u202e;\uff1d1")


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula_in_any_locale(text: str) -> None:
    """With commas or with semicolons between the cells, quotes read or not."""
    line = to_csv([{"prompt": text}]).splitlines()[1]
    for cell in (line, line.strip('"'), *line.split(";"), *line.strip('"').split(";")):
        assert not cell.lstrip(' "').startswith(("=", "+", "-", "@", "\uff1d")), cell


@given(st.text(alphabet="'=;+- a@\t", max_size=12))
def test_a_cell_can_be_read_back(text: str) -> None:
    import csv

    written = to_csv([{"x": text, "y": "z"}])
    assert plain(next(csv.DictReader(written.splitlines(keepends=True)))["x"]) == text


def test_text_that_turns_lines_around_is_shown_as_such() -> None:
    assert shown("a \u202egnp.exe fox\u2069") == "a ⟨U+202E⟩gnp.exe fox⟨U+2069⟩"
    assert shown("שלום fox") == "שלום fox"
    assert "\u202e" not in to_markdown([Table("\u202ecaption", [{"a": "\u202ex"}])])


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    return line


def test_a_file_without_prompts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "prompts.txt").write_text("# none\n\n")
    assert main(["sweep", "--prompts", str(tmp_path / "prompts.txt")]) == 2
    assert "holds no prompt" in one_line(capsys)


BASES = ("javascript:alert(1)", "data:text/html,x", "//x", "ftp://x/", "", "http://[")


@pytest.mark.parametrize("base", BASES)
def test_a_base_that_no_browser_should_open(base: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["link", "--plans", "fp32", "bnb-nf4", "--base", base]) == 2
    assert "base" in one_line(capsys)


COMMAND = (sys.executable, "-m", "quantlab", "pick", "--hardware", "cpu", "--json")


def test_closed_output_is_told() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{' '.join(COMMAND)} >&-"], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "quantlab: standard output is closed; there is nowhere to print to\n"


def test_a_reader_that_leaves_early_is_no_error() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{' '.join(COMMAND)} | head -c 1"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("[", "")


@contextmanager
def started(
    command: list[str], interrupt: signal.Handlers = signal.SIG_DFL
) -> Iterator[subprocess.Popen[str]]:
    """``command``, which ends with this; what an interrupt does to it is not left to how the tests
    themselves were started."""
    process = subprocess.Popen(
        command,
        cwd=PROJECT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, interrupt),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("number", "after_s"), [(signal.SIGINT, 0.01), (signal.SIGTERM, 0.05), (signal.SIGINT, 0.2)]
)
def test_an_interrupt_at_any_moment_is_one_line(number: signal.Signals, after_s: float) -> None:
    """Also while Python still imports: then nothing of ours is there to say anything."""
    code = "import quantlab.__main__ as m; print('up', flush=True); raise SystemExit(m.run())"
    with started([sys.executable, "-c", code, *COMMAND[3:]]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        time.sleep(after_s)
        process.send_signal(number)
        _, error = process.communicate(timeout=120)
    assert (process.returncode, error) in (
        (1 if number == signal.SIGINT else 143, "quantlab: interrupted\n"),
        (-number, ""),
        (0, ""),  # all was done before the signal came
    )


def test_an_interrupt_before_the_page_is_served_is_the_end_without_a_word() -> None:
    """The process beside it, which has begun by then, goes with it: else its end of the pipe would
    stay open."""
    with started([sys.executable, "app.py"]) as page:
        while not psutil.Process(page.pid).children():
            assert page.poll() is None
            time.sleep(0.01)
        page.send_signal(signal.SIGINT)
        said = page.communicate(timeout=120)
    assert (page.returncode, said) == (-signal.SIGINT, ("", ""))


def test_who_is_started_deaf_to_interrupts_stays_so() -> None:
    """As a shell starts what goes on in the background: Ctrl-C is meant for what is before it."""
    code = "import os, signal; os.kill(os.getpid(), signal.SIGINT); import quantlab.__main__ as m; "
    code += "m.run(); os.kill(os.getpid(), signal.SIGINT); print('on')"
    with started([sys.executable, "-c", code, *COMMAND[3:]], signal.SIG_IGN) as process:
        said, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (0, "")
    assert said.endswith("on\n")
