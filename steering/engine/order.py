"""The `lethe` object of a flagged request, validated: what the gateway orders and the engine carries out."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from steering.plan import MAX_WINDOWS, PROGRAM_NAME
from steering.spec import Mask

REFUSED_FIELDS = (
    "add_special_tokens",
    "echo",
    "ec_transfer_params",
    "kv_transfer_params",
    "prompt_embeds",
    "prompt_logprobs",
    "return_token_offsets",
    "truncate_prompt_tokens",
    "truncation_side",
    "use_beam_search",
    "vllm_xargs",
)
"""Second line of defence behind the gateway: fields that would move, bypass or reveal the intervention."""


class OrderError(ValueError):
    """A flagged request that is malformed; the text says where."""


Window = Annotated[tuple[int, int], Field(description="[start, end) in characters.")]


class Order(BaseModel):
    """What is done with one flagged request; mirrors `steering.plan.Intervention`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    program: str = Field(pattern=PROGRAM_NAME)
    dose: float = Field(gt=0, le=16, allow_inf_nan=False)
    mask: Mask
    windows: dict[str, list[Window]]

    def whole(self) -> Order:
        """The same order over the whole prompt, for a template that does not carry the windows literally."""
        return self.model_copy(update={"mask": "prompt", "windows": {}})

    @model_validator(mode="after")
    def _windows(self) -> Order:
        if sum(map(len, self.windows.values())) > MAX_WINDOWS:
            raise ValueError(f"more than {MAX_WINDOWS} windows")
        if not any(self.windows.values()) and self.mask != "prompt":
            raise ValueError("a flagged request needs at least one window")
        return self


def take_order(body: dict[str, Any]) -> tuple[dict[str, Any], Order]:
    """Split a flagged body into the plain request and its order. Raises `OrderError`."""
    present = [name for name in REFUSED_FIELDS if body.get(name) not in (None, False)]
    if present:
        raise OrderError(f"not allowed on a flagged request: {', '.join(present)}")
    if not body.get("cache_salt"):
        raise OrderError("a flagged request needs a cache_salt")
    rest = {name: value for name, value in body.items() if name != "lethe"}
    try:
        return rest, Order.model_validate(body.get("lethe"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, ("lethe", *first["loc"])))
        raise OrderError(f"{where}: {first['msg']}") from None
