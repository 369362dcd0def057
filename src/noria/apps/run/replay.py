"""Running a recorded run again, with the documents that it had.

A call of a model is sent again as it was recorded. A run of an application calls its function again
with the same arguments; each search that asks what was asked before is answered from the record,
and everything else is live: models, tools, resources, searches with other words, and whatever a
child process does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from noria.errors import ApiError, NoriaError
from noria.gateway.local_client import complete
from noria.models.completion import Completion
from noria.models.endpoint import Endpoint
from noria.tracing import current, span
from noria.types import Label, SpanKind, Status

if TYPE_CHECKING:
    from noria.apps.declare.app import App
    from noria.retrieval import Found
    from noria.store import Recorded
    from noria.tracing import CallContext

__all__ = ["Script", "answer_of", "replay", "replaying", "script_of"]

replaying: ContextVar[Searches | None] = ContextVar("noria_replaying", default=None)
"""What searches are answered from; None where they are live."""


class Searches:
    """What the searches of a run found, each to be found once more."""

    def __init__(self, spans: Iterable[Recorded]) -> None:
        self._left = [
            one for one in spans if one.span.kind is SpanKind.SEARCH and one.response is not None
        ]
        self._lock = threading.Lock()

    async def find(self, index: str, question: str, **keywords: Any) -> list[Found] | None:
        """What was found in an index; None where the record has no such search left.

        Args:
            index: the index's name.
            question: what is looked for.
            **keywords: those of `Index.search`.

        Raises:
            ApiError: the mark of the new run cannot be kept.
        """
        from noria.retrieval.document import Document
        from noria.retrieval.search.ranking import Found, Rank

        recorded = self._take(index, question, keywords)
        if recorded is None or recorded.response is None:
            return None
        context = current.get()
        assert context is not None
        with span(SpanKind.SEARCH, index, request=recorded.request or b"") as work:
            found = []
            for told in orjson.loads(recorded.response):
                label = Label.parse(told["label"])
                chunk, score = told["chunk"], told["score"]
                document = Document(
                    told["id"], told["text"], told["title"], told["source"], score, label, index,
                    chunk,
                )  # fmt: skip
                found.append(Found(document, Rank(chunk, score, None, None, None)))
            await context.runtime.labels.raise_to(
                context.trace, max((one.label for one in found), default=Label.PUBLIC)
            )
            work.attributes |= recorded.span.attributes | {"recorded_in": recorded.span.id}
            work.response = recorded.response
        return found

    def _take(self, index: str, question: str, keywords: dict[str, Any]) -> Recorded | None:
        as_system = bool(keywords.pop("as_system", False))
        wanted = {name: value for name, value in keywords.items() if value is not None}
        with self._lock:
            for one in self._left:
                asked = orjson.loads(one.request or b"{}")
                if (
                    one.span.name == index
                    and asked.get("question") == question
                    and all(asked.get(name) == value for name, value in wanted.items())
                    and bool(one.span.attributes.get("as_system")) == as_system
                ):
                    self._left.remove(one)
                    return one
        return None


@dataclass(frozen=True, slots=True)
class Script:
    """A recorded run, as far as it can be run again."""

    root: Recorded
    """The call or the run."""
    spans: Sequence[Recorded]
    """All that was recorded in its trace."""
    mark: Label
    """The highest label of what was read in it."""

    @property
    def app(self) -> str | None:
        """The application that is to be run; None for a call of a model."""
        return self.root.span.app if self.root.span.kind is SpanKind.APP else None

    @property
    def told(self) -> dict[str, Any]:
        """The request, or the arguments."""
        told: dict[str, Any] = orjson.loads(self.root.request or b"{}")
        return told

    @property
    def inside(self) -> list[Recorded]:
        """What was done inside it."""
        within = {self.root.span.id}
        found = []
        for one in self.spans:  # a parent begins before its children
            if one.span.parent_id in within:
                within.add(one.span.id)
                found.append(one)
        return found

    @property
    def was_told(self) -> bool:
        """What went in may hold what was read before: its own trace began with something else,
        or a conversation went on."""
        alone = self.root.span.id == self.spans[0].span.id
        return self.app is None or not alone or bool(self.told.get("history"))


def script_of(spans: Sequence[Recorded], mark: Label, identity: str) -> Script:
    """What is to be run again.

    Args:
        spans: a trace, in the order in which its spans began.
        mark: its mark.
        identity: the id of the trace, or of the one span in it that is to be run again.

    Raises:
        NoriaError: it is no call of a chat model and no run of an application, or what went in
            was not recorded.
    """
    known = {one.span.id for one in spans}
    named = [one for one in spans if one.span.id == identity]
    root = named[0] if named else next(one for one in spans if one.span.parent_id not in known)
    kind, said = root.span.kind, root.request
    if kind not in (SpanKind.CHAT, SpanKind.APP):
        raise NoriaError(
            f"{identity} is a span of the kind {kind}, which cannot be run again.",
            "Give the id of a call of a chat model or of a run of an application: noria trace show",
        )
    told = orjson.loads(said) if said else None
    if not isinstance(told, dict) or told.keys() == {"cut", "bytes", "beginning"}:
        why = "was redacted" if root.span.attributes.get("redacted") else "was not recorded"
        raise NoriaError(f"{identity} cannot be run again: what went in {why} in full.")
    return Script(root, spans, mark)


async def replay(
    script: Script, context: CallContext, *, model: str | None = None, app: App | None = None
) -> str:
    """Run it again, in a new trace; gives the answer in words.

    Args:
        script: what was recorded.
        context: the beginning of a new trace. Its key must be cleared for what the old one read.
        model: a model to ask instead.
        app: the application, where a run of one is replayed.

    Raises:
        ApiError: 403 `label_exceeds_clearance`: the key or the model is not cleared for what was
            read; or the run failed or was refused.
        NoriaError: it is a run of an application, and `app` is none.
    """
    clearance = context.trace.key.clearance
    if script.mark > clearance:
        raise ApiError(
            403, "label_exceeds_clearance",
            f"Something {script.mark} was read in that run, and this key is cleared for "
            f"{clearance} only.",
        )  # fmt: skip
    old = script.root.span
    if script.was_told:
        await context.runtime.labels.raise_to(context.trace, script.mark)
    current.set(context)
    request = orjson.dumps({"replay_of": old.trace_id, "span": old.id, "model": model})
    with span(SpanKind.STEP, "replay", request=request, begin=True) as work:
        work.attributes["replay_of"] = old.trace_id
        inside = current.get()
        assert inside is not None
        if script.app is None:
            return await _call_again(script, inside, model)
        if app is None:
            raise NoriaError(f"The application {script.app} is needed to run this again.")
        replaying.set(Searches(script.inside))
        return await _run_again(script, inside, model, app)


async def _call_again(script: Script, context: CallContext, model: str | None) -> str:
    fields = {k: v for k, v in script.told.items() if k not in ("stream", "stream_options")}
    if model is not None:
        fields["model"] = model
    return answer_of(orjson.dumps(await complete(context, Endpoint.CHAT, fields)), SpanKind.CHAT)


async def _run_again(script: Script, context: CallContext, model: str | None, app: App) -> str:
    from noria.apps.run.run import start

    told = script.root.span
    variant = told.attributes.get("variant")
    function = (told.name or "").removeprefix(f"{app.name}.")
    run = start(
        app, function, script.told, context,
        variant=variant if isinstance(variant, str) else None, model=model,
    )  # fmt: skip
    return (await run.result()).text


def answer_of(response: bytes | None, kind: SpanKind, status: Status = Status.OK) -> str:
    """An answer as it was recorded, in words."""
    if not response:
        return f"({status})"
    said = orjson.loads(response)
    if kind is SpanKind.CHAT:
        try:
            answer = Completion.of(said)
        except ApiError as failed:
            return failed.message
        said = answer.text or answer.tool_calls or ""
    if isinstance(said, str):
        return said
    return orjson.dumps(said, option=orjson.OPT_INDENT_2).decode()
