"""The host of the local models: one process keeps one engine process for each of them.

Every model has a listening socket on loopback from the beginning, and its process is started when
a connection waits there (socket activation). So a caller needs no handshake: calls made before
the engine is up, while its weights are pulled, or just after it died wait in the socket's backlog.
"""

from __future__ import annotations

import os
import threading

from noria.config import Config
from noria.errors import NoriaError
from noria.models.catalogue import Upstream
from noria.models.engine_supervisor import EngineSupervisor
from noria.models.own import LocalModels
from noria.models.state import EngineAddresses, EngineState, engine_secret, engine_upstream

__all__ = ["EngineHost"]

_LOOK_SECONDS = 0.3
"""How often the host looks for models that were registered or removed meanwhile."""


class EngineHost:
    """Starts, watches and stops the engine processes of one home.

    Make it before any process is forked, so that all know the addresses; `start` it in the one
    process that keeps the engines (it has threads and must not fork further), and let the workers
    call `leave`.
    """

    def __init__(self, config: Config) -> None:
        """Bind the sockets. Nothing runs yet."""
        self._config = config
        self._secret = engine_secret(config.home)
        self._end, self._alive = os.pipe()
        self._models = LocalModels(config)
        self._addresses = EngineAddresses(config.home)
        self._keepers: dict[str, EngineSupervisor] = {}
        self._made_ns: dict[str, int] = {}
        self._stop = threading.Event()
        self._watch: threading.Thread | None = None
        for name in self._models:
            self._keep(name)

    def upstream(self, model: str) -> Upstream | None:
        """Where a local model is reached, whether its process runs or not."""
        keeper = self._keepers.get(model) if self._models.fixed(model) else None
        if keeper is None:  # perhaps the process that keeps the engines knows it meanwhile
            return self._addresses.upstream(model)
        return engine_upstream(keeper.port, self._secret)

    def state(self, model: str) -> EngineState | None:
        """How a local model does."""
        return self._addresses.state(model)

    def start(self, pull: tuple[str, ...] = ("smollm2", "minilm")) -> None:
        """Begin to listen, and have the weights of these models pulled behind the door."""
        # A pipe of this process alone under the numbers that the keepers know: processes that
        # inherited the first one would keep its end open.
        end, alive = os.pipe()
        os.dup2(end, self._end)
        os.dup2(alive, self._alive)
        os.close(end)
        os.close(alive)
        for name, keeper in self._keepers.items():
            keeper.start(pull_first=name in pull)
        self._watch = threading.Thread(target=self._look_out, name="models", daemon=True)
        self._watch.start()

    def stop(self) -> None:
        """End all engine processes. Calls in them get a few seconds to finish."""
        self._stop.set()
        if self._watch is not None:
            self._watch.join()
        os.close(self._alive)  # wakes every keeper
        for keeper in self._keepers.values():
            keeper.end()
        for keeper in self._keepers.values():
            keeper.join()
        os.close(self._end)

    def leave(self) -> None:
        """In a forked worker: let go of the sockets. Addresses stay known."""
        for keeper in self._keepers.values():
            keeper.leave()
        os.close(self._alive)
        os.close(self._end)

    def _keep(self, name: str) -> EngineSupervisor | None:
        """Begin to keep a model; None for an adapter, which its base's engine answers for."""
        model = self._models[name]
        self._made_ns[name] = self._models.changed_ns(name)
        if model.base is not None:
            return None
        keeper = self._keepers[name] = EngineSupervisor(
            model, self._config, self._secret, self._end
        )
        return keeper

    def _look_out(self) -> None:
        """Keep models that are registered while the server runs, and drop removed ones."""
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                self._compare()
            except (KeyError, NoriaError):
                continue  # removed, or half removed, just now: the next look sees it

    def _compare(self) -> None:
        there = {name: self._models.changed_ns(name) for name in self._models}
        for name in [name for name, made in self._made_ns.items() if there.get(name) != made]:
            del self._made_ns[name]
            if (keeper := self._keepers.pop(name, None)) is not None:
                keeper.end()
                keeper.join()
                keeper.state.remove()
        for name in there.keys() - self._made_ns.keys():
            if (keeper := self._keep(name)) is not None:
                keeper.start(pull_first=False)
