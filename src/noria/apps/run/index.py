"""An index of an application: it shows the checks of a run what was found in it, and a run that is
run again finds what it found before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noria.apps.run.context import running
from noria.apps.run.replay import replaying
from noria.apps.run.standalone import current_context
from noria.retrieval import Index

if TYPE_CHECKING:
    from noria.retrieval import Found

__all__ = ["OwnIndex"]


class OwnIndex(Index):
    """An `Index` whose searches count as `notes`. Outside of any run it asks as a plain call."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, ambient=current_context, **keywords)

    async def explain(self, question: str, **keywords: Any) -> list[Found]:
        record = replaying.get()
        found = await record.find(self.name, question, **keywords) if record else None
        if found is None:
            found = await super().explain(question, **keywords)
        run = running.get()
        if run is not None:
            run.searched([one.document for one in found])
        return found
