"""`noria key`."""

from __future__ import annotations

import pytest

from noria.config import load
from noria.errors import NotFound
from noria.store import digest, find_key, open_database
from noria.types import Label


def test_create_says_what_was_made_and_the_secret_once(run_json, home):
    made = run_json(
        "key", "create", "--team", "search", "--user", "ada", "--budget", "5 USD/day",
        "--models", "local:smollm2, acme:big", "--rpm", "10", "--tpm", "2000", "--concurrency", "3",
        "--groups", "law,hr", "--clearance", "internal", "--name", "laptop", "--no-content",
    )  # fmt: skip
    assert made["key"].startswith("noria-")
    assert {key: made[key] for key in ("team", "user", "budget", "models", "name")} == {
        "team": "search",
        "user": "ada",
        "budget": "5 USD/day",
        "models": ["local:smollm2", "acme:big"],
        "name": "laptop",
    }
    stored = find_key(open_database(load()), digest(made["key"]))
    assert stored is not None
    assert stored.id == made["id"]
    assert (stored.rpm, stored.tpm, stored.concurrency) == (10, 2000, 3)
    assert stored.groups == {"law", "hr"}
    assert stored.clearance is Label.INTERNAL
    assert not stored.record_content
    assert not stored.admin
    (listed,) = run_json("key", "ls")
    assert "key" not in listed
    assert made["key"] not in str(listed)
    assert listed["hint"] == made["key"][-4:]


def test_without_limits_a_key_may_use_everything(run_json):
    made = run_json("key", "create")
    assert made["models"] is None
    assert made["budget"] is None
    assert made["rpm"] is None


def test_standard_output_is_the_secret_alone(run):
    done = run("key", "create", "--team", "search")
    assert done.stdout.strip().startswith("noria-")
    assert len(done.stdout.split()) == 1
    assert "team search" in done.stderr


def test_revoke(run, run_json):
    made = run_json("key", "create")
    assert run("key", "revoke", made["id"]).exit_code == 0
    (listed,) = run_json("key", "ls")
    assert listed["revoked_at"].endswith("Z")
    with pytest.raises(NotFound, match="Did you mean " + made["id"]):
        run("key", "revoke", made["id"][:-1])


def test_lists_are_tables_for_people_and_arrays_for_programs(run, run_json):
    assert run_json("key", "ls") == []
    assert "noria key create" in run("key", "ls").stderr
    run("key", "create", "--team", "search", "--admin")
    table = run("key", "ls").stdout
    assert "search" in table
    assert "admin" in table
