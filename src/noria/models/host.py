"""The host of the local models: one process keeps one engine process for each of them.

Every model has a listening socket on loopback from the beginning, and its process is started when
a connection waits there (socket activation). So a caller needs no handshake: calls made before
the engine is up, while its weights are pulled, or just after it died wait in the socket's backlog.
"""

from __future__ import annotations

import os

from noria.config import Config
from noria.models.catalogue import Upstream
from noria.models.engine_supervisor import EngineSupervisor
from noria.models.local import LOCAL
from noria.models.state import EngineState, engine_secret, engine_upstream

__all__ = ["EngineHost"]


class EngineHost:
    """Starts, watches and stops the engine processes of one home.

    Make it before any process is forked, so that all know the addresses; `start` it in the one
    process that keeps the engines (it has threads and must not fork further), and let the workers
    call `leave`.
    """

    def __init__(self, config: Config) -> None:
        """Bind the sockets. Nothing runs yet."""
        self._secret = engine_secret(config.home)
        self._end, self._alive = os.pipe()
        self._keepers = {
            name: EngineSupervisor(name, config, self._secret, self._end) for name in LOCAL
        }

    def upstream(self, model: str) -> Upstream | None:
        """Where a local model is reached, whether its process runs or not."""
        keeper = self._keepers.get(model)
        return engine_upstream(keeper.port, self._secret) if keeper else None

    def state(self, model: str) -> EngineState | None:
        """How a local model does."""
        keeper = self._keepers.get(model)
        return keeper.state.read() if keeper else None

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

    def stop(self) -> None:
        """End all engine processes. Calls in them get a few seconds to finish."""
        os.close(self._alive)  # wakes every keeper
        for keeper in self._keepers.values():
            keeper.end()
        for keeper in self._keepers.values():
            keeper.join()
        os.close(self._end)

    def leave(self) -> None:
        """In a forked worker: let go of the sockets. Addresses stay known."""
        for keeper in self._keepers.values():
            keeper.socket.close()
        os.close(self._alive)
        os.close(self._end)
