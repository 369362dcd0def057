"""The target `local`: beside the server that runs on this home, which keeps its process."""

from __future__ import annotations

from noria.apps.serve.manifest import Phase, read_apps
from noria.apps.serve.revisions import Routed, read_routes, route_app, unroute_app
from noria.errors import NoriaError
from noria.home import running_server
from noria.infra.deploying.release import Release
from noria.infra.deploying.targets.base import Place, Standing

__all__ = ["LocalPlace"]

_TAIL_BYTES = 1 << 20


class LocalPlace(Place):
    """This home's own server."""

    splits = True

    def apply(self, release: Release) -> Standing:
        if release.wires.secrets:
            for reference in release.wires.secrets.values():
                reference.read()  # says at once which one is wanting
        file = release.folder / release.revision.file
        for app in release.revision.apps:
            route_app(self.config.home, app, Routed(release.revision.id, str(file)))
        return self.status(release.app, release.revision.id)

    def share(self, app: str, canary: Release | None, share: float) -> None:
        """Send a share of an application's conversations to another revision; None ends that."""
        now = read_routes(self.config.home).get(app)
        if now is None:
            raise NoriaError(f"{app} is not deployed on {self.name}.")
        if canary is None:
            route_app(self.config.home, app, Routed(now.revision, now.file))
            return
        file = str(canary.folder / canary.revision.file)
        route_app(
            self.config.home, app, Routed(now.revision, now.file, canary.revision.id, file, share)
        )

    def status(self, app: str, revision: str) -> Standing:
        home = self.config.home
        server = running_server(home)
        address = None if server is None else f"{server.url}/apps/{app}"
        if app not in read_routes(home):
            return Standing("gone", "it is not deployed here")
        if server is None:
            return Standing("starting", "no server runs on this home; start one: noria serve")
        known = read_apps(home / "revisions" / revision).get(app)
        if known is None:
            return Standing("starting", "the server has not taken it over yet", address)
        if known.state == Phase.READY:
            return Standing("live", "", address)
        state = "failed" if known.state == Phase.FAILED else "starting"
        return Standing(state, known.error or "", address)

    def logs(self, app: str, lines: int) -> str:
        try:
            with (self.config.home / "log" / "apps.log").open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def destroy(self, app: str) -> None:
        unroute_app(self.config.home, app)
