"""What EC2 can make with tags, and how it is found and ended again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["KINDS", "Kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of resource. Methods are those of boto3's client."""

    name: str
    """As tags name it."""
    create: str
    describe: str
    """Empty for instances, which are described in their own way."""
    listed: str
    """The list in what `describe` answers."""
    id: str
    destroy: str
    many: bool = False
    """Whether `destroy` takes a list."""
    inside: str = ""
    """Where the new resource lies in what `create` answers; empty: it is the answer."""

    def id_in(self, result: Mapping[str, Any]) -> str | None:
        """The id in what `create` has answered."""
        found = result.get(self.inside) if self.inside else result
        return str(found[self.id]) if isinstance(found, Mapping) and self.id in found else None

    def result_with(self, id_: str) -> dict[str, Any]:
        """An answer of `create` that tells an id."""
        return {self.inside: {self.id: id_}} if self.inside else {self.id: id_}

    def to_destroy(self, id_: str) -> dict[str, Any]:
        """The parameters of `destroy`."""
        return {f"{self.id}s": [id_]} if self.many else {self.id: id_}


KINDS = (
    Kind("instance", "run_instances", "", "", "InstanceId", "terminate_instances", many=True),
    Kind("volume", "create_volume", "describe_volumes", "Volumes", "VolumeId", "delete_volume"),
    Kind("key-pair", "create_key_pair", "describe_key_pairs", "KeyPairs", "KeyPairId",
         "delete_key_pair"),
    Kind("security-group", "create_security_group", "describe_security_groups", "SecurityGroups",
         "GroupId", "delete_security_group"),
    Kind("subnet", "create_subnet", "describe_subnets", "Subnets", "SubnetId", "delete_subnet",
         inside="Subnet"),
    Kind("vpc", "create_vpc", "describe_vpcs", "Vpcs", "VpcId", "delete_vpc", inside="Vpc"),
)  # fmt: skip
"""In the order in which they can be ended."""
