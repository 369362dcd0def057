"""Keeping one engine process: started when somebody calls, started again after a death.

A model that keeps failing is answered for: 503 in OpenAI's shape, at once, until it has cooled
down or its weights were pulled anew.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque

import orjson

from noria.config import Config
from noria.errors import ApiError
from noria.headers import whole_answer
from noria.models.local import LocalModel, as_json
from noria.models.state import EXPLAINED, EngineState, Phase, StateFile
from noria.models.weights import Weights

__all__ = ["EngineSupervisor"]

_DEATHS = 3
_WITHIN_SECONDS = 60.0
_COOL_DOWN_SECONDS = 30.0
_BACKLOG = 512
_STOP_SECONDS = 8.0


class EngineSupervisor:
    """The keeper of one local model, with a thread of its own."""

    def __init__(self, model: LocalModel, config: Config, secret: str, end: int) -> None:
        """Bind the model's socket. `end` is a file descriptor that becomes readable at the end."""
        self._name = name = model.name
        self._model = model
        self._config = config
        self._secret = secret
        self._end = end
        self._weights = Weights(models={name: model})
        self._lock = threading.Lock()
        self._ending = False
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths: deque[float] = deque(maxlen=_DEATHS)
        self._refuse_until: float | None = None
        self._failed_with: int | None = None
        self._thread: threading.Thread | None = None
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.socket.setblocking(False)
        self._removed, self._remove = socket.socketpair()
        self.port: int = self.socket.getsockname()[1]
        self.state = StateFile(config.home, name)
        phase = Phase.STOPPED if self._weights.present(name) else Phase.ABSENT
        self.state.write(EngineState(phase, self.port))
        self._log = config.home / "log" / f"engine-{name}.log"
        self._log.parent.mkdir(mode=0o700, exist_ok=True)
        self._log.unlink(missing_ok=True)

    def start(self, *, pull_first: bool) -> None:
        """Begin to listen; with `pull_first`, have absent weights pulled before anybody calls."""
        self._thread = threading.Thread(
            target=self._run, args=(pull_first,), name=f"engine-{self._name}", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Ask the process to finish."""
        with self._lock:
            self._ending = True
            self._signal(signal.SIGTERM)
            self._remove.send(b"x")

    def join(self) -> None:
        """Wait for the end; a process that takes too long is killed."""
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
            with self._lock:
                self._signal(signal.SIGKILL)
            self._thread.join()
        self.leave()

    def leave(self) -> None:
        """Let go of the sockets."""
        for one in (self.socket, self._removed, self._remove):
            one.close()

    def _run(self, pull_first: bool) -> None:
        if pull_first and not self._weights.present(self._name):
            self._live_through([])
        engines = self._config.engines
        serve = ["--fd", str(self.socket.fileno()), "--parallel", str(engines.parallel)]
        serve += ["--context", str(engines.context), "--idle", str(engines.idle_seconds)]
        if engines.threads:
            serve += ["--threads", str(engines.threads)]
        while self._somebody_calls():
            if (reason := self._refusal()) is not None:
                self._refuse(reason)
            else:
                self._live_through(serve)

    def _somebody_calls(self) -> bool:
        """Wait for a connection; False at the end."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            selector.register(self._end, selectors.EVENT_READ)
            selector.register(self._removed, selectors.EVENT_READ)
            return all(key.fileobj is self.socket for key, _ in selector.select())

    def _live_through(self, arguments: list[str]) -> None:
        """Run the process from its start to its end, and learn from that."""
        command = [sys.executable, "-m", "noria.models.engine", self._name, *arguments]
        command += ["--home", str(self._config.home), "--parent", str(os.getpid())]
        command += ["--described", as_json(self._model)]
        with self._lock:
            if self._ending:
                return
            with self._log.open("ab") as log:
                self._process = process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[self.socket.fileno()],
                    env=os.environ | {"NORIA_ENGINE_SECRET": self._secret},
                    start_new_session=True,  # an interrupt at the terminal is the supervisor's
                )
        code = process.wait()
        with self._lock:
            self._process = None
        if code == 0 or self._ending:
            self.state.change(Phase.STOPPED)
        elif code == EXPLAINED:
            state = self.state.read()
            self._cool_down((state and state.message) or f"see {self._log}")
        else:
            self._count_death(code)

    def _count_death(self, code: int) -> None:
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        message = f"The engine of local:{self._name} died ({cause}); see {self._log}."
        now = time.monotonic()
        self._deaths.append(now)
        if len(self._deaths) == _DEATHS and now - self._deaths[0] < _WITHIN_SECONDS:
            self._cool_down(f"{message} It keeps dying and was given up for a while.")
        else:
            self.state.change(Phase.STOPPED, message)

    def _cool_down(self, message: str) -> None:
        self._deaths.clear()
        self._refuse_until = time.monotonic() + _COOL_DOWN_SECONDS
        self._failed_with = self._weights.made_ns(self._name)
        self.state.change(Phase.CRASHED, message)

    def _refusal(self) -> str | None:
        """Why calls are refused now; None where the engine may be started."""
        if self._refuse_until is None:
            return None
        pulled_anew = self._weights.made_ns(self._name) != self._failed_with
        if pulled_anew or time.monotonic() >= self._refuse_until:
            self._refuse_until = None
            return None
        state = self.state.read()
        return (state and state.message) or f"local:{self._name} cannot be started."

    def _refuse(self, reason: str) -> None:
        """Answer every connection that waits."""
        assert self._refuse_until is not None
        wait = max(1, round(self._refuse_until - time.monotonic()))
        while True:
            try:
                caller, _ = self.socket.accept()
            except BlockingIOError:
                return
            threading.Thread(target=_answer, args=(caller, reason, wait), daemon=True).start()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)


def _answer(caller: socket.socket, reason: str, wait: int) -> None:
    """Say 503 to one caller. What it sent is read to its end, or the answer might get lost."""
    error = ApiError(503, "engine_unavailable", reason, retry_after=wait)
    body = orjson.dumps(error.body())
    answer = whole_answer(503, [(b"retry-after", b"%d" % wait)], body)
    with caller:
        caller.settimeout(2.0)
        try:
            caller.recv(65536)
            caller.sendall(answer)
            caller.shutdown(socket.SHUT_WR)
            while caller.recv(65536):
                pass
        except OSError:
            return
