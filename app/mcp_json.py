"""Answers of the MCP tools as JSON; Gradio would write them as Python's ``repr``."""

from __future__ import annotations

import json
from typing import Any


def answer_in_json() -> None:
    """Make the MCP server that Gradio starts next write dicts as JSON.

    Gradio 6.31 has no setting for it: ``str(output)`` is all that becomes of a dict, with ``None``
    and single quotes that no JSON reader takes. Needs the ``mcp`` package.
    """
    import gradio.mcp as gradio_mcp

    if issubclass(gradio_mcp.GradioMCPServer, _Json):
        return
    plain = gradio_mcp.GradioMCPServer

    class JsonMCPServer(_Json, plain):  # type: ignore[misc, valid-type]
        """Gradio's server with our way of writing dicts."""

    gradio_mcp.GradioMCPServer = JsonMCPServer


class _Json:
    """Mixed into Gradio's server."""

    types: Any

    def postprocess_output_data(self, data: Any, root_url: str) -> list[Any]:
        """One text part per output."""
        parts: list[Any] = []
        for output in data:
            if isinstance(output, dict) and "meta" not in output:  # files have a meta
                text = json.dumps(output, ensure_ascii=False, allow_nan=False)
                parts.append(self.types.TextContent(type="text", text=text))
            else:
                parts.extend(super().postprocess_output_data([output], root_url))  # type: ignore[misc]
        return parts
