"""What connects a revision to the rest: gateway, store, telemetry, and secrets by reference.

A reference says where a secret stands and never what it is: `env:NAME`, `file:/path`,
`kubernetes:SECRET/KEY`, `vault:PATH#FIELD`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from noria.config import Config, Target
from noria.errors import ConfigError

__all__ = ["Reference", "Wires", "wires_of"]

_FORMS = {
    "env": re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
    "file": re.compile(r"/[^\0\s]+"),
    "kubernetes": re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/[-._A-Za-z0-9]{1,253}"),
    "vault": re.compile(r"[^\s#]+#[^\s#]+"),
}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret stands."""

    scheme: str
    rest: str

    @classmethod
    def parse(cls, text: str, setting: str) -> Reference:
        """Read a reference.

        Args:
            text: as it was written.
            setting: what it is the value of, for the error.

        Raises:
            ConfigError: it is none. What was written is not repeated: it may be the secret itself.
        """
        scheme, _, rest = text.partition(":")
        form = _FORMS.get(scheme)
        if form is None or not form.fullmatch(rest):
            raise ConfigError(
                f"{setting} is not a reference to a secret.",
                "Write env:NAME, file:/path, kubernetes:SECRET/KEY or vault:PATH#FIELD, and keep "
                "the secret itself there.",
            )
        return cls(scheme, rest)

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rest}"

    def read(self) -> str:
        """The secret, where this machine can read it.

        Raises:
            ConfigError: it cannot.
        """
        if self.scheme == "env":
            value = os.environ.get(self.rest)
            if not value:
                raise ConfigError(f"The environment variable {self.rest} is not set.")
            return value
        if self.scheme == "file":
            try:
                return Path(self.rest).read_text("utf-8").strip()
            except OSError as unreadable:
                raise ConfigError(
                    f"The secret {self} cannot be read: {unreadable.strerror}."
                ) from None
        raise ConfigError(f"The secret {self} cannot be read on this machine, only by its target.")


@dataclass(frozen=True, slots=True)
class Wires:
    """The environment of a revision on its target."""

    plain: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Reference] = field(default_factory=dict)


def wires_of(name: str, target: Target, config: Config, revision: str) -> Wires:
    """Collect the wires of a target.

    Args:
        name: the target's name.
        target: its settings.
        config: the configuration, whose providers need keys.
        revision: the revision that every trace is to name.

    Raises:
        ConfigError: a name is no variable, or a value no reference.
    """
    plain = {"NORIA_REVISION": revision, **target.environment}
    references = dict(target.secrets)
    if target.gateway is not None and target.key is None:
        raise ConfigError(
            f"targets.{name} names a gateway and no key for it.",
            f'Set targets.{name}.key, such as "env:NORIA_KEY".',
        )
    if target.key is not None:
        references["NORIA_GATEWAY_KEY"] = target.key
    if target.store is not None:
        references["NORIA_STORE_URL"] = target.store
    if target.telemetry is not None:
        plain["OTEL_EXPORTER_OTLP_ENDPOINT"] = target.telemetry
    for provider in config.providers.values():
        if provider.api_key_env and target.gateway is None:
            references.setdefault(provider.api_key_env, f"env:{provider.api_key_env}")
    for variable in (*plain, *references):
        if not _VARIABLE.fullmatch(variable):
            raise ConfigError(f"targets.{name}: {variable!r} cannot name an environment variable.")
    if both := sorted(set(plain) & set(references)):
        raise ConfigError(f"targets.{name}: {both[0]} is set twice, plainly and as a secret.")
    return Wires(
        plain,
        {
            variable: Reference.parse(written, f"targets.{name}: {variable}")
            for variable, written in references.items()
        },
    )
