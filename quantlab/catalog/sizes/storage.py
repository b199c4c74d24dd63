"""Bytes of one quantized Linear weight, by the formula that its library follows.

Pure arithmetic on numbers; which layers are quantized at all is sizes/predict.py's business. Each
rule was held against the stored tensors of the libraries named beside it (tests/test_footprint.py
does so again); where a rule returns None the library leaves the layer as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from quantlab.catalog.schema import Storage

__all__ = ["IN_BLOCKS", "RULES", "WIDTHS", "weight_bytes"]

WIDTHS = {"fp32": 4, "bf16": 2}
"""Bytes of one element."""


def weight_bytes(storage: Storage, rows: int, columns: int, width: int) -> int | None:
    """Bytes of a ``rows`` x ``columns`` weight with all its scales, or None where it stays as is.

    ``width`` is the bytes of one element of the component's own dtype.

    Raises:
        KeyError: ``storage.rule`` is not in ``RULES``.
    """
    return RULES[storage.rule](storage, rows, columns, width)


def _linear(storage: Storage, rows: int, columns: int, width: int) -> int:
    if storage.group < 0:
        groups = 1
    else:
        groups = rows * (ceil(columns / storage.group) if storage.group else 1)
    return _total(storage, rows * columns, groups, width)


def _total(storage: Storage, numbers: int, groups: int, width: int) -> int:
    per_group = storage.group_bytes + storage.group_widths * width
    return ceil(numbers * storage.bits / 8 + groups * per_group) + storage.fixed_bytes


def _whole_groups(storage: Storage, rows: int, columns: int, width: int) -> int | None:
    """GGUF's blocks and torchao's int4 groups: a row that they do not divide stays as it was.

    The writers of GGUF fall back to F32 or F16 for such rows; torchao's Int4WeightOnlyConfig logs
    that it skips the layer.
    """
    return None if columns % storage.group else _linear(storage, rows, columns, width)


def _groups_and_words(storage: Storage, rows: int, columns: int, width: int) -> int | None:
    """AutoRound: whole groups, and zero points in words of 32 outputs (auto-round 0.16.1,
    auto_round_extension/torch/qlinear_torch_zp.py)."""
    return None if rows % 32 else _whole_groups(storage, rows, columns, width)


def _ten_in_four(storage: Storage, rows: int, columns: int, width: int) -> int | None:
    """HQQ's int3: ten numbers in an int32, taken from ten groups, whose count is filled up to
    whole tens (hqq 0.2.8, core/bitpack.py, pack_3bit_32)."""
    if columns % storage.group:
        return None
    groups = rows * columns // storage.group
    scales = _total(storage, 0, groups, width)
    return 4 * storage.group * ceil(groups / 10) + scales


def _blocks_or_q8_0(storage: Storage, rows: int, columns: int, width: int) -> int | None:
    """GGUF's K-quants and IQ4_XS: a row that is not whole blocks of 256 is stored as Q8_0.

    lab/ways/gguf.py writes them so; llama.cpp takes a type of blocks of 32 too, another for each.
    """
    if columns % storage.group:
        return _whole_groups(Storage(8, 32, 2), rows, columns, width)
    return _linear(storage, rows, columns, width)


def _flat(storage: Storage, rows: int, columns: int, width: int) -> int:
    """bitsandbytes' blocks: they run on from row to row."""
    return _total(storage, rows * columns, ceil(rows * columns / storage.group), width)


def _nested(storage: Storage, rows: int, columns: int, width: int) -> int:
    """bitsandbytes' double quantization: one byte a block, one fp32 for 256 of those."""
    blocks = ceil(rows * columns / storage.group)
    return _flat(storage, rows, columns, width) + 4 * ceil(blocks / 256)


def _shrinking(storage: Storage, rows: int, columns: int, width: int) -> int:
    """quanto's int4 and int2: 128, or the next smaller multiple of 32 that divides the row.

    Rows of up to 128, and those that nothing divides, are one group (optimum-quanto 0.2.7,
    nn/qmodule.py).
    """
    size = storage.group
    while columns % size and size > 32:
        size -= 32
    per_row = columns // size if columns > storage.group and columns % size == 0 else 1
    return _total(storage, rows * columns, rows * per_row, width)


def _dividing(storage: Storage, rows: int, columns: int, width: int) -> int | None:
    """sdnq: the largest count of groups, at least as wide as asked for, that divides the row.

    Weights of fewer than 16384 numbers or with rows of fewer than 32 are left alone (sdnq 0.2.8,
    quantizer.py and utils.py).
    """
    if rows * columns < 16384 or columns < 32:
        return None
    count = max(1, columns // storage.group) if storage.group else 1
    while columns % count:
        count -= 1
    return _total(storage, rows * columns, rows * count, width)


def _dividing_and_rank_32(storage: Storage, rows: int, columns: int, width: int) -> int | None:
    """sdnq with SVD: two factors of rank 32 in the component's dtype beside the weight."""
    rest = _dividing(storage, rows, columns, width)
    return None if rest is None else rest + 32 * width * (rows + columns)


def _double(storage: Storage, rows: int, columns: int, width: int) -> int:
    """torchao's NF4: a byte a block; for 256 of those a number of the component's dtype, for all of
    them one more, and the 16 levels (torchao 0.18.0, NF4Tensor)."""
    blocks = ceil(rows * columns / storage.group)
    return _flat(storage, rows, columns, width) + width * (ceil(blocks / 256) + 17)


def _swizzled(storage: Storage, rows: int, columns: int, width: int) -> int:
    """torchao's MX formats and NVFP4: scales lie in tiles of 128 rows and 4 groups, filled up."""
    tiles = ceil(rows / 128) * ceil(columns / storage.group / 4)
    return _total(storage, rows * columns, tiles * 128 * 4, width)


def _low_rank(storage: Storage, rows: int, columns: int, width: int) -> int:
    """SVDQuant as Nunchaku stores it: two factors of rank 32 in 16 bits beside the 4-bit weight.

    Rank as in the published FLUX checkpoints; a checkpoint's config.json may say another.
    """
    return _linear(storage, rows, columns, width) + 32 * 2 * (rows + columns)


RULES: dict[str, Callable[[Storage, int, int, int], int | None]] = {
    "linear": _linear,
    "cast": _linear,
    "whole-groups": _whole_groups,
    "blocks-or-q8_0": _blocks_or_q8_0,
    "flat": _flat,
    "nested": _nested,
    "double": _double,
    "swizzled": _swizzled,
    "low-rank": _low_rank,
    "groups-and-words": _groups_and_words,
    "ten-in-four": _ten_in_four,
    "shrinking": _shrinking,
    "dividing": _dividing,
    "dividing-and-rank-32": _dividing_and_rank_32,
}
"""Rules by name. "cast" is for schemes that store a whole module in another dtype, biases too."""

IN_BLOCKS = ("whole-groups", "blocks-or-q8_0")
"""Rules of formats whose scales lie between the numbers, in one tensor: GGUF's. Others keep them in
tensors of their own; torchao's int4, which follows the first, too, a sixteenth of its weight."""
