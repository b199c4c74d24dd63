"""What the house grows along: one of each is added in a temporary place, by one file or block.

Each addition is driven through predict, compare, the script and the link, and nothing else of the
project is touched for it.
"""

from __future__ import annotations

import ast
import importlib
import shutil
from pathlib import Path

import pytest

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.schema import HARDWARE
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import VerificationError
from quantlab.lab import ways as folder_of_ways
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.load.way import ways
from quantlab.lab.script.pipeline import snippet
from quantlab.record.link import from_url, to_url
from quantlab.words.outcome import Outcome
from tests import warm
from tests.device import DEVICE

CATALOG = load_catalog()
PROMPT = "a red apple on a blue background"


def catalogue(place: Path) -> Path:
    """A copy of what the catalogue reads, to be added to; the models' files stay where they are."""
    for name in ("methods", "models", "shapes"):
        shutil.copytree(PROJECT / "data" / name, place / "data" / name)
    shutil.copyfile(PROJECT / "data" / "offload.toml", place / "data" / "offload.toml")
    return place


def drive(scheme: str, catalog: Catalog, place: Path) -> Outcome:
    """The scheme on flux-mini: predicted, linked, loaded and verified, run, scripted; its outcome.

    The predicted bytes are the loaded ones, the link gives the comparison back, and the script
    makes the same image without quantlab.
    """
    comparison = make_comparison(
        plans=["fp32", scheme], prompt=PROMPT, steps=2, width=64, height=64, catalog=catalog
    )
    plan = comparison.plans[1]
    assert from_url(to_url("https://example.org", comparison), catalog) == comparison
    outcomes = compare(comparison, bench=Bench(catalog, DEVICE, 0), out=place / "out", warmup=0)
    outcome = outcomes[1]
    assert outcome.status == "ok", outcome.error
    predicted = predict("flux-mini", plan, catalog=catalog)
    assert predicted.component_bytes == outcome.weights_bytes
    (place / "script.py").write_text(snippet(comparison, plan, catalog, DEVICE), encoding="utf-8")
    made = place / "made"
    made.mkdir()
    (made / "data").symlink_to(PROJECT / "data")
    done = warm.run(["-I", place / "script.py"], cwd=made)
    assert done.returncode == 0, done.stderr[-2000:]
    assert outcome.image is not None
    assert Path(outcome.image).read_bytes() == (made / "image.png").read_bytes()
    return outcome


# Schemes, libraries, ways

SCHEME = """
[[schemes]]
id = "torchao-fp8wo-e5m2"
name = "torchao float8 with two bits of mantissa, weights only"
bits = 8
way = "config"
on_cpu = "diffusers"
holds = { "weight.__class__.__name__" = "Float8Tensor", "weight.qdata.dtype" = "torch.float8_e5m2" }
diffusers = { path = "diffusers.TorchAoConfig", args = { quant_type = { path = \
"torchao.quantization.Float8WeightOnlyConfig", args = { weight_dtype = "torch.float8_e5m2" } } } }
storage = { bits = 8, group = 0, group_bytes = 4 }
"""

LIBRARY = """
id = "halves"
name = "Halves"
summary = "Weights in 16 bits; they are widened while a layer runs."
library = "https://example.org/halves"
licence = "MIT"
licence_source = "readme"
packages = ["torch"]
bits = ["16"]
bits_source = "readme"
dynamo = { capture_dynamic_output_shape_ops = true }

[sources.readme]
title = "README"
url = "https://example.org/halves"
checked = "2026-11"

[offload]
group = "yes"
streams = true
note = "plain tensors"
source = "https://example.org/halves"
checked = "2026-11"

[capabilities]
cpu = { value = "yes", source = "readme" }
cuda = { value = "yes", source = "readme" }
rocm = { value = "unknown", source = "readme" }
metal = { value = "unknown", source = "readme" }
intel = { value = "unknown", source = "readme" }
compile = { value = "unknown", source = "readme" }
peft = { value = "unknown", source = "readme" }
lora = { value = "unknown", source = "readme" }
qat = { value = "no", source = "readme" }
serializable = { value = "no", source = "readme" }
on-the-fly = { value = "yes", source = "readme" }
transformers = { value = "no", source = "readme" }
diffusers = { value = "yes", source = "readme" }

[[schemes]]
id = "halves-16"
name = "Halves"
bits = 16
way = "by-hand"
on_cpu = "diffusers"
skip = { FluxTransformer2DModel = ["proj_out"] }
holds = { "weight.dtype" = "torch.float16" }
diffusers = { path = "torch.nn.Linear", args = {} }
storage = { bits = 16, group = 0, group_bytes = 0 }
"""

