"""Body of an OpenAI request -> what the local engine has to do: token ids, masked spans, sampling settings."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steering.engine.local.body import ChatBody, CompletionBody, RequestError, supported, validated
from steering.engine.local.generate import Sampling
from steering.engine.local.model import LocalModel
from steering.engine.mask import CharSpan, TemplateError, mark, pick_marks, unmark
from steering.engine.order import Order
from steering.engine.prompts import check_windows, decode, find_prompts, whole_spans, window_spans

Prepared = tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]
"""Token ids of all prompts, and the spans of a `Job`."""


@dataclass(frozen=True, slots=True)
class Job:
    """A request, ready to run. Choice number i of the answer belongs to prompt `i // n`.

    `spans` has the flat spans of the tokens to corrupt for every prompt of a flagged request, none for a prompt that
    runs unedited. It is empty for an unflagged request.
    """

    chat: bool
    prompts: tuple[tuple[int, ...], ...]
    sampling: Sampling
    n: int
    stream: bool
    include_usage: bool
    spans: tuple[tuple[int, ...], ...] = ()


def parse_job(body: Mapping[str, Any], model: LocalModel, *, chat: bool, order: Order | None = None) -> Job:
    """Validate a body, tokenise its prompts and find what the order masks. Raises `RequestError` and `MaskError`."""
    fields = supported(body)
    request = validated(ChatBody, fields) if chat else validated(CompletionBody, fields)
    check_model(request.model, model)
    if isinstance(request, ChatBody):
        prompts, spans = _chat_prompt(request, model, fields, order)
    else:
        prompts, spans = _completion_prompts(request, model, order)
    longest = max(map(len, prompts))
    sampling = _sampling(request, model, longest)
    usage = request.stream_options is not None and request.stream_options.include_usage
    return Job(chat, prompts, sampling, request.n, request.stream, usage, spans)


def check_model(name: str | None, model: LocalModel) -> None:
    """Raise `RequestError` (404) for another model than the served one."""
    if name not in (None, model.name):
        raise RequestError(f"the model `{name}` does not exist", "model", 404, "NotFoundError")


def parse_tokenize(body: Mapping[str, Any], model: LocalModel) -> list[int]:
    """Token ids for the body of `/tokenize`: a `prompt`, or `messages`. Raises `RequestError`."""
    check_model(body.get("model"), model)
    text, special = body.get("prompt"), body.get("add_special_tokens", "messages" not in body)
    if "messages" in body:
        taken = ("add_generation_prompt", "continue_final_message", "messages")
        known = {name: value for name, value in body.items() if name in taken}
        text = render(body["messages"], model, validated(ChatBody, known))
    if not isinstance(text, str):
        raise RequestError("prompt must be a string, or messages must be given", "prompt")
    ids: list[int] = model.tokenizer(text, add_special_tokens=bool(special))["input_ids"]
    return ids


def render(messages: Sequence[Mapping[str, Any]], model: LocalModel, request: ChatBody) -> str:
    """Apply the chat template. Content that is a list of text parts is joined by line breaks, as vLLM does.

    Raises `RequestError`.
    """
    reserved = inspect.signature(model.tokenizer.apply_chat_template).parameters.keys()
    if taken := sorted(reserved & request.chat_template_kwargs.keys()):
        raise RequestError(f"not a variable of the chat template: {', '.join(taken)}", "chat_template_kwargs")
    turns = [{**message, "content": _flat(message.get("content"), i)} for i, message in enumerate(messages)]
    try:
        text: str = model.tokenizer.apply_chat_template(
            turns,
            tokenize=False,
            add_generation_prompt=request.add_generation_prompt,
            continue_final_message=request.continue_final_message,
            **request.chat_template_kwargs,
        )
    except Exception as error:  # templates are programs: jinja2 and what they call raise anything
        raise RequestError(f"the chat template refused the messages: {error}", "messages") from error
    return text


def _flat(content: Any, index: int) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list) and all(isinstance(p, dict) and isinstance(p.get("text"), str) for p in content):
        return "\n".join(part["text"] for part in content)
    raise RequestError("only text content is supported by the local engine", f"messages.{index}.content")


def _chat_prompt(request: ChatBody, model: LocalModel, fields: Mapping[str, Any], order: Order | None) -> Prepared:
    text = render(request.messages, model, request)
    encoded = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=order is not None)
    ids = tuple(encoded["input_ids"])
    _check_ids([ids], model, "messages")
    if order is None:
        return (ids,), ()
    # the last token is the template's, unless the client's own words are gone on with
    whole = ((ids,), (tuple(whole_spans(len(ids), templated=not request.continue_final_message)),))
    if order.mask == "prompt":
        return whole
    marks = pick_marks(fields)
    marked = mark(fields, order.windows, marks)
    try:
        clean, windows = unmark(render(marked["messages"], model, request), marks)
    except TemplateError:
        return whole
    if clean != text or not windows:
        # The template drops the windows, or writes something else around marks. A refusal would tell the client that
        # the request was flagged, so everything is masked instead.
        return whole
    return (ids,), (tuple(window_spans(encoded["offset_mapping"], windows)),)


def _completion_prompts(request: CompletionBody, model: LocalModel, order: Order | None) -> Prepared:
    items: list[Any] = request.prompt if isinstance(request.prompt, list) else [request.prompt]
    if items and isinstance(items[0], int):
        items = [items]
    offsets: list[list[CharSpan] | None] = []
    prompts: list[tuple[int, ...]] = []
    for item in items:
        if isinstance(item, str):
            special = request.add_special_tokens
            encoded = model.tokenizer(item, add_special_tokens=special, return_offsets_mapping=order is not None)
            prompts.append(tuple(encoded["input_ids"]))
            offsets.append(encoded.get("offset_mapping"))
        else:
            prompts.append(tuple(item))
            offsets.append(None)
    _check_ids(prompts, model, "prompt")
    if order is None:
        return tuple(prompts), ()
    found = find_prompts(request.prompt, order)
    if order.mask == "prompt":
        return tuple(prompts), tuple(tuple(whole_spans(len(ids), templated=False)) for ids in prompts)
    spans: list[tuple[int, ...]] = []
    for ids, known, (_, windows) in zip(prompts, offsets, found, strict=True):
        places = known
        if places is None:
            text, places = decode(model.tokenizer, ids)
            check_windows(text, windows)
        spans.append(tuple(window_spans(places, windows)))
    return tuple(prompts), tuple(spans)


def _check_ids(prompts: Sequence[Sequence[int]], model: LocalModel, param: str) -> None:
    if not prompts or not all(prompts):
        raise RequestError("the prompt has no tokens", param)
    if any(not 0 <= i < model.vocabulary for ids in prompts for i in ids):
        raise RequestError(f"a token id lies outside of the vocabulary [0, {model.vocabulary})", param)


def _sampling(request: ChatBody | CompletionBody, model: LocalModel, longest: int) -> Sampling:
    """Sampling settings; what the request leaves open comes from the model's generation_config.json."""
    room = model.context - longest
    limit = request.max_tokens
    if isinstance(request, ChatBody):
        limit = request.max_completion_tokens or limit or room
        logprobs = request.top_logprobs if request.logprobs else None
    else:
        limit, logprobs = limit or 16, request.logprobs
    if room < 1 or limit > room:
        raise RequestError(
            f"the model's context holds {model.context} tokens, but the prompt has {longest} and max_tokens is {limit}",
            "messages" if isinstance(request, ChatBody) else "prompt",
        )
    ids = [*request.logit_bias, *(request.allowed_token_ids or ()), *request.stop_token_ids]
    if any(not 0 <= i < model.vocabulary for i in ids):
        raise RequestError(f"logit_bias, allowed_token_ids and stop_token_ids lie in [0, {model.vocabulary})")
    default = model.defaults
    temperature = default.get("temperature", 1.0) if request.temperature is None else request.temperature
    if request.n > 1 and not temperature:
        raise RequestError("n must be 1 when temperature is 0: all choices would be the same", "n")
    top_k = default.get("top_k", 0) if request.top_k is None else request.top_k
    return Sampling(
        max_tokens=limit,
        temperature=temperature,
        top_p=default.get("top_p", 1.0) if request.top_p is None else request.top_p,
        top_k=max(0, top_k),
        min_p=default.get("min_p", 0.0) if request.min_p is None else request.min_p,
        seed=request.seed,
        repetition_penalty=request.repetition_penalty or default.get("repetition_penalty", 1.0),
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        logit_bias=request.logit_bias,
        allowed=tuple(request.allowed_token_ids) if request.allowed_token_ids is not None else None,
        stop=(request.stop,) if isinstance(request.stop, str) else tuple(request.stop),
        stop_ids=frozenset(request.stop_token_ids),
        eos=model.eos,
        ignore_eos=request.ignore_eos,
        min_tokens=request.min_tokens,
        include_stop=request.include_stop_str_in_output,
        skip_special=request.skip_special_tokens,
        logprobs=logprobs,
    )
