"""The versions that a Space installs satisfy what the project asks for."""

from __future__ import annotations

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from quantlab.catalog.paths import PROJECT
from tools.constraints import pinned


def test_every_requirement_is_pinned_within_its_bounds() -> None:
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    versions = {canonicalize_name(name): version for name, version in pins.items()}
    for line in (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate({"python_version": "3.12"}):
            assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), text


def test_a_report_becomes_sorted_pins() -> None:
    report = {"install": [{"metadata": {"name": n, "version": "1"}} for n in ("b", "A")]}
    assert pinned(report) == ["A==1", "b==1"]
