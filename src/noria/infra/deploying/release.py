"""A release: the files of a revision as a target gets them, with the configuration of its wires."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from noria.config import Config, Target
from noria.infra.deploying.revision import Revision, code_files, normal
from noria.infra.deploying.wires import Wires, wires_of

__all__ = ["Release", "make_release", "requirements_of", "to_toml"]

# What the wires set anew, or what belongs to the machine that deploys.
_NOT_SENT = ("server", "store", "targets", "home", "source")


@dataclass(frozen=True, slots=True)
class Release:
    """A revision on its way to a target."""

    revision: Revision
    name: str
    """The target's name."""
    target: Target
    wires: Wires
    folder: Path
    """Its files: code, `noria.toml`, `requirements.txt` and `revision.json`."""

    @property
    def app(self) -> str:
        """The name that the target's objects have: that of the first application."""
        return self.revision.apps[0]

    @property
    def command(self) -> list[str]:
        """What serves it, in the folder of its files."""
        everywhere = "0.0.0.0"  # noqa: S104 - what its target lets in, its target says
        port = str(self.target.port)
        return ["serve", self.revision.file, "--host", everywhere, "--port", port, "--no-reload"]


def make_release(
    revision: Revision, file: Path, name: str, target: Target, config: Config, models: list[str]
) -> Release:
    """Write a revision's files into the home, whole or not at all.

    Args:
        revision: the revision.
        file: the file that it was computed of.
        name: the target's name.
        target: the target.
        config: the configuration.
        models: the models that its applications ask, for a target with a gateway.

    Raises:
        ConfigError: a wire cannot be used.
    """
    wires = wires_of(name, target, config, revision.id)
    folder = config.home / "deployments" / name / revision.id
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written anew each time: the wires may have changed where the revision has not.
    fresh = folder.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    for path in code_files(file.absolute(), config.home):
        to = fresh / path.relative_to(file.absolute().parent)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
    (fresh / "noria.toml").write_text(to_toml(_settings(config, target, models)), "utf-8")
    (fresh / "requirements.txt").write_text(requirements_of(revision), "utf-8")
    (fresh / "revision.json").write_bytes(
        orjson.dumps(revision.as_json(), option=orjson.OPT_INDENT_2)
    )
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    return Release(revision, name, target, wires, folder)


def requirements_of(revision: Revision) -> str:
    """Write a revision's pins as pip reads them."""
    lines = []
    for name, version in revision.parts["pins"].items():
        if name == "python":
            continue
        plain = "" if version == "any" else version
        lines.append(f"{name}=={plain}" if normal(name) == "noria" and plain[:1].isdigit()
                     else f"{name}{plain}")  # fmt: skip
    return "\n".join(lines) + "\n"


def _settings(config: Config, target: Target, models: list[str]) -> dict[str, Any]:
    """The configuration there: the file's own, or one provider, the gateway, for every model."""
    table: dict[str, Any] = {}
    if config.source is not None:
        table = tomllib.loads(config.source.read_text("utf-8"))
        if config.source.name == "pyproject.toml":
            table = table.get("tool", {}).get("noria", {})
    kept = {name: value for name, value in table.items() if name not in _NOT_SENT}
    if target.gateway is not None:
        for name in ("providers", "models", "models_local", "prices", "shadow", "arena"):
            kept.pop(name, None)
        kept["providers"] = {
            "gateway": {
                "base_url": target.gateway.rstrip("/"),
                "api_key_env": "NORIA_GATEWAY_KEY",
                "clearance": "restricted",
            }
        }
        kept["models"] = {model: {"targets": [f"gateway:{model}"]} for model in models}
    return kept


def to_toml(table: Mapping[str, Any]) -> str:
    """Write a table as TOML: plain values, arrays, and tables in tables."""
    lines: list[str] = []
    _write_table(table, (), lines)
    return "\n".join(lines).strip() + "\n"


def _write_table(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if path and (plain or not table):
        lines.append(f"\n[{'.'.join(_text(key) for key in path)}]")
    lines += [f"{_text(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            _write_table(value, (*path, key), lines)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(one) for one in value)}]"
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_text(key)} = {_value(one)}" for key, one in value.items())
        return f"{{{inner}}}"
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)


def _text(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for DEL, which JSON leaves as it is."""
    return orjson.dumps(text).decode().replace("\x7f", "\\u007F")
