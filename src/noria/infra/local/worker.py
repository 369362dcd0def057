"""A worker process: `python -m noria.infra.local.worker --channel FD`, started by its executor.

It does one piece of work after the other, and ends when the executor is gone.
"""

from __future__ import annotations

import argparse
import signal
import socket

from noria.infra.local.frames import receive, send
from noria.infra.work import carry_out, carry_out_stream

__all__ = ["main"]


def main() -> None:
    """Work until the executor closes the channel."""
    options = argparse.ArgumentParser(description="A worker process of an executor.")
    options.add_argument("--channel", type=int, required=True, help="descriptor of the socket")
    end = socket.socket(fileno=options.parse_args().channel)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            work, args, kwargs, streams = receive(end)
        except EOFError:
            return
        if streams:
            for piece in carry_out_stream(work, args, kwargs, None):
                send(end, piece)
        else:
            send(end, carry_out(work, args, kwargs, None))


if __name__ == "__main__":
    main()
