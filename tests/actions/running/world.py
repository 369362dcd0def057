"""A database, the simulator and a clock that waits for nobody."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from noria.action_settings import Actions, SimSettings
from noria.actions.choosing.assembling import make_plan, planned_call, started_offer
from noria.actions.operation import Offer, Operation
from noria.actions.plan import Plan, PlannedCall, PlanStatus
from noria.actions.plans.person import Person
from noria.actions.plans.store import StoredPlan, save_plan
from noria.actions.provider import Provider
from noria.actions.providers.sim.catalogue import OFFERS, OPERATIONS
from noria.actions.providers.sim.cloud import Cloud
from noria.actions.providers.sim.faults import Faults
from noria.actions.providers.sim.provider import SimProvider
from noria.actions.running.environment import Environment
from noria.actions.running.pace import Pace
from noria.actions.running.runner import Runner
from noria.config import Config
from noria.store import Database, create_key, open_database, take_in

SECOND = 1_000_000_000
ALLOW = Actions(default="allow", attempts=12)


class Clock:
    """Goes on only when somebody waits, and a little with every look."""

    def __init__(self, now_ns: int = 1_800_000_000 * SECOND, tick_ns: int = 1_000_003) -> None:
        self.now_ns = now_ns
        self.tick_ns = tick_ns

    def __call__(self) -> int:
        self.now_ns += self.tick_ns
        return self.now_ns

    def wait(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND)


class SimCatalogue:
    """The simulator's operations and offers, as a catalogue has them."""

    def __init__(
        self, operations: Sequence[Operation] = OPERATIONS, offers: Sequence[Offer] = OFFERS
    ) -> None:
        self.all = operations
        self.had = list(offers)

    def operations(self) -> Sequence[Operation]:
        return self.all

    def search(self, words: str, k: int) -> Sequence[Operation]:
        return self.all[:k]

    def offers(self) -> Sequence[Offer]:
        return self.had

    def version(self, catalogue: str) -> str:
        return hashlib.sha256(repr((self.all, self.had)).encode()).hexdigest()


class World:
    """Everything that a run needs; `cloud` lives on when the rest is made anew."""

    def __init__(
        self,
        folder: Path,
        *,
        settings: Actions = ALLOW,
        sim: SimSettings | None = None,
        faults: Faults | None = None,
        cloud: Path | str = ":memory:",
        config: Config | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.config = config or Config(home=folder / "home")
        self.db: Database = open_database(self.config)
        self.catalogue = SimCatalogue()
        self.cloud = Cloud(cloud, self.clock)
        self.sim = SimProvider(self.cloud, sim, faults)
        self.providers: dict[str, Provider] = {"sim": self.sim}
        self.environment = Environment(
            self.db,
            self.catalogue,
            self.providers,
            settings,
            lambda: take_in(self.db, lambda stream: stream),
            Pace(self.clock, self.clock.wait),
        )
        self.runner = Runner(self.environment)
        self._people: dict[str, Person] = {}

    def close(self) -> None:
        self.cloud.close()
        self.db.close()

    def person(self, name: str, **more: Any) -> Person:
        if name not in self._people:
            key, _ = create_key(self.db, user=name, **more)
            self._people[name] = Person.of(key)
        return self._people[name]

    def call(self, operation: str, after: tuple[int, ...] = (), /, **arguments: Any) -> PlannedCall:
        found = next(one for one in OPERATIONS if one.name == operation)
        offer = started_offer(found, arguments, self.catalogue.had)
        return planned_call(found, arguments, {}, offer, after)

    def plan(self, *calls: PlannedCall, by: str = "ann", hours: float = 1) -> StoredPlan:
        plan: Plan = make_plan(
            "some machines",
            self.catalogue,
            PlanStatus.READY,
            "",
            calls=calls,
            time_to_live_s=int(hours * 3600),
        )
        return save_plan(self.db, plan, self.person(by))

    def living(self) -> list[str]:
        return [thing["id"] for thing in self.cloud.seen(everything=True) if not thing["ended_ns"]]


def five_calls(world: World) -> list[PlannedCall]:
    """Machines, buckets, and a label on one of the first, whose id only its call tells."""
    return [
        world.call("start_machines", region="south", instance_type="small", count=2),
        world.call("make_bucket", region="south", name="logs"),
        world.call("start_machines", (0,), region="west", instance_type="t4.1", count=1),
        world.call("set_label", id={"$call": 0, "path": "ids.0"}, label="mine"),
        world.call("make_bucket", (3,), region="west", name="more"),
    ]


def random_calls(world: World, dice: random.Random) -> list[PlannedCall]:
    """One to five calls that the simulator could carry out if it wanted to."""
    calls = []
    for place in range(dice.randint(1, 5)):
        if dice.random() < 0.7:
            offer = dice.choice(OFFERS)
            calls.append(
                world.call(
                    "start_machines",
                    tuple(range(place)) if dice.random() < 0.5 else (),
                    region=offer.region,
                    instance_type=offer.instance_type,
                    count=dice.randint(1, 4),
                )
            )
        else:
            calls.append(world.call("make_bucket", region="south", name=f"b{place}"))
    return calls
