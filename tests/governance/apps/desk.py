"""An application that reads what its caller may read, on every path there is, and tells a model.

The question's first word is the path. The folder holds the documents (`papers.json`), each with a
canary in it.
"""

import asyncio
import json
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from noria import App, Model, check, step

PAPERS = json.loads((Path(__file__).parent / "papers.json").read_text())
ALL = 50

app = App("desk", model="open:m")
for name in ("inner", "secret", "safe"):
    app.variant(name, model=f"{name}:m")
helper = App("helper", model="safe:m")
papers = app.index("papers", source=lambda: PAPERS, embed="safe:embed")
drafts = app.index("drafts", source=lambda: PAPERS, embed="open:embed")
ledger = app.resource("ledger", url_env="LEDGER", grants=["finance"], label="confidential")
judge = Model("open:judge")


async def find(question, **keywords):
    return [document.text for document in await papers.search(question, k=ALL, **keywords)]


def find_sync(question):
    return asyncio.run(find(question))


@helper.task
async def fetch(question: str) -> list[str]:
    return await find(question)


@step
async def stepped(question: str) -> list[str]:
    return await find(question)


async def direct(question):
    return await find(question)


async def in_step(question):
    return await stepped(question)


async def in_thread(question):
    return await asyncio.to_thread(find_sync, question)


async def bare_thread(question):
    found = []
    thread = threading.Thread(target=lambda: found.extend(find_sync(question)))
    thread.start()
    await asyncio.to_thread(thread.join)
    return found


async def thread_pool(question):
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.wrap_future(pool.submit(find_sync, question))


async def process_pool(question):
    with ProcessPoolExecutor(1) as pool:
        return await asyncio.wrap_future(pool.submit(find_sync, question))


async def nested(question):
    return await fetch(question)


async def gathered(question):
    found = await asyncio.gather(*(find(question) for _ in range(3)))
    assert found[0] == found[1] == found[2]
    return found[0]


async def as_system(question):
    """Reads everything and gives only what is public on: what is read binds all the same."""
    await find(question, as_system=True)
    return []


async def database(question):
    return [f"The ledger is at {await asyncio.to_thread(lambda: ledger.url)}."]


async def looked_up(question):
    """Search this for a question."""
    return "\n".join(await find(question))


async def told(question):
    """Reads, tells a cleared model, and then asks the other one about nothing that it read."""
    await Model("safe:m").ask("Sum up.", notes=await find(question))
    return []


async def other(question):
    """Asks another application, which reads in the same run."""
    return [await Model("aide").ask("", question=question)]


async def in_drafts(question):
    """In an index whose embedding model may see what is public, and nothing else."""
    return [document.text for document in await drafts.search(question, k=ALL)]


async def failing(question):
    """Quotes what it read in an exception, as careless code does."""
    raise ValueError(f"cannot use {await stepped(question)}")


PATHS = {
    "direct": direct,
    "step": in_step,
    "to_thread": in_thread,
    "thread": bare_thread,
    "threads": thread_pool,
    "process": process_pool,
    "nested": nested,
    "gather": gathered,
    "system": as_system,
    "database": database,
    "told": told,
    "other": other,
    "fails": failing,
    "drafts": in_drafts,
}


@app.chat
async def answer(question: str, history: list = (), model: str = "") -> str:
    path, _, asked = question.partition(" ")
    asking = Model(model) if model else app.model
    if path == "talk":  # of what was said before, and nothing else
        return await asking.ask("Go on.", question=asked, history=history)
    if path == "raw":  # what was found, without a model
        return "\n".join(await find(asked))
    if path == "tool":
        return await asking.ask("Look it up.", question=asked, tools=[looked_up])
    notes = await PATHS[path](asked)
    if path == "gather":
        answers = await asyncio.gather(
            *(asking.ask("Say it.", notes=notes) for _ in range(2)), return_exceptions=True
        )
        for one in answers:
            if isinstance(one, BaseException):
                raise one
        return answers[0]
    return await asking.ask("Say it.", question=asked, notes=notes)


@app.chat
async def streamed(question: str, model: str = ""):
    notes = await find(question)
    async for piece in (Model(model) if model else app.model).stream("Say it.", notes=notes):
        yield piece


@check(answer, sample=0.3)
async def judged(reply: str) -> bool:
    return await judge.ask("Is it good?", reply=reply, returns=bool)
