"""`Index`: documents from somewhere, kept up to date, found by whoever may see them."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.errors import ConfigError, NoriaError, NotFound
from noria.retrieval.document import Document, Original, Unreadable, read_grants, read_label
from noria.retrieval.ingest.chunking import Chunking
from noria.retrieval.search.search import search_library
from noria.tracing import current
from noria.types import Label

if TYPE_CHECKING:
    from noria.retrieval.ingest.indexing import Progress, Report
    from noria.retrieval.search.ranking import Found
    from noria.retrieval.stored_index import StoredIndex
    from noria.tracing import CallContext

__all__ = ["Index"]

log = logging.getLogger("noria.retrieval")

Source = str | Path | Callable[[], Any] | Sequence[str | Path]
"""A glob, a list of globs and addresses, or a function that yields documents."""
LabelGiven = Label | str | Callable[[Original], Label | str | None] | None
GrantsGiven = Iterable[str] | Callable[[Original], Iterable[str] | None] | None

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Index:
    """Documents that can be searched by words and by meaning, each reader seeing their own.

    Args:
        name: letters, digits, dots, dashes and underscores; unique in its home.
        source: a glob such as `handbook/**/*.md`, an address (`https://...`), a list of these, or a
            function without parameters that yields `Original` or mappings with its fields.
        embed: the model that makes vectors, as `provider:model`.
        chunk: the most tokens of a passage, or how to split in full.
        label: the label of everything in it, or a function that gives one for a document. A
            document can only raise it, in its front matter.
        grants: the groups that may search it, or a function that gives those of a document. None:
            everyone with a key. A document can only narrow it, in its front matter.
        refresh: a cron line (`0 6 * * *`) by which its application indexes again.
        store: the vector store; by default `pgvector` on Postgres where there is one, else `exact`.
        app: the application it belongs to.
        root: the folder that globs begin in; by default the working folder.
        ambient: gives the place of a search that is made outside of any run.

    Raises:
        ConfigError: an argument cannot be used; the message names it.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        *,
        embed: str = "local:minilm",
        chunk: int | Chunking = Chunking(),
        label: LabelGiven = None,
        grants: GrantsGiven = None,
        refresh: str | None = None,
        store: str | None = None,
        app: str | None = None,
        root: Path | None = None,
        ambient: Callable[[], Awaitable[CallContext]] | None = None,
    ) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(
                f"name: {name!r} is not the name of an index; use up to 64 letters, digits, dots, "
                "dashes and underscores."
            )
        if not callable(source) and (not source or not isinstance(source, (str, Path, Sequence))):
            raise ConfigError(
                f"source: the index {name} needs a glob, a list of globs and addresses, "
                "or a function that yields documents."
            )
        self.name = name
        self.source = source
        self.embed = embed
        self.chunk = Chunking.of(chunk)
        try:
            self.label = label if callable(label) else read_label(label)
            self.grants = grants if callable(grants) else read_grants(grants)
        except Unreadable as wrong:
            raise ConfigError(f"index {name}: {wrong}") from None
        self.refresh = refresh
        self.store = store
        self.app = app
        self.root = (root or Path.cwd()).resolve()
        self._ambient = ambient
        self._library: StoredIndex | None = None
        self._lock = threading.Lock()
        self._passing: _Pass | None = None
        self._looked = False

    def __repr__(self) -> str:
        return f"Index({self.name!r})"

    async def search(
        self,
        question: str,
        *,
        k: int = 5,
        budget_tokens: int | None = None,
        as_system: bool = False,
    ) -> list[Document]:
        """The passages that answer a question best, of those that the caller may see.

        The first search waits until everything was indexed once. The label of what is given back
        becomes the least that any model must be cleared for, in this run from here on.

        Args:
            question: what to look for.
            k: the most passages.
            budget_tokens: the most tokens of all passages together (an estimate).
            as_system: look at everything, whoever asks. It is recorded.

        Raises:
            NoriaError: an argument cannot be used, or the documents could not be indexed.
            ApiError: the model could not be asked, or the trace's mark not be kept.
        """
        found = await self.explain(question, k=k, budget_tokens=budget_tokens, as_system=as_system)
        return [one.document for one in found]

    async def explain(
        self,
        question: str,
        *,
        k: int = 5,
        budget_tokens: int | None = None,
        as_system: bool = False,
    ) -> list[Found]:
        """Search, and say of each passage how it was found. As `search` in all else."""
        context = await self._place()
        library = await self.ready(context)
        return await search_library(
            context, library, question, k=k, budget_tokens=budget_tokens, as_system=as_system
        )

    def search_sync(
        self,
        question: str,
        *,
        k: int = 5,
        budget_tokens: int | None = None,
        as_system: bool = False,
    ) -> list[Document]:
        """`search` for code that does not await, such as a step that is a plain function.

        Raises:
            NoriaError: it was called on an event loop, which it would stop.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(
                self.search(question, k=k, budget_tokens=budget_tokens, as_system=as_system)
            )
        raise NoriaError(
            f"{self.name}.search_sync was called in an async function and would stop all others.",
            f"Write: await {self.name}.search(...)",
        )

    async def build(
        self, context: CallContext | None = None, *, progress: Progress | None = None
    ) -> Report:
        """Bring the index up to date with its source: one pass.

        Only what has changed is read in and embedded again, what is gone is gone at once, and what
        an interrupted pass had done is not done again. A second call while a pass is under way
        waits for that one.

        Args:
            context: on whose account; by default that of whoever is asking.
            progress: called with the stage (`read`, `embed`), how much is done, and of how much.

        Raises:
            NoriaError: the source cannot be listed, or the embedding model cannot be asked.
        """
        with self._lock:
            under_way = self._passing
            mine = None
            if under_way is None or under_way.whole.done():
                mine = self._passing = _Pass()
        if mine is None:
            assert under_way is not None
            return await asyncio.shield(asyncio.wrap_future(under_way.whole))
        from noria.retrieval.ingest.indexing import run_index_pass

        try:
            context = context or await self._place()
            library = await self._open(context)
            report = await run_index_pass(self, library, context, progress, mine.has_read)
        except BaseException as failure:
            mine.fail(failure)
            raise
        mine.whole.set_result(report)
        return report

    async def ready(self, context: CallContext | None = None) -> StoredIndex:
        """Wait until this process has looked at the source once, so that who may see what is as it
        stands there now, and until everything was indexed once; begin to, if nobody has.

        A source that cannot be listed now leaves the index as it was, unless nobody can say any
        more who may see what.

        Raises:
            NoriaError: the documents could not be indexed.
        """
        library = await self._open(context or await self._place())
        if self._looked:
            return library
        built = await asyncio.to_thread(library.is_built)
        with self._lock:
            under_way = self._passing
        try:
            if under_way is None or under_way.whole.done():
                await self.build()
            else:
                first = under_way.read if built else under_way.whole
                await asyncio.shield(asyncio.wrap_future(first))
        except (NoriaError, OSError) as failure:
            if not built or callable(self.label) or callable(self.grants):
                raise
            log.warning("the index %s is searched as it was: %s", self.name, failure)
        self._looked = True
        return library

    async def remove(self, document: str) -> None:
        """Take a document out of every search, at once. It stays out for as long as its source
        goes on to offer it.

        Raises:
            NotFound: there is no such document.
        """
        library = await self._open(await self._place())
        if not await asyncio.to_thread(library.remove, document):
            raise NotFound(f"There is no document {document} in the index {self.name}.")

    async def _place(self) -> CallContext:
        context = current.get()
        if context is None and self._ambient is not None:
            context = await self._ambient()
        if context is None:
            raise NoriaError(
                f"The index {self.name} was used outside of any run, so nobody is asking.",
                "Search from a function of an application, or with: noria index search",
            )
        return context

    async def _open(self, context: CallContext) -> StoredIndex:
        from noria.retrieval.stored_index import open_library

        if self._library is None:
            self._library = await asyncio.to_thread(open_library, self, context.runtime.config)
        return self._library


class _Pass:
    """A pass under way, and how far it is."""

    def __init__(self) -> None:
        self.read: Future[None] = Future()
        """Done when the source was read and what is gone was dropped."""
        self.whole: Future[Report] = Future()

    def has_read(self) -> None:
        """Say that the source was read."""
        self.read.set_result(None)

    def fail(self, failure: BaseException) -> None:
        """Say that it has failed, to whoever waits for it."""
        if isinstance(failure, asyncio.CancelledError):
            failure = NoriaError("Indexing was stopped.", "What is done is kept; index again.")
        for end in (self.read, self.whole):
            if not end.done():
                end.set_exception(failure)
                end.exception()  # whether or not anybody waits
