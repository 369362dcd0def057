"""Another application, in a process of its own, which the desk asks as a model."""

import json
from pathlib import Path

from noria import App

app = App("aide", model="safe:m")
shelf = app.index(
    "shelf", source=lambda: json.loads((Path(__file__).parent / "papers.json").read_text()),
    embed="safe:embed",
)  # fmt: skip


@app.chat
async def answer(question: str) -> str:
    return "\n".join(one.text for one in await shelf.search(question, k=50))