WAY = '''
"""Linear weights in half precision, by hand."""

from typing import Any

from quantlab.lab.load.part import Loaded, Part
from quantlab.lab.load.way import Way
from quantlab.lab.script.script import Script


class _Halves(Way):
    by_config = False

    def load(self, part: Part) -> Loaded:
        module = part.files().read(part)
        halve(module, part.known.skip[part.component.cls])
        return Loaded(module, "by hand")

    def write(self, part: Part, script: Script) -> None:
        script.embed(halve)
        skip = part.known.skip[part.component.cls]
        script.after.append(f"halve(pipe.{part.component.name}, {skip!r})")


def halve(model: Any, skip: tuple[str, ...]) -> None:
    import torch

    class HalfLinear(torch.nn.Linear):
        def forward(self, x: Any) -> Any:
            return torch.nn.functional.linear(x, self.weight.to(x.dtype), self.bias)

    for name, layer in model.named_modules():
        if type(layer) is torch.nn.Linear and name not in skip:
            layer.__class__ = HalfLinear
            layer.weight = torch.nn.Parameter(layer.weight.data.half(), requires_grad=False)


WAY = _Halves()
'''


def test_a_scheme_of_a_known_library_is_a_block_in_its_file(tmp_path: Path) -> None:
    file = catalogue(tmp_path) / "data" / "methods" / "torchao.toml"
    file.write_text(file.read_text(encoding="utf-8") + SCHEME, encoding="utf-8")
    outcome = drive("torchao-fp8wo-e5m2", load_catalog(tmp_path), tmp_path)
    assert outcome.way == "PipelineQuantizationConfig"


def test_a_library_is_a_file_and_a_way_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(ways())
    place = tmp_path / "ways"
    place.mkdir()
    (place / "by_hand.py").write_text(WAY, encoding="utf-8")
    monkeypatch.setattr(folder_of_ways, "__path__", [*folder_of_ways.__path__, str(place)])
    importlib.invalidate_caches()
    assert set(ways()) - before == {"by-hand"}
    file = catalogue(tmp_path) / "data" / "methods" / "halves.toml"
    file.write_text(LIBRARY, encoding="utf-8")
    outcome = drive("halves-16", load_catalog(tmp_path), tmp_path)
    assert outcome.way == "by hand"
    # What it claims is verified as of every other library.
    file = catalogue(tmp_path / "wrong") / "data" / "methods" / "halves.toml"
    file.write_text(LIBRARY.replace("torch.float16", "torch.float32"), encoding="utf-8")
    catalog = load_catalog(tmp_path / "wrong")
    comparison = make_comparison(plans=["halves-16"], prompt=PROMPT, steps=1, catalog=catalog)
    (failed,) = compare(comparison, bench=Bench(catalog, DEVICE, 0), out=tmp_path / "out")
    assert failed.error is not None
    assert failed.error.type == VerificationError.__name__


def test_each_way_that_the_data_name_has_a_file_and_each_file_is_used() -> None:
    schemes = CATALOG.schemes.values()
    named = {way for scheme in schemes for way in (scheme.way, scheme.library_way) if way}
    assert named <= set(ways())
    # What nothing quantizes, and what stands in for another.
    assert set(ways()) - named == {"plain", "cast", "stored", "single-file"}


def test_no_code_decides_by_the_name_of_a_method_a_scheme_or_a_way() -> None:
    """Comparisons with such a name, and any with ``.way``, outside the ways' own room.

    lab/check is about what libraries' names mean in somebody's code: it may compare with them.
    """
    names = {*CATALOG.methods, *CATALOG.schemes} - {*HARDWARE}
    found = []
    for path in sorted((PROJECT / "quantlab").rglob("*.py")):
        if "lab/ways" in path.as_posix() or path.name == "way.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                inside = [leaf for leaf in ast.walk(node) if isinstance(leaf, ast.Constant)]
                named = [] if "lab/check" in path.as_posix() else inside
                by_name = any(isinstance(c.value, str) and c.value in names for c in named)
                by_way = any(
                    isinstance(leaf, ast.Attribute)
                    and leaf.attr == "way"
                    and isinstance(leaf.value, ast.Name)
                    and leaf.value.id in ("scheme", "facts")
                    for leaf in ast.walk(node)
                )
                if by_name or by_way:
                    found.append(f"{path.relative_to(PROJECT)}:{node.lineno}")
    assert not found
