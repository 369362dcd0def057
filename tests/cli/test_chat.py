"""`noria chat` as a person has it: in a terminal, through the running server."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time

import pytest

from noria.testing import Reply
from tests.support.door import MODEL


class Terminal:
    """`noria chat` on a terminal of its own."""

    def __init__(self, folder, *arguments):
        self.screen = ""
        self._fd, end = pty.openpty()
        environ = {name: value for name, value in os.environ.items() if name[:6] != "NORIA_"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "noria.cli", "chat", *arguments],
            cwd=folder,
            env=environ | {"TERM": "xterm"},
            stdin=end,
            stdout=end,
            stderr=end,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(end)

    def type(self, text):
        os.write(self._fd, text.encode())

    def wait_for(self, pattern, seconds=30):
        """Read until the pattern stands in what is new on the screen."""
        until = time.monotonic() + seconds
        while not (found := re.search(pattern, self.screen)):
            assert time.monotonic() < until, self.screen
            if select.select([self._fd], [], [], 0.2)[0]:
                self.screen += os.read(self._fd, 65536).decode(errors="replace")
        self.screen = self.screen[found.end() :]

    def interrupt(self, pattern):
        """Ctrl-C, and again where the first came between the prompt and the wait for a key, which
        the interpreter's line editor notices at the next key only."""
        for _ in range(10):
            self.type("\x03")
            try:
                return self.wait_for(pattern, 3)
            except AssertionError:
                continue
        raise AssertionError(self.screen)

    def leave(self):
        """Ctrl-C until the process has ended, for the same reason."""
        for _ in range(10):
            self.type("\x03")
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(3)
        raise AssertionError(self.screen)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._fd)


@pytest.fixture
def terminal(door):
    terminal = Terminal(door.folder, MODEL)
    terminal.wait_for("> ")
    yield terminal
    terminal.close()


def test_a_conversation_through_the_running_server(terminal, door, fake):
    fake.queue(Reply(text="The first answer."), Reply(text="The second answer."))
    terminal.type("/system Be brief.\r")
    terminal.wait_for("system: Be brief.")
    terminal.wait_for("> ")
    terminal.type("One?\r")
    terminal.wait_for(r"The first answer\.")
    terminal.wait_for(r"tokens.*noria trace show [0-9a-f]{32}")
    terminal.wait_for("> ")
    terminal.type("Two \\\rlines?\r")
    terminal.wait_for(r"The second answer\.")
    terminal.wait_for("trace show")
    terminal.wait_for("> ")
    assert fake.requests[-1].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "The first answer."},
        {"role": "user", "content": "Two \nlines?"},
    ]
    terminal.type("/clear\r")
    terminal.wait_for("forgotten")
    terminal.wait_for("> ")
    terminal.type("\x1b[A\x1b[A\r")  # the up arrow, twice
    terminal.wait_for("trace show")
    terminal.wait_for("> ")
    assert fake.requests[-1].body["messages"][-1]["content"] == "lines?"
    terminal.type("/model nowhere:x\r")
    terminal.wait_for("no provider 'nowhere'")
    terminal.wait_for("> ")
    terminal.type("\x04")
    assert terminal.process.wait(30) == 0
    assert {span.team for span in door.spans()} == {"local"}


def test_ctrl_c_stops_the_answer_and_not_the_conversation(terminal, door, fake):
    fake.queue(Reply(text="word " * 200, chunks=200, delay=0.1))
    terminal.type("Tell me a long story.\r")
    terminal.wait_for("word word")
    terminal.type("\x03")
    terminal.wait_for("> ")
    fake.queue(Reply(text="Still here."))
    terminal.type("Are you there?\r")
    terminal.wait_for(r"Still here\.")
    terminal.wait_for("trace show")
    terminal.wait_for("> ")
    terminal.interrupt("Ctrl-C again")
    terminal.wait_for("> ")
    terminal.leave()
    assert terminal.process.returncode == 130
    assert sorted(span.status for span in door.spans()) == ["cancelled", "ok"]


def once(door, *arguments, given=""):
    environ = {name: value for name, value in os.environ.items() if name[:6] != "NORIA_"}
    return subprocess.run(
        [sys.executable, "-m", "noria.cli", "chat", *arguments],
        cwd=door.folder, env=environ, input=given, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "given", "asked"),
    [
        (("Say hello.",), "", "Say hello."),
        ((), "Say hello.\n", "Say hello."),
        (("-",), "Say hello.\n", "Say hello."),
        (("Translate:",), "Guten Tag\n", "Translate:\n\nGuten Tag"),
    ],
    ids=["a text", "standard input", "a dash", "both"],
)
def test_one_question_has_one_answer(door, fake, arguments, given, asked):
    fake.queue(Reply(text="Hello."))
    answered = once(door, MODEL, *arguments, given=given)
    assert (answered.returncode, answered.stdout) == (0, "Hello.\n"), answered.stderr
    assert fake.requests[-1].body["messages"] == [{"role": "user", "content": asked}]


def test_nothing_to_ask_is_said(door):
    answered = once(door, MODEL)
    assert answered.returncode != 0
    assert "nothing to ask" in answered.stderr
    assert "Traceback" not in answered.stderr


def test_which_model_answers_is_said_where_none_is_named(door, fake):
    settings = door.folder / "noria.toml"
    settings.write_text(settings.read_text() + f'\n[models.default]\ntargets = ["{MODEL}"]\n')
    door.stop()
    door.start()
    fake.queue(Reply(text="Hello."))
    answered = once(door, given="Hi")
    assert answered.stdout == "Hello.\n"
    assert "noria chat MODEL [TEXT]" in answered.stderr
    assert "default answers" in answered.stderr
