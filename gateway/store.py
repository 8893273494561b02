"""The policies of this gateway, read from their bundles at start."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from gateway.decision import ActivePolicy
from gateway.policy import ForgetPolicy
from steering.bundle import Bundle, BundleError, Manifest, parse_key, read_bundle


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """One policy as the gateway runs it. Names and texts of the policy are not kept outside of the guard's part."""

    active: ActivePolicy
    manifest: Manifest
    program: bytes
    guard: bytes
    output: bytes = b""
    """Index of the output guard; empty in a bundle of an older version, and then not needed."""

    @property
    def number(self) -> str:
        """Opaque number of the policy."""
        return self.active.number

    @property
    def digest(self) -> str:
        """SHA-256 of the program, as the engine reports it."""
        return hashlib.sha256(self.program).hexdigest()

    @property
    def intervenes(self) -> bool:
        """Whether the engine has to hold the program: audited policies and fixed refusals do not need it."""
        rules = self.active.rules
        return rules.mode in ("enforce", "canary") and rules.response == "ignorance"


def load_policy_bundle(bundle: Bundle, where: Path) -> LoadedPolicy:
    """Take a bundle apart. Raises `BundleError`."""
    missing = {"policy", "guard"} - set(bundle.sensitive)
    if missing:
        raise BundleError(f"{where}: the sensitive part lacks {', '.join(sorted(missing))}; compile again")
    try:
        policy = ForgetPolicy.model_validate_json(bundle.sensitive["policy"])
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, e["loc"])) for e in error.errors(include_input=False))
        raise BundleError(f"{where}: the policy does not fit this version of lethe ({fields}); compile again") from None
    if policy.rules.output != "off" and "output" not in bundle.sensitive:
        raise BundleError(
            f"{where}: rules.output is {policy.rules.output}, but the bundle has no index of values; compile again"
        )
    manifest = bundle.manifest
    active = ActivePolicy(
        manifest.number, manifest.program_id, manifest.mask, policy.rules, corrupts=manifest.method == "eco"
    )
    return LoadedPolicy(
        active, manifest, bundle.program, bundle.sensitive["guard"], bundle.sensitive.get("output", b"")
    )


def load_policies(folders: Sequence[Path], key: str) -> tuple[LoadedPolicy, ...]:
    """Read all bundles. Raises `BundleError`, also for two bundles of one policy."""
    secret = parse_key(key)
    found: dict[str, Path] = {}
    policies: list[LoadedPolicy] = []
    for folder in folders:
        policy = load_policy_bundle(read_bundle(folder, secret), folder)
        if policy.number in found:
            raise BundleError(f"{folder} and {found[policy.number]} hold the same policy; list one of them")
        found[policy.number] = folder
        policies.append(policy)
    return tuple(policies)
