"""Renders a flagged request once with bracketed windows, through vLLM's own renderer, to find them in the prompt."""

from __future__ import annotations

from typing import Any

from steering.engine.mask import CharSpan, MaskError, mark, pick_marks, unmark
from steering.engine.order import Order

Prompt = tuple[str, list[CharSpan]]


async def mark_chat(state: Any, body: dict[str, Any], order: Order) -> list[Prompt | None]:
    """The rendered chat prompt and the windows in it. Raises `MaskError`; ValueError for a body vLLM would refuse."""
    from vllm.entrypoints.openai.chat_completion.protocol import (  # noqa: PLC0415 - runs inside vLLM only
        ChatCompletionRequest,
    )
    from vllm.renderers import merge_kwargs  # noqa: PLC0415

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
    if not spans:
        raise MaskError("the chat template drops every flagged window")
    return [(text, spans)]


def mark_completion(body: dict[str, Any], order: Order) -> list[Prompt | None]:
    """Prompts of a completions request with their windows; token-id prompts (None) are resolved at admission."""
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        prompts: list[Any] = [prompt]
    elif isinstance(prompt, list) and prompt and all(isinstance(p, int) for p in prompt):
        prompts = [prompt]
    elif isinstance(prompt, list) and prompt:
        prompts = prompt
    else:
        raise MaskError("prompt must be a string, token ids, or a list of these")
    single = len(prompts) == 1 and prompts[0] is prompt
    out: list[Prompt | None] = []
    marks = pick_marks({"prompt": prompt})
    for i, item in enumerate(prompts):
        pointer = "/prompt" if single or prompts is not prompt else f"/prompt/{i}"
        if isinstance(item, str):
            holder = {"prompt": item}
            windows = {"/prompt": order.windows.get(pointer, [])}
            out.append(unmark(mark(holder, windows, marks)["prompt"], marks))
        else:
            out.append(None)
    return out
