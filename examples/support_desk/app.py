"""A support desk over a folder of documents. Serve it with: noria serve app.py

Customers ask in a chat that remembers what was said; those who answer tickets get a draft with its
sources. Nobody is shown a document that they may not see, whatever they ask.
"""

import re

from pydantic import BaseModel, Field

from noria import App, Document, check, step

app = App(
    "desk", model="writer", budget="5 USD/day", title="Support desk", settings={"k": 3},
    description="Answers from the handbook.",
)  # fmt: skip
app.variant("thorough", k=6)
docs = app.index("desk-handbook", source="handbook/**/*.md")


class Ticket(BaseModel):
    """What a customer wrote."""

    subject: str
    body: str = Field(max_length=5_000)


class Draft(BaseModel):
    """An answer that somebody reads before it is sent."""

    reply: str
    sources: list[str]


@step
def tidy(question: str) -> str:
    """Spaces and signatures do not help a search."""
    return " ".join(re.split(r"\n-- ?\n", question)[0].split())[:2_000]


@app.chat
async def answer(question: str, history: list[dict[str, str]] | None = None) -> str:
    """Answers a customer from the handbook, and remembers the conversation."""
    question = tidy(question)
    notes = await docs.search(question, k=app.setting("k"), budget_tokens=800)
    return await app.model.ask(
        "Answer from the notes alone, in one or two sentences. Cite them as [n].",
        history=(history or [])[-6:],
        notes=notes,
        question=question,
    )


@app.task
async def draft(ticket: Ticket) -> Draft:
    """Drafts a reply to a ticket, with the documents it rests on."""
    notes = await docs.search(tidy(f"{ticket.subject}. {ticket.body}"), k=app.setting("k"))
    reply = await app.model.ask(
        "Write a friendly reply to the customer from the notes alone.", notes=notes, ticket=ticket
    )
    return Draft(reply=reply, sources=sorted({note.source for note in notes}))


@check(answer, severity="block")
def asks_for_no_secrets(reply: str) -> bool:
    """Nobody is ever asked for a password; such an answer is not sent."""
    return not re.search(r"\b(send|tell|give)\b.{0,40}\bpassword\b", reply, re.I | re.S)


@check(answer, at_least=0.8)
def cites(notes: list[Document], reply: str) -> bool:
    """Every number in brackets is that of a note, and there is one."""
    cited = [int(number) for number in re.findall(r"\[(\d+)\]", reply)]
    return bool(cited) and all(1 <= number <= len(notes) for number in cited)
