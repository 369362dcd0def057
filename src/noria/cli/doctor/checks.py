"""What `noria doctor` looks at. Each check gives findings: what is, and what to do about it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from noria.cli.doctor.machine import Finding, Health, examine_machine, size
from noria.errors import ApiError, NoriaError

if TYPE_CHECKING:
    from noria.config import Config, Provider
    from noria.models import Catalogue

__all__ = ["examine"]

_WEIGHTS_BYTES = 1_000_000_000
_REACH_SECONDS = 5.0


def examine() -> Iterator[Finding]:
    """Look at the machine, the configuration, the home, the providers and the server."""
    yield from examine_machine()
    from noria.config import load

    try:
        config = load()
    except NoriaError as wrong:
        yield _problem("configuration", wrong)
        return
    yield from _configuration(config)
    yield from _home(config)
    yield from _database(config)
    yield from _journals(config)
    yield from _plugins()
    yield from _models(config)
    yield from _collector()
    yield from _weights(config)
    yield from _server(config)


def _configuration(config: Config) -> Iterator[Finding]:
    from noria.config import variables

    where = str(config.source) if config.source else "no noria.toml, so the defaults hold"
    yield Finding("configuration", Health.OK, where)
    known = {"NORIA_HOME", "NORIA_CONFIG", "NORIA_KEY", "NORIA_ADMIN_KEY", *variables()}
    for name in sorted(os.environ):
        if name.startswith("NORIA_") and name not in known:
            yield Finding(
                "configuration",
                Health.NOTE,
                f"the environment variable {name} means nothing to noria",
                "See docs/reference/configuration.md for those that do.",
            )


def _home(config: Config) -> Iterator[Finding]:
    home = config.home
    if not home.exists():
        yield Finding("home", Health.OK, f"{home} will be made at the first start")
        home = next(folder for folder in home.parents if folder.exists())
    else:
        mode = stat.S_IMODE(home.stat().st_mode)
        if mode & 0o077:
            yield Finding(
                "home",
                Health.PROBLEM,
                f"{home} can be read by other users of this machine (mode {mode:04o})",
                f"chmod 700 {home}",
            )
        elif not os.access(home, os.W_OK):
            yield Finding(
                "home",
                Health.PROBLEM,
                f"{home} cannot be written to",
                "Make it yours (chown), or set NORIA_HOME to another folder.",
            )
        else:
            yield Finding("home", Health.OK, str(home))
    free = shutil.disk_usage(home).free
    yield Finding(
        "disk",
        Health.OK if free > _WEIGHTS_BYTES else Health.PROBLEM,
        f"{size(free)} are free for {home}",
        None if free > _WEIGHTS_BYTES else "Free at least 1 GB: records and weights need it.",
    )


def _database(config: Config) -> Iterator[Finding]:
    if not config.home.exists() and config.store.url is None:
        return
    from noria.store import open_database

    try:
        db = open_database(config)
        with db.read():
            yield Finding("database", Health.OK, str(db))
        db.close()
    except NoriaError as away:
        yield _problem("database", away)


def _journals(config: Config) -> Iterator[Finding]:
    from noria.store.journal.writer import damaged_segments

    damaged = damaged_segments(config.home)
    if damaged:
        yield Finding(
            "journals",
            Health.PROBLEM,
            f"{len(damaged)} damaged {'file lies' if len(damaged) == 1 else 'files lie'} in "
            f"{damaged[0].parent}; what could not be read was charged at its lease",
            "Check the disk. Remove the files once you have looked at them.",
        )


def _plugins() -> Iterator[Finding]:
    from noria.plugins import registry

    for name, why in registry().broken.items():
        yield Finding(
            "plugins",
            Health.PROBLEM,
            f"the plugin {name} could not be loaded: {why}",
            "Update or uninstall its package.",
        )


def _collector() -> Iterator[Finding]:
    """Where finished spans go, as OpenTelemetry's variables say here."""
    from noria.telemetry import destination

    try:
        to = destination()
    except NoriaError as wrong:
        yield _problem("collector", wrong)
        return
    if to is not None:
        yield Finding("collector", Health.OK, f"finished spans go to {to.url}")


def _models(config: Config) -> Iterator[Finding]:
    from noria.models import Catalogue

    try:
        catalogue = Catalogue(config)
    except NoriaError as wrong:
        yield _problem("models", wrong)
        return
    yield from _prices(config, catalogue)
    providers = _providers_in_use(config)
    with ThreadPoolExecutor(8) as pool:
        yield from pool.map(lambda item: _reach(*item), providers.items())


