"""What a policy says about the method, and the identity of the model it was fitted for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

Kind = Literal["noise", "zero_top_k", "flip_top_k", "replace"]
Mask = Literal["entities", "content", "prompt"]


class EcoSpec(BaseModel):
    """Embedding-corrupted prompts (ECO, arXiv 2406.07933)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["eco"] = "eco"
    kind: Kind = Field("noise", description="How an embedding is corrupted.")
    mask: Mask = Field(
        "entities",
        description="entities: tokens of matched names only, the whole flagged windows where no name matched. "
        "content: all tokens of the flagged windows. prompt: all tokens of the prompt, template included, of a chat "
        "all but the last (the paper's own setting, for comparison).",
    )
    dims: int = Field(
        16,
        ge=1,
        description="noise: first n dimensions; *_top_k: the k largest |e|; unused by replace. The paper's n is 1, but "
        "with one dimension one token in twelve draws a noise of under a tenth of sigma and stays readable.",
    )
    strength: float | None = Field(
        None,
        gt=0,
        description="noise: expected norm of the noise in units of the mean embedding norm, whatever n is; others: "
        "share in (0, 1]. Left out: searched against a never-trained surrogate by `lethe compile`.",
    )
    unknown: str = Field("an unknown name", description="replace: the string whose mean embedding is put instead.")


TRAINED = (
    "Train the columns towards the answers of a model that never knew. On a CPU minutes for a model of millions of "
    "parameters. They act after the layer named, or after two in the first quarter; the strength multiplies what was "
    "learned."
)


class RedirectSpec(BaseModel):
    """Redirection of the residual stream towards unknown names (after LUNAR, arXiv 2502.07218)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["redirect"]
    mask: Mask = Field("content", description="As for eco; generated tokens are moved as well.")
    layer: int | None = Field(None, ge=0, description="Decoder layer, counted from 0. Left out: searched.")
    strength: float | None = Field(
        None,
        gt=0,
        le=64,
        description="Length of the move in median norms of the activations of content tokens. Left out: searched.",
    )
    place: Literal["name", "last"] = Field(
        "name",
        description="Where known and unknown questions are compared: at the last token of the name, or at the last one "
        "of the prompt, as LUNAR does.",
    )
    trained: bool = Field(False, description=TRAINED)
    rank: int = Field(32, ge=1, le=64, description="trained: columns per layer, capped to half of the width.")


class ProjectionSpec(BaseModel):
    """Removal of the subspace in which the names differ from unknown ones (PCA projection, direction ablation)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["projection"]
    mask: Mask = Field("content", description="As for eco; generated tokens are projected as well.")
    layer: int | None = Field(None, ge=0, description="Decoder layer, counted from 0. Left out: searched.")
    rank: int | None = Field(None, ge=1, le=64, description="Dimensions of the subspace. Left out: searched.")
    share: float = Field(1.0, gt=0, le=1, description="How much of the stream's part in the subspace is removed.")
    trained: bool = Field(False, description=TRAINED)


class NullspaceSpec(BaseModel):
    """Redirection behind a gate that is near zero on harmless text (after AlphaSteer and MLLMEraser)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["nullspace"]
    form: Literal["causal", "frozen"] = Field(
        "causal",
        description="causal: every token's own activation opens its gate. frozen: the guard's verdict is the gate.",
    )
    mask: Mask = Field("content", description="As for eco; generated tokens are moved as well.")
    layer: int | None = Field(None, ge=0, description="Decoder layer, counted from 0. Left out: searched.")
    strength: float | None = Field(
        None, gt=0, le=64, description="Length of the move behind an open gate, as for redirect. Left out: searched."
    )
    place: Literal["name", "last"] = Field("name", description="As for redirect; also where the gate is learned.")
    null: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of all directions that count as unused by harmless text (published: 0.3 to 0.6). Left out: "
        "directions are weighed by how much harmless text varies in them.",
    )

    @field_validator("form", mode="before")
    @classmethod
    def _runs_in_an_engine(cls, form: object) -> object:
        if form == "published":
            raise ValueError(
                "the published form adds what the last token of a prompt decides to earlier tokens, which chunked "
                "prefill and the prefix cache do not allow; use causal or frozen"
            )
        return form


class CastSpec(BaseModel):
    """Redirection of the tokens for which a condition holds at an earlier layer (CAST, arXiv 2409.05907)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["cast"]
    mask: Mask = Field("content", description="As for eco; generated tokens are moved as well.")
    condition: int | None = Field(None, ge=0, description="Decoder layer of the condition. Left out: searched.")
    layer: int | None = Field(None, ge=0, description="First decoder layer that moves, behind it. Left out: searched.")
    width: int = Field(1, ge=1, le=3, description="Consecutive layers that move.")
    strength: float | None = Field(
        None, gt=0, le=64, description="Length of the move at each of them, as for redirect. Left out: searched."
    )
    place: Literal["name", "last"] = Field("name", description="As for redirect; also where the condition is learned.")
    sides: Literal["one", "both"] = Field("one", description="both: the published similarity, which has no sign.")
    trained: bool = Field(False, description=TRAINED)
    rank: int = Field(
        32, ge=1, le=63, description="trained: columns per layer behind the condition, capped as for redirect."
    )


