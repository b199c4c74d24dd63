"""Reads a results file of another machine (results/file.py), and believes nothing in it.

Every value is checked for type and size before a row is made of it, images are decoded, nothing in
the file is opened, run or looked up. Plans are read by their form alone: the other machine may know
schemes that this one does not.
"""

from __future__ import annotations

import base64
import io
import re
import struct
import zlib
from datetime import datetime
from typing import Annotated, Any, Literal

from PIL import Image
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from quantlab.catalog.table import load_catalog
from quantlab.errors import InputError, PlanError
from quantlab.record.results.file import VERSION
from quantlab.record.store.row import Stored
from quantlab.words.comparison import MAX_PLANS, Comparison
from quantlab.words.metrics import SCORES, Metric
from quantlab.words.outcome import Outcome
from quantlab.words.plan import DENOISERS, Plan
from quantlab.words.settings import SETTINGS, Setting

__all__ = ["MAX_FILE_BYTES", "read_results"]

MAX_FILE_BYTES = 2**30
MAX_IMAGE_BYTES = 32 * 2**20

_BROKEN = (
    *(OSError, SyntaxError, ValueError, IndexError, TypeError, EOFError, struct.error, zlib.error),
    Image.DecompressionBombError,
)
"""What Pillow raises for a file that is not what it says."""
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")

