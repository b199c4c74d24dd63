"""The Python that is forked for other tests' programs is as a fresh one, and each fork alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quantlab.catalog.paths import PROJECT
from tests import warm


def test_a_program_has_its_own_input_folder_environment_arguments_and_end(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import os, sys\n"
        "print(sys.stdin.read(), os.getcwd(), os.environ['TOLD'], sys.argv[1:], __name__)\n"
        "print('aside', file=sys.stderr)\n"
        "sys.exit(7)\n"
    )
    done = warm.run(
        ["-I", "program.py", "one"], cwd=tmp_path, environment={"TOLD": "this"}, given="input"
    )
    assert done.stdout == f"input {tmp_path} this ['one'] __main__\n"
    assert (done.stderr, done.returncode) == ("aside\n", 7)


def test_an_error_is_told_and_a_signal_too() -> None:
    failed = warm.run(["-I", "-c", "raise ValueError('no')"], cwd=PROJECT)
    assert failed.returncode == 1
    assert failed.stderr.endswith("ValueError: no\n")
    killed = warm.run(["-I", "-c", "import os; os.kill(os.getpid(), 9)"], cwd=PROJECT)
    assert killed.returncode == -9


@pytest.mark.parametrize("isolated", [True, False])
def test_quantlab_is_found_only_where_the_folder_is_searched(isolated: bool) -> None:
    code = "import sys; assert 'quantlab' not in sys.modules; import quantlab; print('there')"
    done = warm.run([*(["-I"] if isolated else []), "-c", code], cwd=PROJECT)
    assert ("No module named 'quantlab'" in done.stderr) == isolated
    assert (done.stdout == "there\n") == (not isolated)


def test_nothing_is_left_for_the_next(tmp_path: Path) -> None:
    code = "import os, sys, torch; {}; print('kept' in os.environ, hasattr(torch, 'kept'))"
    first = "os.environ['kept'] = torch.kept = 'this'; torch.set_num_threads(3)"
    said = [
        warm.run(["-c", code.format(each)], cwd=tmp_path).stdout.strip()
        for each in (first, "assert torch.get_num_threads() != 3")
    ]
    assert said == ["True True", "False False"]


def test_a_module_is_run_from_where_the_path_leads(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import sys; print(sys.argv[1:], __name__)")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = warm.run(["-m", "mine", "a"], cwd=PROJECT, environment=environment)
    assert done.stdout == "['a'] __main__\n", done.stderr
