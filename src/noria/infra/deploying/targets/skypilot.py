"""The target `skypilot`: a task for machines that SkyPilot rents, read back by its own parser."""

from __future__ import annotations

from typing import Any

import yaml

from noria.errors import NoriaError
from noria.infra.deploying.release import Release
from noria.infra.deploying.targets.base import Place, Standing, run_tool
from noria.infra.deploying.targets.kubernetes import object_name

__all__ = ["SkyPilotPlace", "sky_task"]


class SkyPilotPlace(Place):
    """A cluster of SkyPilot's, named as the application."""

    def apply(self, release: Release) -> Standing:
        task = sky_task(release)
        file = release.folder / "task.yaml"
        file.write_text(yaml.safe_dump(task, sort_keys=False), "utf-8")
        parsed = _parse(task)
        if not self.target.apply:
            return Standing("written", str(file) + ("" if parsed else "; not parsed: no skypilot"))
        # Secrets go through the environment of the tool, which has them by name alone.
        named = [part for name in release.wires.secrets for part in ("--secret", name)]
        secrets = {name: one.read() for name, one in release.wires.secrets.items()}
        run_tool(
            ["sky", "launch", "--yes", "--detach-run", "-c", object_name(release.app), *named,
             str(file)], "Renting", seconds=1800, secrets=secrets,
        )  # fmt: skip
        return self.status(release.app, release.revision.id)

    def status(self, app: str, revision: str) -> Standing:
        file = self.config.home / "deployments" / self.name / revision / "task.yaml"
        if not self.target.apply:
            return Standing("written" if file.exists() else "gone", str(file))
        said = run_tool(["sky", "status", object_name(app)], "Asking", seconds=60)
        return Standing("live" if " UP " in said else "starting", said.strip()[-400:])

    def logs(self, app: str, lines: int) -> str:
        said = run_tool(["sky", "logs", object_name(app), "--no-follow"], "Reading logs")
        return "\n".join(said.splitlines()[-lines:])

    def destroy(self, app: str) -> None:
        if self.target.apply:
            run_tool(["sky", "down", "--yes", object_name(app)], "Giving the machines back")


def sky_task(release: Release) -> dict[str, Any]:
    """Write the task of a release."""
    target = release.target
    resources: dict[str, Any] = {"ports": [target.port]}
    if target.cloud:
        resources["infra"] = target.cloud
    if target.accelerators:
        resources["accelerators"] = target.accelerators
    task: dict[str, Any] = {
        "name": object_name(release.app),
        "workdir": str(release.folder),
        "resources": resources,
        "envs": dict(release.wires.plain),
        "setup": f"{target.python} -m venv ~/noria-venv\n"
        "~/noria-venv/bin/pip install -r requirements.txt\n",
        "run": "~/noria-venv/bin/noria " + " ".join(release.command) + "\n",
    }
    if release.wires.secrets:
        task["secrets"] = dict.fromkeys(release.wires.secrets)
    return task


def _parse(task: dict[str, Any]) -> bool:
    """Read a task by SkyPilot's parser. False where SkyPilot is not installed.

    Raises:
        NoriaError: it cannot be read.
    """
    try:
        import sky
    except ImportError:
        return False
    held = dict(task)
    # The parser wants the values of secrets, which are not here.
    held["secrets"] = dict.fromkeys(task.get("secrets", {}), "held")
    try:
        sky.Task.from_yaml_config(held)
    except Exception as invalid:  # noqa: BLE001 - its errors have no common root
        raise NoriaError(f"SkyPilot cannot read the task: {invalid}") from None
    return True