def _prices(config: Config, catalogue: Catalogue) -> Iterator[Finding]:
    """A model without a price cannot be used under a money budget: say so before it is."""
    budgets = config.budgets
    named = [*config.teams.values(), *config.users.values()]
    everywhere = budgets.installation is not None or any(one.budget for one in named)
    names = [*config.models, *budgets.models] if everywhere else list(budgets.models)
    for name in dict.fromkeys(names):
        try:
            route = config.models.get(name)
            targets = [catalogue.target(one) for one in (route.targets if route else [name])]
        except ApiError as unknown:
            yield _problem("prices", unknown)
            continue
        for target in targets:
            if target.price is None:
                yield Finding(
                    "prices",
                    Health.PROBLEM,
                    f"the price of {target.name} is unknown, so it cannot be called on a budget",
                    f'Add to noria.toml, in USD per million tokens: [prices."{target.name}"] '
                    "input = ..., output = ...",
                )


def _providers_in_use(config: Config) -> dict[str, Provider]:
    """The providers of the file, those that its routes name, and those whose key is set."""
    from noria.models.providers import KNOWN

    named = {
        target.partition(":")[0] for route in config.models.values() for target in route.targets
    }
    found = dict(config.providers)
    for name, known in KNOWN.items():
        if name not in found and (name in named or os.environ.get(known.api_key_env or "")):
            found[name] = known.settings
    return found


def _reach(name: str, provider: Provider) -> Finding:
    """Ask a provider for its list of models, which costs nothing."""
    import httpx2

    check = f"provider {name}"
    variable = provider.api_key_env
    key = os.environ.get(variable) if variable else None
    if variable and not key:
        return Finding(
            check,
            Health.PROBLEM,
            f"{variable} is not set",
            f"Set it where noria is started: export {variable}=...",
        )
    headers = provider.headers | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        answer = httpx2.get(
            f"{provider.base_url.rstrip('/')}/models", headers=headers, timeout=_REACH_SECONDS
        )
    except httpx2.HTTPError as lost:
        return Finding(
            check,
            Health.PROBLEM,
            f"{provider.base_url} cannot be reached: {lost or type(lost).__name__}",
            "Check the address, that the server runs, and the way to it (proxy, firewall).",
        )
    if answer.status_code in (401, 403):
        return Finding(
            check,
            Health.PROBLEM,
            f"{provider.base_url} refuses the key ({answer.status_code})",
            f"Check the key in {variable}." if variable else "Set api_key_env for it.",
        )
    if answer.status_code >= 500:
        return Finding(
            check,
            Health.PROBLEM,
            f"{provider.base_url} answers {answer.status_code}",
            "It has trouble of its own; try again later.",
        )
    return Finding(check, Health.OK, f"{provider.base_url} answers")


def _weights(config: Config) -> Iterator[Finding]:
    from noria.models.own import LocalModels
    from noria.models.weights import Weights

    local = LocalModels(config)
    weights = Weights(models=local)
    absent = [name for name in local if not weights.present(name)]
    for name in local:
        if name not in absent:
            try:
                yield Finding("weights", Health.OK, f"local:{name} at {weights.locate(name)}")
            except NoriaError as damaged:
                yield _problem("weights", damaged)
    if absent:
        names = " ".join(f"local:{name}" for name in absent)
        yield Finding(
            "weights",
            Health.OK,
            f"{names}: not here yet, pulled at the first call (or: noria model pull {names})",
        )


def _server(config: Config) -> Iterator[Finding]:
    from noria.home import running_server
    from noria.models.own import LocalModels
    from noria.models.state import Phase, StateFile

    server = running_server(config.home)
    if server is None:
        yield Finding("server", Health.OK, "does not run; start it with: noria serve")
        return
    yield Finding("server", Health.OK, f"runs at {server.url}")
    for name in LocalModels(config):
        engine = StateFile(config.home, name).read()
        if engine is not None and engine.state is Phase.CRASHED:
            yield Finding(
                "engine",
                Health.PROBLEM,
                f"local:{name} has crashed: {engine.message}",
                f"Read {config.home / 'log'}; the next call tries again after a while.",
            )
    for target in server.health.get("resting_targets", ()):
        yield Finding(
            "target",
            Health.NOTE,
            f"{target} failed repeatedly, so it is left out for a while",
            f"See why: noria trace ls --status error --model {target}",
        )


def _problem(check: str, failure: NoriaError) -> Finding:
    return Finding(check, Health.PROBLEM, failure.message, failure.remedy)
