"""Renders a flagged request once with bracketed windows, through vLLM's own renderer, to find them in the prompt."""

from __future__ import annotations

from typing import Any

from steering.engine.mask import TemplateError, mark, pick_marks, unmark
from steering.engine.order import Order
from steering.engine.prompts import Prompt


async def mark_chat(state: Any, body: dict[str, Any], order: Order) -> list[Prompt]:
    """The rendered chat prompt and the windows in it. Raises `MaskError`; ValueError for a body vLLM would refuse."""
    from vllm.entrypoints.openai.chat_completion.protocol import (  # noqa: PLC0415 - runs inside vLLM only
        ChatCompletionRequest,
    )
    from vllm.renderers import merge_kwargs  # noqa: PLC0415 - see above

    marks = pick_marks(body)
    request = ChatCompletionRequest(**mark(body, order.windows, marks))
    renderer = state.online_renderer
    tools = None
    if request.tools is not None:
        left_out = request.tool_choice == "none" and renderer.exclude_tools_when_tool_choice_none
        tools = None if left_out else [tool.model_dump() for tool in request.tools]
    defaults = merge_kwargs(renderer.default_chat_template_kwargs, {"tools": tools, "tokenize": False})
    params = request.build_chat_params(renderer.chat_template, renderer.chat_template_content_format)
    _, prompt = await renderer.renderer.render_messages_async(request.messages, params.with_defaults(defaults))
    text, spans = unmark(prompt["prompt"], marks)
    if not spans and order.mask != "prompt":
        raise TemplateError("the chat template drops every flagged window")
    return [(text, spans)]