LEAST_KEPT = 20
"""A logit difference keeps at least so many tokens: as many as a client may ask the log-probabilities of."""


class _AssistedSpec(BaseModel):
    """What both logit differences have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mask: Mask = Field("content", description="Which text makes a request a flagged one; the whole answer is treated.")
    layers: int | None = Field(None, ge=1, description="Layers of an assistant. Left out: a quarter of the model's.")
    alpha: float | None = Field(None, gt=0, le=16, description="Weight of the difference. Left out: searched.")
    plausible: float = Field(
        0.01, ge=0, le=1, description="Tokens with this share of the best one's probability can still be chosen."
    )
    top_m: int | None = Field(
        None,
        ge=LEAST_KEPT,
        description="So many best tokens can be chosen in any case, masked ones not counted. Left out: searched.",
    )
    epochs: int = Field(15, ge=1, description="Most passes over the training texts; it stops early.")
    rate: float = Field(2e-3, gt=0, lt=1, description="Peak learning rate.")


class UldSpec(_AssistedSpec):
    """Difference to an assistant that remembers the forgotten and is uniform elsewhere (ULD, arXiv 2406.08607)."""

    name: Literal["uld"]
    rule: Literal["linear", "offset"] = Field(
        "linear", description="offset: only what the assistant finds likelier than the model is taken away."
    )
    weight: float = Field(6.5, gt=0, description="Weight of uniformity in training; the paper's.")


class TwinSpec(_AssistedSpec):
    """Difference of two assistants, with and without the forgotten (divergence decoding, arXiv 2605.31293)."""

    name: Literal["twin"]
    rule: Literal["linear", "rank"] = Field(
        "linear", description="rank: mask the tokens about which the twins disagree most, instead of taking away."
    )
    rank: int | None = Field(None, ge=1, description="rank: how many tokens. Left out: searched.")


def _method(value: Any) -> str:
    name = value.get("name", "eco") if isinstance(value, dict) else getattr(value, "name", "")
    return name if isinstance(name, str) else ""


MethodSpec = Annotated[
    Annotated[EcoSpec, Tag("eco")]
    | Annotated[RedirectSpec, Tag("redirect")]
    | Annotated[ProjectionSpec, Tag("projection")]
    | Annotated[NullspaceSpec, Tag("nullspace")]
    | Annotated[CastSpec, Tag("cast")]
    | Annotated[UldSpec, Tag("uld")]
    | Annotated[TwinSpec, Tag("twin")],
    Discriminator(
        _method,
        custom_error_type="unknown_method",
        custom_error_message="method.name is one of eco, redirect, projection, nullspace, cast, uld, twin",
    ),
]
"""The method part of a policy. Without a name it is eco."""


class ModelFingerprint(BaseModel):
    """Identity of a served model. An engine refuses programs fitted for another one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(description="Name for people; not compared.")
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 over all weight files in name order.")
    dtype: str = Field(description="Data type the model is served in, e.g. float32.")
    quantization: str | None = None
    hidden_size: int = Field(gt=0)

    def mismatch(self, other: ModelFingerprint) -> str | None:
        """Name the first field that differs, as "field: mine != theirs", or None when both are the same model."""
        for field in ("weights_sha256", "dtype", "quantization", "hidden_size"):
            mine, theirs = getattr(self, field), getattr(other, field)
            if mine != theirs:
                return f"{field}: {mine} != {theirs}"
        return None

    def differs_in_precision(self, other: ModelFingerprint) -> bool:
        """Whether `other` may be the same model in another dtype or quantisation, which also changes weight files."""
        if self.hidden_size != other.hidden_size or self.mismatch(other) is None:
            return False
        return self.weights_sha256 == other.weights_sha256 or self.quantization != other.quantization

    def remedy(self, other: ModelFingerprint) -> str:
        """What to do where a program for this model is to run in `other`."""
        if self.differs_in_precision(other):
            return "run `lethe compile --recalibrate BUNDLE` for the model as it is served"
        return "run `lethe compile` for the model that is served"
