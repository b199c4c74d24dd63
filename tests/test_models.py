"""data/models against the files it speaks of."""

from __future__ import annotations

import hashlib

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import load_catalog


def test_the_revision_of_flux_mini_is_a_digest_of_its_weights() -> None:
    """Results are kept by revision: other weights must not pass for the same model."""
    model = load_catalog().models["flux-mini"]
    digest = hashlib.sha256()
    for path in sorted((PROJECT / model.source).rglob("*.safetensors")):
        digest.update(path.read_bytes())
    found = digest.hexdigest()[:12]
    assert model.revision == found, f"set revision = {found!r} in data/models/flux-mini.toml"


def test_shipped_files_fit_a_space() -> None:
    """A Space refuses files over 10 MB outside LFS."""
    files = [path for path in (PROJECT / "data").rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) < 9_500_000
    model = [p for p in files if p.is_relative_to(PROJECT / "data" / "flux-mini")]
    assert sum(path.stat().st_size for path in model) <= 40_000_000
