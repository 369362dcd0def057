"""Sessions of coding agents: their calls are one trace, those of each subagent a branch of it.

Each agent names its session, and some their subagents, in headers of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from time import time_ns
from typing import TYPE_CHECKING, Final

from noria.tracing.context import CallContext, Runtime
from noria.tracing.trace import Trace
from noria.types import SpanKind, Status

if TYPE_CHECKING:
    from noria.store import Key

__all__ = ["SESSION_HEADERS", "AgentSession", "Sessions"]

Header = Callable[[bytes], bytes | None]


@dataclass(frozen=True, slots=True)
class _Names:
    """Where one agent says which session a call belongs to."""

    agent: str
    session: bytes
    subagent: bytes | None = None
    """The subagent that makes the call."""
    parent: bytes | None = None
    """The subagent, or the session, that started it."""
    kind: bytes | None = None
    """What the subagent is for."""
    told_by: tuple[bytes, bytes] | None = None
    """A header of this agent's alone, and how it begins, where the others' names are common."""


_KNOWN: Final = (
    _Names(
        "claude", b"x-claude-code-session-id", b"x-claude-code-agent-id",
        b"x-claude-code-parent-agent-id",
    ),
    _Names(
        "codex", b"session-id", b"thread-id", b"x-codex-parent-thread-id", b"x-openai-subagent",
        (b"originator", b"codex"),
    ),
    _Names(
        "opencode", b"x-session-id", None, b"x-parent-session-id",
        told_by=(b"user-agent", b"opencode/"),
    ),
)  # fmt: skip
SESSION_HEADERS: Final = tuple(names.session for names in _KNOWN)
"""A call with one of these belongs to an agent's session."""
_LONGEST: Final = 200
_MOST_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class AgentSession:
    """Which session of which agent a call belongs to."""

    agent: str
    session: str
    subagent: str | None = None
    """None for the agent itself."""
    parent: str | None = None
    """The subagent that started this one; None where the agent itself did."""
    kind: str | None = None

    @classmethod
    def of(cls, header: Header) -> AgentSession | None:
        """Read it from a request's headers; None where it is no agent's.

        Args:
            header: gives the value of a header by its name in lower case.
        """
        for names in _KNOWN:
            session = _text(header(names.session))
            if session is None:
                continue
            if names.told_by is not None:
                name, begins = names.told_by
                if not (header(name) or b"").startswith(begins):
                    continue
            above = _text(header(names.parent)) if names.parent else None
            if names.subagent is None:
                # Its subagents are sessions that name the one which started them.
                return cls(names.agent, above or session, session if above else None)
            subagent = _text(header(names.subagent))
            if subagent == session:
                subagent = None
            kind = _text(header(names.kind)) if names.kind else None
            parent = above if above != session else None
            return cls(names.agent, session, subagent, parent, kind)
        return None


class Sessions:
    """The sessions that calls of this process belong to."""

    def __init__(self) -> None:
        self._told: dict[str, None] = {}
        """Spans that were recorded already."""

    def context(self, runtime: Runtime, key: Key, session: AgentSession) -> CallContext:
        """Where a call of a session stands: in the session's trace, below who makes it.

        The session and each of its subagents is a span, recorded when its first call comes. A
        session is told from others by its name and the key, so that no caller can reach into one
        of another's.

        Raises:
            StoreUnavailable: the journal cannot be written.
        """
        trace = _digest(16, key.id, session.agent, session.session)
        root = _digest(8, trace)
        self._tell(runtime, key, trace, root, None, session.agent, session)
        above = root
        if session.parent is not None:
            above = _digest(8, trace, session.parent)
            self._tell(runtime, key, trace, above, root, "subagent", session)
        at = above
        if session.subagent is not None:
            at = _digest(8, trace, session.subagent)
            name = f"subagent {session.kind}" if session.kind else "subagent"
            self._tell(runtime, key, trace, at, above, name, session)
        return CallContext(runtime, Trace(key, trace), at, agent=session.agent)

    def _tell(
        self,
        runtime: Runtime,
        key: Key,
        trace: str,
        span: str,
        parent: str | None,
        name: str,
        session: AgentSession,
    ) -> None:
        """Record a span of a session, once for all processes: one that is told again is dropped
        by the intake."""
        if span in self._told:
            return
        meta = {
            "t": "foreign", "id": span, "trace": trace, "parent": parent, "kind": SpanKind.STEP,
            "name": name, "key": key.id, "team": key.team, "user": key.user, "at": time_ns(),
            "status": Status.OK, "ms": None, "content": False, "app": session.agent,
            "attrs": {"session": session.session},
        }  # fmt: skip
        runtime.journal.append(meta)
        if len(self._told) >= _MOST_REMEMBERED:
            self._told.clear()
        self._told[span] = None


def _text(value: bytes | None) -> str | None:
    if not value or len(value) > _LONGEST:
        return None
    text = value.decode("latin-1")
    return text if text.isprintable() else None


def _digest(size: int, *names: str) -> str:
    return blake2b("\n".join(names).encode(), digest_size=size).hexdigest()
