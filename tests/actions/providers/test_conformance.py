"""What every provider must do, for all that can run here."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from noria.action_settings import EC2Settings
from noria.actions.operation import Effect, Operation
from noria.actions.provider import Key, Provider, ProviderError, Resource
from noria.actions.providers.sim.catalogue import OPERATIONS
from noria.actions.providers.sim.cloud import Cloud
from noria.actions.providers.sim.provider import SimProvider
from noria.ids import new_span_id
from tests.actions.support import launching


@dataclass
class Case:
    """A provider, an operation that makes one thing, and one that it does not know."""

    provider: Provider
    create: Operation
    arguments: Mapping[str, Any]
    wrong: Mapping[str, Any]
    """Arguments that it refuses."""
    counted: str | None = None
    offered: tuple[str, str] | None = None
    not_offered: tuple[str, str] | None = None
    unknown: Operation = field(
        default_factory=lambda: Operation("x", "no_such_thing", "", {}, Effect.CHANGE, "x")
    )


def sim(tmp_path: Path, request: pytest.FixtureRequest) -> Case:
    operations = {one.name: one for one in OPERATIONS}
    return Case(
        SimProvider(Cloud(tmp_path / "cloud.db")),
        operations["start_machines"],
        {"region": "south", "instance_type": "small", "count": 1},
        {"region": "north", "instance_type": "h100.8", "count": 1},
        "count",
        ("south", "a100.8"),
        ("west", "a100.8"),
    )


def ec2(tmp_path: Path, request: pytest.FixtureRequest) -> Case:
    pytest.importorskip("boto3", reason="needs the extra ec2")
    from noria.actions.providers.ec2.provider import EC2Provider

    settings = EC2Settings(
        endpoint_url=request.getfixturevalue("moto"),
        regions=("us-west-1", "us-west-2"),
        consistency_seconds=0,
    )
    return Case(
        EC2Provider(settings),
        launching(),
        {"region": "us-west-2", "instance_type": "p4d.24xlarge", "count": 1},
        {"region": "us-west-1", "instance_type": "p4d.24xlarge", "count": 1},
        "count",
        ("us-west-2", "p4d.24xlarge"),
        ("us-west-1", "p4d.24xlarge"),
    )


CASES = {"sim": sim, "ec2": ec2}


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    made = CASES[request.param](tmp_path, request)
    yield made
    for resource in living(made.provider, {}):
        if "noria:plan" in resource.tags:
            made.provider.destroy(resource)


def living(provider: Provider, tags: Mapping[str, str]) -> list[Resource]:
    return [one for one in provider.observe(tags) if one.lives]


def test_what_is_made_carries_our_tags_and_ends(case: Case) -> None:
    key = Key(new_span_id(), 3)
    result = case.provider.apply(case.create, case.arguments, str(key))
    [made] = living(case.provider, key.tags)
    assert result["resources"] == [{"id": made.id}]
    assert made.provider == case.provider.name
    assert key.tags.items() <= made.tags.items()
    assert made in living(case.provider, {"noria:plan": key.plan})
    assert living(case.provider, Key(new_span_id(), 3).tags) == []
    case.provider.destroy(made)
    assert living(case.provider, key.tags) == []
    case.provider.destroy(made)  # one that is gone already is no error


def test_a_lost_answer_can_be_made_again_from_what_is_there(case: Case) -> None:
    key = Key(new_span_id(), 0)
    answer = case.provider.apply(case.create, case.arguments, str(key))
    again = case.provider.result_of(case.create, living(case.provider, key.tags))
    assert again["resources"] == answer["resources"]
    assert all(answer[name] == value for name, value in again.items() if name in ("id", "ids"))


def test_all_that_were_asked_for_or_none(case: Case) -> None:
    if case.counted is None:
        pytest.skip("makes one thing a call")
    key = Key(new_span_id(), 0)
    case.provider.apply(case.create, {**case.arguments, case.counted: 3}, str(key))
    assert len(living(case.provider, key.tags)) == 3


def test_what_it_refuses_leaves_nothing_behind(case: Case) -> None:
    key = Key(new_span_id(), 0)
    with pytest.raises(ProviderError) as refused:
        case.provider.apply(case.create, case.wrong, str(key))
    assert refused.value.code
    assert not refused.value.unknown
    assert living(case.provider, key.tags) == []


def test_an_operation_that_it_does_not_know_is_refused(case: Case) -> None:
    with pytest.raises(ProviderError) as refused:
        case.provider.apply(case.unknown, {}, str(Key(new_span_id(), 0)))
    assert not refused.value.again


def test_offers_are_told_for_each_place(case: Case) -> None:
    if case.offered is None or case.not_offered is None:
        pytest.skip("offers nothing")
    offer = case.provider.offer(*case.offered)
    assert offer is not None
    assert (offer.region, offer.instance_type) == case.offered
    assert offer.price_hour_nano is None or offer.price_hour_nano > 0
    assert case.provider.offer(*case.not_offered) is None
    assert any((one.region, one.instance_type) == case.offered for one in case.provider.offers())


def test_a_dry_run_makes_nothing(case: Case) -> None:
    before = {one.id for one in living(case.provider, {})}
    said = case.provider.dry_run(case.create, case.arguments)
    assert said.permitted in (True, None)
    assert {one.id for one in living(case.provider, {})} == before


def test_a_key_that_is_not_ours_is_refused(case: Case) -> None:
    with pytest.raises(ValueError, match="PLAN/CALL"):
        case.provider.apply(case.create, case.arguments, "no key")


def test_calls_at_the_same_time_do_not_mix_up_their_tags(case: Case) -> None:
    keys = [Key(new_span_id(), place) for place in range(4)]

    def apply(key: Key) -> None:
        case.provider.apply(case.create, case.arguments, str(key))

    threads = [threading.Thread(target=apply, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(living(case.provider, key.tags)) for key in keys] == [1, 1, 1, 1]
