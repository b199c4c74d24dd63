"""The catalogue: what it promises to have, and a closed schema that says what is wrong."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable
from html import escape
from pathlib import Path

import pytest

from quantlab.catalog.schema import COLUMNS, DIFFUSERS_HARDWARE
from quantlab.catalog.table import ROOT, load_catalog
from quantlab.errors import CatalogError
from quantlab.ui.pick.view import claims
from quantlab.ui.words import MARKS
from tools import capabilities

CATALOG = load_catalog()


def words(text: str) -> list[str]:
    """Ids that a text lists."""
    return text.split()


METHODS = words(
    """
    aqlm auto-round awq bitsandbytes compressed-tensors eetq four-over-six fp-quant gguf gptqmodel
    higgs hqq metal nvfp4 quanto sinq fbgemm-fp8 torchao vptq finegrained-fp8 spqr quark bitnet
    mxfp4 sdnq nunchaku-lite bfl modelopt layerwise gemma
    """
)
SCHEMES = words(
    """
    bnb-nf4 bnb-nf4-dq bnb-fp4 bnb-int8 torchao-int8wo torchao-int8dq torchao-fp8wo torchao-fp8dq
    torchao-int4wo quanto-int8 quanto-int4 quanto-int2 quanto-fp8 gguf-q8_0 gguf-q6_k gguf-q5_k
    gguf-q5_1 gguf-q5_0 gguf-q4_k gguf-q4_1 gguf-q4_0 gguf-q3_k gguf-q2_k gguf-iq4_nl
    gguf-iq4_xs gguf-bf16 sdnq-int8 sdnq-uint4 layerwise-fp8
    sdnq-int7 sdnq-int6 sdnq-int5 sdnq-uint3 sdnq-uint2 sdnq-fp8 sdnq-uint4-svd
    sdnq-uint4-hadamard sdnq-int8-hadamard hqq-int8 hqq-int4 hqq-int3 hqq-int2 bfl-fp8 bfl-nvfp4
    """
)

TABLE_2024 = """
method,cpu,cuda,metal,compile,bits,peft,qat,serializable,transformers
aqlm,yes,yes,no,unknown,1-2,yes,no,yes,yes
awq,no,yes,no,unknown,4,yes,no,yes,yes
bitsandbytes,no,yes,no,no,4 8,yes,no,yes,yes
eetq,no,yes,no,unknown,8,yes,no,yes,yes
gguf,yes,yes,yes,no,1-8,no,no,yes,no
hqq,no,yes,no,yes,1-8,yes,no,no,yes
quanto,yes,yes,yes,yes,2 4 8,no,yes,no,yes
"""
"""The table of the transformers docs in May 2024 (transformers pull request 30942)."""

CHANGED_SINCE_2024 = {
    ("aqlm", "compile"),
    ("awq", "cpu"),
    ("bitsandbytes", "compile"),
    ("bitsandbytes", "cpu"),
    ("bitsandbytes", "metal"),
    ("gguf", "compile"),
    ("gguf", "serializable"),
    ("gguf", "transformers"),
    ("hqq", "cpu"),
}


BITS_SINCE_2024 = {"gguf": "1-8 16"}
"""GGUF's BF16, which is read packed too."""


def test_every_promised_id_is_there() -> None:
    assert sorted(CATALOG.methods) == sorted(METHODS)
    assert set(SCHEMES) <= set(CATALOG.schemes)


def test_every_method_has_every_column_with_a_source() -> None:
    for method in CATALOG.methods.values():
        assert set(COLUMNS) - set(DIFFUSERS_HARDWARE) <= set(method.cells), method.id
        scheme_cells = [cell for scheme in method.schemes for cell in scheme.capabilities.values()]
        cells = [*method.cells.values(), *scheme_cells]
        for cell in cells:
            assert cell.source, method.id
            assert cell.url.startswith("https://"), method.id
        used = {cell.source for cell in cells}
        used |= {method.sources[key].title for key in (method.bits_source, method.licence_source)}
        rules = (scheme.lora for scheme in method.schemes if scheme.lora)
        used |= {rule.source.title for rule in rules if rule.source}
        used |= {said.source for said in (*method.traps, *method.merits)}
        assert {source.title for source in method.sources.values()} <= used, method.id


@pytest.mark.parametrize(
    ("bits", "method"), [(4, "hqq"), (3, "gguf"), (1.58, "bitnet"), (1, "aqlm")]
)
def test_bit_widths_are_ranges(bits: float, method: str) -> None:
    assert any(bits in span for span in CATALOG.methods[method].bits)


