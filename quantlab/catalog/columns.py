"""The columns of the capability table, one row each: hardware, needs, libraries.

A new kind of hardware is one more row of ``HARDWARE`` and the cells that are known of it: where a
method says nothing, the answer is unknown. The columns that say what diffusers itself allows on a
kind of hardware follow from it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ASKED",
    "COLUMNS",
    "DIFFUSERS",
    "HARDWARE",
    "LIBRARIES",
    "NEEDS",
    "SPEED",
    "Column",
    "column",
    "ids",
]


@dataclass(frozen=True)
class Column:
    """One column. ``id`` names it in data/methods, arguments and JSON."""

    id: str
    name: str
    """In reasons."""
    choice: str = ""
    """In lists to choose from; empty: the name."""
    label: str = ""
    """In the claims of a method; empty: the name."""
    head: str = ""
    """Over the column of the page's table, with soft hyphens; empty: the name."""
    always: bool = False
    """Whether every method has to say something about it."""
    tabled: bool = True
    """Whether the page's table has it."""

    @property
    def chosen(self) -> str:
        """In lists to choose from."""
        return self.choice or self.name

    @property
    def told(self) -> str:
        """In the claims of a method."""
        return self.label or self.name

    @property
    def over(self) -> str:
        """Over the column of the page's table."""
        return self.head or self.name


HARDWARE = (
    Column("cpu", "CPU", always=True),
    Column("cuda", "CUDA", "NVIDIA GPU", "NVIDIA CUDA", always=True),
    Column("rocm", "ROCm", "AMD GPU", "AMD ROCm", always=True),
    Column("metal", "Metal", "Apple silicon", "Apple Metal", always=True),
    Column("intel", "Intel GPU", head="Intel", always=True),
)
"""Kinds of hardware."""
NEEDS = (
    Column("compile", "torch.compile", head="com&shy;pile", always=True),
    Column(
        "peft", "PEFT", "LoRA / PEFT", "Fine-tuning with PEFT, through transformers", always=True
    ),
    Column("lora", "LoRA", "LoRA through diffusers", "LoRA, through diffusers", always=True),
    Column("qat", "QAT", "Trains quantized", "Quantization-aware training", always=True),
    Column(
        "serializable", "serializable", "Saves and reloads", "Save and reload", "save", always=True
    ),
    Column("on-the-fly", "on the fly", "No calibration", "On the fly, no calibration", always=True),
)
"""``peft`` is fine-tuning through transformers, ``lora`` a LoRA on a model of diffusers."""
SPEED = Column("speed", "speed", "Faster than bf16")
"""No column of the table: it depends on card and model, and is predicted."""
ASKED = (*NEEDS, SPEED)
"""What may be asked of a scheme."""
LIBRARIES = (
    Column("transformers", "transformers", head="trans&shy;formers", always=True),
    Column("diffusers", "diffusers", head="dif&shy;fusers", always=True),
)
DIFFUSERS = tuple(
    Column(f"diffusers-{row.id}", f"diffusers on {row.name}", tabled=False) for row in HARDWARE
)
"""What diffusers itself allows, where that is stricter than the library; else the plain column."""

COLUMNS = (*HARDWARE, *NEEDS, *LIBRARIES, *DIFFUSERS)


def ids(columns: tuple[Column, ...]) -> tuple[str, ...]:
    """The ids of ``columns``, in their order."""
    return tuple(row.id for row in columns)


_BY_ID = {row.id: row for row in (*COLUMNS, SPEED)}


def column(column_id: str) -> Column:
    """The column with that id.

    Raises:
        KeyError: there is none.
    """
    return _BY_ID[column_id]
