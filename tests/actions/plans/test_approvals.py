"""Signatures: bound to the hash, used once, for a while, by others where two must sign."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from noria.action_settings import Actions
from noria.actions.plans.approvals import reject, sign
from noria.actions.plans.content import difference, plan_from, plan_text
from noria.actions.plans.narrowing import narrow
from noria.actions.plans.person import Person
from noria.actions.plans.store import StoredPlan, find_plan, save_plan
from noria.actions.running.admission import judge
from noria.actions.running.runs import RunStatus
from noria.errors import NoriaError
from tests.actions.running.world import World

FOUR_EYES = Actions.model_validate(
    {"rules": [{"name": "two pairs of eyes", "decision": "needs_approval", "four_eyes": True}]}
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, settings=FOUR_EYES)
    yield made
    made.close()


@pytest.fixture
def stored(world: World) -> StoredPlan:
    return world.plan(world.call("start_machines", region="south", instance_type="small", count=4))


def signed(world: World, stored: StoredPlan, person: Person, **more: Any) -> None:
    sign(
        world.db, stored, more.pop("hash_", stored.plan.hash), person,
        judge(world.environment, stored), at_ns=world.clock(), hours=1, **more,
    )  # fmt: skip


def refused(world: World, stored: StoredPlan, says: str) -> None:
    with pytest.raises(NoriaError, match=says):
        world.runner.apply(stored, stored.planner)
    assert world.living() == []


def test_signed_by_another_it_is_applied(world: World, stored: StoredPlan) -> None:
    refused(world, stored, "not signed")
    signed(world, stored, world.person("bob"))
    assert world.runner.apply(stored, stored.planner).status is RunStatus.RUNNING


def test_the_planner_himself_may_not(world: World, stored: StoredPlan) -> None:
    with pytest.raises(NoriaError, match="has planned"):
        signed(world, stored, stored.planner)
    second_key = replace(stored.planner, key_id="another")
    with pytest.raises(NoriaError, match="has planned"):
        signed(world, stored, second_key)
    refused(world, stored, "not signed")


def test_another_hash_is_refused(world: World, stored: StoredPlan) -> None:
    other = world.plan(world.call("make_bucket", region="south", name="b"))
    with pytest.raises(NoriaError, match="not what was read"):
        signed(world, stored, world.person("bob"), hash_=other.plan.hash)
    signed(world, other, world.person("bob"))
    refused(world, stored, "not signed")


def test_after_its_time_it_is_no_approval(world: World, stored: StoredPlan) -> None:
    signed(world, stored, world.person("bob"))
    world.clock.wait(3601)
    refused(world, stored, "expired")
    signed(world, stored, world.person("bob"))
    assert world.runner.apply(stored, stored.planner).status is RunStatus.RUNNING


@pytest.mark.parametrize("old", ['"south"', "4", '"small"', "3600"])
def test_a_plan_changed_by_one_byte_is_refused(
    world: World, stored: StoredPlan, old: str
) -> None:  # fmt: skip
    signed(world, stored, world.person("bob"))
    content = plan_text(stored.plan)
    new = old.replace("south", "north").replace("4", "5").replace("small", "large")
    changed = content.replace(old, new.replace("3600", "3601"), 1)
    assert changed != content
    with world.db.write() as connection:
        connection.execute(
            text("UPDATE action_plans SET content = :text WHERE id = :id"),
            {"text": changed, "id": stored.plan.id},
        )
    with pytest.raises(NoriaError, match="was changed after it was made"):
        find_plan(world.db, stored.plan.id)
    # Nor does it help to give the changed one its own hash: the signature is of another.
    forged = plan_from(stored.plan.id, changed)
    with world.db.write() as connection:
        connection.execute(
            text("UPDATE action_plans SET hash = :hash WHERE id = :id"),
            {"hash": forged.hash, "id": stored.plan.id},
        )
    with pytest.raises(NoriaError):
        world.runner.apply(find_plan(world.db, stored.plan.id), stored.planner)
    assert world.living() == []


def test_a_signature_is_used_once(world: World, stored: StoredPlan) -> None:
    signed(world, stored, world.person("bob"))
    world.runner.apply(stored, stored.planner)
    world.runner.undo(stored.plan.id)
    refused(world, stored, "applied already")
    with pytest.raises(NoriaError, match="carried out already"):
        signed(world, stored, world.person("cem"))


def test_one_no_is_enough(world: World, stored: StoredPlan) -> None:
    signed(world, stored, world.person("bob"))
    reject(world.db, stored, world.person("cem"), "too dear", at_ns=world.clock())
    refused(world, stored, "cem has rejected .* too dear")


def test_what_is_denied_nobody_can_sign(tmp_path: Path) -> None:
    rules = {"rules": [{"name": "never", "decision": "deny", "regions": ["south"]}]}
    world = World(tmp_path, settings=Actions.model_validate(rules))
    stored = world.plan(world.call("make_bucket", region="south", name="b"))
    with pytest.raises(NoriaError, match=r"denies .* 'never'"):
        signed(world, stored, world.person("bob"))
    refused(world, stored, "denies .* 'never'")
    world.close()


def test_a_rule_that_was_added_after_the_signature_holds(
    world: World, stored: StoredPlan
) -> None:  # fmt: skip
    signed(world, stored, world.person("bob"))
    strict = Actions.model_validate({"rules": [{"name": "new", "decision": "deny"}]})
    object.__setattr__(world.environment, "settings", strict)
    refused(world, stored, "denies .* 'new'")


def test_whoever_destroys_types_the_name(world: World) -> None:
    bucket = world.cloud.make("bucket", "south", "", {}, number=1)[0]
    stored = world.plan(world.call("remove_bucket", id=bucket))
    for typed in ([], ["bucket"], [bucket[:-1]]):
        with pytest.raises(NoriaError, match=f"destroys {bucket}"):
            signed(world, stored, world.person("bob"), typed=typed)
    signed(world, stored, world.person("bob"), typed=[bucket])
    world.runner.apply(stored, stored.planner)
    assert world.living() == []


def test_an_approval_can_only_narrow(world: World, stored: StoredPlan) -> None:
    less = narrow(stored.plan, {"1.count": 2, "time_to_live_s": 1800}, world.catalogue)
    assert less.price_hour_nano * 2 == stored.plan.price_hour_nano
    assert less.ceiling_nano * 4 == pytest.approx(stored.plan.ceiling_nano, abs=4)
    assert less.hash != stored.plan.hash
    for changes in (
        {"1.count": 5}, {"1.count": 0}, {"1.count": -1}, {"1.count": 2.0}, {"1.count": True},
        {"1.count": "2"}, {"1.region": "west"}, {"1.nothing": 1}, {"2.count": 1},
        {"time_to_live_s": 7200}, {"count": 1},
    ):  # fmt: skip
        with pytest.raises(NoriaError):
            narrow(stored.plan, changes, world.catalogue)
    narrowed = save_plan(world.db, less, stored.planner, parent=stored.plan.id)
    signed(world, narrowed, world.person("bob"))
    refused(world, stored, "not signed")
    world.runner.apply(narrowed, stored.planner)
    assert len(world.living()) == 2


def test_the_difference_of_two_plans(world: World, stored: StoredPlan) -> None:
    less = narrow(stored.plan, {"1.count": 2}, world.catalogue)
    found = {line["path"]: (line["from"], line["to"]) for line in difference(stored.plan, less)}
    assert found["calls[0].arguments.count"] == (4, 2)
    assert set(found) > {"price_hour_nano", "ceiling_nano", "calls[0].price_hour_nano"}
    assert difference(stored.plan, replace(stored.plan, id="other")) == []


def test_a_plan_is_found_by_id_and_hash(world: World, stored: StoredPlan) -> None:
    for name in (stored.plan.id, stored.plan.hash, stored.plan.hash[:12]):
        assert find_plan(world.db, name).plan == stored.plan
    for name in ("", "nothing", stored.plan.hash[:7], f"{stored.plan.id}.1", "%", "________"):
        with pytest.raises(NoriaError):
            find_plan(world.db, name)
