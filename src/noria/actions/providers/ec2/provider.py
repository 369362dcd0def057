"""EC2 as a provider."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from noria.action_settings import EC2Settings
from noria.actions.operation import Offer, Operation
from noria.actions.provider import DryRun, Key, Metering, ProviderError, Resource, Traits
from noria.actions.providers.ec2.clients import Clients, provider_error
from noria.actions.providers.ec2.kinds import KINDS, Kind

__all__ = ["EC2Provider"]

_AT_ONCE = 16
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_STOPPED = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) GMT\)")
_DENIED = ("UnauthorizedOperation", "AuthFailure", "OptInRequired", "AccessDenied")


class EC2Provider:
    """Carries out calls of EC2.

    Args:
        settings: `[actions.ec2]`.
        regions: those that are looked through where the settings name none.
    """

    name = "ec2"

    def __init__(self, settings: EC2Settings, regions: Iterable[str] = ()) -> None:
        self._settings = settings
        self._regions = tuple(settings.regions or dict.fromkeys(regions)) or ("us-east-1",)
        self._clients = Clients(settings)
        self.traits = Traits(settings.consistency_seconds, Metering(1, 60))

    def offers(self) -> Iterable[Offer]:
        for region in self._regions:
            pages = self._clients.of(region).get_paginator("describe_instance_type_offerings")
            try:
                for answer in pages.paginate(LocationType="region"):
                    for one in answer["InstanceTypeOfferings"]:
                        yield _offer(region, one["InstanceType"])
            except Exception as failed:  # noqa: BLE001 - whatever boto3 raises
                raise provider_error(failed) from None

    def offer(self, region: str, instance_type: str) -> Offer | None:
        found = self._call(
            self._clients.of(region).describe_instance_type_offerings,
            LocationType="region",
            Filters=[{"Name": "instance-type", "Values": [instance_type]}],
        )["InstanceTypeOfferings"]
        return _offer(region, instance_type) if found else None

    def dry_run(self, operation: Operation, arguments: Mapping[str, Any]) -> DryRun:
        client = self._client(operation, arguments)
        method, parameters = self._request(client, operation, arguments, None)
        shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
        if "DryRun" not in shape.input_shape.members:
            return DryRun(None, "EC2 has no dry run of this call.")
        try:
            self._call(getattr(client, method), **parameters, DryRun=True)
        except ProviderError as said:
            if said.code == "DryRunOperation":
                return DryRun(True, "EC2 permits it, which does not prove that it would work.")
            if said.again or said.unknown:
                raise
            return DryRun(False if said.code in _DENIED else None, f"{said.code}: {said.message}")
        return DryRun(None, "EC2 did not say.")

    def apply(self, operation: Operation, arguments: Mapping[str, Any], key: str) -> dict[str, Any]:
        client = self._client(operation, arguments, Key.parse(key).plan)
        method, parameters = self._request(client, operation, arguments, Key.parse(key))
        answer = self._call(getattr(client, method), **parameters)
        answer.pop("ResponseMetadata", None)
        result: dict[str, Any] = json.loads(json.dumps(answer, default=str))
        if operation.starts:
            ids = [one["InstanceId"] for one in result.get("Instances", ())]
            return result | {"ids": ids, "resources": [{"id": id_} for id_ in ids]}
        kind = next((one for one in KINDS if one.create == method), None)
        if kind is not None and (id_ := kind.id_in(result)):
            return result | {"id": id_, "resources": [{"id": id_}]}
        return result

    def observe(self, tags: Mapping[str, str]) -> list[Resource]:
        with ThreadPoolExecutor(min(_AT_ONCE, len(self._regions))) as threads:
            found = threads.map(lambda region: self._observe(region, tags), self._regions)
            return [one for part in found for one in part]

    def destroy(self, resource: Resource) -> None:
        client = self._clients.of(resource.region, resource.tags.get("noria:plan", ""))
        kind = next(one for one in KINDS if one.name == resource.kind)
        try:
            self._call(getattr(client, kind.destroy), **kind.to_destroy(resource.id))
        except ProviderError as failed:
            if not failed.code.endswith((".NotFound", ".Malformed")):
                raise

    def result_of(self, operation: Operation, resources: Sequence[Resource]) -> dict[str, Any]:
        ids = [one.id for one in resources]
        found: dict[str, Any] = {"resources": [{"id": id_} for id_ in ids]}
        if operation.starts:
            return found | {"ids": ids, "Instances": [{"InstanceId": id_} for id_ in ids]}
        kind = next(one for one in KINDS if one.create == _method(operation))
        return found | {"id": ids[0] if ids else None} | kind.result_with(ids[0] if ids else "")

    # Requests

    def _client(
        self, operation: Operation, arguments: Mapping[str, Any], plan: str = ""
    ) -> Any:  # fmt: skip
        region = arguments.get(operation.starts.get("region", "region")) or self._regions[0]
        return self._clients.of(str(region), plan)

    def _request(
        self, client: Any, operation: Operation, arguments: Mapping[str, Any], key: Key | None
    ) -> tuple[str, dict[str, Any]]:
        """The method of boto3's client, and its parameters."""
        starts = operation.starts
        passed = {
            name: value
            for name, value in arguments.items()
            if name not in (*starts.values(), "region", "name")
        }
        if starts:
            count = arguments.get(starts.get("count", ""), 1)
            passed |= {
                "InstanceType": arguments[starts["instance_type"]],
                # All of them or none: what comes is what was priced.
                "MinCount": count,
                "MaxCount": count,
            }
            passed.setdefault("ImageId", self._image(client))
            kinds: tuple[str, ...] = ("instance", "volume")
            method = "run_instances"
        else:
            method = _method(operation)
            if method not in client.meta.method_to_api_mapping:
                raise ProviderError("UnknownOperation", f"EC2 has no operation {operation.name}.")
            kinds = tuple(one.name for one in KINDS if one.create == method)
        if key is not None and kinds:
            tags = [{"Key": name, "Value": value} for name, value in key.tags.items()]
            if "name" in arguments:
                tags.append({"Key": "Name", "Value": str(arguments["name"])})
            passed["TagSpecifications"] = [{"ResourceType": kinds[0], "Tags": tags}]
            if "volume" in kinds[1:]:
                # The machines' disks are seen with the plan, and not counted as machines.
                disks = [t | ({"Value": f"{key}/disk"} if t["Key"] == "noria:key" else {})
                         for t in tags]  # fmt: skip
                passed["TagSpecifications"].append({"ResourceType": "volume", "Tags": disks})
        if key is not None and starts:
            # Real EC2 keeps to it; other servers may not, so nothing here relies on it.
            text = f"{key}:{passed['MinCount']}"
            passed["ClientToken"] = hashlib.sha256(text.encode()).hexdigest()
        return method, passed

    def _image(self, client: Any) -> str:
        if self._settings.image:
            return self._settings.image
        newest: list[dict[str, Any]] = []
        for name in ("al2023-ami-2023.*-x86_64", "*"):
            found = self._call(
                client.describe_images,
                Owners=["amazon"],
                Filters=[{"Name": "name", "Values": [name]}],
            )["Images"]
            newest = sorted(found, key=lambda image: str(image.get("CreationDate", "")))
            if newest:
                return str(newest[-1]["ImageId"])
        raise ProviderError("NoImage", "EC2 shows no image of Amazon's; set [actions.ec2] image.")

    # Observing

    def _observe(self, region: str, tags: Mapping[str, str]) -> list[Resource]:
        client = self._clients.of(region, tags.get("noria:plan", ""))
        filters = [{"Name": f"tag:{name}", "Values": [value]} for name, value in tags.items()]
        found = []
        for page in self._pages(client, "describe_instances", filters):
            for reservation in page["Reservations"]:
                found += [_instance(region, one) for one in reservation["Instances"]]
        for kind in KINDS:
            if kind.describe:
                for page in self._pages(client, kind.describe, filters):
                    found += [_thing(region, kind, one) for one in page[kind.listed]]
        return found

    def _pages(
        self, client: Any, method: str, filters: list[dict[str, Any]]
    ) -> Iterable[dict[str, Any]]:
        try:
            if client.can_paginate(method):
                yield from client.get_paginator(method).paginate(Filters=filters)
            else:
                yield getattr(client, method)(Filters=filters)
        except Exception as failed:  # noqa: BLE001 - whatever boto3 raises
            raise provider_error(failed) from None

    @staticmethod
    def _call(method: Callable[..., dict[str, Any]], **parameters: Any) -> dict[str, Any]:
        try:
            return method(**parameters)
        except Exception as failed:  # noqa: BLE001 - whatever boto3 raises
            raise provider_error(failed) from None


def _method(operation: Operation) -> str:
    return str(operation.binding.get("method") or _CAMEL.sub("_", operation.name).lower())


def _offer(region: str, instance_type: str) -> Offer:
    return Offer("ec2", region, instance_type, None, f"{datetime.now(UTC):%Y-%m-%d}")


def _tags(found: Mapping[str, Any]) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in found.get("Tags", ())}


def _instance(region: str, found: Mapping[str, Any]) -> Resource:
    ended = _STOPPED.search(found.get("StateTransitionReason") or "")
    details: dict[str, Any] = {
        "instance_type": found["InstanceType"],
        "begun_ns": int(found["LaunchTime"].timestamp()) * 1_000_000_000,
    }
    if ended:
        at = datetime.strptime(ended[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        details["ended_ns"] = int(at.timestamp()) * 1_000_000_000
    return Resource(
        "ec2", found["InstanceId"], "instance", region, _tags(found), found["State"]["Name"],
        details,
    )  # fmt: skip


def _thing(region: str, kind: Kind, found: Mapping[str, Any]) -> Resource:
    details = {"price_hour_nano": 0}  # not counted: no offer tells what it costs
    return Resource("ec2", str(found[kind.id]), kind.name, region, _tags(found), details=details)
