"""Shadow battles: a share of live answers is given by a challenger as well, and compared.

Nothing of it is on the path of a request. A process of its own reads what was answered from the
store, asks the challenger the same on behalf of a key with the caller's groups and clearance, and
has a judge compare the two; without a judge the battle waits for a person. What was read in the
answered run marks the challenger's run from its beginning, so neither the challenger nor the judge
is told what they are not cleared for. All of it is paid from the challenge's own budget.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

import orjson
from sqlalchemy import text

from noria.errors import ApiError, NoriaError, NotFound
from noria.evals.arena.judging import keep_looks, label_of
from noria.evals.evaluation.judging import asker
from noria.evals.judge import Judge
from noria.gateway.local_client import complete
from noria.models.completion import Completion
from noria.models.endpoint import Endpoint
from noria.store import create_key, find_key_by_id, find_spans
from noria.store.budgets.budgets import set_budget
from noria.store.evals.battles import ANYBODY, Battle, Turn, record_battle
from noria.store.traces.trace import content_of
from noria.tracing import CallContext
from noria.types import Span, SpanKind, Status, Subject

if TYPE_CHECKING:
    from noria.config import Config
    from noria.config import Shadow as Settings
    from noria.gateway import Gateway
    from noria.models import EngineDirectory
    from noria.store import Database, Key

__all__ = ["Shadows", "run_shadows"]

log = logging.getLogger("noria.shadow")

_POLL_SECONDS = 1.0
_ROW = 301
"""The row of its counts: beyond those of the server's other processes."""
_PAGE = 200
_MOST_AT_ONCE = 4
# An answer that takes long begins before others that are looked at first: what is still under way
# is waited for so long, and a little more is read again for what was just being written.
_LOOK_BACK_NS = 15 * 60 * 1_000_000_000
_MARGIN_NS = 10 * 1_000_000_000


