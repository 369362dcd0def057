"""`noria serve`: set up the home, start the processes, say where to go."""

from __future__ import annotations

import fcntl
import logging
import os
import shlex
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.errors import ConfigError, HomeBusy
from noria.types import EVERY_GROUP, Label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noria.apps.host.host import AppHost
    from noria.config import Config
    from noria.gateway import Gateway
    from noria.http.asgi import ASGIApp
    from noria.models.host import EngineHost
    from noria.store import Database

__all__ = ["serve"]

_ADMIN_KEY_NAME = "NORIA_ADMIN_KEY"
_SHORTEST_ADMIN_KEY = 20


def serve(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files of applications to serve.", metavar="APP.PY")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    config: Annotated[Path | None, typer.Option(help="The configuration file.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that answer requests.")] = None,
    reload: Annotated[
        bool | None, typer.Option(help="Load a file of applications anew when it changes.")
    ] = None,
) -> None:
    """Open the door: the API, the pages, the models of this machine, and applications."""
    from noria.config import load

    flags: dict[str, dict[str, Any]] = {
        "server": {"host": host, "port": port, "workers": workers},
        "apps": {"reload": reload},
    }
    run(load(config, flags=flags), files or [])


def run(config: Config, files: Sequence[Path] = ()) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        config: the configuration.
        files: the files that applications stand in.

    Raises:
        AppError: a file is missing.
        HomeBusy: another process serves this home or holds the port.
        ConfigError: a setting cannot be used.
        StoreUnavailable: the database does not answer.
    """
    from noria.apps.host.host import AppHost
    from noria.apps.serve.revisions import read_routes
    from noria.models.host import EngineHost
    from noria.server.supervisor import Supervisor

    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    config.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    _lock_home(config.home)
    listener = _listen(config)
    url = _url(listener)
    access = _prepare(config)
    (config.home / "limits").unlink(missing_ok=True)
    engines = EngineHost(config)
    from noria.infra.deploying.canary import watch_canaries

    apps = AppHost(config, files, partial(watch_canaries, config))
    supervisor = Supervisor()
    try:
        supervisor.add("intake", partial(_intake, config, listener, apps), last=True)
        for number in range(config.server.workers):
            work = partial(_worker, config, listener, engines, apps, number)
            supervisor.add(f"worker {number}", work)
        supervisor.add("engines", partial(_engines, engines, listener, apps))
        # Without a file there are none until one is deployed.
        deployed = None if files else (lambda: bool(read_routes(config.home)))
        supervisor.add("apps", partial(_apps, apps, engines, listener), when=deployed)
        if config.shadow:
            supervisor.add("shadow", partial(_shadow, config, listener, engines, apps))
        _announce_in(config.home, url)
        _greet(config, url, access)
        supervisor.run()
    finally:
        supervisor.stop()
        (config.home / "serve.json").unlink(missing_ok=True)


def _worker(
    config: Config, listener: socket.socket, engines: EngineHost, apps: AppHost, number: int
) -> None:
    from noria.apps.serve.client import AppClient
    from noria.server import run_worker

    engines.leave()
    apps.leave()
    run_worker(config, listener, engines, _pages(config), number, apps.rows, AppClient)


def _engines(engines: EngineHost, listener: socket.socket, apps: AppHost) -> None:
    """Keep the embedded models, and show how their weights come."""
    from noria.cli.pulling import show_pulls

    listener.close()
    apps.leave()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    engines.start()
    show_pulls(engines, stop)
    stop.wait()
    engines.stop()


def _apps(apps: AppHost, engines: EngineHost, listener: socket.socket) -> None:
    engines.leave()
    listener.close()
    apps.run()


def _shadow(config: Config, listener: socket.socket, engines: EngineHost, apps: AppHost) -> None:
    from noria.evals.shadow import run_shadows

    listener.close()
    engines.leave()
    apps.leave()
    run_shadows(config, engines)


def _intake(config: Config, listener: socket.socket, apps: AppHost) -> None:
    from noria.server import run_intake
    from noria.telemetry import run_export

    listener.close()
    apps.leave()
    run_intake(config, partial(run_export, config))


def _pages(config: Config) -> Any:
    def make(db: Database, gateway: Gateway) -> ASGIApp:
        from noria.models import assemble
        from noria.store import take_in
        from noria.web import Context, create_app

        return create_app(
            Context(
                config,
                db,
                gateway.catalogue,
                lambda: take_in(db, assemble),
                config.home,
                gateway,
            )
        )

    return make


# The home and the port


def _lock_home(home: Path) -> None:
    """Hold the home for as long as this process lives: the lock's descriptor stays open."""
    fd = os.open(home / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise HomeBusy(
            f"A noria already serves {home}: {_who_serves(home)}.",
            "Use that one, stop it, or set NORIA_HOME to another folder.",
        ) from None


def _who_serves(home: Path) -> str:
    import orjson

    try:
        serving = orjson.loads((home / "serve.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return "it is just starting"
    return f"process {serving['pid']} at {serving['url']}"


def _listen(config: Config) -> socket.socket:
    from noria.cli.ports import who_listens

    host, port = config.server.host, config.server.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except socket.gaierror:
        raise ConfigError(f"server.host: {host!r} is not an address of this machine.") from None
    except OSError as taken:
        raise HomeBusy(
            f"Port {port} on {host} cannot be opened ({taken.strerror}){who_listens(port)}.",
            f"Choose another: noria serve --port {port + 1 if port < 65535 else 8600}",
        ) from None
    listener.set_inheritable(True)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _announce_in(home: Path, url: str) -> None:
    import orjson

    text = orjson.dumps({"pid": os.getpid(), "url": url, "started": time.time()})
    temporary = home / "serve.json.new"
    temporary.write_bytes(text)
    temporary.replace(home / "serve.json")


# Keys and the greeting


@dataclass(frozen=True, slots=True)
class _Access:
    """What the greeting shows: ways in."""

    link: str
    new_admin_key: str | None
    key_file: Path


def _prepare(config: Config) -> _Access:
    """Bring the database up to date, the budgets of the file into it, and make the first keys."""
    from noria.store import open_database, sync_budgets
    from noria.store.keys.owner_key import owner_key
    from noria.store.keys.sessions import new_link
    from noria.telemetry import prepare_export

    db = open_database(config)
    try:
        sync_budgets(db, config)
        prepare_export(config, db)
        admin, secret = _admin_key(db)
        link = new_link(db, admin)
        return _Access(link, secret, owner_key(config.home, db))
    finally:
        db.close()


def _admin_key(db: Database) -> tuple[str, str | None]:
    """The id of an admin key, and its secret if it was made just now."""
    from noria.store import create_key, digest, find_key, list_keys, revoke_key

    # Whoever makes the keys can make one that sees everything, so this one does.
    everything: dict[str, Any] = {
        "groups": (EVERY_GROUP,),
        "clearance": Label.RESTRICTED,
    }
    wanted = os.environ.get(_ADMIN_KEY_NAME)
    admins = [key for key in list_keys(db) if key.admin and key.revoked_ns is None]
    if wanted is None:
        if admins:
            return admins[0].id, None
        key, secret = create_key(db, admin=True, name="first admin key", **everything)
        return key.id, secret
    if len(wanted) < _SHORTEST_ADMIN_KEY:
        raise ConfigError(
            f"{_ADMIN_KEY_NAME} has {len(wanted)} characters; it needs {_SHORTEST_ADMIN_KEY}.",
            "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    for key in admins:
        if key.name == _ADMIN_KEY_NAME and find_key(db, digest(wanted)) != key:
            revoke_key(db, key.id)  # The variable has another value now.
    found = find_key(db, digest(wanted))
    if found is not None and found.revoked_ns is None:
        return found.id, None
    key, _ = create_key(db, admin=True, secret=wanted, name=_ADMIN_KEY_NAME, **everything)
    return key.id, None


def _greet(config: Config, url: str, access: _Access) -> None:
    from noria.store.keys.owner_key import write_secret

    terminal = sys.stdout.isatty()
    link = f"{url}/signin?token={access.link}"
    body = '{"model": "local:smollm2", "messages": [{"role": "user", "content": "Say hello."}]}'
    curl = (
        f"curl {url}/v1/chat/completions "
        f'-H "Authorization: Bearer $(cat {shlex.quote(str(access.key_file))})" '
        f"-H 'Content-Type: application/json' -d '{body}'"
    )
    lines = [f"noria is open at {url}", f"  sign in (once):  {link}"]
    if access.new_admin_key is not None:
        if terminal:
            lines.append(f"  admin key:       {access.new_admin_key}   (shown only now)")
        else:
            path = config.home / "admin-key"
            write_secret(path, access.new_admin_key)
            lines.append(f"  admin key:       in {path}")
    lines += [f"  try it:          {curl}", "  stop:            Ctrl-C"]
    print("\n".join(lines), flush=True)  # noqa: T201
