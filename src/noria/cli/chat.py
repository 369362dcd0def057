"""`noria chat`: talk to a model in the terminal."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from noria.cli._io.output import complain, note, printable
from noria.cli.client.home_client import Door, Message, Reply
from noria.cli.client.local_door import open_door
from noria.cli.model import have_weights
from noria.errors import NoriaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from noria.config import Config

__all__ = ["chat"]

_HELP = """\
  /model [NAME]    go on with another model, or list them
  /system [TEXT]   set what the model is told first, or show it
  /clear           forget the conversation
  /help            this
  /quit            leave; Ctrl-D does too
End a line with \\ to go on in the next one, or put \"\"\" before and after several lines.
The up arrow brings earlier lines back. Ctrl-C stops an answer."""

_HISTORY_LINES = 2000


def chat(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A name such as local:smollm2; `default` or local:smollm2 if left out."
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Argument(help="What to ask: it is answered once. `-` reads standard input."),
    ] = None,
    system: Annotated[str | None, typer.Option(help="What the model is told first.")] = None,
) -> None:
    """Talk to a model: through the running server, or in this process when none runs.

    With a TEXT, or when standard input is not a terminal, there is one answer and only it is
    printed. With both, what comes by standard input stands below the text.
    """
    from noria.config import load

    config = load()
    question = _question(text)
    if question == "":
        raise NoriaError(
            "There is nothing to ask: the text and standard input are empty.",
            'Type: noria chat MODEL "a question"',
        )
    if model is None:
        model = "default" if "default" in config.models else "local:smollm2"
        note(f"No model is named: {model} answers. To choose: noria chat MODEL [TEXT]")
    have_weights(config, model)
    with open_door(config) as door:
        talk = Talk(config, door, model, system, once=question is not None)
        if question is None:
            talk.run()
        else:
            talk.ask(question)


def _question(text: str | None) -> str | None:
    """What is to be asked once; None for a conversation."""
    said = "" if text in (None, "-") else (text or "").strip()
    if sys.stdin.isatty() and text != "-":
        return None if text is None else said
    # Whoever starts us with a text may leave standard input open without ever writing to it.
    piped = sys.stdin.read().strip() if not said or _has_input() else ""
    return "\n\n".join(part for part in (said, piped) if part)


def _has_input() -> bool:
    """Whether something can be read from standard input, its end included, without waiting."""
    import select

    try:
        return bool(select.select([sys.stdin], [], [], 0)[0])
    except (OSError, ValueError):  # a closed one
        return False


@dataclass(slots=True)
class Talk:
    """One conversation."""

    config: Config
    door: Door
    model: str
    system: str | None = None
    messages: list[Message] = field(default_factory=list)
    once: bool = False
    """Whether there is one question only, whose answer alone is printed."""

    def run(self) -> None:
        """Ask the person and the model in turn, until the person leaves."""
        note(f"{self.model}. /help says what can be typed; Ctrl-D leaves.")
        with _history(self.config.home / "chat-history"):
            interrupted = False
            while True:
                try:
                    said = _read()
                except EOFError:
                    note()
                    return
                except KeyboardInterrupt:
                    if interrupted:
                        raise
                    interrupted = True
                    note("\nCtrl-C again, or Ctrl-D, leaves.")
                    continue
                interrupted = False
                if said in ("/quit", "/exit", "/bye"):
                    return
                try:
                    if said.startswith("/"):
                        self.command(said)
                    elif said:
                        self.ask(said)
                except NoriaError as failure:
                    complain(failure)

    def command(self, line: str) -> None:
        """Carry out a line that begins with a slash."""
        verb, _, rest = line.partition(" ")
        rest = rest.strip()
        match verb:
            case "/help":
                note(_HELP)
            case "/clear":
                self.messages.clear()
                note("The conversation is forgotten.")
            case "/system":
                self.system = rest or self.system
                note(f"system: {self.system or '(nothing)'}")
            case "/model" if rest:
                self._known(rest)
                have_weights(self.config, rest)
                self.model = rest
                note(f"The conversation goes on with {rest}.")
            case "/model":
                for name in self._catalogue_names():
                    note(f"{'*' if name == self.model else ' '} {name}")
            case _:
                note(f"There is no {verb}; /help says what there is.")

    def ask(self, text: str) -> None:
        """Send what the person said and print the answer as it comes.

        A failed question is not kept in the conversation; of a stopped answer, what came is.

        Raises:
            NoriaError: the call was refused or failed.
        """
        told = [{"role": "system", "content": self.system}] if self.system else []
        question = {"role": "user", "content": text}
        reply = Reply(self.door, self.model, [*told, *self.messages, question])
        interactive = not self.once
        try:
            for piece in reply:
                sys.stdout.write(printable(piece))
                sys.stdout.flush()
        except KeyboardInterrupt:
            if not interactive:
                raise
        finally:
            if reply.text:
                sys.stdout.write("\n")
                sys.stdout.flush()
        self.messages += [question, {"role": "assistant", "content": reply.text}]
        if interactive:
            self._footer(reply)

    def _footer(self, reply: Reply) -> None:
        """Figures under an answer."""
        from noria.types import Money
        from noria.web.format import duration, rate

        facts = [reply.answered_by or reply.model]
        if reply.output_tokens is not None:
            facts.append(f"{reply.input_tokens:,} → {reply.output_tokens:,} tokens")
        if reply.ttft_ms is not None:
            facts.append(f"first after {duration(reply.ttft_ms)}")
            facts.append(rate(reply.output_tokens, reply.duration_ms, reply.ttft_ms))
        if reply.trace_id:
            if (cost := _cost(self.config, reply.trace_id)) is not None:
                facts.append(str(Money(cost)))
            facts.append(f"noria trace show {reply.trace_id}")
        typer.secho(printable("  ".join(facts)), err=True, dim=True)

    def _known(self, name: str) -> None:
        from noria.models import Catalogue

        if name not in self.config.models:
            Catalogue(self.config).target(name)

    def _catalogue_names(self) -> list[str]:
        from noria.models import Catalogue

        return Catalogue(self.config).names()


def _read() -> str:
    """One message from the person: a line, or several."""
    said = input("> ")
    if said.lstrip().startswith('"""'):
        said = said.lstrip()[3:]
        while not said.rstrip().endswith('"""'):
            said += "\n" + input("… ")
        said = said.rstrip()[:-3]
    while said.endswith("\\"):
        said = said[:-1] + "\n" + input("… ")
    return said.strip()


@contextlib.contextmanager
def _history(path: Path) -> Iterator[None]:
    """Earlier lines under the up arrow, kept in the home."""
    import readline

    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    readline.set_history_length(_HISTORY_LINES)
    try:
        yield
    finally:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        readline.write_history_file(path)
        path.chmod(0o600)


def _cost(config: Config, trace_id: str) -> int | None:
    """What a trace cost, in nano-dollars; None while the store cannot say."""
    from noria.cli._io.home import open_home
    from noria.store import find_trace

    try:
        with open_home(config) as home:
            home.take_in()
            return sum(recorded.span.cost_nano for recorded in find_trace(home.db, trace_id))
    except NoriaError:
        return None
