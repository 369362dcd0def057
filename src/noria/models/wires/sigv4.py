"""AWS Signature Version 4: the headers that prove who sends a request, without sending the secret.

The method is that of AWS's "Create a signed AWS API request" (General Reference, SigV4).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import quote

__all__ = ["Credentials", "sign"]

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whose requests they are. The secrets are left out where it is shown."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    """What temporary credentials have besides."""


def sign(
    credentials: Credentials,
    method: str,
    host: str,
    path: str,
    body: bytes,
    *,
    region: str,
    service: str,
    at: datetime,
    headers: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The headers that sign a request.

    Args:
        credentials: whose request it is.
        method: such as `POST`.
        host: as the `Host` header says it, with the port where that is not the scheme's own.
        path: as it is sent, already encoded, without a query.
        body: the bytes that are sent.
        region: such as `eu-central-1`.
        service: such as `bedrock`.
        at: the time of the request, in UTC; AWS refuses one that is 5 minutes off.
        headers: others that are to be signed.

    Returns: `authorization`, `x-amz-date`, `x-amz-content-sha256`, and `x-amz-security-token`
        where there is one. `headers` are not among them.
    """
    stamp = f"{at:%Y%m%dT%H%M%SZ}"
    digest = hashlib.sha256(body).hexdigest()
    added = {"x-amz-date": stamp, "x-amz-content-sha256": digest}
    if credentials.session_token is not None:
        added["x-amz-security-token"] = credentials.session_token
    signed = {name.lower(): " ".join(value.split()) for name, value in (headers or {}).items()}
    signed |= added | {"host": host}
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    # Every service but S3 has the path encoded once more in what is signed.
    canonical = "\n".join((method, quote(path, safe="/-_.~"), "", lines, names, digest))
    scope = f"{at:%Y%m%d}/{region}/{service}/aws4_request"
    text = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = b"AWS4" + credentials.secret_key.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    authorization = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return {"authorization": authorization, **added}
