"""Loading a file: what it declares, and errors that name file and line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from noria.apps import load_app
from noria.apps.declare.app import declared
from noria.errors import AppError
from tests.support.plain import Home

Write = Callable[..., Path]

GOOD = """
from helper import shout
from noria import App, check, step

app = App("support")

@step
def clean(question: str) -> str:
    return shout(question)

@app.chat
def answer(question: str) -> str:
    return clean(question)

@check(answer)
def short(clean: str, reply: str) -> bool:
    return len(reply) < 100
"""


def test_a_file_with_its_neighbours(home: Home, write: Write) -> None:
    write("helper.py", "def shout(text): return text.upper()")
    file = write("desk.py", GOOD)
    (app,) = load_app(file)
    assert app.name == "support"
    assert app.file == file
    assert list(app.functions) == ["answer"]
    assert [check.name for check in app.checks] == ["short"]
    assert sys.modules["desk"].answer("hi") == "HI"


def test_it_can_be_loaded_again(home: Home, write: Write) -> None:
    write("helper.py", "def shout(text): return text.upper()")
    file = write("desk.py", GOOD)
    load_app(file)
    write("desk.py", GOOD.replace('"support"', '"other"'))
    (app,) = load_app(file)
    assert app.name == "other"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("from noria import App\napp = App('a'\n", 2, "'(' was never closed"),
        ("from noria import App\nimport no_such_module\n", 2, "ModuleNotFoundError: No module na"),
        ("from noria import App\napp = App('a')\n1 / 0\n", 3, "ZeroDivisionError"),
        ("from noria import App\nApp('a')\nApp('a')\n", 3, "two applications named a; the other"),
        ("from noria import App\n\napp = App('A B')\n", 3, "'A B' cannot be the name"),
        (
            "from noria import App, check\napp = App('a')\n@app.task\ndef f(): ...\n"
            "@check(f)\ndef look(replyy): ...\n",
            5,
            "asks for 'replyy'",
        ),
        (
            "from noria import App\napp = App('a')\n@app.task\ndef f(a: 'Missing'): ...\n",
            3,
            "an annotation cannot be read: name 'Missing' is not defined",
        ),
        (
            "from noria import App\nclass C: ...\napp = App('a')\n@app.task\ndef f(a: C): ...\n",
            4,
            "its arguments cannot be read from JSON",
        ),
        (
            "from noria import App\napp = App('a')\n@app.task\ndef f(): ...\n"
            "@app.task(name='f')\ndef g(): ...\n",
            5,
            "two functions f",
        ),
    ],
)
def test_errors_name_file_and_line(
    home: Home, write: Write, text: str, line: int, message: str
) -> None:
    file = write("desk.py", text)
    before = list(declared)
    with pytest.raises(AppError) as refused:
        load_app(file)
    assert f"{file}, line {line}: " in refused.value.message
    assert message in refused.value.message
    assert declared == before


def test_an_error_in_a_neighbour_names_the_neighbour(home: Home, write: Write) -> None:
    neighbour = write("shaky.py", "\n\nraise RuntimeError('broken')")
    file = write("desk.py", "import shaky\n")
    with pytest.raises(AppError, match="RuntimeError: broken") as refused:
        load_app(file)
    assert f"{neighbour}, line 3" in refused.value.message


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("desk.py", "", "declares no application"),
        ("json.py", "", "has the name of the module json"),
        ("my-desk.py", "", "its name must be that of a Python module"),
        ("desk.txt", "", "its name must be that of a Python module"),
        ("desk.py", None, "There is no file"),
    ],
)
def test_files_that_cannot_be_used(
    home: Home, write: Write, name: str, text: str | None, message: str
) -> None:
    file = home.folder / name if text is None else write(name, text)
    with pytest.raises(AppError, match=message):
        load_app(file)


def test_an_application_of_another_file_may_be_used(home: Home, write: Write) -> None:
    write("other_desk.py", "from noria import App\nother = App('other')\n")
    file = write("desk.py", "from noria import App\nfrom other_desk import other\na = App('a')\n")
    assert [app.name for app in load_app(file)] == ["a"]


def test_no_traceback_is_printed(home: Home, write: Write) -> None:
    file = write("desk.py", "from noria import App\n1 / 0\n")
    write("rows.jsonl", "{}\n")
    command = [sys.executable, "-m", "noria.cli", "run", str(file), "f"]
    command += ["--in", "rows.jsonl", "--out", "out.jsonl"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=home.folder)
    assert done.returncode == 1
    assert done.stderr == f"noria: {file}, line 2: ZeroDivisionError: division by zero\n"
