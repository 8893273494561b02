"""API keys: who is asking."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Literal

from gateway.errors import UnauthorizedError
from gateway.settings import KeySettings

ANONYMOUS = "anonymous"


class Access:
    """Finds the tenant of a request. Compares with every key in constant time."""

    def __init__(self, keys: Sequence[KeySettings], allow_anonymous: bool) -> None:
        self._keys = [(bytes.fromhex(key.sha256), key.tenant, key.role) for key in keys]
        self._open = allow_anonymous

    def tenant(self, authorization: str | None, role: Literal["client", "operator"] = "client") -> str:
        """Tenant of an `Authorization` header. Raises `UnauthorizedError`."""
        if self._open and role == "client":
            return ANONYMOUS
        scheme, _, key = (authorization or "").partition(" ")
        digest = hashlib.sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
        found: str | None = None
        for known, tenant, its_role in self._keys:
            if hmac.compare_digest(known, digest) and its_role == role:
                found = tenant
        if found is None or scheme.lower() != "bearer":
            raise UnauthorizedError("A valid API key is needed: send it as `Authorization: Bearer KEY`.")
        return found
