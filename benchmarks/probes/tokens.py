"""Placeholders of a body for what only a tokenizer knows, and their replacement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Encode = Callable[[str], list[int]]
"""Text -> token ids, without special tokens added."""
Render = Callable[[Sequence[Mapping[str, Any]]], str]
"""Messages -> the chat template's text, the last message (of the assistant) left open to be continued."""

PROMPT = "prompt_text"
"""A text or a list of texts that is sent as `prompt` in token ids."""
RENDERED = "prompt_messages"
"""Messages that are sent as `prompt`, rendered by the chat template."""
IDS = "token_ids_text"
"""A text that is sent as `token_ids`."""
BIAS = "logit_bias_text"
"""Text -> bias of its first token, sent as `logit_bias`."""
ALLOWED = "allowed_token_ids_text"
"""Texts of which all tokens are sent as `allowed_token_ids`."""
SCORED = "logprob_token_ids_text"
"""Texts of which the first tokens are sent as `logprob_token_ids`."""


@dataclass(frozen=True, slots=True)
class Wording:
    """Tokeniser and chat template of a model, for probes that send what only these know."""

    encode: Encode
    render: Render

    @classmethod
    def load(cls, model: Path) -> Wording:
        """Read the tokeniser of a model folder."""
        from transformers import AutoTokenizer  # noqa: PLC0415 - heavy

        tokenizer: Any = AutoTokenizer.from_pretrained(model)

        def encode(text: str) -> list[int]:
            return list(tokenizer(text, add_special_tokens=False)["input_ids"])

        def render(messages: Sequence[Mapping[str, Any]]) -> str:
            return str(tokenizer.apply_chat_template(messages, tokenize=False, continue_final_message=True))

        return cls(encode, render)


def filled(body: Mapping[str, Any], encode: Encode, render: Render) -> dict[str, Any]:
    """The body as it is sent, every placeholder replaced; a body without any comes back equal.

    Raises ValueError where a text that stands for a token is empty for the tokenizer.
    """
    out: dict[str, Any] = {}
    for key, value in body.items():
        match key:
            case "prompt_text":
                out["prompt"] = encode(value) if isinstance(value, str) else [encode(text) for text in value]
            case "prompt_messages":
                out["prompt"] = render(value)
            case "token_ids_text":
                out["token_ids"] = encode(value)
            case "logit_bias_text":
                out["logit_bias"] = {str(_first(text, encode)): bias for text, bias in value.items()}
            case "allowed_token_ids_text":
                out["allowed_token_ids"] = sorted({token for text in value for token in encode(text)})
            case "logprob_token_ids_text":
                out["logprob_token_ids"] = sorted({_first(text, encode) for text in value})
            case _:
                out[key] = value
    return out


def _first(text: str, encode: Encode) -> int:
    ids = encode(text)
    if not ids:
        raise ValueError(f"the tokenizer makes no token of {text!r}; it cannot be biased or scored")
    return ids[0]