def test_a_range_holds_whole_widths_only() -> None:
    assert not any(1.58 in span for span in CATALOG.methods["hqq"].bits)


def test_where_diffusers_is_stricter_it_has_its_own_cells() -> None:
    bnb = CATALOG.methods["bitsandbytes"]
    nf4, int8 = CATALOG.schemes["bnb-nf4"], CATALOG.schemes["bnb-int8"]
    assert (bnb.cell("cpu").value, bnb.cell("diffusers-cpu").value) == ("yes", "no")
    assert bnb.cell("diffusers-metal", nf4).value == "yes"
    assert bnb.cell("diffusers-metal", int8).value == "no"
    assert bnb.cell("diffusers-cuda").value == bnb.cell("cuda").value


def test_the_seven_methods_of_2024_are_here_and_changes_are_known() -> None:
    changed, told = set(), set()
    for row in csv.DictReader(io.StringIO(TABLE_2024.strip())):
        method = CATALOG.methods[row.pop("method")]
        bits = row.pop("bits")
        assert " ".join(map(str, method.bits)) == BITS_SINCE_2024.get(method.id, bits)
        changed |= {(method.id, c) for c, value in row.items() if method.cells[c].value != value}
        told |= {(method.id, c) for c, value in row.items() if method.cells[c].in_2024 == value}
    assert changed == told == CHANGED_SINCE_2024


def test_the_drawer_says_what_it_was_in_2024_and_why_it_changed() -> None:
    for method, column in CHANGED_SINCE_2024:
        cell = CATALOG.methods[method].cells[column]
        assert cell.in_2024 is not None
        was = MARKS[cell.in_2024][1]
        assert f"In 2024: {was}. Since: {escape(cell.changed)}." in claims(method, column, CATALOG)
    assert "In 2024" not in claims("eetq", "cpu", CATALOG)


def test_a_claim_for_some_cards_is_decided_by_the_card() -> None:
    fp8dq = CATALOG.schemes["torchao-fp8dq"].capabilities
    assert [fp8dq["cuda"].on_card(c) for c in ("8.6", "8.9", "9.0", "12.0")] == [
        "no",
        "yes",
        "yes",
        "yes",
    ]
    assert fp8dq["cuda"].on_card("") == fp8dq["cuda"].value == "partial"
    assert [fp8dq["rocm"].on_card(c) for c in ("RDNA3", "CDNA3")] == ["no", "yes"]
    lite = CATALOG.methods["nunchaku-lite"].cells["cuda"]
    cards = ("7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0")
    assert [lite.on_card(c) for c in cards] == ["yes"] * 4 + ["no"] * 2 + ["yes"]
    assert "DIFFUSERS_TRUST_REMOTE_KERNELS" in lite.note


Edit = Callable[[str], str]


def swap(old: str, new: str) -> Edit:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return edit


CPU = 'cpu = { value = "no", source = "overview" }'
WRONG: list[tuple[Edit, tuple[str, ...]]] = [
    (swap("summary =", "sumary ="), ("summary", "missing")),
    (lambda text: "colour = 'red'\n" + text, ("colour", "unknown key")),
    (swap(CPU, ""), ("capabilities.cpu", "missing")),
    (swap(CPU, CPU.replace(', source = "overview"', "")), ("capabilities.cpu.source", "missing")),
    (swap(CPU, CPU.replace("overview", "hearsay")), ("capabilities.cpu.source", "hearsay")),
    (swap(CPU, CPU.replace('"no"', '"maybe"')), ("capabilities.cpu.value", "maybe", "partial")),
    (swap(CPU, CPU.replace('"no"', '"partial"')), ("capabilities.cpu.note", "partial")),
    (swap(CPU, CPU.replace("cpu", "gpu")), ("cpu", "missing")),
    (
        swap(CPU, CPU + "\nnpu = { value = 'no', source = 'overview' }"),
        ("npu", "unknown key", "cuda"),
    ),
    (swap(CPU, CPU.replace(" }", ", in_2024 = 'no', changed = 'x' }")), ("in_2024", "today")),
    (swap(CPU, CPU.replace(" }", ", in_2024 = 'yes' }")), ("capabilities.cpu.changed", "missing")),
    (swap(CPU, CPU.replace(" }", ", capability = ['9'] }")), ("capability", "'9'", "8.9+")),
    (swap('licence = "Apache-2.0"', 'licence = "free!"'), ("licence", "free!", "SPDX")),
    (swap('licence_source = "licence"', ""), ("licence_source", "missing")),
    (swap('bits = ["8"]', 'bits = ["8-4"]'), ("bits", "8-4")),
    (swap('bits = ["8"]', 'bits = ["eight"]'), ("bits", "eight")),
    (swap('bits = ["8"]', 'bits = ["4"]'), ("schemes[0].bits", "8", "4")),
    (swap('id = "eetq"', 'id = "eet"'), ("id", "eetq")),
    (swap('id = "eetq-int8"', 'id = "bnb-int8"'), ("schemes[0].id", "taken by bitsandbytes")),
    (swap('id = "eetq-int8"', 'id = "EETQ int8"'), ("schemes[0].id", "kebab-case")),
    (swap('way = "config"', 'way = "By Magic"'), ("schemes[0].way", "By Magic", "kebab-case")),
    (swap('way = "config"\n', ""), ("schemes[0].note", "missing")),
    (swap('on_cpu = "no"', 'on_cpu = "library"'), ("schemes[0].library_way", "on_cpu")),
    (swap("on_cpu =", "cpu ="), ("on_cpu", "missing")),
    (swap('requires = ["cuda"]', 'requires = ["cuda > 8"]'), ("requires", "cuda > 8")),
    (swap('checked = "2026-11"', 'checked = "last week"'), ("sources.overview.checked", "date")),
    (swap('url = "https:', 'url = "http:'), ("sources.overview.url", "https://")),
    (swap("packages = [", "packages = [1, "), ("packages", "texts")),
    (lambda text: text + "\n[", ("TOML",)),
]


