"""Links: exact both ways, old ones stay valid, and a bad one names the part that is wrong."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.schema import Model
from quantlab.catalog.table import load_catalog
from quantlab.errors import InputError, PlanError
from quantlab.record import link
from quantlab.record.link import from_query, from_url, result_id, result_url, to_query, to_url
from quantlab.words.comparison import Comparison
from quantlab.words.plan import DTYPE_SCHEMES
from quantlab.words.settings import setting

CATALOG = load_catalog()
OLD_LINKS = Path(__file__).parent / "data" / "old_links.json"
PLAIN = make_comparison(prompt="a red fox, at dawn", plans=["fp32", "bnb-nf4"], seed=7)
QUERY = to_query(PLAIN)

prompts = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Co", "Cn")), max_size=setting("prompt").longest
) | st.sampled_from(
    [
        "",
        "1+1 & 2=2 #~;%41%zz",
        "A" * setting("prompt").longest,
        "\U0001f98a" * setting("prompt").longest,
        "\ufffd",
    ]
)


def is_plan(text: str, model: Model) -> bool:
    try:
        parse_plan(text, model)
    except PlanError:
        return False
    return True


def plans(model: Model) -> st.SearchStrategy[str]:
    """Texts of plans that are valid for the model."""
    schemes = [*DTYPE_SCHEMES, *CATALOG.schemes]
    parts = {
        c.name: st.sampled_from(fitting)
        for c in model.components
        if (fitting := [s for s in schemes if is_plan(f"{c.name}={s}", model)])
    }
    named = st.fixed_dictionaries({}, optional=parts).filter(bool)
    texts = named.map(lambda found: ",".join(f"{name}={scheme}" for name, scheme in found.items()))
    bare = st.sampled_from(DTYPE_SCHEMES) | parts[model.denoiser]
    whole = st.builds(str.__add__, bare | texts, st.sampled_from(["", "@compiled"]))
    return whole.filter(lambda text: is_plan(text, model))


PLANS = {model.id: plans(model) for model in CATALOG.models.values()}


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    model = draw(st.sampled_from(list(CATALOG.models.values())))
    limits = model.limits
    size = st.integers(
        -(-limits.min_size // limits.size_multiple), limits.max_size // limits.size_multiple
    ).map(lambda count: count * limits.size_multiple)
    return make_comparison(
        model=model.id,
        plans=draw(st.lists(PLANS[model.id], min_size=1, max_size=6)),
        prompt=draw(prompts),
        seed=draw(st.integers(0, 2**32 - 1)),
        steps=draw(st.integers(1, limits.max_steps)),
        guidance=draw(st.floats(0, 20)),
        width=draw(size),
        height=draw(size),
        sequence_length=draw(st.integers(1, limits.max_sequence_length)),
    )


@settings(deadline=None)
@given(comparisons())
def test_round_trip_is_exact(comparison: Comparison) -> None:
    query = to_query(comparison)
    assert query.isascii()
    assert len(query) <= link.MAX_QUERY_BYTES
    video = ["frames"] if comparison.frames else []
    keys = [key for key, _ in parse_qsl(query, keep_blank_values=True)]
    assert keys == [*link.KEYS, *video]
    assert from_query(query) == comparison
    assert from_url(to_url("https://example.org/space/", comparison)) == comparison


@settings(deadline=None)
@given(comparisons())
def test_every_reader_of_queries_reads_the_same(comparison: Comparison) -> None:
    """A server's parser and a form's writer (which turns spaces into plus signs) agree with us."""
    if "\ufffd" in comparison.prompt:
        return
    pairs = parse_qsl(to_query(comparison), keep_blank_values=True)
    assert from_query(pairs) == from_query(dict(pairs)) == comparison
    assert from_query("?" + urlencode(pairs)) == comparison


def test_link_is_readable() -> None:
    comparison = make_comparison(
        prompt="a red fox, 2+2",
        plans=["fp32", "bnb-nf4", "transformer=torchao-int8wo,text_encoder_2=bnb-nf4@compiled"],
        seed=1,
        steps=8,
        guidance=3.5,
        width=128,
        height=64,
        sequence_length=64,
    )
    assert to_query(comparison) == (
        "v=1&model=flux-mini&plans=fp32~bnb-nf4~"
        "transformer=torchao-int8wo,text_encoder_2=bnb-nf4@compiled"
        "&prompt=a%20red%20fox,%202%2B2&seed=1&steps=8&guidance=3.5&width=128&height=64"
        "&sequence_length=64"
    )


def test_missing_numbers_take_the_models_defaults() -> None:
    comparison = from_query("v=1&model=flux-mini&plans=fp32&prompt=fox")
    assert comparison == make_comparison(model="flux-mini", plans=["fp32"], prompt="fox")


@pytest.mark.parametrize("old", json.loads(OLD_LINKS.read_text()), ids=lambda old: old["why"])
def test_links_of_the_first_version_stay_valid(old: dict[str, object]) -> None:
    comparison = from_query(str(old["query"]))
    assert comparison is not None
    assert comparison.as_dict() == old["comparison"]


@pytest.mark.parametrize("query", ["", "?", "&&", "__theme=dark&__sign=%ff", "foo=1", "r=abcdefgh"])
def test_no_comparison(query: str) -> None:
    assert from_query(query) is None
    with pytest.raises(InputError, match="link: holds no comparison"):
        from_url(f"https://example.org/?{query}")


def test_keys_of_the_page_around_are_ignored() -> None:
    around = "&".join(f"{key}=%ff&{key}=2" for key in link.IGNORED_KEYS)
    assert from_query(f"{around}&{QUERY}&{around}") == PLAIN


def swap(old: str, new: str) -> str:
    assert old in QUERY
    return QUERY.replace(old, new, 1)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (swap("v=1", "v=2"), "v: unknown version '2'"),
        (swap("v=1&", ""), "v: is missing"),
        (swap("v=1", "v="), "v: unknown version ''"),
        (swap("v=1", "v=2&new-key=1"), "v: unknown version '2'"),
        (swap("model=flux-mini&", ""), "model: is missing"),
        (swap("plans=fp32~bnb-nf4&", ""), "plans: is missing"),
        ("v=1&model=flux-mini&plans=fp32", "prompt: is missing"),
        (swap("flux-mini", "flux-maxi"), "model: unknown model 'flux-maxi'"),
        (swap("flux-mini", "..%2F..%2Fetc"), "model: unknown model '../../etc'"),
        (swap("bnb-nf4", "nf4"), "plan: unknown scheme 'nf4'"),
        (swap("bnb-nf4", "unet=bnb-nf4"), "plan: flux-mini has no component 'unet'"),
        (swap("fp32~bnb-nf4", ""), "plan: is empty"),
        (swap("fp32~bnb-nf4", "~".join(["fp32"] * 7)), "plans: 7 given"),
        (swap("seed=7", "seed=-1"), "seed: -1 is out of range"),
        (swap("seed=7", f"seed={2**32}"), "seed: 4294967296 is out of range"),
        (swap("seed=7", "seed=" + "9" * 5000), "seed: '9999"),
        (swap("seed=7", "seed=7.5"), "seed: '7.5' is not a whole number"),
        (swap("seed=7", "seed=1_0"), "seed: '1_0' is not a whole number"),
        (swap("seed=7", "seed=%D9%A7"), "seed: '٧' is not a whole number"),
        (swap("seed=7", "seed"), "seed: '' is not a whole number"),
        (swap("steps=8", "steps=0"), "steps: 0 is out of range"),
        (swap("guidance=", "guidance=nan"), "guidance: 'nan"),
        (swap("guidance=", "guidance=9999"), "guidance: 9999"),
        (swap("guidance=", "guidance=1e9999999&x="), "link: unknown key 'x'"),
        (swap("width=128", "width=120"), "width: 120 is not a multiple of 16"),
        (swap("height=128", "height=1000000"), "height: 1000000 is out of range"),
        (swap("sequence_length=", "sequence_length=x"), "sequence_length: 'x"),
        (swap("prompt=a", "prompt=%ff"), "prompt: is not UTF-8 text"),
        (swap("prompt=a", "prompt=%ED%A0%80"), "prompt: is not UTF-8 text"),
        (swap("prompt=a", "prompt=%00"), "prompt: contains characters that are not text"),
        (swap("prompt=a", "prompt=%0A"), "prompt: contains characters that are not text"),
        (swap("prompt=a", "prompt=%4"), "prompt: holds a broken percent escape"),
        (swap("prompt=a", "prompt=\udc80"), "prompt: is not UTF-8 text"),
        (swap("prompt=a", "prompt=" + "a" * 1000), "prompt: 1017 characters"),
        (swap("prompt=a", "prompt=" + "a" * 20_000), "link: 20"),
        (QUERY + "&seed=7", "seed: is given twice"),
        ("v=1&" + QUERY, "v: is given twice"),
        (QUERY + "&revision=main", "link: unknown key 'revision'"),
        (QUERY + "&r=abcdefgh", "link: unknown key 'r'"),
        (QUERY + "&%ff=1", "link: is not UTF-8 text"),
    ],
)
def test_a_bad_link_names_the_part(query: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        from_query(query)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_damage_that_a_server_hid_is_found_in_pairs() -> None:
    pairs = parse_qsl(swap("prompt=a", "prompt=%ff"), errors="replace")
    with pytest.raises(InputError, match="prompt: is not UTF-8 text"):
        from_query(pairs)


ODD = [
    "&",
    "=",
    "%",
    "+",
    "~",
    ",",
    "@",
    "%00",
    "%FF",
    "%F0%9F",
    "\udc80",
    "\n",
    "-",
    "9" * 30,
    "٣",
]


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_mutated_links_are_an_error_or_a_comparison(number: int) -> None:
    """Every mutation is either refused with one sentence or stands for something valid."""
    chance = random.Random(number)
    query = QUERY
    for _ in range(chance.randint(1, 4)):
        query = mutate(query, chance)
    refused, comparison = read(query)
    if refused is not None:
        assert str(refused).startswith(f"{refused.part}: ")
        assert len(str(refused).splitlines()) == 1
    elif comparison is not None:
        assert from_query(to_query(comparison)) == comparison
    with contextlib.suppress(InputError):
        from_url("https://example.org/?" + query)


def read(query: str) -> tuple[InputError | None, Comparison | None]:
    try:
        return None, from_query(query)
    except InputError as error:
        return error, None


def mutate(query: str, chance: random.Random) -> str:
    pieces = query.split("&")
    at, odd = chance.randrange(len(query) + 1), chance.choice(ODD)
    some = chance.randrange(len(pieces))
    changes = [
        lambda: query[:at] + query[at + chance.randint(1, 12) :],
        lambda: query[:at] + odd + query[at:],
        lambda: query[:at] + chr(chance.randrange(0x110000)) + query[at + 1 :],
        lambda: "&".join(pieces[:some] + pieces[some + 1 :]),
        lambda: "&".join([*pieces, pieces[some]]),
        lambda: "&".join(chance.sample(pieces, len(pieces))),
        lambda: "&".join(
            [*pieces[:some], pieces[some].partition("=")[0] + "=" + odd, *pieces[some + 1 :]]
        ),
        lambda: quote(query, errors="surrogatepass") if chance.random() < 0.1 else query[:-at],
        lambda: query[:at] + query[at : at + 1].swapcase() + query[at + 1 :],
    ]
    return chance.choice(changes)()


@settings(deadline=None)
@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text_at_all(text: str) -> None:
    for reader in (from_query, from_url, result_id):
        with contextlib.suppress(InputError):
            reader(text)


def test_url_keeps_the_page_and_drops_what_is_private() -> None:
    url = to_url("https://example.org/spaces/lab?__sign=secret&__theme=dark#top", PLAIN)
    assert urlsplit(url)[:3] == ("https", "example.org", "/spaces/lab")
    assert urlsplit(url).query == QUERY
    assert "secret" not in url
    assert to_url("http://127.0.0.1:7860", PLAIN) == f"http://127.0.0.1:7860/?{QUERY}"


@pytest.mark.parametrize("url", ["http://[", "http://[::1", "http://a℀b/"])
def test_not_a_url(url: str) -> None:
    with pytest.raises(InputError, match="is not a URL"):
        from_url(url)
    with pytest.raises(InputError, match="is not a URL"):
        to_url(url, PLAIN)


def test_result_links() -> None:
    url = result_url("https://example.org/lab?x=1", "abc234defghi")
    assert url == "https://example.org/lab?r=abc234defghi"
    assert result_id(urlsplit(url).query) == "abc234defghi"
    assert result_id([("__theme", "dark"), ("r", "abc234defghi")]) == "abc234defghi"
    assert result_id(QUERY) is None
    assert result_id("") is None


@pytest.mark.parametrize("query", ["r=", "r=../../etc", "r=a b c d e f", "r=" + "a" * 33, "r=%00"])
def test_bad_result_links(query: str) -> None:
    with pytest.raises(InputError, match=r"r: .* is not the id of a result"):
        result_id(query)


def test_result_id_given_twice() -> None:
    with pytest.raises(InputError, match="r: is given twice"):
        result_id("r=abcdefgh&r=abcdefgi")


def test_minus_zero_and_small_guidance() -> None:
    for guidance in (-0.0, 5e-324, 1e-05, 0.1 + 0.2, 20.0):
        comparison = PLAIN.changed(guidance=guidance)
        assert from_query(to_query(comparison)) == comparison
