"""What runs of this home work with, as `noria.toml` says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from noria.actions.plans.facts import Known
from noria.actions.provider import Provider
from noria.actions.running.environment import Environment
from noria.actions.running.pace import Pace
from noria.config import Config
from noria.store.database import Database

__all__ = ["Providers", "open_environment"]


class Providers(Mapping[str, Provider]):
    """The providers of a home, each made when it is first used."""

    def __init__(self, makers: Mapping[str, Callable[[], Provider]]) -> None:
        self._makers = makers
        self._made: dict[str, Provider] = {}

    def __getitem__(self, name: str) -> Provider:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def open_environment(
    config: Config, db: Database, known: Known, take_in: Callable[[], int], pace: Pace | None = None
) -> Environment:
    """What runs of a home work with.

    Args:
        config: its configuration.
        db: its database.
        known: its catalogue.
        take_in: takes in the journals of this home.
        pace: the time that runs go by.
    """
    makers = {
        "sim": partial(_sim, config),
        "ec2": partial(_ec2, config, known),
    }
    return Environment(db, known, Providers(makers), config.actions, take_in, pace or Pace())


def _sim(config: Config) -> Provider:
    from noria.actions.providers.sim.cloud import Cloud
    from noria.actions.providers.sim.provider import SimProvider

    folder = config.home / "actions"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return SimProvider(Cloud(folder / "sim.db"), config.actions.sim)


def _ec2(config: Config, known: Known) -> Provider:
    from noria.actions.providers.ec2.provider import EC2Provider

    regions = [offer.region for offer in known.offers() if offer.provider == "ec2"]
    return EC2Provider(config.actions.ec2, regions)
