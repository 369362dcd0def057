"""The application that the tests of the doors serve."""

SUPPORT = '''
import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic import BaseModel

from noria import App

app = App("support", model="fake:small", budget="1000 USD/day", description="Helps.")
app.variant("loud", model="fake:loud", mark="!")
here = Path(__file__).parent


class Ticket(BaseModel):
    title: str
    urgency: int = 1


@app.chat
async def answer(question: str, history: list[dict[str, str]] | None = None) -> AsyncIterator[str]:
    """Answers a question.

    It says how much was said before.
    """
    yield f"{len(history or ())} before;"
    for word in question.split():
        yield " " + word + app.setting("mark", "")


@app.chat
async def ask(question: str, history: list[dict[str, str]] | None = None) -> str:
    """Asks the model."""
    return await app.model.ask(question)


@app.task
def triage(ticket: Ticket, note: str = "") -> Ticket:
    """Makes a ticket more urgent."""
    return Ticket(title=ticket.title + note, urgency=ticket.urgency + 1)


@app.task
def add(a: int, b: int = 1) -> int:
    return a + b


@app.task
def fail() -> None:
    raise ValueError("the secret word is plover")


@app.task
async def wait_for(name: str) -> AsyncIterator[str]:
    """Says `begun`, and `done` when a file is there."""
    try:
        (here / f"{name}.begun").touch()
        yield "begun"
        while not (here / name).exists():
            await asyncio.sleep(0.01)
        yield "done"
    except asyncio.CancelledError:
        (here / f"{name}.cancelled").touch()
        raise


@app.task
async def block(name: str) -> str:
    """Stops its own event loop until a file is there."""
    (here / f"{name}.begun").touch()
    while not (here / name).exists():
        time.sleep(0.01)
    return "free"
'''

OTHER = '''
from noria import App, Model

app = App("other")


@app.task
def echo(text: str) -> str:
    return text


@app.chat
async def relay(question: str) -> str:
    """Asks the other application."""
    return await Model("support").ask(question)
'''

MIRROR = '''
from noria import App

app = App("mirror", model="mirror", record_content=False)


@app.chat
async def answer(question: str) -> str:
    """Asks itself."""
    return await app.model.ask(question)


@app.task
def whisper(text: str) -> str:
    return text


@app.task
async def hold(name: str) -> None:
    """Blocks its event loop for a minute."""
    import time
    from pathlib import Path

    (Path(__file__).parent / name).touch()
    time.sleep(60)
'''
