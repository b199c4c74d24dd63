"""The settings of a comparison as parameters of the page's functions for programs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from inspect import Parameter
from typing import Any

from quantlab.ui.programs.input import text
from quantlab.words.settings import SETTINGS, Setting

__all__ = ["checked", "takes_settings"]

Endpoint = Callable[..., Any]
_TYPES: dict[str, type] = {"text": str, "whole": int, "number": float, "flag": bool}


def takes_settings(
    wanted: Callable[[Setting], bool] = lambda _: True,
) -> Callable[[Endpoint], Endpoint]:
    """Gives a function a parameter for each setting that is ``wanted``, instead of its ``**given``.

    Those that are required stand before the parameters with a default, the others at the end; each
    has a line among the Args of the function's text, which is what callers read.
    """

    def decorate(function: Endpoint) -> Endpoint:
        rows = tuple(row for row in SETTINGS if wanted(row))
        signature = _signature(function, rows)

        def named(args: tuple[Any, ...], more: dict[str, Any]) -> dict[str, Any]:
            arguments = signature.bind(*args, **more)
            arguments.apply_defaults()
            return arguments.arguments

        @wraps(function)
        def at_once(*args: Any, **more: Any) -> Any:
            return function(**named(args, more))

        @wraps(function)
        async def awaited(*args: Any, **more: Any) -> Any:
            return await function(**named(args, more))

        endpoint: Any = awaited if inspect.iscoroutinefunction(function) else at_once
        endpoint.__signature__ = signature
        endpoint.__annotations__ = {
            **{name: each.annotation for name, each in signature.parameters.items()},
            "return": signature.return_annotation,
        }
        endpoint.__doc__ = _text(function, rows)
        return endpoint  # type: ignore[no-any-return]

    return decorate


def checked(given: dict[str, Any]) -> dict[str, Any]:
    """What a caller gave, texts held to a sane length before anything reads them.

    Raises:
        InputError: a text is none, or too long.
    """
    rows = {row.key: row for row in SETTINGS if row.kind == "text"}
    return {
        key: text(rows[key].part, value, rows[key].longest)
        if key in rows and value is not None
        else value
        for key, value in given.items()
    }


def _signature(function: Endpoint, rows: tuple[Setting, ...]) -> inspect.Signature:
    own = inspect.signature(function)
    known = [each for each in own.parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
    made = [_parameter(row) for row in rows]
    every = [*known, *made]
    needed = [each for each in every if each.default is Parameter.empty]
    others = [each for each in every if each.default is not Parameter.empty]
    return own.replace(parameters=[*needed, *others])


def _parameter(row: Setting) -> Parameter:
    kind = _TYPES[row.kind]
    if row.required:
        return Parameter(row.key, Parameter.POSITIONAL_OR_KEYWORD, annotation=kind)
    # Of a setting that goes with another the default is only meant where that one is given.
    default = None if row.optional else row.default
    annotation = kind | None if default is None else kind
    return Parameter(
        row.key, Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation
    )


def _text(function: Endpoint, rows: tuple[Setting, ...]) -> str:
    """The function's own text with a line for each row at the end of its Args."""
    before, returns, after = inspect.getdoc(function).partition("\n\nReturns:")  # type: ignore[union-attr]
    lines = [f"    {row.key}: {_about(row)}" for row in rows]
    return "\n".join([before, *lines]) + returns + after


def _about(row: Setting) -> str:
    left_out = "; the model's default if left out." if row.from_model else "."
    return row.about.removesuffix(".") + left_out
