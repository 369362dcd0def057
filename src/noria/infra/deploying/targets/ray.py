"""The target `ray`: an application of Ray Serve on a cluster that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from noria.infra.deploying.release import Release
from noria.infra.deploying.targets.base import Place, Standing, run_tool
from noria.infra.deploying.targets.kubernetes import object_name

__all__ = ["RayPlace", "serve_config"]


class RayPlace(Place):
    """A cluster, by the address of its dashboard."""

    def apply(self, release: Release) -> Standing:
        file = release.folder / "serve.yaml"
        file.write_text(yaml.safe_dump(serve_config(release), sort_keys=False), "utf-8")
        if not self.target.apply:
            return Standing("written", str(file))
        run_tool(["serve", "deploy", str(file), *self._address()], "Deploying")
        return self.status(release.app, release.revision.id)

    def status(self, app: str, revision: str) -> Standing:
        file = self.config.home / "deployments" / self.name / revision / "serve.yaml"
        if not self.target.apply:
            return Standing("written" if file.exists() else "gone", str(file))
        said = yaml.safe_load(run_tool(["serve", "status", *self._address()], "Asking", seconds=30))
        known = ((said or {}).get("applications") or {}).get(object_name(app))
        if known is None:
            return Standing("gone", "the cluster has no such application")
        state = {"RUNNING": "live", "DEPLOY_FAILED": "failed", "UNHEALTHY": "failed"}
        return Standing(state.get(known["status"], "starting"), known.get("message", ""))

    def logs(self, app: str, lines: int) -> str:
        said = run_tool(["serve", "status", *self._address()], "Reading logs")
        return "\n".join(said.splitlines()[-lines:])

    def destroy(self, app: str) -> None:
        if self.target.apply:
            run_tool(["serve", "shutdown", "-y", *self._address()], "Taking it away")

    def _address(self) -> list[str]:
        return ["--address", self.target.address] if self.target.address else []


def serve_config(release: Release) -> dict[str, Any]:
    """Write what Ray Serve deploys: secrets stay references, which the cluster's nodes resolve."""
    target = release.target
    environ = dict(release.wires.plain)
    environ |= {f"{name}_REF": str(reference) for name, reference in release.wires.secrets.items()}
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": target.port},  # noqa: S104
        "applications": [
            {
                "name": object_name(release.app),
                "route_prefix": "/",
                "import_path": f"{Path(release.revision.file).stem}:app",
                "runtime_env": {"working_dir": str(release.folder), "env_vars": environ},
            }
        ],
    }
