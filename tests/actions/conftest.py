"""What the tests of actions share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The address of moto's server, which refuses types that a region does not offer."""
    patch = pytest.MonkeyPatch()
    patch.setenv("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "true")  # read when it is imported
    server = pytest.importorskip("moto.server", reason="needs moto[server]")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()
    patch.undo()
