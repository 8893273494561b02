"""The forget policy: what must be forgotten, by which method, for whom, and what to do when in doubt."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from guards.spec import GuardSpec
from steering.spec import EcoSpec, MethodSpec


class Scope(BaseModel):
    """For which models and tenants a policy holds; `*` is everyone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = Field(("*",), description="Served model names.")
    tenants: tuple[str, ...] = Field(("*",), description="Tenant names of API keys.")

    def covers(self, model: str, tenant: str) -> bool:
        """Whether a request of this tenant to this model is in scope."""
        return ("*" in self.models or model in self.models) and ("*" in self.tenants or tenant in self.tenants)


class Rules(BaseModel):
    """Everything of a policy that the gateway needs at run time besides the guard and the program."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["off", "audit", "canary", "enforce"] = Field(
        "enforce", description="audit: decide and record only; canary: enforce for a share of requests."
    )
    canary_percent: float = Field(10.0, gt=0, le=100, description="Share of requests enforced in mode canary.")
    response: Literal["ignorance", "refusal"] = Field(
        "ignorance",
        description="ignorance: answer under the intervention; refusal: a fixed refusal, which tells the client that "
        "a rule fired.",
    )
    unscannable: Literal["refuse", "pass"] = Field("refuse", description="Images, audio and other unreadable content.")
    on_error: Literal["closed", "open"] = Field(
        "closed", description="closed: a request whose guard failed is not answered; open: it is answered unsteered."
    )
    on_context: Literal["block", "allow_user_provided"] = Field(
        "block",
        description="block: facts that the user supplies are forgotten as well. allow_user_provided: the output guard "
        "lets an answer repeat what one text of the request says of a subject; a request that names the subject is "
        "flagged as before.",
    )
    output: Literal["off", "enforce", "stream"] = Field(
        "off",
        description="enforce: every answer of the models in scope is held back as a whole, streams too, and looked "
        "through; one that tells a forgotten value is asked for again under the intervention. Clients of a stream wait "
        "for the whole answer. stream: the same, but plain streams (one chat answer of text; no tools, grammar, stop "
        "strings, penalties or log-probabilities) leave some words behind the look; what was said before a value is "
        "then gone on with. A value that was said before its subject may have left when the subject comes, which then "
        "does not leave. One policy with enforce holds back the streams of all.",
    )
    scope: Scope = Scope()
    expires: date | None = Field(None, description="The policy is inactive from this day on.")


class ForgetPolicy(BaseModel):
    """A policy file (YAML)."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    api_version: Literal["lethe/v1"] = Field("lethe/v1", alias="apiVersion")
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="Name for its owner; encrypted in the bundle.")
    version: int = Field(1, ge=1, description="Raised by the owner with every change; never used twice.")
    number: str | None = Field(
        None,
        pattern=r"^[0-9]{6,12}$",
        description="Opaque number in logs, metrics and file names. Left out: drawn at random by `lethe compile`.",
    )
    owner: str = ""
    reason: str = ""
    guard: GuardSpec
    method: MethodSpec = EcoSpec()
    rules: Rules = Rules()


def load_policy(path: Path) -> ForgetPolicy:
    """Read a policy file. Raises `pydantic.ValidationError`, `OSError` or `yaml.YAMLError`."""
    return ForgetPolicy.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
