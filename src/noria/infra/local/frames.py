"""Messages between an executor and its worker processes, over a pair of sockets.

A message is its length and its pickle. A long one is not copied through the socket: it is written
once into memory that both map, and only the descriptor is sent.
"""

from __future__ import annotations

import mmap
import os
import pickle
import socket
import struct
from typing import Any

__all__ = ["receive", "send"]

_HEAD = struct.Struct("!Q?")
_SHARED_BYTES = 256 * 1024


def send(end: socket.socket, message: Any) -> None:
    """Send one message.

    Raises:
        OSError: the other end is gone.
        Exception: it cannot be pickled; nothing was sent then.
    """
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    if len(body) < _SHARED_BYTES:
        end.sendall(_HEAD.pack(len(body), False) + body)
        return
    fd = os.memfd_create("noria-value", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(body)
        socket.send_fds(end, [_HEAD.pack(len(body), True)], [fd])
    finally:
        os.close(fd)


def receive(end: socket.socket) -> Any:
    """The next message.

    Raises:
        EOFError: the other end is gone.
    """
    try:
        head, fds, _, _ = socket.recv_fds(end, _HEAD.size, 1)
        while head and len(head) < _HEAD.size:
            more = end.recv(_HEAD.size - len(head))
            head = head + more if more else b""
    except ConnectionError:
        head, fds = b"", []
    if not head:
        raise EOFError
    size, shared = _HEAD.unpack(head)
    if shared:
        try:
            with mmap.mmap(fds[0], size, prot=mmap.PROT_READ) as memory:
                return pickle.loads(memory)  # noqa: S301 - from a process of our own
        finally:
            os.close(fds[0])
    body = bytearray(size)
    view, got = memoryview(body), 0
    while got < size:
        n = end.recv_into(view[got:])
        if not n:
            raise EOFError
        got += n
    return pickle.loads(body)  # noqa: S301 - from a process of our own
