"""How long choosing takes without a model, how much a model is told, and what is refused rightly.

    python -m benchmarks.actions.choosing

2,000 operations and 10,000 offers are generated. The sentences are generated from the offers, and
whether one can be met is computed from the offers, apart from noria's code.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from noria.actions.catalogue.bm25 import Bm25
from noria.actions.choosing import Planner
from noria.actions.operation import Effect, Offer, Operation
from noria.retrieval.search.tokens import estimate_tokens
from noria.statistics import wilson

OPERATIONS = 2_000
OFFERS = 10_000
SENTENCES = 500
CARDS = ("a100", "h100", "h200", "l4", "l40s", "t4", "a10g", "v100", "b200", "mi300x")
VERBS = ("create", "delete", "list", "update", "describe", "attach", "tag", "restore")
NOUNS = ("volume", "bucket", "queue", "repository", "user", "policy", "image", "network", "record",
         "certificate", "function", "alarm", "topic", "gateway", "cluster")  # fmt: skip
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 8: "eight", 12: "a dozen", 16: "16"}


@dataclass
class Cloud:
    """A catalogue in memory, searched by plain BM25."""

    kept: Sequence[Operation]
    priced: Sequence[Offer]
    index: Bm25 = field(init=False)

    def __post_init__(self) -> None:
        self.index = Bm25([f"{one.name} {one.summary} {one.documentation}" for one in self.kept])

    def operations(self) -> Sequence[Operation]:
        return self.kept

    def search(self, words: str, k: int) -> Sequence[Operation]:
        return [self.kept[place] for place in self.index.best(words, k)]

    def offers(self) -> Sequence[Offer]:
        return self.priced

    def version(self, catalogue: str) -> str:
        return "generated"


def make_offers(draw: random.Random) -> list[Offer]:
    """Instance types of one accelerator each, in some of the regions of their provider."""
    found: dict[tuple[str, str, str], Offer] = {}
    while len(found) < OFFERS:
        provider = draw.choice(("ec2", "gcp", "azure", "lambda"))
        number = draw.randrange(400)
        kind = random.Random(f"{provider}{number}")
        card, cards = kind.choice(CARDS), kind.choice((1, 2, 4, 8))
        name = f"{provider[0]}{number}.{cards}x"
        side = draw.choice(("us-east", "us-west", "eu-central", "ap-south"))
        region = f"{side}-{draw.randrange(1, 4)}"
        price = round(kind.uniform(0.5, 90.0), 4)
        nano = None if draw.random() < 0.03 else round(price * 1e9)
        found[provider, region, name] = Offer(
            provider, region, name, nano, "2026-11-01", card, cards, kind.choice((24, 40, 80)),
            cards * 12, cards * 96.0,
        )  # fmt: skip
    return list(found.values())


def make_operations(draw: random.Random) -> list[Operation]:
    """What starts machines, and many other operations with many parameters."""
    text = {"type": "string"}
    named = {"region": text, "instance_type": text, "count": {"type": "integer"}}
    schema = {"type": "object", "properties": named, "required": list(named)}
    found = [
        Operation(provider, "run_instances", "Start machines.", schema, Effect.CREATE, provider,
                  undo="terminate_instances", starts={name: name for name in named})
        for provider in ("ec2", "gcp", "azure", "lambda")
    ]  # fmt: skip
    while len(found) < OPERATIONS:
        verb, noun = draw.choice(VERBS), draw.choice(NOUNS)
        properties = {
            f"{draw.choice(NOUNS)}_{place}": {
                "type": draw.choice(("string", "integer", "boolean")),
                "description": " ".join(draw.choices(NOUNS, k=12)),
            }
            for place in range(draw.randrange(2, 20))
        }
        found.append(
            Operation(
                "cloud", f"{verb}_{noun}_{len(found)}", f"{verb} a {noun}.",
                {"type": "object", "properties": properties, "required": list(properties)[:2]},
                Effect.CREATE, "http", " ".join(draw.choices(NOUNS, k=80)),
            )
        )  # fmt: skip
    return found


def sentence(draw: random.Random, offers: Sequence[Offer]) -> tuple[str, int, list[Offer]]:
    """A sentence, its count, and the offers that meet it."""
    known, other = draw.choice(offers), draw.choice(offers)
    region = draw.choice((known.region, other.region, "us-west-9"))
    cards = draw.choice((known.accelerators, known.accelerators, other.accelerators, 3))
    count = draw.choice(list(NUMBERS))
    machine = draw.choice(("VM", "machine", "instance", "server", "node")) + "s" * (count > 1)
    card = known.accelerator.upper() + "s" * (cards > 1)
    form = draw.choice(
        (
            "launch {n} {m} with {k} {c} in {r}",
            "please start {n} {m} in {r} with {k} {c} each",
            "I need {n} {m}, each with {k} {c}, in {r} for two days",
            "get me {n} {k}x{c} {m} in {r}",
            "{n} {m} of type {t} in {r}",
        )
    )
    words = form.format(n=NUMBERS[count], m=machine, k=cards, c=card, r=region,
                        t=known.instance_type)  # fmt: skip
    typed = "of type" in form
    fitting = [
        one
        for one in offers
        if one.region == region
        and one.price_hour_nano is not None
        and (
            one.instance_type == known.instance_type
            if typed
            else (one.accelerator, one.accelerators) == (known.accelerator, cards)
        )
    ]
    return words, count, fitting


def milliseconds(times: Sequence[float]) -> str:
    ordered = sorted(times)
    late = ordered[len(ordered) * 95 // 100]
    return f"median {statistics.median(ordered):.1f} ms, 95th percentile {late:.1f} ms"


async def main() -> None:
    draw = random.Random(16)
    catalogue = Cloud(make_operations(draw), make_offers(draw))
    begun = time.perf_counter()
    planner = Planner(catalogue)
    print(f"planner of {OPERATIONS} operations, {OFFERS} offers: "
          f"{(time.perf_counter() - begun) * 1000:.1f} ms")  # fmt: skip
    names = {one.instance_type for one in catalogue.priced} | {
        one.region for one in catalogue.priced
    }
    right = {True: 0, False: 0}
    total = {True: 0, False: 0}
    invented, times, wrong = 0, [], []
    for _ in range(SENTENCES):
        words, count, fitting = sentence(draw, catalogue.priced)
        begun = time.perf_counter()
        found = await planner.plan(words)
        times.append((time.perf_counter() - begun) * 1000)
        feasible = bool(fitting)
        total[feasible] += 1
        said = [call.arguments for call in found.calls]
        invented += any({one["region"], one["instance_type"]} - names for one in said)
        met = found.status == "ready" and said[0]["count"] == count
        fine = met if feasible else found.status == "refused"
        right[feasible] += fine
        if not fine:
            wrong.append((words, found.status, found.reason))
    print(f"sentences for machines, no model: {milliseconds(times)}")
    for feasible, name in ((False, "infeasible, refused"), (True, "feasible, planned")):
        share = wilson(right[feasible], total[feasible])
        print(f"{name}: {right[feasible]} of {total[feasible]}, {share}")
    print(f"names of no catalogue: {invented}")
    for words, status, reason in wrong[:5]:
        print(f"  wrong: {words} -> {status} {reason}")
    times, tokens = [], []
    for _ in range(100):
        words = f"{draw.choice(VERBS)} the {draw.choice(NOUNS)} of the {draw.choice(NOUNS)} seven"
        begun = time.perf_counter()
        prompt = planner.prompt(words)
        times.append((time.perf_counter() - begun) * 1000)
        sent = f"{prompt.instructions}{prompt.operations}{prompt.request}"
        schema = orjson.dumps(prompt.grammar.schema).decode()
        tokens.append(estimate_tokens(sent) + estimate_tokens(schema))
    print(f"prompt and grammar for a model: {milliseconds(times)}")
    print(f"tokens told, grammar included: median {statistics.median(tokens):.0f}, "
          f"most {max(tokens)}")  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main())
