"""The target `ssh`: a machine that is reached by ssh, where systemd keeps the server for its user.

Each revision has a folder and an environment of its own; `current` points to the one that serves.
What is on the way is made beside, and takes over in one step.
"""

from __future__ import annotations

import io
import shlex
import tarfile
from pathlib import PurePosixPath

from noria.config import Config, Target
from noria.errors import ConfigError, NoriaError
from noria.infra.deploying.release import Release
from noria.infra.deploying.targets.base import Place, Standing, run_tool
from noria.infra.deploying.targets.kubernetes import object_name

__all__ = ["SSHPlace", "unit_of_systemd"]


class SSHPlace(Place):
    """A machine behind sshd."""

    def __init__(self, config: Config, name: str, target: Target) -> None:
        super().__init__(config, name, target)
        if not target.host or target.host.startswith("-"):
            raise ConfigError(f"targets.{name}.host is missing.", 'Write: host = "user@machine"')

    def apply(self, release: Release) -> Standing:
        name, folder = object_name(release.app), self._folder(release.app)
        place = folder / release.revision.id
        unit = unit_of_systemd(release, str(folder))
        # Sent over ssh's own channel, never as an argument, which other users could read.
        secrets = "".join(
            f"{variable}={_quoted(reference.read())}\n"
            for variable, reference in release.wires.secrets.items()
        )
        # What a deployment left that was cut off is made anew.
        self._run(
            f"rm -rf {_q(place)}.new; mkdir -p {_q(place)}.new ~/.config/systemd/user",
            "Making the folder",
        )
        self._run(f"tar -xf - -C {_q(place)}.new", "Sending the files", _tar(release, unit))
        self._run(
            f"umask 077 && cat > {_q(place)}.new/secrets.env", "Sending the secrets",
            secrets.encode(),
        )  # fmt: skip
        self._run(
            f"set -e; cd {_q(place)}.new; "
            f"{shlex.quote(self.target.python)} -m venv venv; "
            "venv/bin/python -m pip install -q --disable-pip-version-check -r requirements.txt; "
            f"cd; rm -rf {_q(place)}.old; if [ -e {_q(place)} ]; then mv {_q(place)} "
            f"{_q(place)}.old; fi; mv {_q(place)}.new {_q(place)}; rm -rf {_q(place)}.old",
            "Making the environment",
        )
        self._run(
            f"set -e; ln -sfn {release.revision.id} {_q(folder)}/next; "
            f"mv -T {_q(folder)}/next {_q(folder)}/current; "
            f"cp {_q(place)}/noria.service ~/.config/systemd/user/noria-{name}.service; "
            f"systemctl --user daemon-reload; systemctl --user enable noria-{name}.service; "
            f"systemctl --user restart noria-{name}.service",
            "Starting it",
        )
        return self.status(release.app, release.revision.id)

    def status(self, app: str, revision: str) -> Standing:
        name, folder = object_name(app), self._folder(app)
        said = self._run(
            f"readlink {_q(folder)}/current || true; "
            f"systemctl --user is-active noria-{name}.service || true",
            "Asking how it stands",
        ).split()
        if not said or said[0] != revision:
            return Standing("gone", f"{said[0] if said else 'nothing'} is there")
        state = said[1] if len(said) > 1 else "unknown"
        host = str(self.target.host).rpartition("@")[2]
        return Standing(
            {"active": "live", "activating": "starting"}.get(state, "failed"), state,
            f"http://{host}:{self.target.port}",
        )  # fmt: skip

    def logs(self, app: str, lines: int) -> str:
        return self._run(
            f"journalctl --user -u noria-{object_name(app)}.service -n {lines} --no-pager",
            "Reading logs",
        )

    def destroy(self, app: str) -> None:
        name = object_name(app)
        self._run(
            f"systemctl --user disable --now noria-{name}.service || true; "
            f"rm -f ~/.config/systemd/user/noria-{name}.service; "
            "systemctl --user daemon-reload || true; "
            f"rm -rf {_q(self._folder(app))}",
            "Taking it away",
        )

    def _folder(self, app: str) -> PurePosixPath:
        return PurePosixPath(self.target.folder) / object_name(app)

    def _run(self, command: str, what: str, given: bytes | None = None) -> str:
        host = str(self.target.host)
        try:
            return run_tool(
                ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-p",
                 str(self.target.ssh_port), "--", host, command],
                f"{what} on {host}", given=given,
            )  # fmt: skip
        except NoriaError as failed:
            raise NoriaError(
                failed.message, "What served before still does; give the same command again."
            ) from None


def unit_of_systemd(release: Release, folder: str) -> str:
    """Write the unit of a release for the user's systemd.

    Args:
        release: the release.
        folder: where its revisions stand, under the user's home.
    """
    current = f"%h/{folder}/current"
    plain = "".join(
        f"Environment={_quoted(f'{name}={value}').replace('%', '%%')}\n"
        for name, value in release.wires.plain.items()
    )
    command = " ".join(_quoted(one) for one in release.command)
    return f"""[Unit]
Description=noria: {release.app}, revision {release.revision.id}
After=network-online.target

[Service]
WorkingDirectory={current}
Environment=NORIA_HOME=%h/{folder}/home
{plain}EnvironmentFile={current}/secrets.env
ExecStart={current}/venv/bin/python -m noria.cli {command}
Restart=always
RestartSec=1
KillMode=mixed
TimeoutStopSec=30
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


def _tar(release: Release, unit: str) -> bytes:
    sent = io.BytesIO()
    with tarfile.open(fileobj=sent, mode="w") as archive:
        for path in sorted(release.folder.rglob("*")):
            if path.is_file():
                archive.add(path, str(path.relative_to(release.folder)), recursive=False)
        data = unit.encode()
        told = tarfile.TarInfo("noria.service")
        told.size = len(data)
        archive.addfile(told, io.BytesIO(data))
    return sent.getvalue()


def _q(path: PurePosixPath) -> str:
    return shlex.quote(str(path))


def _quoted(text: str) -> str:
    """A value as systemd reads it in quotes."""
    if "\n" in text or "\r" in text:
        raise ConfigError("A value of the environment has more than one line.")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
