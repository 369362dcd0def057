"""Signatures equal those that botocore 1.44.8 makes of the same requests."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from noria.models.wires.sigv4 import Credentials, sign

AT = datetime(2026, 11, 30, 12, 34, 56, tzinfo=UTC)
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # as in AWS's own examples
ARN = "/model/arn%3Aaws%3Abedrock%3Aeu-central-1%3A1%3Ainference-profile%2Fx/converse-stream"


@pytest.mark.parametrize(
    ("path", "body", "token", "signature"),
    [
        (
            "/model/amazon.nova-lite-v1%3A0/converse",
            b'{"messages":[]}',
            None,
            "23649cacb03cfd04fb45bafc98d05f9b5d2cb0e42d1f101fbf4872e2da8fd5b6",
        ),
        (
            ARN,
            b"{}",
            "session/+token=",
            "8e772e09265a8abfe565682e37b55f0485610a63fd0a12d30db3b8421178893d",
        ),
    ],
)
def test_signatures_are_those_of_the_official_client(
    path: str, body: bytes, token: str | None, signature: str
) -> None:
    signed = sign(
        Credentials("AKIDEXAMPLE", SECRET, token),
        "POST",
        "bedrock-runtime.eu-central-1.amazonaws.com",
        path,
        body,
        region="eu-central-1",
        service="bedrock",
        at=AT,
        headers={"Content-Type": "application/json"},
    )
    assert signed["authorization"].endswith(f"Signature={signature}")
    assert signed["x-amz-date"] == "20261130T123456Z"
    assert signed.get("x-amz-security-token") == token
    assert SECRET not in str(signed)


def test_credentials_do_not_show_their_secrets() -> None:
    shown = repr(Credentials("AKIDEXAMPLE", SECRET, "token-of-a-session"))
    assert "AKIDEXAMPLE" in shown
    assert SECRET not in shown
    assert "token-of-a-session" not in shown
