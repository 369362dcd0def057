"""What holds for every example: where packages come from is left to whoever installs them."""

from __future__ import annotations

from tests.examples.conftest import EXAMPLES

HOSTS = ("registry.", "pypi.org", "npmjs", "proxy.golang", "sum.golang")


def test_no_example_names_a_registry_or_locks_one_in():
    files = [
        path
        for path in EXAMPLES.rglob("*")
        if path.is_file() and not {"node_modules", "build", "__pycache__"} & set(path.parts)
    ]
    assert len(files) > 15
    names = {path.name for path in files}
    assert not names & {"package-lock.json", "yarn.lock", "pnpm-lock.yaml", "go.sum", ".npmrc"}
    for path in files:
        assert not any(host in path.read_text() for host in HOSTS), path
