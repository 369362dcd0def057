"""Parts of a catalogue: searched as one, seen by whoever may, versioned by content."""

from __future__ import annotations

from dataclasses import replace

import pytest

from noria.actions.catalogue import Catalogue, Part
from noria.errors import NotFound
from noria.types import Label, Principal
from tests.actions.support import EC2, launching, operation

SHOP = Part.of("shop", [operation("create_bucket"), operation("delete_bucket"),
                        operation("list_queues", {"queueName": {"type": "string"}})])  # fmt: skip
CLOUD = Part.of("ec2", [launching()], EC2)


def test_it_is_searched_by_names_words_and_parameters() -> None:
    found = Catalogue([SHOP, CLOUD])
    assert found.search("make a bucket: create it", 1)[0].name == "create_bucket"
    assert found.search("name of the queue", 1)[0].name == "list_queues"
    assert found.search("start machines", 3)[0].id == "ec2.run_instances"
    assert found.search("zzz", 3) == []
    assert len(found.offers()) == len(EC2)


def test_a_version_is_of_all_content() -> None:
    same = Part.of("shop", SHOP.operations)
    told = replace(SHOP.operations[0], documentation="Another word.")
    dearer = replace(EC2[0], price_hour_nano=1)
    assert same.version == SHOP.version
    assert Part.of("shop", [told, *SHOP.operations[1:]]).version != SHOP.version
    assert Part.of("ec2", [launching()], [dearer, *EC2[1:]]).version != CLOUD.version


def test_grants_and_labels_hold() -> None:
    hidden = replace(SHOP.operations[0], grants=frozenset({"ops"}))
    secret = replace(SHOP.operations[1], label=Label.CONFIDENTIAL)
    part = Part.of("shop", [hidden, secret, SHOP.operations[2]])
    everybody = part.seen_by(Principal("anybody", clearance=Label.INTERNAL))
    assert [one.name for one in everybody.operations] == ["list_queues"]
    assert everybody.version == part.version
    chief = Principal("chief", groups=frozenset({"ops"}), clearance=Label.RESTRICTED)
    ops = Catalogue([part.seen_by(chief)])
    assert len(ops.operations()) == 3
    with pytest.raises(NotFound):
        Catalogue([everybody]).get("shop.create_bucket")


def test_one_part_alone() -> None:
    assert Catalogue([SHOP, CLOUD]).only(["ec2"]).names == ["ec2"]
    with pytest.raises(NotFound, match="ec2, shop"):
        Catalogue([SHOP, CLOUD]).only(["elsewhere"])
