"""How many of a denoiser's weights each kind of token passes, counted from its modules.

Names are those of diffusers' transformers. Checked against FLOPs that others counted: FLUX.1-dev,
4,096 image and 512 text tokens: 59,523 GFLOP of linear layers
(https://huggingface.co/datasets/diffusers/benchmarks), 59,523 here.

Not known here: mixtures of experts (all experts are counted), U-Nets (``denoiser`` gives None).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import prod

from quantlab.catalog.time.values import Denoiser, Streams

__all__ = ["denoiser"]

_VECTOR = re.compile(r"(time|guidance|temb|modulation|adaln|_mod\b|norm\w*\.linear)", re.I)
_REFERENCE = re.compile(r"image_cond")
_TEXT = re.compile(r"(add_[qkv]_proj|to_add_out|ff_context|txt_|context|cap_|text_)")
_CROSS = re.compile(r"\.attn2\.")
_IMAGE = re.compile(r"(^x_embedder|img_in|^proj_out|^final|all_x|all_final|noise_refiner|image\.)")
_TWIN = re.compile(r"(.*?)\.\d+\.(?:.*\.)?(?:add_q_proj|txt_mlp|ff_context)\b")
_QUERY = re.compile(r"\.(to_q|to_qkv\w*)$")


def denoiser(
    modules: Iterable[tuple[str, str, Sequence[int]]], head_dim: int | None = None
) -> Denoiser | None:
    """The transformer that ``modules`` make: (name, kind, shape of the weight) of each.

    Kinds as in data/shapes: "linear", "norm", "conv" ... ``head_dim`` is read off the norm of the
    queries where it is not given, else taken as 128. None where nothing attends or where blocks
    convolve, as in U-Nets.
    """
    listed = [(name, kind, tuple(shape)) for name, kind, shape in modules if len(shape)]
    if any(kind == "conv" and "blocks" in name for name, kind, _ in listed):
        return None
    linears = {name: shape for name, kind, shape in listed if kind == "linear"}
    twins = {match[1] for name in linears if (match := _TWIN.match(name))}
    stream = {name: _stream(name, twins) for name in linears}
    queries = [
        name
        for name in linears
        if _QUERY.search(name) and stream[name] in ("image", "both")
        if _own(name, twins)
    ]
    if not queries:
        return None
    counted = {kind: _sum(linears, stream, kind) for kind in Streams.__dataclass_fields__}
    norms = {name: shape for name, kind, shape in listed if kind == "norm"}
    width, inner = _widths(linears, queries)
    size = head_dim or _head_dim(norms, inner) or 128
    return Denoiser(Streams(**counted), width, inner // size, size, len(queries))


def _stream(name: str, twins: set[str]) -> str:
    if _VECTOR.search(name):
        return "vector"
    if _REFERENCE.search(name):
        return "reference"
    if _TEXT.search(name):
        return "text"
    if _IMAGE.search(name) or name.partition(".")[0] in twins:
        return "image"
    return "both" if _own(name, twins) or not name.endswith((".to_k", ".to_v")) else "text"


def _own(name: str, twins: set[str]) -> bool:
    """Whether an attention is the tokens' own: a second one beside text twins is, else it crosses
    over to the text."""
    return not _CROSS.search(name) or name.partition(".")[0] in twins


def _sum(linears: Mapping[str, tuple[int, ...]], stream: Mapping[str, str], kind: str) -> int:
    return sum(prod(shape) for name, shape in linears.items() if stream[name] == kind)


def _head_dim(norms: Mapping[str, tuple[int, ...]], inner: int) -> int | None:
    """The size of the queries' norm, where it is one head's and not that of all together."""
    sizes = (shape[0] for name, shape in norms.items() if name.endswith("norm_q"))
    return next((size for size in sizes if size < inner), None)


def _widths(linears: Mapping[str, tuple[int, ...]], queries: Sequence[str]) -> tuple[int, int]:
    """The stream's width and that of all heads, which a layer of q, k, v and more does not tell."""
    plain = next((name for name in queries if name.endswith(".to_q")), None)
    if plain:
        return linears[plain][1], linears[plain][0]
    return linears[queries[0]][1], linears[queries[0]][1]