Bytes = Annotated[int, Field(ge=0, le=2**60)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Decibels = Annotated[float, Field(ge=-1000, le=1000)]
NotNegative = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Words = Annotated[str, Field(max_length=4000)]
Fact = Annotated[int, Field(ge=-(2**63), le=2**63)] | float | bool | Words | None


class _Checked(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _Failure(_Checked):
    stage: Annotated[str, Field(pattern="^[a-z-]{1,40}$")]
    type: Name
    message: Words


class _Floor(_Checked):
    psnr_db: Decibels | None
    rel_l2: NotNegative
    repeated: Literal["image", "step"]


def _score(row: Metric) -> Any:
    low, high = row.bounds
    return (Annotated[float, Field(ge=low, le=high)] | None, None)


_Scores = create_model("_Scores", __base__=_Checked, **{r.key: _score(r) for r in SCORES})


class _Outcome(_Scores):  # type: ignore[valid-type,misc]  # its parts are rows
    """Parts with a default came later: files of older versions do not have them."""

    plan: Name
    status: Literal["ok", "failed"]
    way: Name | None
    image: None = None
    weights_bytes: Annotated[dict[Name, Bytes], Field(max_length=64)]
    peak_bytes: Bytes | None
    peak_kind: Name | None
    load_s: Seconds | None
    latency_s: Annotated[list[Seconds], Field(max_length=1000)]
    encode_s: Seconds | None
    step_s: Seconds | None
    decode_s: Seconds | None
    error: _Failure | None
    notes: Annotated[list[Words], Field(max_length=100)]
    placement: Name | None = None
    load_peak_bytes: Bytes | None = None
    run_peak_bytes: Bytes | None = None
    reserved_bytes: Bytes | None = None
    device_bytes: Bytes | None = None
    noise_floor: _Floor | None = None
    across_modes: bool = False
    others_cpu: Annotated[float, Field(ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> _Outcome:
        if (self.status == "failed") != (self.error is not None):
            raise ValueError("status and error do not go together")
        if self.error is not None and self.error.stage == "stopped":
            raise ValueError("a stopped plan is no result")
        return self


class _Settings(_Checked):
    """A part for every setting; those that are optional came later."""

    @model_validator(mode="after")
    def _go_together(self) -> _Settings:
        for row in SETTINGS:
            value = getattr(self, row.key)
            if value is not None and row.goes_with and getattr(self, row.goes_with) is None:
                raise ValueError(f"{row.key} goes with a {row.goes_with}")
            if value == 0 and row.zero:
                raise ValueError(f"{row.key} is not 0")
        return self


def _field(row: Setting) -> Any:
    """Type and default of the part for ``row``."""
    kind: Any
    if row.kind == "text":
        kind = Annotated[str, AfterValidator(row.is_text)]
    elif row.kind == "flag":
        kind = Literal[True]
    else:
        low, high = row.foreign or (row.low, row.high)
        number = int if row.kind == "whole" else float
        kind = Annotated[number, Field(ge=low, le=high)]
    return (kind | None, None) if row.optional else (kind, ...)


_Values = create_model("_Values", __base__=_Settings, **{r.key: _field(r) for r in SETTINGS})


class _Comparison(_Values):  # type: ignore[valid-type,misc]  # its parts are rows
    model: Name
    plans: Annotated[list[Name], Field(min_length=1, max_length=MAX_PLANS)]

    def value(self) -> Comparison:
        """Raises ValueError where a plan is none."""
        known = load_catalog().models.get(self.model)
        named = known.denoiser if known is not None else DENOISERS[0]
        values = self.model_dump(exclude={"model", "plans"}, exclude_none=True)
        return Comparison.of(self.model, tuple(_plan(text, named) for text in self.plans), values)


class _Item(_Checked):
    comparison: _Comparison
    outcome: _Outcome
    device: Annotated[dict[Name, Fact], Field(max_length=64)]
    versions: Annotated[dict[Name, Name], Field(max_length=200)]
    measured_at: str
    image_png: Annotated[str, Field(max_length=MAX_IMAGE_BYTES * 4 // 3 + 4)] | None = None

    @field_validator("measured_at")
    @classmethod
    def _is_moment(cls, text: str) -> str:
        if not _MOMENT.fullmatch(text):
            raise ValueError("is not a moment in UTC such as 2025-11-21T08:21:00Z")
        datetime.fromisoformat(text)
        return text

    @field_validator("comparison")
    @classmethod
    def _has_plans(cls, comparison: _Comparison) -> _Comparison:
        comparison.value()
        return comparison

    @field_validator("image_png")
    @classmethod
    def _is_image(cls, text: str | None, info: ValidationInfo) -> str | None:
        comparison = info.data.get("comparison")
        if text is not None and comparison is not None:
            _check_png(_decoded(text), (comparison.width, comparison.height))
        return text

    @model_validator(mode="after")
    def _belongs_together(self) -> _Item:
        if self.outcome.plan not in self.comparison.plans:
            raise ValueError("the outcome is of a plan that the comparison does not have")
        if self.outcome.error is not None and self.image_png is not None:
            raise ValueError("a failed plan has no image")
        return self

    def value(self) -> Stored:
        outcome = Outcome.from_dict(self.outcome.model_dump())
        image = None if self.image_png is None else _decoded(self.image_png)
        comparison, moment = self.comparison.value(), self.measured_at
        return Stored(
            "", comparison, outcome.plan, outcome, image, self.device, self.versions, moment
        )


class _Document(_Checked):
    format: Literal["quantlab-results"]
    version: Literal[1]
    results: list[_Item]


def read_results(name: str, data: bytes) -> list[Stored]:
    """The results of the file ``name``, whose content is ``data``; their ids are empty.

    Raises:
        InputError: names the file, the row and the part that is wrong.
    """
    if len(data) > MAX_FILE_BYTES:
        raise InputError(
            name, f"is larger than {MAX_FILE_BYTES // 2**30} GiB; export fewer at once"
        )
    try:
        document = _Document.model_validate_json(data)
    except ValidationError as error:
        raise InputError(name, _sentence(error)) from None
    return [item.value() for item in document.results]


def _sentence(error: ValidationError) -> str:
    """The first fault: where it is, and what should be there. Values of the file are not shown."""
    fault = error.errors(include_input=False, include_url=False)[0]
    where = fault["loc"]
    if fault["type"] == "json_invalid" or not where or where[0] != "results":
        return f"is not a results file of version {VERSION}, as quantlab export writes it"
    row = f"result {int(where[1]) + 1}" if len(where) > 1 else "results"
    known = (str(part) for part in where[2:] if isinstance(part, int) or part in _PARTS)
    part = ".".join(known)
    what = fault["msg"].removeprefix("Value error, ")
    return f"{row}{', ' + part if part else ''}: {what[:1].lower()}{what[1:]}"


_PARTS = {
    name
    for model in (_Item, _Comparison, _Outcome, _Failure, _Floor)
    for name in model.model_fields
}


def _plan(text: str, denoiser: str) -> Plan:
    try:
        plan = Plan.read(text, denoiser)
    except PlanError:
        plan = None
    if plan is None or str(plan) != text:
        raise ValueError("one of the plans is not the text of a plan")
    return plan


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("is not base64") from None


def _check_png(data: bytes, size: tuple[int, int]) -> None:
    """Raises ValueError unless it is one whole PNG of that size; it is decoded only then."""
    if not data.endswith(b"\0\0\0\0IEND\xaeB`\x82"):
        raise ValueError("is not a whole PNG file")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size == size:
                image.load()
                return
    except _BROKEN:
        raise ValueError("is not a whole PNG file") from None
    raise ValueError("has not the width and height of its comparison")
