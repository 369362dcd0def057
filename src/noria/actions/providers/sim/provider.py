"""The simulator as a provider."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from noria.action_settings import SimSettings
from noria.actions.operation import Effect, Offer, Operation
from noria.actions.provider import (
    DryRun,
    Key,
    Metering,
    ProviderError,
    Resource,
    Traits,
)
from noria.actions.providers.sim.catalogue import NAME, OFFERS
from noria.actions.providers.sim.cloud import Cloud
from noria.actions.providers.sim.faults import Faults

__all__ = ["SimProvider"]

_LEAST_S = 60


class SimProvider:
    """Carries out the operations of the catalogue `sim`.

    Args:
        cloud: where the machines are not.
        settings: its quota, its capacity, how slow it is.
        faults: which calls fail, and how.
    """

    name = NAME

    def __init__(
        self, cloud: Cloud, settings: SimSettings | None = None, faults: Faults | None = None
    ) -> None:
        self.cloud = cloud
        self._settings = settings or SimSettings()
        self._faults = faults or Faults()
        self.traits = Traits(self._settings.consistency_seconds, Metering(1, _LEAST_S))

    def offers(self) -> Iterable[Offer]:
        changed, closed = self.cloud.prices()
        for offer in OFFERS:
            at = (offer.region, offer.instance_type)
            if at not in closed:
                yield replace(offer, price_hour_nano=changed.get(at, offer.price_hour_nano))

    def offer(self, region: str, instance_type: str) -> Offer | None:
        return next(
            (o for o in self.offers() if (o.region, o.instance_type) == (region, instance_type)),
            None,
        )

    def dry_run(self, operation: Operation, arguments: Mapping[str, Any]) -> DryRun:
        return DryRun(True, "The simulator permits everything.")

    def apply(self, operation: Operation, arguments: Mapping[str, Any], key: str) -> dict[str, Any]:
        if operation.effect is Effect.READ:
            return self._list(arguments)
        fault = self._faults.of(self.cloud.count("calls"))
        if fault == "throttled":
            raise ProviderError("Throttled", "Too many calls.", again=True)
        if fault == "capacity":
            raise ProviderError("NoCapacity", "No machines for now.", again=True)
        if fault == "denied":
            raise ProviderError("Denied", "This account may not do that.")
        if fault == "dropped":
            raise ProviderError("Timeout", "No answer came.", unknown=True)
        result = self._carry_out(operation.name, arguments, key, partial=fault == "partial")
        if fault == "twice":
            self._carry_out(operation.name, arguments, key, partial=False)
        if fault == "late":
            raise ProviderError("Timeout", "No answer came in time.", unknown=True)
        if fault == "other_id" and "ids" in result:
            result["ids"] = [f"x-{id_}" for id_ in result["ids"]]
            result["resources"] = [{"id": id_} for id_ in result["ids"]]
        return result

    def observe(self, tags: Mapping[str, str]) -> list[Resource]:
        now = self.cloud.clock()
        return [
            Resource(
                NAME,
                thing["id"],
                thing["kind"],
                thing["region"],
                thing["tags"],
                _state(thing, now),
                {
                    "instance_type": thing["type"],
                    "label": thing["label"],
                    "price_hour_nano": thing["price_nano"],
                    "begun_ns": thing["begun_ns"],
                    "ended_ns": thing["ended_ns"],
                },
            )
            for thing in self.cloud.seen()
            if tags.items() <= thing["tags"].items()
        ]

    def destroy(self, resource: Resource) -> None:
        if self._faults.of(self.cloud.count("ends")) == "throttled":
            raise ProviderError("Throttled", "Too many calls.", again=True)
        self.cloud.end(resource.id)

    def result_of(self, operation: Operation, resources: Sequence[Resource]) -> dict[str, Any]:
        ids = [resource.id for resource in resources]
        found: dict[str, Any] = {"resources": [{"id": id_} for id_ in ids]}
        return found | ({"ids": ids} if operation.starts else {"id": ids[0] if ids else None})

    def _list(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        found = [one for one in self.observe({}) if one.region == arguments["region"]]
        return {"ids": [one.id for one in found if one.kind == "machine" and one.lives]}

    def _carry_out(
        self, name: str, arguments: Mapping[str, Any], key: str, *, partial: bool
    ) -> dict[str, Any]:
        match name:
            case "start_machines":
                return self._start(arguments, key, partial=partial)
            case "make_bucket":
                ids = self.cloud.make(
                    "bucket", arguments["region"], "", Key.parse(key).tags,
                    number=1, label=arguments["name"],
                    seen_after_s=self._settings.consistency_seconds,
                )  # fmt: skip
                return {"id": ids[0], "resources": [{"id": ids[0]}]}
            case "stop_machines":
                ended = [id_ for id_ in arguments["ids"] if self.cloud.end(id_)]
                return {"ended": ended}
            case "remove_bucket":
                return {"ended": [arguments["id"]] if self.cloud.end(arguments["id"]) else []}
            case "set_label":
                before = self.cloud.relabel(arguments["id"], arguments["label"])
                if before is None:
                    raise ProviderError("NotFound", f"There is no {arguments['id']}.")
                return {"before": before}
        raise ProviderError("UnknownOperation", f"The simulator has no operation {name}.")

    def _start(self, arguments: Mapping[str, Any], key: str, *, partial: bool) -> dict[str, Any]:
        region, type_ = str(arguments["region"]), str(arguments["instance_type"])
        count = int(arguments["count"])
        offer = self.offer(region, type_)
        if offer is None or offer.price_hour_nano is None:
            raise ProviderError("NotOffered", f"There is no {type_} in {region}.")
        wanted = max(1, count // 2) if partial and count > 1 else count

        def room(at: sqlite3.Connection) -> int:
            left = self._left(at, region, type_)
            if left < wanted:
                raise ProviderError("NoCapacity", f"No {wanted} {type_} in {region}.", again=True)
            return wanted

        ids = self.cloud.make(
            "machine", region, type_, Key.parse(key).tags,
            number=wanted, price_nano=offer.price_hour_nano, label=arguments.get("name", ""),
            seen_after_s=self._settings.consistency_seconds,
            runs_after_s=self._settings.start_seconds, room=room,
        )  # fmt: skip
        return {"ids": ids, "resources": [{"id": id_} for id_ in ids]}

    def _left(self, at: sqlite3.Connection, region: str, type_: str) -> int:
        """How many machines more a region and the quota allow."""
        running = "SELECT count(*) FROM things WHERE ended_ns IS NULL AND kind = 'machine'"
        here = at.execute(f"{running} AND region = ?", (region,)).fetchone()[0]
        same = at.execute(f"{running} AND region = ? AND type = ?", (region, type_)).fetchone()[0]
        return int(min(self._settings.quota - here, self._settings.capacity - same))


def _state(thing: Mapping[str, Any], now: int) -> str:
    if thing["ended_ns"] is not None:
        return "terminated"
    return "running" if now >= thing["runs_ns"] else "pending"
