"""`noria act plan`: what it prints, and its exit status."""

from __future__ import annotations

import json

FIELDS = {"id", "hash", "status", "reason", "calls", "price_hour_nano", "ceiling_nano"}


def test_a_plan_that_is_ready(run) -> None:
    done = run("act", "plan", "start two a100.8 in north for 2 hours", "--json")
    plan = json.loads(done.stdout)
    assert done.exit_code == 0
    assert plan.keys() >= FIELDS | {"alternatives"}
    assert plan["status"] == "ready"
    (call,) = plan["calls"]
    assert call["operation"] == "sim.start_machines"
    assert call["sources"]["count"]["text"] == "two a100.8"
    assert (plan["price_hour_nano"], plan["ceiling_nano"]) == (65_545_200_000, 131_090_400_000)
    shown = json.loads(run("act", "show", plan["id"], "--json").stdout)
    assert shown["hash"] == plan["hash"]


def test_one_that_is_refused_has_alternatives_that_are_plans(run) -> None:
    done = run("act", "plan", "launch four VMs with eight A100s in west", "--json")
    plan = json.loads(done.stdout)
    assert done.exit_code == 3
    assert plan["status"] == "refused"
    first = plan["alternatives"][0]
    assert first.keys() >= FIELDS | {"provider", "region", "instance_type", "count"}
    assert (first["region"], first["instance_type"], first["count"]) == ("north", "a100.8", 4)
    shown = json.loads(run("act", "show", first["id"], "--json").stdout)
    assert shown["hash"] == first["hash"]


def test_one_that_asks(run) -> None:
    done = run("act", "plan", "launch VMs with eight A100s in north", "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["status"] == "asks"


def test_it_is_read_by_a_person(run) -> None:
    done = run("act", "plan", "launch four VMs with eight A100s in west")
    assert "131.09 USD" in done.stdout
    assert "'west' cannot be met" in done.stderr
    ready = run("act", "plan", "one small in south")
    assert "sim.start_machines" in ready.stdout
    assert "noria act apply" in ready.stderr
