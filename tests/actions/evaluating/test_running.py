"""`noria act eval`: sets through the gateway, the four numbers, the official metrics, traces."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from noria.actions.evaluating import evaluate
from noria.actions.evaluating.apibench import official_verdict
from noria.actions.evaluating.apibench.metric import same_call
from noria.actions.evaluating.bfcl import read_bfcl
from noria.actions.evaluating.counting import Counted, Graded
from noria.cli.app import app
from noria.errors import ConfigError
from noria.testing import Reply
from noria.testing.fake import Received
from tests.actions.evaluating.samples import ROWS, accepted_calls, write_bfcl
from tests.support.plain import Home

PYTHON = [row for row in ROWS if "java" not in row["id"]]


def noria(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*words, "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def right_answers(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The accepted calls of each question, as the grammar has them."""
    return {
        row.question: [
            {"operation": f"set.{call.name}", "arguments": dict(call.arguments)}
            for call in accepted_calls(row)
        ]
        for row in read_bfcl(folder)
    }


def test_a_set_is_answered_through_the_gateway(home: Home, tmp_path: Path) -> None:
    file = write_bfcl(tmp_path / "set", PYTHON)
    known = right_answers(file)

    def says(received: Received) -> Reply:
        asked = received.body["messages"][-1]["content"]
        assert received.body["response_format"]["type"] == "json_schema"
        calls = next(calls for question, calls in known.items() if asked.endswith(question))
        return Reply(text=json.dumps({"calls": calls or [{"operation": "refuse"}]}))

    home.fake.by_model["small"] = says
    told = noria("act", "eval", str(file), "--model", "fake:small")
    assert told["rows"] == len(PYTHON)
    assert told["as_said"]["exact_call"]["value"] == 1.0
    assert told["as_said"]["same_function"]["value"] == 1.0
    assert told["hallucinated"]["value"] == 0.0
    assert told["refused_rightly"] == told["refused_rightly"] | {"value": 1.0, "of": 1}
    assert 0 < told["exact_call"]["lower"] < told["exact_call"]["upper"]
    assert told["official"]["gamed"]
    traces = noria("act", "eval", "traces")
    assert traces["rows"] == len(PYTHON)
    assert traces["hallucinated"]["count"] == 0
    assert traces["exact_call"] is None


def test_an_evaluation_goes_on_where_it_was_stopped(home: Home, tmp_path: Path) -> None:
    file, out = write_bfcl(tmp_path / "set", PYTHON[:3]), tmp_path / "replies.jsonl"
    home.fake.by_model["small"] = Reply(text='{"calls": [{"operation": "refuse"}]}')
    words = ("act", "eval", str(file), "--model", "fake:small", "--out", str(out))
    first = noria(*words)
    asked = len(home.fake.requests)
    assert asked == 3
    out.write_bytes(out.read_bytes()[:-20])
    assert noria(*words) == first
    assert len(home.fake.requests) == asked + 1


def test_what_is_invented_is_counted_and_not_called(home: Home, tmp_path: Path) -> None:
    file = write_bfcl(tmp_path / "set", [ROWS[1]])
    made = [{"operation": "set.total", "arguments": {"numbers": [1, 2.5]}}]
    home.fake.by_model["small"] = Reply(text=json.dumps({"calls": made}))
    told = noria("act", "eval", str(file), "--model", "fake:small")
    assert told["as_said"]["hallucinated"]["count"] == 1
    assert told["hallucinated"]["count"] == 0
    assert told["exact_call"]["count"] == 0
    assert noria("act", "eval", "traces")["hallucinated"]["count"] == 1


