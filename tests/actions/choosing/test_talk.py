"""The talk's sentence, against the catalogue of EC2 that comes with noria."""

from __future__ import annotations

import asyncio

from noria.actions.catalogue import Catalogue, shipped_parts
from noria.actions.choosing import Planner

TALK = "launch four VMs with eight A100s in us-west-1"


def test_the_sentence_of_the_talk_on_the_shipped_offers() -> None:
    found = asyncio.run(Planner(Catalogue(shipped_parts())).plan(TALK))
    assert found.status == "refused"
    assert "'us-west-1' cannot be met: ec2 has no a100 in us-west-1" in found.reason
    assert found.calls == ()
    others = {(o.region, o.instance_type): o for o in found.alternatives}
    west = others["us-west-2", "p4d.24xlarge"]
    assert (west.count, west.price_hour_nano) == (4, 131_090_400_000)
    assert others["us-west-1", "p5.48xlarge"].count == 4
    assert found.alternatives[0] is west
    (call,) = west.calls
    assert call.operation.startswith("ec2.")
    assert call.reversibility == "reversible"
    assert found.versions["ec2"]


def test_what_is_feasible_there_is_ready() -> None:
    words = "launch four VMs with eight A100s in us-west-2 for 2 hours"
    found = asyncio.run(Planner(Catalogue(shipped_parts())).plan(words))
    assert (found.status, found.price_hour_nano) == ("ready", 131_090_400_000)
    assert found.ceiling_nano == 262_180_800_000
