"""How people reach noria from a terminal: one module for each group of verbs."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the `noria` command.

    Exit codes: 0 done, 1 an expected failure (told on standard error, without a traceback),
    2 the command line cannot be understood, 130 interrupted by Ctrl-C.
    """
    from noria.cli.app import app
    from noria.errors import NoriaError

    try:
        app()
    except NoriaError as failure:
        from noria.cli._io.output import complain

        complain(failure)
        sys.exit(1)
    except BrokenPipeError:
        _pacify()
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _pacify() -> None:
    """Keep the interpreter from flushing, at its end, into a pipe that nobody reads any more."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
