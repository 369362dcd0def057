"""The host of the engines: started by a call, up again after a death, honest about a loop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from noria.config import Config, Engines
from noria.models.host import EngineHost
from noria.models.state import EngineAddresses, EngineState, Phase
from noria.models.weights import Weights
from tests.support.engine import client_of

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
HELLO: list[Any] = [{"role": "user", "content": "Say hello."}]
STORY: dict[str, Any] = {
    "model": "smollm2",
    "messages": [{"role": "user", "content": "Tell a long story."}],
    "logit_bias": {"0": -100, "2": -100},  # the ends of text and turn: it goes on and on
}


@pytest.fixture(scope="module", autouse=True)
def weights() -> None:
    Weights().pull("smollm2")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., EngineHost]]:
    hosts: list[EngineHost] = []

    def start(pull: tuple[str, ...] = (), **engines: Any) -> EngineHost:
        host = EngineHost(Config(home=tmp_path / "home", engines=Engines(**engines)))
        host.start(pull)
        hosts.append(host)
        return host

    yield start
    for host in hosts:
        host.stop()


def state(host: EngineHost, model: str = "smollm2") -> EngineState:
    found = host.state(model)
    assert found is not None
    return found


def until(fulfilled: Callable[[], bool]) -> None:
    """Wait for another process; the test's own time limit ends a wait that is in vain."""
    while not fulfilled():
        time.sleep(0.02)


def hello(host: EngineHost) -> str:
    reply = client_of(host, "smollm2").chat.completions.create(
        model="smollm2", messages=HELLO, max_tokens=3
    )
    return reply.choices[0].message.content or ""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_call_starts_the_engine_and_stop_ends_it(tmp_path: Path) -> None:
    host = EngineHost(Config(home=tmp_path / "home"))
    host.start(())
    assert state(host).state is Phase.STOPPED
    assert hello(host)
    ready = state(host)
    assert ready.state is Phase.READY
    assert ready.pid is not None
    host.stop()
    assert state(host).state is Phase.STOPPED
    assert not alive(ready.pid)


def test_other_processes_find_it(start: Callable[..., EngineHost], tmp_path: Path) -> None:
    host = start()
    addresses = EngineAddresses(tmp_path / "home")
    assert addresses.upstream("smollm2") == host.upstream("smollm2")
    assert addresses.upstream("no-such-model") is None
    assert EngineAddresses(tmp_path / "elsewhere").upstream("smollm2") is None
    assert (tmp_path / "home" / "engine" / "secret").stat().st_mode & 0o777 == 0o600


def kill_in_mid_answer(host: EngineHost) -> None:
    stream = client_of(host, "smollm2").chat.completions.create(**STORY, stream=True)
    pid = state(host).pid
    assert pid is not None
    next(iter(stream))
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(openai.APIConnectionError):
        list(stream)
    until(lambda: not alive(pid))


def test_a_killed_engine_breaks_its_answers_and_serves_the_next_call(
    start: Callable[..., EngineHost],
) -> None:
    host = start()
    hello(host)
    first = state(host).pid
    kill_in_mid_answer(host)
    assert hello(host)
    assert state(host).pid != first


def test_a_crash_loop_is_reported_and_not_repeated(
    start: Callable[..., EngineHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = start()
    for _ in range(3):
        hello(host)
        kill_in_mid_answer(host)
    until(lambda: state(host).state is Phase.CRASHED)
    for _ in range(2):
        with pytest.raises(openai.InternalServerError) as refused:
            hello(host)
        assert refused.value.status_code == 503
        assert refused.value.code == "engine_unavailable"
        assert int(refused.value.response.headers["retry-after"]) >= 1
        assert "keeps dying" in refused.value.message
    assert state(host).pid is None
    now = time.monotonic()
    monkeypatch.setattr("noria.models.engine_supervisor.time.monotonic", lambda: now + 3600)
    assert hello(host)  # it has cooled down


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """A cache with a copy of smollm2's weights."""
    shared = Weights()
    shared.pull("smollm2")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    own = Weights()
    own.folder.mkdir(parents=True)
    for path in shared.folder.glob(f"{shared.path('smollm2').stem}.*"):
        shutil.copy2(path, own.folder)
    return own


def test_corrupt_weights_are_named_with_the_remedy_and_a_pull_repairs_them(
    own_cache: Weights, start: Callable[..., EngineHost]
) -> None:
    path = own_cache.path("smollm2")
    whole = path.read_bytes()
    path.write_bytes(whole[:1000] + b"damage" + whole[1006:])
    host = start()
    with pytest.raises(openai.InternalServerError, match="damaged") as refused:
        hello(host)
    assert "noria model pull local:smollm2" in refused.value.message
    assert state(host).state is Phase.CRASHED
    path.write_bytes(whole)
    own_cache._write_stamp("smollm2", json.loads(path.with_suffix(".json").read_text())["sha256"])
    assert hello(host)  # at once: the weights were made anew


def test_weights_that_cannot_be_pulled_refuse_the_calls_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[..., EngineHost]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    host = start(pull=("smollm2",))
    with pytest.raises(openai.InternalServerError, match="pip could not download"):
        hello(host)
    assert state(host).state is Phase.CRASHED


def test_an_idle_engine_stops_and_a_call_starts_it_again(
    start: Callable[..., EngineHost],
) -> None:
    host = start(idle_seconds=0.5)
    assert hello(host)
    until(lambda: state(host).state is Phase.STOPPED)
    assert hello(host)


def test_a_client_that_hangs_up_stops_the_generation(smollm2: openai.OpenAI) -> None:
    def busy() -> int:
        address = str(smollm2.base_url).removesuffix("/v1/")
        headers = {"Authorization": f"Bearer {smollm2.api_key}"}
        return int(httpx2.get(f"{address}/health", headers=headers).json()["busy"])

    stream = smollm2.chat.completions.create(**STORY, stream=True)
    next(iter(stream))
    assert busy() == 1
    stream.close()
    until(lambda: busy() == 0)
    with pytest.raises(openai.APITimeoutError):
        smollm2.with_options(timeout=0.3).chat.completions.create(**STORY)
    until(lambda: busy() == 0)


HOST = """
import sys
from pathlib import Path
from noria.config import Config
from noria.models.host import EngineHost
host = EngineHost(Config(home=Path(sys.argv[1])))
host.start(())
upstream = host.upstream("smollm2")
print(upstream.port, dict(upstream.headers)[b"Authorization"].decode(), flush=True)
sys.stdin.read()
"""


def test_an_engine_does_not_outlive_its_host(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with subprocess.Popen(
        [sys.executable, "-c", HOST, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        port, secret = process.stdout.readline().split(maxsplit=1)
        reply = httpx2.get(
            f"http://127.0.0.1:{port}/health",
            headers={"Authorization": secret.strip()},
            timeout=60,
        )
        assert reply.json()["status"] == "ok"
        found = EngineAddresses(home).state("smollm2")
        assert found is not None
        assert found.pid is not None
        process.kill()
    until(lambda: not alive(found.pid or 0))


def test_workers_let_go_of_the_sockets(tmp_path: Path) -> None:
    host = EngineHost(Config(home=tmp_path / "home"))
    upstream = host.upstream("smollm2")
    assert upstream is not None
    host.leave()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((upstream.host, upstream.port))
    assert host.upstream("smollm2") == upstream
