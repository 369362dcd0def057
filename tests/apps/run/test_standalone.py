"""Plain Python beside a server of the same home: the same spans, the same applications."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

from noria.types import SpanKind, Status
from tests.support.door import Door

APP = """
from noria import App, Model, step

app = App("echo")

@step
def twice(text: str) -> str:
    return text + text

@app.chat
def answer(question: str) -> str:
    return twice(question)

if __name__ == "__main__":
    print(answer("plain"))
    print(Model("echo").ask_sync("", question="served"))
"""


def test_plain_calls_and_batches_beside_a_server(new_door: Callable[..., Door]) -> None:
    door = new_door(apps={"app.py": APP})
    environ = {name: value for name, value in os.environ.items() if name[:6] != "NORIA_"}

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=door.folder,
            env=environ | {"NORIA_KEY": door.key(user="ada")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("app.py").split() == ["plainplain", "servedserved"]
    (door.folder / "in.jsonl").write_text('{"question": "row"}\n')
    files = ["--in", "in.jsonl", "--out", "out.jsonl"]
    run("-m", "noria.cli", "run", "app.py", "answer", *files)
    row = json.loads((door.folder / "out.jsonl").read_text())
    assert row["output"] == "rowrow"
    spans = door.spans()
    roots = [span for span in spans if span.kind is SpanKind.APP]
    steps = [span for span in spans if span.kind is SpanKind.STEP]
    assert [span.name for span in roots] == ["echo.answer"] * 3
    assert {span.user for span in roots} == {"ada"}
    assert {span.status for span in spans} == {Status.OK}
    assert {span.parent_id for span in steps} == {span.id for span in roots}
    assert row["trace_id"] in {span.trace_id for span in roots}
