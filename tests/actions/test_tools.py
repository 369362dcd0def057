"""`App.actions`: a model has calls planned and carried out, under the policy of the home."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from noria.actions.opening import desk_of
from noria.apps.run.standalone import open_plainly
from noria.config import load
from noria.errors import AppError
from noria.testing import Reply
from noria.testing.replies import ToolCall
from tests.support.plain import Home

ALLOW = '\n[[actions.rules]]\nname = "small things"\ndecision = "allow"\neffects = ["create"]\n'
START = "start two small in north for 2 hours"


def tools(home: Home, *effects: str, name: str = "desk", catalogue: str | None = "sim") -> Any:
    app = home.app(name)
    act, go_on = app.actions(catalogue, effects=effects or ("read", "create"))

    def said(tool: Any, words: str) -> dict[str, Any]:
        return dict(json.loads(asyncio.run(tool(words))))

    return (lambda words: said(act, words)), (lambda plan: said(go_on, plan))


def settings(home: Home, text: str) -> None:
    file = home.folder / "noria.toml"
    file.write_text(file.read_text() + text)


def _rows() -> list[Any]:
    import sqlite3

    path = load().home / "actions" / "sim.db"
    if not path.exists():
        return []
    with sqlite3.connect(path) as database:
        return database.execute("SELECT region, type FROM things WHERE ended_ns IS NULL").fetchall()


def sign(plan: dict[str, Any]) -> None:
    opened = open_plainly()
    key = opened.context().trace.key
    desk_of(opened.gateway.config).approve(plan["plan"], plan["hash"], key)


def test_what_the_policy_allows_is_done_at_once(home: Home) -> None:
    settings(home, ALLOW)
    act, _ = tools(home)
    told = act(START)
    assert (told["status"], told["run"]) == ("applied", "running")
    assert _rows() == [("north", "small")] * 2


def test_what_needs_a_signature_is_pending_and_goes_on_when_it_has_one(home: Home) -> None:
    act, go_on = tools(home)
    told = act(START)
    assert told["status"] == "pending"
    assert told["must_sign"]
    assert told["price_hour_nano"] == 25_000_002
    assert _rows() == []
    assert go_on(told["plan"])["status"] == "pending"
    sign(told)
    assert go_on(told["plan"])["status"] == "applied"
    assert go_on(told["plan"])["status"] == "applied"
    assert len(_rows()) == 2


def test_an_alternative_can_be_taken(home: Home) -> None:
    settings(home, ALLOW)
    act, go_on = tools(home)
    told = act("one VM with eight A100s in west")
    assert told["status"] == "refused"
    assert go_on(told["alternatives"][0]["plan"])["status"] == "applied"
    assert _rows() == [("north", "a100.8")]


def test_what_the_policy_denies_stays_undone(home: Home) -> None:
    settings(home, ALLOW.replace('"allow"', '"deny"'))
    act, _ = tools(home)
    assert act(START)["status"] == "denied"
    assert _rows() == []


def test_effects_and_plans_of_others_are_out_of_reach(home: Home) -> None:
    settings(home, ALLOW)
    reading, go_on_reading = tools(home, "read", name="reader")
    home.fake.by_model["small"] = Reply(text='{"calls": [{"operation": "refuse"}]}')
    assert reading(START)["status"] == "refused"
    act, _ = tools(home, name="desk")
    made = act("one VM with eight A100s in west")
    assert go_on_reading(made["alternatives"][0]["plan"])["status"] == "failed"
    assert go_on_reading("nothing")["status"] == "failed"
    assert _rows() == []


def test_a_model_calls_them_in_its_conversation(home: Home) -> None:
    app = home.app("desk")
    home.fake.queue(
        Reply(tool_calls=[ToolCall("act", {"request": START})]),
        Reply(text="Somebody must sign."),
    )
    said = app.model.ask_sync(
        "Help.", question="Start them.", tools=app.actions("sim", effects=["create"])
    )
    assert said == "Somebody must sign."
    result = json.loads(home.fake.requests[-1].body["messages"][-1]["content"])
    assert result["status"] == "pending"


def test_an_unknown_effect_is_refused_where_it_is_written(home: Home) -> None:
    with pytest.raises(AppError, match="no effect 'fly'"):
        home.app("desk").actions("sim", effects=["fly"])
