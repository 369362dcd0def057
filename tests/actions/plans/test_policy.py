"""The policy: which rule decides, what is not known, and how fast."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.action_settings import ActionRule, Actions
from noria.actions.operation import Effect
from noria.actions.plans.facts import CallFacts, PlanFacts
from noria.actions.plans.hours import Hours
from noria.actions.plans.person import Person
from noria.actions.plans.policy import Policy
from noria.errors import ConfigError
from noria.types import Window

ANN = Person("ann", "k1", team="research", user="ann", groups=frozenset({"gpu"}))
BOB = Person("bob", "k2", team="ops", user="bob")
MONDAY = datetime(2026, 12, 7, 10, 0, tzinfo=UTC)
NANO = 1_000_000_000


def call(**more: Any) -> CallFacts:
    values: dict[str, Any] = {
        "operation": "ec2.run_instances", "effect": Effect.CREATE, "provider": "ec2",
        "irreversible": False, "region": "us-west-2", "instance_type": "p4d.24xlarge", "count": 2,
        "accelerators": 16, "price_known": True, "offer": None, "price_hour_nano": 65 * NANO,
    }  # fmt: skip
    return CallFacts(**values | more)


def facts(*calls: CallFacts, hours: float = 1) -> PlanFacts:
    price = sum(one.price_hour_nano for one in calls)
    seconds = sum(one.accelerators for one in calls) * int(hours * 3600)
    return PlanFacts(calls, price, int(price * hours), seconds)


def rule(name: str, decision: str, **conditions: Any) -> dict[str, Any]:
    return {"name": name, "decision": decision, **conditions}


def nothing_used(window: Window, person: str | None) -> tuple[int, int]:
    return 0, 0


def decided(
    *rules: dict[str, Any],
    plan: PlanFacts | None = None,
    by: Person = ANN,
    usage: Callable[[Window, str | None], tuple[int, int]] = nothing_used,
    at: datetime = MONDAY,
    default: str = "needs_approval",
) -> tuple[str, str]:
    settings = Actions.model_validate({"rules": rules, "default": default})
    found = Policy(settings).decide(plan or facts(call()), by, usage, at)
    return found.verdict, found.rule


def test_without_rules_reading_is_allowed_and_all_else_signed() -> None:
    reading = facts(call(effect=Effect.READ, count=0, price_hour_nano=0))
    assert decided(plan=reading)[0] == "allow"
    assert decided()[0] == "needs_approval"
    assert decided(default="deny") == ("deny", "built-in: actions.default")


def test_deny_wins_over_needs_approval_which_wins_over_allow() -> None:
    every = [rule("a", "allow"), rule("b", "needs_approval"), rule("c", "deny")]
    assert decided(*every) == ("deny", "c")
    assert decided(*every[::-1]) == ("deny", "c")
    assert decided(*every[:2]) == ("needs_approval", "b")
    assert decided(every[0]) == ("allow", "a")


def test_one_denied_call_denies_the_plan() -> None:
    plan = facts(call(), call(region="eu-central-1"))
    rules = [rule("all", "allow"), rule("home", "deny", except_regions=["us-*"])]
    assert decided(*rules, plan=plan) == ("deny", "home")


CONDITIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    # What the rule says, and how a call is that it does not speak of.
    ({"effects": ["create"]}, {"effect": Effect.CHANGE}),
    ({"operations": ["ec2.*"]}, {"operation": "sim.start"}),
    ({"providers": ["ec2"]}, {"provider": "sim"}),
    ({"regions": ["us-*"]}, {"region": "eu-central-1"}),
    ({"except_regions": ["eu-*"]}, {"region": "eu-central-1"}),
    ({"instance_types": ["p4d.*"]}, {"instance_type": "g5.xlarge"}),
    ({"irreversible": False}, {"irreversible": True}),
    ({"count_over": 1}, {"count": 1}),
    ({"price_hour_over": "64.99 USD"}, {"price_hour_nano": 64 * NANO}),
    ({"ceiling_over": "64.99 USD"}, {"price_hour_nano": 64 * NANO}),
    ({"gpu_hours_over": "15.9/day"}, {"accelerators": 15}),
    ({"spend_over": "64.99 USD/day"}, {"price_hour_nano": 64 * NANO}),
]


@pytest.mark.parametrize(("condition", "other"), CONDITIONS, ids=lambda one: next(iter(one)))
def test_each_condition_decides_alone(
    condition: dict[str, Any], other: dict[str, Any]
) -> None:  # fmt: skip
    one = rule("it", "deny", **condition)
    assert decided(one, default="allow") == ("deny", "it")
    assert decided(one, plan=facts(call(**other)), default="allow")[0] == "allow"


def test_who_has_planned_and_when() -> None:
    for names, mine in (
        (["user:ann"], True), (["team:res*"], True), (["group:gpu"], True), (["admin"], False),
        (["user:bob"], False), (["*"], True), (["app:support"], False),
    ):  # fmt: skip
        verdict = decided(rule("it", "deny", people=names), default="allow")[0]
        assert (verdict == "deny") is mine, names
        verdict = decided(rule("it", "deny", except_people=names), default="allow")[0]
        assert (verdict == "deny") is not mine, names
    night = MONDAY.replace(hour=3)
    office = rule("office", "deny", except_hours="mon-fri 08:00-18:00")
    assert decided(office, default="allow")[0] == "allow"
    assert decided(office, default="allow", at=night) == ("deny", "office")


def test_counts_of_one_rule_are_added_up_over_calls() -> None:
    """Four machines as four calls of one are still four machines."""
    plan = facts(*(call(count=1) for _ in range(4)))
    assert decided(rule("few", "deny", count_over=3), plan=plan, default="allow")[0] == "deny"
    assert decided(rule("few", "deny", count_over=4), plan=plan, default="allow")[0] == "allow"


@pytest.mark.parametrize(
    ("unknown", "condition"),
    [
        ({"region": None}, {"regions": ["us-*"]}),
        ({"region": None}, {"except_regions": ["us-*"]}),
        ({"instance_type": None}, {"instance_types": ["g5.*"]}),
        ({"count": None}, {"count_over": 1000}),
    ],
)
def test_what_is_not_known_yet_counts_as_the_worst(
    unknown: dict[str, Any], condition: dict[str, Any]
) -> None:
    plan = facts(call(**unknown))
    assert decided(rule("it", "deny", **condition), plan=plan, default="allow")[0] == "deny"
    allowed = decided(rule("it", "allow", **condition), plan=plan, default="deny")
    assert allowed[0] == "deny"


def test_an_unknown_price_is_signed_even_where_all_is_allowed() -> None:
    plan = facts(call(price_known=False, price_hour_nano=0))
    assert decided(rule("all", "allow"), plan=plan) == (
        "needs_approval",
        "built-in: a price is unknown",
    )


def test_what_others_use_counts_for_all_and_ones_own_for_oneself() -> None:
    def usage(window: Window, person: str | None) -> tuple[int, int]:
        assert window is Window.DAY
        return (0, 0) if person == "ann" else (900 * NANO, 200 * 3600)

    for condition in ({"spend_over": "900 USD/day"}, {"gpu_hours_over": "200/day"}):
        mine = rule("it", "deny", per_person=True, **condition)
        assert decided(mine, default="allow", usage=usage)[0] == "allow"
        all_ = rule("it", "deny", **condition)
        assert decided(all_, default="allow", usage=usage)[0] == "deny"


def test_who_may_sign() -> None:
    settings = Actions.model_validate(
        {
            "rules": [
                rule("money", "needs_approval", approvers=["team:ops"], ceiling_over="50 USD"),
                rule("two", "needs_approval", signatures=2, four_eyes=True),
            ]
        }
    )
    found = Policy(settings).decide(facts(call()), ANN, nothing_used, MONDAY)
    cem = Person("cem", "k3", user="cem")
    again = Person("bob", "k9", user="bob", team="ops")

    def waits(*signers: Person) -> list[str]:
        return [one.name for one in found.unsigned(signers, ANN)]

    assert waits() == ["money", "two"]
    assert waits(ANN) == ["money", "two"]  # the planner himself
    assert waits(BOB) == ["two"]
    assert waits(BOB, again) == ["two"]  # two keys of one person
    assert waits(cem, ANN) == ["money", "two"]
    assert waits(BOB, cem) == []


@given(st.lists(st.sampled_from(["allow", "needs_approval", "deny"]), min_size=1, max_size=8))
def test_the_strongest_decides_in_any_order(decisions: list[str]) -> None:
    strength = ["allow", "needs_approval", "deny"]
    rules = [rule(str(place), one) for place, one in enumerate(decisions)]
    assert decided(*rules)[0] == max(decisions, key=strength.index)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"hours": "8-18"}, "hours"),
        ({"ceiling_over": "100"}, "100 USD"),
        ({"gpu_hours_over": "64 per day"}, "64/day"),
        ({"people": ["ann"]}, "user:NAME"),
        ({"decision": "allow", "four_eyes": True}, "needs_approval only"),
        ({"regoins": ["x"]}, "regions"),
    ],
)
def test_a_rule_that_cannot_be_understood_is_refused(
    tmp_path: Any, bad: dict[str, Any], says: str
) -> None:
    from noria.config import load

    lines = {"name": "it", "decision": "deny", **bad}
    text = "[[actions.rules]]\n" + "".join(
        f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}\n"
        for name, value in lines.items()
    )
    (tmp_path / "noria.toml").write_text(text)
    with pytest.raises(ConfigError, match=says):
        load(tmp_path / "noria.toml")


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("mon-fri 08:00-18:00", "2026-12-04 17:59", "2026-12-05 12:00"),
        ("fri-mon 00:00-23:59", "2026-12-06 12:00", "2026-12-08 12:00"),
        ("22:00-06:00", "2026-12-08 23:00", "2026-12-08 12:00"),
        ("fri 22:00-06:00", "2026-12-05 05:59", "2026-12-06 05:59"),
    ],
)
def test_hours(text: str, inside: str, outside: str) -> None:
    hours = Hours.parse(text)
    assert hours.hold(datetime.fromisoformat(inside + "+00:00"))
    assert not hours.hold(datetime.fromisoformat(outside + "+00:00"))


def test_every_condition_is_one_that_is_asked() -> None:
    """A condition that the rules ignored would let everything through."""
    asked = {name for condition, _ in CONDITIONS for name in condition}
    elsewhere = {"people", "except_people", "hours", "except_hours", "per_person"}
    about = {"name", "decision", "approvers", "signatures", "four_eyes"}
    assert set(ActionRule.model_fields) == asked | elsewhere | about
