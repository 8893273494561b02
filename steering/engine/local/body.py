"""Fields of the OpenAI requests that the local engine carries out; every other one is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

NO_EFFECT = frozenset({"cache_salt", "metadata", "prompt_cache_key", "safety_identifier", "store", "user"})
"""Fields that cannot change an answer here: they are accepted with any value."""

NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "bad_words": ([],),
    "best_of": (1,),
    "echo": (False,),
    "include_reasoning": (True,),
    "length_penalty": (1.0,),
    "parallel_tool_calls": (True, False),
    "priority": (0,),
    "response_format": ({"type": "text"},),
    "return_token_ids": (False,),
    "return_tokens_as_token_ids": (False,),
    "service_tier": ("auto", "default"),
    "spaces_between_special_tokens": (True,),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "use_beam_search": (False,),
}
"""Fields that are not implemented, with the values under which they ask for nothing."""

MAX_CHOICES = 64


class RequestError(ValueError):
    """A request that the engine refuses. `status` is the HTTP status, `kind` the OpenAI error type."""

    def __init__(
        self, message: str, param: str | None = None, status: int = 400, kind: str = "BadRequestError"
    ) -> None:
        super().__init__(message)
        self.param, self.status, self.kind = param, status, kind


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False
    continuous_usage_stats: Literal[False] = False


class _Common(BaseModel):
    """Fields of both routes, with the bounds of the OpenAI API."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=100, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1)
    min_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    repetition_penalty: float | None = Field(None, gt=0, le=100)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    logit_bias: dict[int, Annotated[float, Field(ge=-100, le=100)]] = {}
    allowed_token_ids: list[int] | None = Field(None, min_length=1)
    stop: Annotated[str, Field(min_length=1)] | list[Annotated[str, Field(min_length=1)]] = []
    stop_token_ids: list[int] = []
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    min_tokens: int = Field(0, ge=0)
    skip_special_tokens: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> _Common:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream=true")
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise ValueError("min_tokens is larger than max_tokens")
        return self


class ChatBody(_Common):
    """Body of `/v1/chat/completions`."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=20)
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    chat_template_kwargs: dict[str, Any] = {}

    @model_validator(mode="after")
    def _chat(self) -> ChatBody:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs=true")
        if self.continue_final_message and self.add_generation_prompt:
            raise ValueError("continue_final_message needs add_generation_prompt=false")
        return self


class CompletionBody(_Common):
    """Body of `/v1/completions`."""

    prompt: str | list[int] | list[str] | list[list[int]]
    logprobs: int | None = Field(None, ge=0, le=20)
    add_special_tokens: bool = True


def supported(body: Mapping[str, Any]) -> dict[str, Any]:
    """The given fields; null means not given. Raises `RequestError` for one that would have to be ignored."""
    fields = {}
    for name, value in body.items():
        if value is None or name in NO_EFFECT:
            continue
        if name in NEUTRAL:
            if value not in NEUTRAL[name]:
                raise RequestError(f"{name} is not supported by the local engine; serve the model with vLLM", name)
        elif name not in ChatBody.model_fields and name not in CompletionBody.model_fields:
            raise RequestError(f"{name} is not supported by the local engine", name)
        else:
            fields[name] = value
    return fields


Body = TypeVar("Body", bound=BaseModel)


def validated(kind: type[Body], fields: Mapping[str, Any]) -> Body:
    """Fields as a model. Raises `RequestError` that names the first one that does not fit."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise RequestError(f"{where}: {first['msg']}" if where else first["msg"], where or None) from None