def test_calls_of_tools_in_traces_are_counted(home: Home) -> None:
    from noria.apps.model.model import Model
    from noria.testing.replies import ToolCall

    def weather(city: str) -> str:
        """Say the weather."""
        return f"Sun in {city}."

    replies = [
        Reply(tool_calls=[ToolCall("weather", {"city": "Ulm"})]), Reply(text="Sun."),
        Reply(tool_calls=[ToolCall("forecast", {"town": "Ulm"})]), Reply(text="No."),
    ]  # fmt: skip
    home.fake.queue(*replies)
    for _ in range(2):
        Model("fake:small").ask_sync("Tell.", question="Weather in Ulm?", tools=[weather])
    told = noria("act", "eval", "traces")
    assert (told["rows"], told["hallucinated"]["count"]) == (4, 1)
    assert told["wrong"][0]["why"] == "forecast is no function"


def test_a_set_that_is_missing_or_needs_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no set"):
        asyncio.run(evaluate(tmp_path / "nowhere", "x", None))
    with pytest.raises(ConfigError, match="only a model"):
        asyncio.run(evaluate(write_bfcl(tmp_path / "set"), "x", None))


# APIBench

APIS = [
    ("Audio", "hub.load(repo='a/speech', model='speak')", "turns text into speech"),
    ("Vision", "hub.load(repo='b/vision', model='resnet')", "classifies photographs"),
    ("Vision", "hub.load(repo='b/vision', model='detector')", "finds cars in photographs"),
]
ASKED = [
    ("Read this text aloud as speech.", 0),
    ("Which kind of photograph is it? It classifies.", 1),
    ("Find cars in this photograph.", 2),
    ("Where are the cars?", 2),
]


def apibench(folder: Path) -> Path:
    folder.mkdir()
    apis = [
        {"domain": domain, "api_call": call, "api_name": call[-8:-2], "functionality": "",
         "description": about} for domain, call, about in APIS
    ]  # fmt: skip
    rows = [
        {"code": f"###Instruction: {asked}\n###Output: ...", "api_call": APIS[place][1],
         "api_data": apis[place]} for asked, place in ASKED
    ]  # fmt: skip
    (folder / "torchhub_api.jsonl").write_text("\n".join(map(json.dumps, apis)))
    (folder / "torchhub_eval.json").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_retrieval_alone_answers_apibench(tmp_path: Path) -> None:
    report = asyncio.run(evaluate(apibench(tmp_path / "set"), "retrieval", None)).as_json()
    assert report["form"] == "apibench"
    assert report["rows"] == 4
    assert report["exact_call"]["count"] >= 3
    assert report["hallucinated"]["count"] == 0
    assert report["retrieved_at"]["5"] == 1.0
    assert "domain" in report["official"]["gamed"]


def test_the_official_metric_counts_the_domain_and_ours_the_call() -> None:
    apis = [{"domain": domain, "api_call": call} for domain, call, _ in APIS]
    other = APIS[1][1]
    assert official_verdict("torchhub", other, "Vision", apis) == "right"
    assert official_verdict("torchhub", other, "Audio", apis) == "wrong"
    assert official_verdict("torchhub", "hub.load('c/d')", "Audio", apis) == "hallucinated"
    assert not same_call(APIS[2][1], other)
    assert same_call("f( 1, b = 'x', a=2 )", "f(1, a=2, b='x')")
    assert not same_call("f(1, a=2)", "f(1, a=3)")


def test_one_constant_answer_scores_the_share_of_its_domain() -> None:
    apis = [{"domain": domain, "api_call": call} for domain, call, _ in APIS]
    domains = [APIS[place][0] for _, place in ASKED]
    verdicts = [official_verdict("torchhub", APIS[1][1], domain, apis) for domain in domains]
    assert verdicts.count("right") == 3


def test_numbers_that_nobody_knows_stay_unknown() -> None:
    counted = Counted.of([Graded("a", "x", exact=True, hallucinated=False), Graded("b", "x")])
    told = counted.as_json()
    assert (told["rows"], told["exact_call"]["of"], told["hallucinated"]["of"]) == (2, 1, 1)
    assert told["same_function"] is None
    assert told["refused_rightly"] is None
