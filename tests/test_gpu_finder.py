"""Which card is meant, from what people type and from what a machine says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.catalog.gpus import Gpu, choose, find, find_all, load_gpus, recognise
from quantlab.errors import InputError

GIB = 2**30
GPUS = tuple(load_gpus().values())
PATTERNED = tuple(gpu for gpu in GPUS if gpu.id.endswith(f"-{gpu.memory_gb}gb"))
# fmt: off
TIMED = (
    "rtx-2060-12gb", "rtx-2060-super", "rtx-2070-laptop", "rtx-2070-super", "rtx-2080-ti",
    "quadro-rtx-6000", "t4", "v100-32-sxm", "gtx-1070", "tesla-p40", "a100-80-sxm", "a40",
    "rtx-a6000", "a10g", "rtx-3060-12gb", "rtx-3070-ti-laptop", "rtx-3090", "rtx-4050-laptop",
    "rtx-4060-laptop", "rtx-4060-ti-8gb", "rtx-4060-ti-16gb", "rtx-4070", "rtx-4080", "rtx-4090",
    "rtx-4000-ada", "rtx-6000-ada", "l4", "l20", "l40s", "h100-sxm", "h200-sxm", "h20", "b200",
    "rtx-5070-ti", "rtx-5080", "rtx-5090", "rtx-pro-6000", "rx-6800", "rx-6900-xt", "rx-7900-xtx",
    "rx-9070-xt",
)
# fmt: on
"""Names under which published timings are kept."""


def ids(text: str) -> list[str]:
    return [gpu.id for gpu in find(text)]


@pytest.mark.parametrize(
    ("text", "card"),
    [
        ("3090", "rtx-3090-24gb"),
        ("RTX 3060 12GB", "rtx-3060-12gb"),
        ("4060 ti 16", "rtx-4060-ti-16gb"),
        ("4060ti16gb", "rtx-4060-ti-16gb"),
        ("4070 ti super", "rtx-4070-ti-super-16gb"),
        ("4070 ti", "rtx-4070-ti-12gb"),
        ("4080", "rtx-4080-16gb"),
        ("laptop 4080", "rtx-4080-laptop-12gb"),
        ("4090m", "rtx-4090-laptop-16gb"),
        ("NVIDIA GeForce RTX 5090", "rtx-5090-32gb"),
        ("7900 xt", "rx-7900-xt-20gb"),
        ("rx7900xtx", "rx-7900-xtx-24gb"),
        ("9070xt", "rx-9070-xt-16gb"),
        ("A770 16GB", "arc-a770-16gb"),
        ("b580", "arc-b580-12gb"),
        ("h100", "h100-80gb"),
        ("h100 pcie", "h100-pcie-80gb"),
        ("a10g", "a10g-24gb"),
        ("a10", "a10-24gb"),
        ("a100 40", "a100-40gb"),
        ("v100 32gb", "v100-32gb"),
        ("rtx a6000", "rtx-a6000-48gb"),
        ("6000 ada", "rtx-6000-ada-48gb"),
        ("rtx pro 6000", "rtx-pro-6000-96gb"),
        ("dgx spark", "dgx-spark-128gb"),
        ("mac 24gb", "apple-24gb"),
        ("MacBook Pro M3 Pro 36 GB", "apple-36gb"),
        ("m2 ultra 192", "apple-192gb"),
        ("ZeroGPU half", "zerogpu-half"),
        ("gefroce 4090", "rtx-4090-24gb"),
        ("4080 supr", "rtx-4080-super-16gb"),
        ("radeom 7900 xtx", "rx-7900-xtx-24gb"),
    ],
)
def test_what_people_type_finds_the_card(text: str, card: str) -> None:
    assert ids(text) == [card]


@pytest.mark.parametrize(
    ("text", "cards"),
    [
        ("M3", ["apple-8gb", "apple-16gb", "apple-24gb"]),
        ("4060ti", ["rtx-4060-ti-8gb", "rtx-4060-ti-16gb"]),
        ("3080", ["rtx-3080-10gb", "rtx-3080-12gb"]),
        ("a100", ["a100-40gb", "a100-80gb"]),
        ("m4 max", ["apple-36gb", "apple-48gb", "apple-64gb", "apple-128gb"]),
        ("7900 xtz", ["rx-7900-xt-20gb", "rx-7900-xtx-24gb"]),
    ],
)
def test_several_are_named_where_several_are_meant(text: str, cards: list[str]) -> None:
    assert ids(text) == cards
    with pytest.raises(InputError, match="^gpu: .* may be " + ", ".join(cards)) as caught:
        choose(text)
    assert caught.value.part == "gpu"


def test_a_size_alone_means_every_card_of_it() -> None:
    found = find("16gb")
    assert {gpu.memory_gb for gpu in found} == {16}
    assert {"t4-16gb", "apple-16gb", "rtx-4080-16gb"} <= {gpu.id for gpu in found}
    with pytest.raises(InputError, match=r"and \d+ more; name one of them"):
        choose("16gb")


@pytest.mark.parametrize("text", ["6090", "rtx 5070 super", "rx 4090", "voodoo 2", "", " ", "5095"])
def test_a_card_that_is_not_listed_is_not_guessed(text: str) -> None:
    assert find(text) == ()
    with pytest.raises(InputError, match="is not listed: choose its hardware and memory instead"):
        choose(text)


def test_the_nearest_ids_are_named_where_none_is_meant() -> None:
    with pytest.raises(InputError, match=r"\(nearest: .*rtx-4070-super-12gb") as caught:
        choose("rtx-5070-super-18gb")
    named = str(caught.value).rpartition("nearest: ")[2].rstrip(")").split(", ")
    assert set(named) <= set(load_gpus())


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.id)
def test_id_name_and_every_alias_lead_to_the_card(gpu: Gpu) -> None:
    assert find(gpu.id) == find(f" {gpu.id.upper()} ") == (gpu,)
    for alias in gpu.aliases:
        assert gpu in find(alias)
        assert gpu in find(f"{gpu.vendor} {alias} {gpu.memory_gb} GB")


@pytest.mark.parametrize("name", TIMED)
def test_names_of_published_timings_mean_one_card(name: str) -> None:
    assert len(find(name)) == 1


@st.composite
def spellings(draw: st.DrawFn) -> tuple[Gpu, str]:
    """A card and its id as someone may type it: case, order, separators, the vendor."""
    gpu = draw(st.sampled_from(PATTERNED))
    chip = re.findall(r"[a-z]+|\d+|-", gpu.id.removesuffix(f"-{gpu.memory_gb}gb"))
    joint = draw(st.sampled_from([" ", "-", "  ", "_"]))
    text = ""
    for part in chip:
        last = text[-1:] or joint
        if part != "-" and last.isalnum() and last.isdigit() == part[-1].isdigit():
            text += joint  # two numbers, or two words, are never written together
        text += joint * draw(st.booleans()) if part == "-" and not part.isdigit() else part
    size = draw(st.sampled_from(["{}gb", "{} GB", "{}GiB", "{}g"])).format(gpu.memory_gb)
    words = [text.strip(joint), size]
    if draw(st.booleans()):
        words.append(gpu.vendor)
    text = " ".join(draw(st.permutations(words)))
    return gpu, text.upper() if draw(st.booleans()) else text


@given(spellings())
def test_case_order_and_separators_do_not_matter(spelled: tuple[Gpu, str]) -> None:
    gpu, text = spelled
    assert find(text) == (gpu,)


@given(
    st.sampled_from(
        ["geforce rtx 4090", "4080 laptop", "radeon 7900 xtx", "4080 super", "quadro 8000"]
    ),
    st.data(),
)
def test_a_slip_of_one_letter_still_finds_the_card(text: str, data: st.DataObject) -> None:
    words = text.split()
    at = data.draw(
        st.sampled_from([i for i, word in enumerate(words) if len(word) > 4 and word.isalpha()])
    )
    word, letter = words[at], data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz"))
    place = data.draw(st.integers(0, len(word) - 1))
    slips = (
        word[:place] + word[place + 1 :],
        word[:place] + letter + word[place + 1 :],
        word[:place] + letter + word[place:],
    )
    words[at] = data.draw(st.sampled_from(slips))
    assert set(find(text)) <= set(find(" ".join(words)))


@given(st.integers(1000, 99999))
def test_a_number_is_never_corrected(number: int) -> None:
    assert all(str(number) in gpu.id for gpu in find(f"rtx {number}"))


@given(st.text(max_size=40))
def test_any_text_is_answered(text: str) -> None:
    assert all(gpu in GPUS for gpu in find(text))


def test_a_list_of_cards_keeps_its_order() -> None:
    assert [gpu.id for gpu in find_all("4090, 3090,4090")] == [
        "rtx-4090-24gb",
        "rtx-3090-24gb",
        "rtx-4090-24gb",
    ]
    assert find_all("t4") == find("t4")
    with pytest.raises(InputError, match=r"^gpus: '4090,': expected a card"):
        find_all("4090,", "gpus")
    with pytest.raises(InputError, match="'voodoo' is not listed"):
        find_all("4090,voodoo")


@pytest.mark.parametrize(
    ("name", "gib", "card"),
    [
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 15.7, "rtx-4090-laptop-16gb"),
        ("NVIDIA GeForce RTX 4060 Ti", 7.75, "rtx-4060-ti-8gb"),
        ("NVIDIA GeForce RTX 4060 Ti", 15.6, "rtx-4060-ti-16gb"),
        ("NVIDIA GeForce RTX 2070 with Max-Q Design", 7.8, "rtx-2070-laptop-8gb"),
        ("NVIDIA H100 80GB HBM3", 79.1, "h100-80gb"),
        ("NVIDIA H100 PCIe", 79.1, "h100-pcie-80gb"),
        ("NVIDIA A100-SXM4-80GB", 79.2, "a100-80gb"),
        ("NVIDIA A100-PCIE-40GB", 39.4, "a100-40gb"),
        ("Tesla V100-SXM2-16GB", 15.8, "v100-16gb"),
        ("Tesla T4", 14.6, "t4-16gb"),
        ("Tesla T4", 15.8, "t4-16gb"),
        ("NVIDIA A10G", 22.1, "a10g-24gb"),
        ("NVIDIA RTX A6000", 47.5, "rtx-a6000-48gb"),
        ("NVIDIA RTX 6000 Ada Generation", 47.4, "rtx-6000-ada-48gb"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 95.0, "rtx-pro-6000-96gb"),
        ("NVIDIA GH200 480GB", 94.5, "gh200-96gb"),
        ("NVIDIA GB10", 119.7, "dgx-spark-128gb"),
        ("AMD Radeon RX 7900 XTX", 24.0, "rx-7900-xtx-24gb"),
        ("AMD Instinct MI300X", 191.7, "mi300x-192gb"),
        ("Intel(R) Arc(TM) A770 Graphics", 15.1, "arc-a770-16gb"),
        ("Apple M2 Pro", 16.0, "apple-16gb"),
        ("Apple M3 Max", 36.0, "apple-36gb"),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", 9.5, None),
        ("NVIDIA GeForce RTX 4090", 47.4, None),
        ("NVIDIA GeForce RTX 4090 T", 23.6, None),
        ("", 8.0, None),
    ],
)
def test_a_machine_is_recognised_by_what_it_says(name: str, gib: float, card: str | None) -> None:
    found = recognise(name, round(gib * GIB))
    assert (found and found.id) == card


@pytest.mark.parametrize("gpu", PATTERNED, ids=lambda gpu: gpu.id)
def test_a_card_with_its_own_total_is_recognised(gpu: Gpu) -> None:
    total = gpu.memory_gb * GIB if gpu.kind == "metal" else gpu.bytes
    chip = gpu.aliases[0] if gpu.kind == "metal" else gpu.id.removesuffix(f"-{gpu.memory_gb}gb")
    assert recognise(f"{gpu.vendor} {chip}", total) == gpu
