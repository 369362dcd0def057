"""The target `docker`: an image in the OCI layout, written here without a daemon.

With `base` it stands on the layers of another image. Without, it has the Python of this machine:
interpreter, standard library, the shared libraries that they need, and nothing else.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from noria.config import Config, Target
from noria.errors import ConfigError
from noria.infra.deploying.release import Release
from noria.infra.deploying.targets.base import Place, Standing, run_tool
from noria.infra.deploying.targets.image import Image
from noria.infra.deploying.targets.kubernetes import object_name
from noria.infra.deploying.targets.runtime import packages_of, python_files, sbom_of

__all__ = ["DockerPlace", "build_image"]

_USER = 10001
_SITE = "opt/noria/site-packages"
_APP = "app"


class DockerPlace(Place):
    """An image file, and the docker of this machine where `apply` is set."""

    def __init__(self, config: Config, name: str, target: Target) -> None:
        super().__init__(config, name, target)
        if target.base is not None and not target.base.is_file():
            raise ConfigError(f"targets.{name}.base: there is no file {target.base}.")

    def apply(self, release: Release) -> Standing:
        file = release.folder / "image.tar"
        digest = build_image(release, file)
        if not self.target.apply:
            return Standing("written", f"{file} ({digest})")
        name, tag = object_name(release.app), f"noria/{object_name(release.app)}"
        tag = f"{tag}:{release.revision.id}"
        run_tool(["docker", "load", "--input", str(file)], "Loading the image")
        secrets = {variable: one.read() for variable, one in release.wires.secrets.items()}
        given = [part for variable in secrets for part in ("--env", variable)]
        run_tool(["docker", "rm", "--force", f"noria-{name}"], "Ending the one before")
        run_tool(
            ["docker", "run", "--detach", "--restart", "unless-stopped", "--read-only",
             "--tmpfs", "/tmp",  # noqa: S108 - in the container
             "--volume", f"noria-{name}:/home/noria", "--cap-drop", "ALL",
             "--security-opt", "no-new-privileges", "--publish",
             f"127.0.0.1:{self.target.port}:{self.target.port}", "--name", f"noria-{name}",
             *given, tag], "Starting it", secrets=secrets,
        )  # fmt: skip
        return self.status(release.app, release.revision.id)

    def status(self, app: str, revision: str) -> Standing:
        file = self.config.home / "deployments" / self.name / revision / "image.tar"
        if not self.target.apply or shutil.which("docker") is None:
            return Standing("written" if file.exists() else "gone", str(file))
        said = run_tool(
            ["docker", "ps", "--all", "--filter", f"name=^noria-{object_name(app)}$", "--format",
             "{{.Image}} {{.State}}"], "Asking docker", seconds=30,
        ).split()  # fmt: skip
        if len(said) < 2 or not said[0].endswith(f":{revision}"):
            return Standing("gone", "docker has no container of this revision")
        state = {"running": "live", "restarting": "failed", "exited": "failed"}
        return Standing(
            state.get(said[1], "starting"), said[1], f"http://127.0.0.1:{self.target.port}"
        )

    def logs(self, app: str, lines: int) -> str:
        return run_tool(
            ["docker", "logs", "--tail", str(lines), f"noria-{object_name(app)}"], "Reading logs"
        )

    def destroy(self, app: str) -> None:
        if self.target.apply:
            run_tool(["docker", "rm", "--force", f"noria-{object_name(app)}"], "Taking it away")


def build_image(release: Release, file: Path) -> str:
    """Write the image of a release. The same release on the same base is the same to the byte.

    Args:
        release: the release.
        file: the tar that is written, whole or not at all.

    Returns: the digest of its manifest.

    Raises:
        NoriaError: a package of the pins is neither installed here nor to be had.
    """
    target, packages = release.target, packages_of(release.revision)
    image = Image.read(target.base) if target.base is not None else Image()
    if target.base is None:
        with image.layer("Python of the machine that made it") as layer:
            for name, path in python_files(packages):
                layer.add(name, path)
            layer.folder("tmp", mode=0o1777)
            layer.text("etc/passwd", f"noria:x:{_USER}:{_USER}::/home/noria:/sbin/nologin\n")
            layer.text("etc/group", f"noria:x:{_USER}:\n")
    with image.layer("packages") as layer:
        for package in packages:
            for name, path in package.files:
                layer.add(f"{_SITE}/{name}", path)
    with image.layer("application") as layer:
        layer.folder("home/noria", owner=_USER)
        for name, path in _code(release):
            layer.add(f"{_APP}/{name}", path)
        layer.text(f"{_APP}/sbom.cdx.json", sbom_of(release.revision, packages))
    image.configure(
        user=f"{_USER}:{_USER}",
        directory=f"/{_APP}",
        entrypoint=["python3", "-m", "noria.cli"],
        command=release.command,
        environment={
            "PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": f"/{_SITE}",
            "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/home/noria",
            "NORIA_HOME": "/home/noria/.noria", **release.wires.plain,
        },
        labels={
            "org.opencontainers.image.title": release.app,
            "org.opencontainers.image.revision": release.revision.digest,
            "org.opencontainers.image.version": release.revision.id,
        },
        port=target.port,
    )  # fmt: skip
    return image.write(file, f"noria/{object_name(release.app)}:{release.revision.id}")


def _code(release: Release) -> Iterator[tuple[str, Path]]:
    for path in sorted(release.folder.rglob("*")):
        if path.is_file() and path.name != "image.tar" and not path.name.endswith(".new"):
            yield str(path.relative_to(release.folder)), path
