"""The `noria` command itself: what it costs to start, and how it fails."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest


def noria(*arguments: str, home, **options):
    return subprocess.run(
        [sys.executable, "-m", "noria.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=home.parent,
        timeout=60,
        **options,
    )


def test_version(home):
    done = noria("--version", home=home)
    assert (done.returncode, done.stdout) == (0, "noria 0.1.0\n")


@pytest.mark.parametrize("verb", ["--help", "key --help", "trace --help", "spend --help"])
def test_help_loads_nothing_heavy(home, verb):
    code = (
        "import sys; from noria.cli.app import app; app(sys.argv[1:], standalone_mode=False);"
        "heavy = {'sqlalchemy', 'alembic', 'httpx2', 'rich', 'numpy', 'starlette',"
        " 'genai_prices', 'xllamacpp', 'jinja2'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *verb.split()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_expected_failure_is_a_message_without_a_traceback(home):
    done = noria("key", "revoke", "key_unknown", home=home)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("noria: There is no key key_unknown.\n")
    assert "Traceback" not in done.stderr


def test_malformed_configuration_names_line_and_key(home):
    (home.parent / "noria.toml").write_text("[server]\nprot = 8600\n")
    done = noria("key", "ls", home=home)
    assert done.returncode == 1
    assert (
        "noria.toml, line 2: server.prot: there is no such key; did you mean port?" in done.stderr
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-verb"],
        ["key", "create", "--budget", "5"],
        ["key", "create", "--clearance", "secret"],
        ["key", "create", "--rpm", "0"],
        ["spend", "--by", "colour"],
        ["spend", "--since", "yesterday"],
        ["trace", "ls", "--status", "fine"],
        ["trace", "ls", "--limit", "0"],
    ],
)
def test_usage_errors_exit_with_2(run, arguments):
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert "Error" in done.stderr


def test_a_reader_that_leaves_is_not_an_error_message(home):
    for _ in range(3):
        noria("key", "create", home=home)
    process = subprocess.Popen(
        [sys.executable, "-m", "noria.cli", "key", "ls", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=home.parent,
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, complaint = process.communicate(timeout=60)
    assert b"Traceback" not in complaint
    assert b"BrokenPipe" not in complaint


def test_interrupt_is_quiet_and_exits_with_130(home):
    process = subprocess.Popen(
        [sys.executable, "-m", "noria.cli", "trace", "tail", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=home.parent,
        env=None,
    )
    # The home's folder appears once the verb has opened it.
    while not (home / "noria.db").exists():
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    out, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, complaint) == (b"", b"")
