"""A support desk over a handbook. Serve it with: noria serve app.py"""

import re

from noria import App, Document, Model, check, step

small = Model("local:smollm2", temperature=0, max_tokens=120, frequency_penalty=0.3)
app = App("support", model=small, budget="20 USD/day", title="Support desk")
docs = app.index("handbook", source="handbook/**/*.md")


def words(text: str) -> set[str]:
    """The words that matter, and the numbers."""
    return set(re.findall(r"[a-z]{4,}|\d+", text.lower()))


@step
def cite(reply: str, notes: list[Document]) -> str:
    """After each sentence stands the number of the note that holds the most of its words."""
    cited = []
    for sentence in re.split(r"(?<=[.!?])\s+", reply.strip()):
        found = [len(words(sentence) & words(note.text)) for note in notes]
        enough = found and max(found) >= 0.7 * len(words(sentence)) > 0
        cited.append(f"{sentence} [{found.index(max(found)) + 1}]" if enough else sentence)
    return " ".join(cited)


@app.chat
async def answer(question: str) -> str:
    """Answers customers from the handbook."""
    notes = await docs.search(question, k=app.setting("k", 2))
    asked = "Answer the question from the notes, in one or two sentences."
    return cite(await app.model.ask(asked, notes=notes, question=question), notes)


@check(answer, at_least=0.8)
def grounded(notes: list[Document], reply: str) -> bool:
    """Every number of the answer stands in a note, and at least one note is cited."""
    text = " ".join(note.text for note in notes)
    said = re.sub(r"\[\d+\]", "", reply)
    return "[" in reply and set(re.findall(r"\d+", said)) <= set(re.findall(r"\d+", text))
