"""The engine process: `python -m noria.models.engine MODEL --home HOME --fd N --parent PID ...`.

It is started by `noria.models.host`, which hands down a listening socket and, in the environment,
the secret. It has the weights pulled where they are absent, loads them and serves until it is
told to stop, was idle for long enough, or its parent is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from noria.errors import NoriaError
from noria.models.local import LOCAL, LocalModel, from_json
from noria.models.state import EXPLAINED, Phase, StateFile
from noria.models.weights import Weights

if TYPE_CHECKING:
    import uvicorn

    from noria.models.engine.app import EngineApp


def main() -> int:
    """Run the process; the result is its exit code."""
    parser = argparse.ArgumentParser(prog="python -m noria.models.engine")
    parser.add_argument("model")
    parser.add_argument("--described", help="the model as JSON; left out, one of noria's own")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--fd", type=int, help="a listening socket; left out, only pull")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="end with this process")
    parser.add_argument("--parallel", type=int, default=8)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--idle", type=float, default=0.0, help="stop after so many idle seconds")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # until the server takes it over
    threading.Thread(target=_end_with, args=(given.parent,), daemon=True).start()
    state = StateFile(given.home, given.model)
    model = from_json(given.described) if given.described else LOCAL[given.model]
    try:
        weights = _pull(model, state)
        if given.fd is None:
            state.change(Phase.STOPPED)
            return 0
        return _serve(given, model, weights, state)
    except NoriaError as error:
        sys.stderr.write(f"{error}\n")
        state.change(Phase.CRASHED, str(error))
        return EXPLAINED


def _pull(model: LocalModel, state: StateFile) -> Path:
    weights = Weights(models={model.name: model})
    if weights.present(model.name):
        return weights.locate(model.name)
    told = 0.0

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal told
        if done == total or time.monotonic() - told > 0.1:
            told = time.monotonic()
            state.change(Phase.PULLING, pid=os.getpid(), stage=stage, done=done, total=total)

    progress("download", 0, 0)
    return weights.pull(model.name, progress)


def _serve(given: argparse.Namespace, model: LocalModel, weights: Path, state: StateFile) -> int:
    state.change(Phase.STARTING, pid=os.getpid())
    import uvicorn

    from noria.errors import EngineError
    from noria.models.catalogue import local_capabilities
    from noria.models.engine.app import EngineApp
    from noria.models.engine.llama import LlamaEngine, default_threads
    from noria.models.own import adapters_of

    try:
        engine = LlamaEngine(
            given.model,
            weights,
            local_capabilities(model, given.context),
            parallel=given.parallel,
            threads=given.threads or default_threads(),
            adapters=partial(adapters_of, given.home, given.model),
        )
    except EngineError:
        Weights(models={model.name: model}).verify(model.name)  # says so where the file is to blame
        raise
    app = EngineApp(engine, os.environ["NORIA_ENGINE_SECRET"])
    server = uvicorn.Server(
        uvicorn.Config(
            app.asgi,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_keep_alive=3600,
            timeout_graceful_shutdown=5,
        )
    )

    async def run() -> None:
        watch = asyncio.create_task(_stop_when_idle(server, app, given.idle))
        state.change(Phase.READY, pid=os.getpid())
        await server.serve(sockets=[socket.socket(fileno=given.fd)])
        watch.cancel()

    asyncio.run(run())
    # Threads may still be inside the library with calls that nobody waits for.
    os._exit(0)


async def _stop_when_idle(server: uvicorn.Server, app: EngineApp, seconds: float) -> None:
    while seconds:
        await asyncio.sleep(min(1.0, seconds / 4))
        if app.idle_seconds() > seconds:
            server.should_exit = True


def _end_with(parent: int) -> None:
    """End when the parent is gone, even in the middle of a computation."""
    while os.getppid() == parent:
        time.sleep(0.5)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # takes a running pip along
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
