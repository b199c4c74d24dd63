"""A pytest plugin for authors of libraries: a plan held within limits, as an assertion.

    def test_my_scheme(quantlab_gate):
        quantlab_gate("torchao-int8wo", {"psnr_db": {"min": 40}})

Installed with quantlab, or by ``-p quantlab.pytest_plugin``. Nothing heavy is imported before a
test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from quantlab.words.comparison import SHIPPED

__all__ = ["quantlab_gate"]


@pytest.fixture
def quantlab_gate(tmp_path: Path) -> Callable[..., Any]:
    """``gate(plan, thresholds, reference="fp32", model=..., prompts=..., seeds=..., **settings)``.

    ``thresholds`` is a mapping or the path of a TOML file. Fails the test with the table where a
    metric is past its limit by more than the noise floor, and with one sentence where something
    that was given is wrong or a plan does not run; else gives the verdict.
    """

    def gate(*args: Any, **given: Any) -> Any:
        from quantlab.errors import QuantlabError

        try:
            return _gate(tmp_path / "quantlab-gate", *args, **given)
        except QuantlabError as error:
            return pytest.fail(f"quantlab: {error}", pytrace=False)

    return gate


def _gate(
    out: Path,
    plan: str,
    thresholds: Mapping[str, Any] | Path | str,
    reference: str = "fp32",
    *,
    model: str = SHIPPED,
    prompts: Sequence[str] = (),
    seeds: Sequence[int] = (),
    **settings: Any,
) -> Any:
    from quantlab.catalog.table import load_catalog
    from quantlab.lab.bench.compare import Bench
    from quantlab.lab.device import this_device
    from quantlab.lab.gate.gate import gate
    from quantlab.lab.gate.pairs import pairs_of
    from quantlab.lab.gate.table import markdown
    from quantlab.lab.gate.thresholds import read_thresholds, thresholds_of
    from quantlab.lab.libraries import versions

    if isinstance(thresholds, Mapping):
        limits = thresholds_of(thresholds)
    else:
        limits = read_thresholds(Path(thresholds))
    pairs, catalog = pairs_of(
        plan, reference, load_catalog(), model=model, prompts=prompts, seeds=seeds, **settings
    )
    device = this_device()
    verdict = gate(pairs, limits, Bench(catalog, device), out)
    if not verdict.passed:
        pytest.fail(markdown(verdict, device.info(), versions()), pytrace=False)
    return verdict
