"""A real Ray cluster of this machine, with tokens on, in a home of its own."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from noria.config import Cluster

TOKEN = "NORIA_TEST_RAY_TOKEN"
CPUS = 4


class RayHead:
    """A head that was started; `kill` ends it as a power cut would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = secrets.token_hex(32)
        environ = os.environ | {
            "HOME": str(folder),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        command = [
            str(Path(sys.executable).parent / "ray"), "start", "--head", "--port=0",
            f"--num-cpus={CPUS}", "--resources={\"shelf\": 2}", "--include-dashboard=false",
            f"--temp-dir={folder / 't'}", "--disable-usage-stats",
        ]  # fmt: skip
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stdout + done.stderr
        self.address = (folder / "t" / "ray_current_cluster").read_text().strip()
        self.cluster = Cluster(address=self.address, token_env=TOKEN)

    def kill(self) -> None:
        """End every process of it."""
        import psutil

        mine = str(self.folder)
        for process in psutil.process_iter(["cmdline", "environ"]):
            told = " ".join(process.info["cmdline"] or ())
            home = (process.info["environ"] or {}).get("HOME")
            if "ray" in told and (mine in told or home == mine):
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue


@pytest.fixture(scope="session")
def ray_head() -> Iterator[RayHead]:
    """One cluster for all tests that do not kill it."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("the extra `ray` is not installed: pip install 'noria[ray]'")
    # Short: the sockets of Ray have their whole path in an address of 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="nr-"))
    head = RayHead(folder)
    os.environ[TOKEN] = head.token
    yield head
    import ray

    ray.shutdown()
    head.kill()
    shutil.rmtree(folder, ignore_errors=True)
    os.environ.pop(TOKEN, None)
