"""Who answers: a model by its name, or a function of an application, in one of its variants.

local:smollm2                 a model
support@cheap                 a model's name at the door: an application that is served
app.py                        the first chat function of the only application of a file
app.py:support@variant        of one of several, in a variant
app.py:support.answer         another of its functions
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from noria.errors import ApiError, ConfigError
from noria.gateway.local_client import complete
from noria.models.completion import Completion
from noria.models.endpoint import Endpoint
from noria.tracing import CallContext, current

if TYPE_CHECKING:
    from noria.apps import App
    from noria.gateway import Gateway

__all__ = ["Answer", "Contestant", "contestant_of"]

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a contestant said to one turn of a question."""

    text: str
    trace_id: str
    ms: float
    checks: Mapping[str, str] = field(default_factory=dict)
    """How each check of an application came out: `pass`, `fail`, `skip` or `error`."""


class Contestant(Protocol):
    """Somebody who answers."""

    name: str
    model: str | None
    """The model that it asks, where that is known."""

    def check_digests(self) -> Mapping[str, str]:
        """For each of its checks what tells whether it is still the same."""

    def reads(self, gateway: Gateway) -> bool:
        """Whether it may read documents for its answers, as an application does."""

    async def answer(self, messages: Sequence[Message], context: CallContext) -> Answer:
        """Answer the last of these messages.

        Raises:
            ApiError: it could not answer.
        """

    async def answer_row(self, row: Mapping[str, Any], context: CallContext) -> Answer:
        """Answer a row of data whose fields are the arguments.

        Raises:
            ApiError: it could not answer.
        """


class _Model:
    """A model, or an application that is served, asked through the gateway."""

    def __init__(self, name: str, max_tokens: int | None) -> None:
        self.name = name
        self.model: str | None = name
        self._limit = {} if max_tokens is None else {"max_tokens": max_tokens}

    def check_digests(self) -> Mapping[str, str]:
        return {}

    def reads(self, gateway: Gateway) -> bool:
        return gateway.applications is not None and bool(gateway.applications.find(self.name))

    async def answer(self, messages: Sequence[Message], context: CallContext) -> Answer:
        begun = time.monotonic()
        fields = {"model": self.name, "messages": list(messages), **self._limit}
        said = Completion.of(await complete(context, Endpoint.CHAT, fields))
        return Answer(said.text, context.trace.id, _since(begun))

    async def answer_row(self, row: Mapping[str, Any], context: CallContext) -> Answer:
        question = row.get("question")
        if not isinstance(question, str):
            raise ApiError(
                422, "invalid_arguments",
                "question is missing: a model is asked what stands in a row's field `question`.",
                param="question",
            )  # fmt: skip
        return await self.answer([{"role": "user", "content": question}], context)


class _Function:
    """A function of an application, run in this process with all its checks."""

    def __init__(self, name: str, app: App, function: str, variant: str | None) -> None:
        self.name = name
        self._app, self._function, self._variant = app, function, variant
        chosen = app.variants[variant].model if variant else None
        self.model: str | None = chosen or app.model.name

    def check_digests(self) -> Mapping[str, str]:
        checks = self._app.functions[self._function].checks
        return {check.name: _digest(check.call) for check in checks}

    def reads(self, gateway: Gateway) -> bool:
        return True

    async def answer(self, messages: Sequence[Message], context: CallContext) -> Answer:
        question = {"question": messages[-1]["content"]}
        return await self._run(question, list(messages[:-1]), context)

    async def answer_row(self, row: Mapping[str, Any], context: CallContext) -> Answer:
        return await self._run(row, None, context)

    async def _run(
        self, arguments: Mapping[str, Any], history: list[Message] | None, context: CallContext
    ) -> Answer:
        from noria.apps.run.checking import Evidence, judge
        from noria.apps.run.run import start

        begun = time.monotonic()
        run = start(
            self._app, self._function, arguments, context, variant=self._variant, history=history
        )
        result = await run.result()
        took = _since(begun)
        this = run.running
        evidence = Evidence(
            this.function, this.arguments, result.value, list(this.notes), dict(this.results)
        )
        checks = this.function.checks
        # They are a part of the run, and bound by what was read in it.
        token = current.set(replace(context, span_id=run.span_id, app=self._app.name))
        try:
            found = await asyncio.gather(*(judge(check, evidence) for check in checks))
        finally:
            current.reset(token)
        outcomes = {check.name: one.outcome for check, one in zip(checks, found, strict=True)}
        return Answer(result.text, result.trace_id, took, outcomes)


def contestant_of(name: str, *, max_tokens: int | None = None) -> Contestant:
    """Find who is meant by a name; see above for its forms. The file of an application is loaded.

    Args:
        name: as it was written.
        max_tokens: the most tokens that a model's answer may have.

    Raises:
        ConfigError: a file holds no such application, function or variant.
        AppError: the file cannot be loaded.
    """
    path, _, rest = name.partition(".py")
    if not (name.startswith(path + ".py") and rest[:1] in ("", ":", "@")):
        return _Model(name, max_tokens)
    from noria.apps import load_app

    wanted, _, variant = rest.removeprefix(":").partition("@")
    wanted, _, function = wanted.partition(".")
    apps = {app.name: app for app in load_app(Path(path + ".py"))}
    app = apps.get(wanted) if wanted else next(iter(apps.values())) if len(apps) == 1 else None
    if app is None:
        known = ", ".join(f"{path}.py:{one}" for one in apps)
        raise ConfigError(f"{name}: {path}.py has no such application. There is: {known}.")
    if variant and variant not in app.variants:
        known = ", ".join(app.variants) or "none"
        raise ConfigError(f"{name}: {app.name} has no variant {variant!r}. There is: {known}.")
    if not function:
        chats = [one for one in app.functions.values() if one.kind == "chat"]
        function = (chats or list(app.functions.values()))[0].name if app.functions else ""
    if function not in app.functions:
        known = ", ".join(app.functions) or "none"
        raise ConfigError(f"{name}: {app.name} has no function {function!r}. There is: {known}.")
    return _Function(name, app, function, variant or None)


def _digest(function: Any) -> str:
    """Of a check's source; of its compiled code where the source is not at hand."""
    try:
        source = inspect.getsource(function).encode()
    except (OSError, TypeError):
        source = repr(getattr(function, "__code__", function.__class__)).encode()
    return hashlib.sha256(source).hexdigest()[:12]


def _since(begun: float) -> float:
    return round(1000 * (time.monotonic() - begun), 3)
