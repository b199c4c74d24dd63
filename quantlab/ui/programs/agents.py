"""Tools for agents that speak MCP: what they are asked, and answer, in this page's own words.

Gradio makes the tools of the page's functions and hands calls on. What is wrong with a call it says
in words for who has its own page of the API at hand, or in those of JSON's schemas, which name no
argument; and it answers with ``str()``, which of a dict is Python and not JSON.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from types import MethodType
from typing import Any
from urllib.parse import quote

from quantlab.errors import InputError
from quantlab.words.numbers import show

__all__ = ["speak_plainly"]


def speak_plainly(server: Any) -> None:
    """Have Gradio's MCP server refuse and answer as the page's functions do elsewhere."""
    server._prepare_tool_call_args = MethodType(_asked, server)
    server.postprocess_output_data = MethodType(_answer, server)
    # Values are read by the functions themselves, which name the argument and what is allowed.
    server.mcp_server._get_cached_tool_definition = _no_schema


async def _no_schema(name: str) -> None:
    """What the values of a tool are held against before it is called: nothing."""


def _asked(server: Any, name: str, arguments: dict[str, Any]) -> Any:
    """A call as Gradio makes it.

    Raises:
        InputError: there is no such tool, or the names of the values are not those that it takes.
    """
    tools = server.tool_to_endpoint
    if name not in tools:
        raise InputError("tool", f"there is no {show(name)}; there are {', '.join(tools)}")
    rows = server.api_info["named_endpoints"][tools[name]]["parameters"]
    known = {row["parameter_name"]: row["parameter_has_default"] for row in rows}
    for given in arguments:
        if given not in known:
            raise InputError(name, f"takes no {show(given)}; it takes {', '.join(known)}")
    for part, has_default in known.items():
        if part not in arguments and not has_default:
            raise InputError(part, f"is missing; {name} needs it")
    return type(server)._prepare_tool_call_args(server, name, arguments)


def _answer(server: Any, data: list[Any], root_url: str) -> list[Any]:
    """A tool's values as JSON text, then the images whose addresses the text gives."""
    files: list[Path] = []
    plain = [_plain(value, root_url, files) for value in data]
    texts = [json.dumps(value, ensure_ascii=False) for value in plain]
    content = [server.types.TextContent(type="text", text=text) for text in texts]
    for file in files:
        encoded = base64.b64encode(file.read_bytes()).decode()
        image = server.types.ImageContent(type="image", data=encoded, mimeType="image/png")
        content.append(image)
    return content


def _plain(value: Any, root_url: str, files: list[Path]) -> Any:
    """``value`` with the address of each file that Gradio serves instead of its description."""
    if isinstance(value, Mapping):
        meta = value.get("meta")
        if isinstance(meta, Mapping) and meta.get("_type") == "gradio.FileData":
            files.append(Path(value["path"]))
            return f"{root_url.rstrip('/')}/gradio_api/file={quote(value['path'])}"
        return {key: _plain(item, root_url, files) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, root_url, files) for item in value]
    return value
