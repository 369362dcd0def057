"""The embedded engine behind its process against the bare library, in one run.

    python benchmarks/engine/run.py [--rounds 5] [--tokens 96]

Both answer eight chats at the same time from the same weights with one thread of computing, in
turns, so that other work on the machine meets both. Printed are the medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

CHATS = 8
TOPICS = ["rivers", "bridges", "mills", "clouds", "forests", "harbours", "gardens", "mountains"]


def request(topic: str, tokens: int) -> dict[str, Any]:
    """A chat that goes on until its limit: the ends of turn and text are banned."""
    return {
        "model": "smollm2",
        "messages": [{"role": "user", "content": f"Tell me everything about {topic}."}],
        "max_tokens": tokens,
        "temperature": 0.8,
        "seed": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
        "logit_bias": {"0": -100, "2": -100},
    }


def together(answer: Callable[[dict[str, Any]], int], tokens: int) -> float:
    """Tokens a second of eight chats at once."""
    counts: list[int] = []

    def one(topic: str) -> None:
        counts.append(answer(request(topic, tokens)))

    threads = [threading.Thread(target=one, args=(topic,)) for topic in TOPICS]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


def bare() -> None:
    """The library alone, in a process of its own: a line of standard input starts a round."""
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    import xllamacpp

    from noria.models.weights import Weights

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(Weights().locate("smollm2"))
    parameters.n_parallel = CHATS
    parameters.n_ctx = 2048 * CHATS
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.verbosity = 1
    server = xllamacpp.Server(parameters)

    def answer(body: dict[str, Any]) -> int:
        used: list[int] = []

        def take(chunk: dict[str, Any]) -> bool:
            if chunk.get("usage"):
                used.append(chunk["usage"]["completion_tokens"])
            return False

        server.handle_chat_completions(body, take)
        return used[-1]

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(f"{together(answer, int(line))}\n")
        sys.stdout.flush()


def resident_mb(pid: int) -> int:
    """Resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))


def main() -> None:
    """Run both and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--bare", action="store_true")
    given = parser.parse_args()
    if given.bare:
        bare()
        return

    import httpx2

    from noria.config import Config
    from noria.models.host import EngineHost
    from noria.models.weights import Weights

    for name in ("smollm2", "minilm"):
        Weights().pull(name)
    host = EngineHost(Config(home=Path(tempfile.mkdtemp())))
    host.start(())
    clients = {}
    for name in ("smollm2", "minilm"):
        upstream = host.upstream(name)
        assert upstream is not None
        headers = {key.decode(): value.decode() for key, value in upstream.headers}
        base_url = f"http://127.0.0.1:{upstream.port}"
        clients[name] = httpx2.Client(base_url=base_url, headers=headers, timeout=600)
        started = time.perf_counter()
        clients[name].get("/health")
        print(f"{name}: from the first call to its answer {time.perf_counter() - started:.2f} s")

    def over_http(body: dict[str, Any]) -> int:
        last = b""
        with clients["smollm2"].stream("POST", "/v1/chat/completions", json=body) as reply:
            for line in reply.iter_lines():
                if line.startswith("data: {"):
                    last = line[6:].encode()
        return int(orjson.loads(last)["usage"]["completion_tokens"])

    command = [sys.executable, __file__, "--bare"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as library:
        assert library.stdin is not None
        assert library.stdout is not None
        library.stdout.readline()

        def library_round(tokens: int) -> float:
            assert library.stdin is not None
            assert library.stdout is not None
            library.stdin.write(f"{tokens}\n")
            library.stdin.flush()
            return float(library.stdout.readline())

        library_round(8)
        together(over_http, 8)
        pairs = [
            (library_round(given.tokens), together(over_http, given.tokens))
            for _ in range(given.rounds)
        ]
        library.stdin.close()
    alone = statistics.median(pair[0] for pair in pairs)
    served = statistics.median(pair[1] for pair in pairs)
    ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
    print(f"eight chats: bare {alone:.1f} tokens/s, engine process {served:.1f}, {ratio:.0%}")

    words = [f"{TOPICS[i % 8]} and {TOPICS[i % 7]}" for i in range(19)]
    body = {"model": "minilm", "input": [" ".join(words) for _ in range(32)]}
    replies = [clients["minilm"].post("/v1/embeddings", json=body).json() for _ in range(5)]
    busy = statistics.median(reply["usage"]["compute_ms"] for reply in replies) / 1000
    tokens = replies[0]["usage"]["prompt_tokens"]
    print(f"32 texts of {tokens // 32} tokens embedded in {busy:.2f} s")
    for name in ("smollm2", "minilm"):
        state = host.state(name)
        if state and state.pid:
            print(f"{name}: {resident_mb(state.pid)} MB resident")
    host.stop()


if __name__ == "__main__":
    main()
