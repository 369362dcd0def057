"""Clients of EC2: for each plan and region, with credentials no wider than they must be."""

from __future__ import annotations

import json
import threading
from typing import Any
from urllib.parse import urlsplit

from noria.action_settings import EC2Settings
from noria.actions.provider import ProviderError
from noria.errors import NoriaError

__all__ = ["Clients", "provider_error"]

_AGAIN = frozenset(
    (
        "InsufficientInstanceCapacity", "InsufficientHostCapacity", "RequestLimitExceeded",
        "RequestThrottled", "RequestThrottledException", "Throttling", "ThrottlingException",
        "TooManyRequestsException", "EC2ThrottledException",
    )
)  # fmt: skip
_LOCAL = frozenset(("localhost", "127.0.0.1", "::1"))
_ROLE_SECONDS = 3600
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}],
}


class Clients:
    """Makes clients and keeps them.

    Args:
        settings: `[actions.ec2]`.
    """

    def __init__(self, settings: EC2Settings) -> None:
        self._settings = settings
        self._mutex = threading.Lock()
        self._made: dict[tuple[str, str], Any] = {}
        self._sessions: dict[str, Any] = {}

    def of(self, region: str, plan: str = "") -> Any:
        """The client of a region, for one plan where a role is taken on for each.

        Raises:
            NoriaError: boto3 is not installed.
            ProviderError: the role cannot be taken on.
        """
        plan = plan if self._settings.role_arn else ""
        with self._mutex:
            if (region, plan) not in self._made:
                self._made[region, plan] = self._client("ec2", region, self._session(plan))
            return self._made[region, plan]

    def _session(self, plan: str) -> Any:
        if plan not in self._sessions:
            try:
                import boto3
            except ImportError:
                raise NoriaError(
                    "The provider ec2 needs boto3, which is not installed.",
                    "pip install 'noria[ec2]'",
                ) from None
            session = boto3.Session(**self._stand_in(boto3))
            if plan and self._settings.role_arn:
                session = self._taken_on(boto3, session, plan)
            self._sessions[plan] = session
        return self._sessions[plan]

    def _stand_in(self, boto3: Any) -> dict[str, str]:
        """A server on this machine is asked with any credentials where there are none."""
        host = urlsplit(self._settings.endpoint_url or "").hostname
        if host not in _LOCAL or boto3.Session().get_credentials() is not None:
            return {}
        return {"aws_access_key_id": "noria", "aws_secret_access_key": "noria"}

    def _taken_on(self, boto3: Any, session: Any, plan: str) -> Any:
        client = self._client("sts", "us-east-1", session)
        try:
            given = client.assume_role(
                RoleArn=self._settings.role_arn,
                RoleSessionName=f"noria-{plan}"[:64],
                DurationSeconds=_ROLE_SECONDS,
                Policy=json.dumps(_POLICY),
            )["Credentials"]
        except Exception as failed:  # noqa: BLE001 - whatever boto3 raises
            raise provider_error(failed) from None
        return boto3.Session(
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
        )

    def _client(self, service: str, region: str, session: Any) -> Any:
        from botocore.config import Config

        return session.client(
            service,
            region_name=region,
            endpoint_url=self._settings.endpoint_url,
            # Attempts are counted, and written down, by whoever calls.
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=60),
        )


def provider_error(failed: Exception) -> ProviderError:
    """What went wrong, in the terms of providers. No secret is in it."""
    from botocore import exceptions

    if isinstance(failed, exceptions.ClientError):
        error = failed.response.get("Error", {})
        status = failed.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = str(error.get("Code", "Unknown"))
        again = code in _AGAIN or status == 429
        return ProviderError(
            code,
            str(error.get("Message", code)),
            again=again,
            unknown=not again and status >= 500,
        )
    if isinstance(failed, exceptions.EndpointConnectionError | exceptions.ConnectTimeoutError):
        return ProviderError("Unreachable", "EC2 cannot be reached.", again=True)
    if isinstance(failed, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return ProviderError("NoCredentials", "There are no credentials for EC2.")
    if isinstance(failed, exceptions.ParamValidationError):
        return ProviderError("InvalidParameter", str(failed))
    if isinstance(failed, exceptions.HTTPClientError):
        return ProviderError("NoAnswer", "EC2 did not answer.", unknown=True)
    return ProviderError(type(failed).__name__, "The call of EC2 failed.", unknown=True)
