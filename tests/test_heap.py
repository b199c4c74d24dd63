"""What was freed goes back to the system, while nothing runs."""

from __future__ import annotations

import json
import subprocess
import sys


def test_the_holes_between_what_is_in_use_go_back_at_rest_alone() -> None:
    command = [sys.executable, "-m", "tests.heap_child"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    went_back = json.loads(done.stdout)
    assert went_back["busy"] < 8
    assert went_back["rest"] >= 30
    assert went_back["kept"] == 1000