class Shadows:
    """Runs the challenges of one home.

    Args:
        db: the store.
        gateway: the door to challengers and judges.
        challenges: by the champion's name: a model, a route, or an app.
        take_in: takes in pending journals, so that finished answers are in the store.
    """

    def __init__(
        self,
        db: Database,
        gateway: Gateway,
        challenges: Mapping[str, Settings],
        take_in: Callable[[], int],
    ) -> None:
        self._db = db
        self._gateway = gateway
        self._challenges = challenges
        self._take_in = take_in
        self._seen: dict[str, set[str]] = {}
        self._oldest: dict[str, int] = {}
        """From when on each champion's answers are read: nothing before can still end."""
        self._payers: dict[tuple[str, frozenset[str], int], Key] = {}
        self._random = random.Random()  # noqa: S311 - sides are no secret
        self._until = asyncio.Semaphore(_MOST_AT_ONCE)

    async def run(self, stop: asyncio.Event) -> None:
        """Challenge what is answered until `stop` is set; what was answered while nothing ran is
        looked at too."""
        for champion, settings in self._challenges.items():
            await asyncio.to_thread(self._fund, champion, settings)
        while not stop.is_set():
            try:
                for champion, settings in self._challenges.items():
                    await self.catch_up(champion, settings)
            except NoriaError as away:
                log.warning("shadow battles wait: %s", away.message)
            try:
                async with asyncio.timeout(_POLL_SECONDS):
                    await stop.wait()
            except TimeoutError:
                continue

    async def catch_up(self, champion: str, settings: Settings) -> int:
        """Challenge every answer since the last time; returns how many there were."""
        await asyncio.to_thread(self._take_in)
        since = await asyncio.to_thread(self._since, champion)
        earliest = since - _LOOK_BACK_NS
        # What is under way is asked for first: it may end before the rest is read.
        waited = await asyncio.to_thread(self._runs, champion, earliest, Status.OPEN)
        begin = max(earliest, self._oldest.get(champion, earliest))
        ended = await asyncio.to_thread(self._runs, champion, begin, Status.OK)
        seen = self._seen.get(champion)
        if seen is None:  # what ended before this process began was its predecessor's
            seen = {span.trace_id for span in ended if span.started_ns < since}
        fresh = [span for span in ended if span.trace_id not in seen]
        drawn = [span for span in fresh if _drawn(span.trace_id, settings.share)]
        await asyncio.gather(*(self._challenge(champion, settings, span) for span in drawn))
        self._seen[champion] = {span.trace_id for span in ended}
        newest = max(since, fresh[-1].started_ns + 1) if fresh else since
        if fresh:
            await asyncio.to_thread(self._move, champion, newest)
        under_way = [span.started_ns for span in waited]
        self._oldest[champion] = max(begin, min([newest - _MARGIN_NS, *under_way]))
        return len(drawn)

    async def _challenge(self, champion: str, settings: Settings, span: Span) -> None:
        async with self._until:
            try:
                await self._fight(champion, settings, span)
            except ApiError as refused:
                # Out of money, not cleared, or down: this answer goes unchallenged.
                log.info("no shadow battle for %s: %s", span.trace_id, refused.message)
            except NotFound:
                log.info("no shadow battle for %s: its key is gone", span.trace_id)

    async def _fight(self, champion: str, settings: Settings, span: Span) -> None:
        recorded = await asyncio.to_thread(content_of, self._db, span)
        said = _read(recorded.request, recorded.response)
        if said is None:
            return  # content was not recorded
        messages, answer = said
        assert span.key_id is not None
        payer = await asyncio.to_thread(self._payer, champion, span.key_id)
        trace = await self._gateway.labels.after(payer, [span.trace_id])
        context = CallContext(self._gateway, trace)
        request = {"model": settings.challenger, "messages": messages}
        other = Completion.of(await complete(context, Endpoint.CHAT, request)).text
        question = str(messages[-1]["content"])
        champion_left = self._random.random() < 0.5
        turn = Turn(1, question, answer, other, "ok", "ok", span.trace_id, context.trace.id)
        names = (champion, settings.challenger)
        if not champion_left:
            names = names[::-1]
            turn = Turn(1, question, other, answer, "ok", "ok", context.trace.id, span.trace_id)
        battle = Battle(*names, ANYBODY, source="shadow", arena=champion, turns=(turn,))
        if settings.judge is not None:
            battle = await self._judged(battle, settings.judge, payer)
        await asyncio.to_thread(record_battle, self._db, battle)

    async def _judged(self, battle: Battle, model: str, payer: Key) -> Battle:
        """The battle with the judge's verdict; one that is none is kept with its kind."""
        turn = battle.turns[0]
        ask = asker(self._gateway, payer, (turn.trace_a, turn.trace_b))
        (found,) = await Judge(model, style="pair").compare(
            [turn.question], [turn.answer_a], [turn.answer_b], ask
        )
        await asyncio.to_thread(keep_looks, self._db, battle, model, [found])
        winner, excluded = label_of(found.verdict)
        return Battle(
            battle.model_a, battle.model_b, model, battle.id, battle.at, "shadow", battle.arena,
            winner, excluded, model, turns=battle.turns, voted_ns=time.time_ns(),
        )  # fmt: skip

    # The store

    def _runs(self, champion: str, since: int, status: Status) -> list[Span]:
        """What the champion was asked since an instant and stands so now, the oldest first."""
        found: list[Span] = []
        for model, app, kind in (
            (champion, None, SpanKind.CHAT),
            (None, champion, SpanKind.APP),
        ):
            cursor = None
            while True:
                page = find_spans(
                    self._db, limit=_PAGE, cursor=cursor, since_ns=since, status=status,
                    roots_only=True, model=model, app=app, kind=kind,
                )  # fmt: skip
                found += page.rows
                cursor = page.next
                if cursor is None:
                    break
        return sorted(found, key=lambda span: span.started_ns)

    def _since(self, champion: str) -> int:
        with self._db.read() as connection:
            known = connection.execute(
                text("SELECT value FROM settings WHERE name = :name"), {"name": _cursor(champion)}
            ).scalar()
        if known is not None:
            return int(known)
        now = time.time_ns()
        self._move(champion, now)
        return now

    def _move(self, champion: str, at: int) -> None:
        with self._db.write() as connection:
            connection.execute(
                text(
                    "INSERT INTO settings (name, value) VALUES (:name, :value)"
                    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
                ),
                {"name": _cursor(champion), "value": at},
            )

    def _fund(self, champion: str, settings: Settings) -> None:
        set_budget(self._db, Subject.TEAM, _team(champion), settings.budget)

    def _payer(self, champion: str, key_id: str) -> Key:
        """A key with the groups and the clearance of the caller, paid by the challenge."""
        caller = find_key_by_id(self._db, key_id)
        wanted = (champion, caller.groups, int(caller.clearance))
        payer = self._payers.get(wanted)
        if payer is None:
            payer, _ = create_key(
                self._db, name=f"shadow battles of {champion}", team=_team(champion),
                groups=tuple(caller.groups), clearance=caller.clearance,
            )  # fmt: skip
            self._payers[wanted] = payer
        return payer


def _team(champion: str) -> str:
    return f"shadow of {champion}"


def _cursor(champion: str) -> str:
    return f"shadow:{champion}"


def _drawn(trace_id: str, share: float) -> bool:
    """Whether an answer is one of the share: always the same ones, wherever it is asked."""
    return crc32(trace_id.encode()) < share * 2**32


def _read(
    request: bytes | None, response: bytes | None
) -> tuple[Sequence[dict[str, Any]], str] | None:
    """The messages that were answered and the answer; None where they were not recorded."""
    if not request or not response:
        return None
    asked, said = orjson.loads(request), orjson.loads(response)
    if "messages" in asked:
        try:
            answer = Completion.of(said).text
        except ApiError:
            return None
        return (asked["messages"], answer) if answer else None
    question = asked.get("question")
    if not isinstance(question, str) or not isinstance(said, str):
        return None
    history = asked.get("history") or []
    return [*history, {"role": "user", "content": question}], said


def run_shadows(config: Config, engines: EngineDirectory) -> None:
    """Run the challenges of a home until SIGTERM. To be called in a process of its own."""
    asyncio.run(_run_shadows(config, engines))


async def _run_shadows(config: Config, engines: EngineDirectory) -> None:
    from noria.apps.serve.client import AppClient
    from noria.models import assemble
    from noria.server import open_gateway
    from noria.store import Database, take_in

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    db = Database(config.store_url, config.home, sync=config.journal.sync)
    async with open_gateway(config, db, engines, row=_ROW, rows=_ROW + 1) as gateway:
        gateway.applications = AppClient(gateway)
        shadows = Shadows(db, gateway, config.shadow, lambda: take_in(db, assemble))
        await shadows.run(stop)
    db.close()
