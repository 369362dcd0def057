"""Whether the right API is among the first five, by words alone and by words and meaning.

    python -m benchmarks.actions.retrieval FOLDER [CORPUS ...]

FOLDER has APIBench's files (`torchhub_eval.json` and `torchhub_api.jsonl`, ...). A hit is the very
call of the reference, as text, among the calls of the first five entries; two entries may have one
call, and of HuggingFace some reference calls are in no entry. The joining is reciprocal rank
fusion with the constant of its authors: nothing was fitted to these questions.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from noria.actions.catalogue.bm25 import Bm25
from noria.actions.catalogue.catalogue import Catalogue, Part
from noria.actions.catalogue.meaning import Meaning, local_encoder
from noria.actions.evaluating.apibench import read_apibench

CORPORA = ("torchhub", "huggingface", "tensorflow")
K = 5


def main() -> None:
    folder, names = Path(sys.argv[1]), sys.argv[2:] or CORPORA
    encode = local_encoder()
    if encode is None:
        sys.exit("The embedded model is missing: noria model pull minilm")
    for name in names:
        bench = read_apibench(folder / f"{name}_eval.json")
        calls = [str(api["api_call"]) for api in bench.apis]
        operations = bench.operations()
        meaning = Meaning(encode)
        plain = Bm25([f"{one.summary} {one.documentation}" for one in operations])
        part = Part.of(bench.name, operations)
        words, both = Catalogue([part]), Catalogue([part], meaning)
        meaning.learn(both.told())
        hits = {"BM25": 0, "noria, words": 0, "noria, words and meaning": 0}
        begun = time.perf_counter()
        for row in bench.rows:
            found = {
                "BM25": plain.best(row.question, K),
                "noria, words": [o.binding["place"] for o in words.search(row.question, K)],
                "noria, words and meaning": [
                    o.binding["place"] for o in both.search(row.question, K)
                ],
            }
            for way, places in found.items():
                hits[way] += any(calls[place] == row.call for place in places)
        known = sum(row.call in calls for row in bench.rows)
        told = ", ".join(f"{way} {hit / len(bench.rows):.3f}" for way, hit in hits.items())
        seconds = time.perf_counter() - begun
        print(f"{name}: {told} ({len(bench.rows)} rows, {known} answerable, {seconds:.0f} s)")


if __name__ == "__main__":
    main()