@pytest.mark.parametrize(
    ("edit", "said"), WRONG, ids=lambda value: value[0] if isinstance(value, tuple) else ""
)
def test_a_wrong_file_is_refused_with_file_key_and_what_was_expected(
    edit: Edit, said: tuple[str, ...], tmp_path: Path
) -> None:
    folder = copy_data(tmp_path)
    file = folder / "data" / "methods" / "eetq.toml"
    file.write_text(edit(file.read_text("utf-8")), "utf-8")
    with pytest.raises(CatalogError) as caught:
        load_catalog(folder)
    message = str(caught.value)
    assert message.startswith("data/methods/eetq.toml: ")
    for text in said:
        assert text in message


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id = "flux-mini"', 'id = "flux-maxi"', "'flux-maxi' is not the file's name"),
        ("distilled = false", "distilled = 0", "distilled: expected true or false"),
        ('family = "flux1"', 'family = "flux2-klein"', "family: 'flux2-klein' is not one of flux1"),
        ("[components.transformer]", "[components.unet]", "components: expected the transformer"),
        ('library = "diffusers"', 'library = "mlx"', "library: 'mlx' is not one of"),
        ('base_dtype = "fp32"', 'base_dtype = "fp31"', "base_dtype: 'fp31'"),
        ("[trained]", "[[modells]]\n\n[trained]", "modells: unknown key"),
        ("max_steps = 50", "max_step = 50", "max_steps: is missing"),
    ],
)
def test_a_wrong_model_is_refused(old: str, new: str, said: str, tmp_path: Path) -> None:
    folder = copy_data(tmp_path)
    file = folder / "data" / "models" / "flux-mini.toml"
    file.write_text(swap(old, new)(file.read_text("utf-8")), "utf-8")
    with pytest.raises(CatalogError, match=r"^data/models/flux-mini\.toml: ") as caught:
        load_catalog(folder)
    assert said in str(caught.value)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="data/methods"):
        load_catalog(tmp_path)


def copy_data(folder: Path) -> Path:
    shutil.copytree(ROOT / "data" / "methods", folder / "data" / "methods")
    shutil.copytree(ROOT / "data" / "models", folder / "data" / "models")
    return folder


def test_capabilities_csv_is_fresh_and_tidy() -> None:
    assert capabilities.main(["--check"]) == 0, "run python -m tools.capabilities"
    rows = list(csv.DictReader(capabilities.PATH.open(encoding="utf-8", newline="")))
    keys = [(row["method"], row["scheme"], row["column"]) for row in rows]
    assert len(keys) == len(set(keys))
    assert {row["method"] for row in rows} == set(METHODS)


def test_stale_capabilities_are_noticed(tmp_path: Path) -> None:
    stale = tmp_path / "capabilities.csv"
    assert capabilities.main(["--check"], stale) == 1
    assert capabilities.main([], stale) == 0
    assert capabilities.main(["--check"], stale) == 0
