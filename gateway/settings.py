"""All settings of the gateway: one tree, read from `lethe.yaml` and `LETHE_*`; the environment wins.

`LETHE_UPSTREAM__URL` sets `upstream.url`. Unknown keys are errors. `lethe check` explains every mistake at once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from steering.bundle import BundleError, parse_key
from steering.fence import MIN_KEY_BYTES

DEFAULT_FILE = Path("lethe.yaml")
OPENABLE_ALWAYS = (
    "add_generation_prompt",
    "logprob_token_ids",
    "prediction",
    "return_prompt_text",
    "return_token_ids",
    "return_tokens_as_token_ids",
    "suffix",
)
OPENABLE_WITHOUT_POLICIES = ("echo", "prompt_logprobs", "use_beam_search")
"""An engine refuses these on a flagged request, so that opening them would tell the client that a rule fired."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Listen(_Part):
    """Where the gateway listens."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all interfaces.")
    port: int = Field(8080, ge=0, le=65535, description="TCP port; 0 lets the system choose.")


class Timeouts(_Part):
    """Patience with the upstream, in seconds."""

    connect: float = Field(5.0, gt=0, description="Until a connection is there.")
    first_byte: float = Field(
        600.0, gt=0, description="Until the answer begins; an answer that is not streamed begins when it is complete."
    )
    between_bytes: float = Field(120.0, gt=0, description="Between two pieces of an answer.")


class UpstreamSettings(_Part):
    """The engine, or any OpenAI-compatible server while there are no policies."""

    url: AnyHttpUrl = Field(AnyHttpUrl("http://127.0.0.1:8000"), description="Base address without /v1.")
    engine_key: SecretStr | None = Field(
        None,
        description="Key shared with the engine, at least 16 bytes; also LETHE_ENGINE_KEY. Needed as soon as there are "
        "policies that intervene.",
    )
    timeouts: Timeouts = Field(Timeouts(), description="Patience with the upstream.")

    @field_validator("engine_key")
    @classmethod
    def _long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value().encode()) < MIN_KEY_BYTES:
            raise ValueError(f"must have at least {MIN_KEY_BYTES} bytes; `lethe keygen` prints a fresh one")
        return key

    @field_validator("url")
    @classmethod
    def _base_only(cls, url: AnyHttpUrl) -> AnyHttpUrl:
        if (url.path or "/") != "/" or url.query or url.username:
            raise ValueError("give scheme, host and port only, e.g. http://127.0.0.1:8000; routes are added to it")
        return url

    @property
    def base(self) -> str:
        """The address without a trailing slash."""
        return str(self.url).rstrip("/")


class KeySettings(_Part):
    """One API key. The file holds its hash only."""

    tenant: str = Field(
        pattern=r"^[A-Za-z0-9._-]{1,64}$", description="Whose key it is; appears in audit records and separates caches."
    )
    sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the key, as printed by `lethe keygen --tenant NAME`."
    )
    role: Literal["client", "operator"] = Field(
        "client", description="client: may use the models. operator: may read /metrics, which show when a rule fires."
    )


class GuardSettings(_Part):
    """How the guards decide."""

    alpha: float = Field(
        0.001,
        gt=0,
        lt=1,
        description="Target for the share of harmless requests that any policy flags, over all active policies.",
    )
    samples: Path | None = Field(
        None,
        description="JSON lines of harmless requests of your own traffic, {'text': ...} or {'messages': [...]}, read "
        "at start: the target then holds for them as well. At least 1/alpha of them, twice as many with `second`, none "
        "about what is forgotten.",
    )
    second: str | None = Field(
        None,
        pattern=r"^(minilm|sentence-transformers|hidden):.+$",
        description="A second encoder, minilm:FOLDER, sentence-transformers:FOLDER, or hidden:FOLDER for the hidden "
        "states of a language model. It reads short requests that are nearly flagged once more, for policies that were "
        "compiled with it (`lethe compile --second`): more subjects that are only described are recognised. Costs "
        "milliseconds in one request of twenty, and half of alpha.",
    )
    inline_chars: int = Field(
        4096,
        ge=0,
        description="Requests with more text than this are scanned outside of the event loop; all with `second`.",
    )


class Limits(_Part):
    """Bounds of a request."""

    max_body_bytes: int = Field(8 * 1024 * 1024, ge=1024, description="Largest request body in bytes.")
    max_depth: int = Field(64, ge=8, le=512, description="Deepest nesting of a request body.")


class AuditSettings(_Part):
    """The audit log."""

    path: Path | None = Field(None, description="JSON lines file that records are appended to; left out: no audit log.")


class Settings(BaseSettings):
    """The whole tree. Keyword arguments are what the file says; environment variables win over them."""

    model_config = SettingsConfigDict(
        env_prefix="LETHE_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    listen: Listen = Field(Listen(), description="Where the gateway listens.")
    upstream: UpstreamSettings = Field(UpstreamSettings(), description="The engine behind the gateway.")
    keys: tuple[KeySettings, ...] = Field((), description="API keys; `lethe keygen` prints one with its hash.")
    allow_anonymous: bool = Field(
        False,
        description="Serve everybody as tenant `anonymous` when no client key is configured. For tests at a desk.",
    )
    bundles: tuple[Path, ...] = Field((), description="Folders written by `lethe compile`, one per policy.")
    bundle_key: SecretStr | None = Field(
        None, description="LETHE_BUNDLE_KEY, 64 hexadecimal digits: opens the bundles. Keep it out of the file."
    )
    salt_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="Secret of the prefix-cache salts. Left out: random at every start, so that the engine's prefix "
        "cache is cold after a restart; gateways that share an engine should share it.",
    )
    guard: GuardSettings = Field(GuardSettings(), description="How the guards decide.")
    limits: Limits = Field(Limits(), description="Bounds of a request.")
    audit: AuditSettings = Field(AuditSettings(), description="The audit log.")
    allow_fields: frozenset[
        Literal[
            "add_generation_prompt",
            "logprob_token_ids",
            "prediction",
            "return_prompt_text",
            "return_token_ids",
            "return_tokens_as_token_ids",
            "suffix",
            "echo",
            "prompt_logprobs",
            "use_beam_search",
        ]
    ] = Field(
        frozenset(),
        description="Request fields that are refused unless named here. echo, prompt_logprobs and use_beam_search can "
        "be opened only while there are no bundles.",
    )

    @field_validator("bundle_key")
    @classmethod
    def _readable(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            try:
                parse_key(key.get_secret_value())
            except BundleError as error:
                raise ValueError(str(error)) from None
        return key

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        problems = []
        clients = [key for key in self.keys if key.role == "client"]
        if clients and self.allow_anonymous:
            problems.append("allow_anonymous: must be false while client keys are configured")
        if not clients and not self.allow_anonymous:
            problems.append(
                "keys: no client key is configured; add one (`lethe keygen --tenant NAME`) or set allow_anonymous: true"
            )
        if len({key.sha256 for key in self.keys}) != len(self.keys):
            problems.append("keys: the same sha256 is listed twice")
        closed = sorted(self.allow_fields.intersection(OPENABLE_WITHOUT_POLICIES))
        if self.bundles and closed:
            problems.append(f"allow_fields: {', '.join(closed)} can be opened only while there are no bundles")
        if self.bundles and self.bundle_key is None:
            problems.append("bundle_key: there are bundles, so LETHE_BUNDLE_KEY is needed")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then the file; there are no other sources."""
        return env_settings, init_settings


def read_file(path: Path) -> dict[str, Any]:
    """Content of a settings file. Raises `OSError`, `yaml.YAMLError`, or `ValueError` if it is not a mapping."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ValueError(f"{path} must hold a mapping of settings, not a {type(data).__name__}")  # noqa: TRY004 - the content is wrong
    return {str(key): value for key, value in data.items()}


def with_plain_key(data: dict[str, Any]) -> dict[str, Any]:
    """Put `LETHE_ENGINE_KEY` in its place of the tree."""
    key = os.environ.get("LETHE_ENGINE_KEY")
    upstream = data.get("upstream") or {}
    if key is None or not isinstance(upstream, dict):
        return data
    return {**data, "upstream": {**upstream, "engine_key": key}}
