"""What EC2 can do with machines and their networks. What is not named here that costs money by the
hour (volumes, gateways) is left out: no offer tells its price.

Names of parameters are those of boto3, but for `region` and those that an offer decides.
"""

from __future__ import annotations

from typing import Any

from noria.actions.operation import Effect, Operation

__all__ = ["OPERATIONS"]


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


_REGION = _text("The region, such as us-west-2.")
_IDS = {
    "type": "array",
    "items": {"type": "string", "pattern": "^i-[0-9a-f]+$"},
    "minItems": 1,
    "description": "The ids of the instances.",
}


def _operation(
    name: str, summary: str, effect: Effect, properties: dict[str, Any],
    required: tuple[str, ...] = (), **more: Any,
) -> Operation:  # fmt: skip
    parameters = {
        "type": "object",
        "properties": {"region": _REGION, **properties},
        "required": ["region", *required],
        "additionalProperties": False,
    }
    more.setdefault("binding", {"method": name})
    return Operation("ec2", name, summary, parameters, effect, "ec2", **more)


def _made(kind: str, words: str, id_: str, where: str, properties: dict[str, Any],
          required: tuple[str, ...]) -> tuple[Operation, Operation]:  # fmt: skip
    """The operation that makes a resource, and the one that removes it."""
    made = _operation(
        f"create_{kind}", f"Create {words}.", Effect.CREATE, properties, required,
        undo=f"delete_{kind}",
        undo_arguments={"region": "arguments.region", id_: f"result.{where}{id_}"},
    )  # fmt: skip
    removed = _operation(
        f"delete_{kind}", f"Delete {words}.", Effect.DESTROY,
        {id_: _text(f"The id of {words}.")}, (id_,),
    )  # fmt: skip
    return made, removed


OPERATIONS = (
    _operation(
        "run_instances",
        "Launch virtual machines (instances) of one type in one region.",
        Effect.CREATE,
        {
            "instance_type": _text("What kind of machine, such as p4d.24xlarge."),
            "count": {
                "type": "integer",
                "minimum": 1,
                "maximum": 1000,
                "description": "How many; all of them are started, or none.",
            },
            "ImageId": _text("The machine image that they start from.", pattern="^ami-[0-9a-f]+$"),
            "KeyName": _text("The key pair that may sign in.", maxLength=255),
            "SubnetId": _text("The subnet that they stand in.", pattern="^subnet-[0-9a-f]+$"),
            "name": _text("The tag Name of every machine.", maxLength=255),
        },
        ("instance_type", "count"),
        documentation="Each machine costs its type's price by the hour until it is terminated.",
        returns={
            "type": "object",
            "properties": {"ids": {"type": "array", "items": {"type": "string"}}},
        },
        undo="terminate_instances",
        undo_arguments={"region": "arguments.region", "InstanceIds": "result.ids"},
        starts={"region": "region", "instance_type": "instance_type", "count": "count"},
    ),
    _operation(
        "terminate_instances",
        "End virtual machines (instances) for good; what is on their own disks is lost.",
        Effect.DESTROY,
        {"InstanceIds": _IDS},
        ("InstanceIds",),
        idempotent=True,
    ),
    _operation(
        "describe_instances",
        "List the virtual machines (instances) of one region, with their state.",
        Effect.READ,
        {"InstanceIds": _IDS},
        idempotent=True,
    ),
    _operation(
        "reboot_instances",
        "Restart virtual machines (instances).",
        Effect.CHANGE,
        {"InstanceIds": _IDS},
        ("InstanceIds",),
    ),
    _operation(
        "describe_images",
        "List machine images (AMIs) of one region.",
        Effect.READ,
        {
            "ImageIds": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The ids of the images.",
            }
        },
        idempotent=True,
    ),
    *_made(
        "security_group",
        "a security group, the firewall of machines",
        "GroupId",
        "",
        {
            "GroupName": _text("Its name.", maxLength=255),
            "Description": _text("What it is for.", maxLength=255),
            "VpcId": _text("The network that it belongs to.", pattern="^vpc-[0-9a-f]+$"),
        },
        ("GroupName", "Description"),
    ),
    *_made(
        "vpc",
        "a virtual network (VPC)",
        "VpcId",
        "Vpc.",
        {"CidrBlock": _text("Its addresses, such as 10.0.0.0/16.")},
        ("CidrBlock",),
    ),
    *_made(
        "subnet",
        "a subnet of a virtual network",
        "SubnetId",
        "Subnet.",
        {
            "VpcId": _text("The network that it is part of.", pattern="^vpc-[0-9a-f]+$"),
            "CidrBlock": _text("Its addresses, such as 10.0.1.0/24."),
        },
        ("VpcId", "CidrBlock"),
    ),
)
