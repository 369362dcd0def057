"""`Model`: asking a model in words, for a typed answer, with tools, or piece by piece.

A call goes through the gateway of the process, under the key and the trace of the run that it is
made in, and nothing stands in its messages that `noria trace show` does not show.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar, overload

from noria.apps.model.messages import Image, Message, make_messages
from noria.apps.model.structured import OutputSchema, Unreadable
from noria.apps.model.tools import Tools
from noria.apps.run.standalone import current_context, in_context
from noria.apps.run.sync import iterate, wait
from noria.errors import AnswerError, ApiError, NoriaError
from noria.gateway.local_client import complete, stream
from noria.models.completion import Completion, pieces_of
from noria.models.endpoint import Endpoint

__all__ = ["AnswerStream", "Model"]

T = TypeVar("T")

_MOST_ROUNDS = 8
"""The most times that a model may call tools before it answers."""
_MOST_PAUSE_SECONDS = 60
"""Who is asked to wait for longer is told so instead."""


class Model:
    """A model, and how it is asked.

    Args:
        name: `provider:model`, a route of `noria.toml`, or an application.
        temperature: how freely it answers; None: as its provider has it.
        max_tokens: the longest answer.
        timeout: seconds for one call; None: as `routing` has it.
        retries: further attempts at a call that failed, beside those of the gateway.
        **params: further fields of OpenAI's request.
    """

    def __init__(
        self,
        name: str,
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        **params: Any,
    ) -> None:
        self.name = name
        self.timeout = timeout
        self.retries = retries
        given = {"temperature": temperature, "max_tokens": max_tokens, **params}
        self.params = {field: value for field, value in given.items() if value is not None}

    def __repr__(self) -> str:
        return f"Model({self.name!r})"

    def named(self, name: str) -> Model:
        """Another model that is asked in the same way."""
        if name == self.name:
            return self
        return Model(name, timeout=self.timeout, retries=self.retries, **self.params)

    @overload
    async def ask(
        self,
        instructions: str,
        /,
        *,
        returns: None = None,
        tools: Sequence[Callable[..., Any]] = (),
        history: Iterable[Mapping[str, Any]] = (),
        images: Sequence[Image] = (),
        **inputs: Any,
    ) -> str: ...

    @overload
    async def ask(
        self,
        instructions: str,
        /,
        *,
        returns: type[T],
        tools: Sequence[Callable[..., Any]] = (),
        history: Iterable[Mapping[str, Any]] = (),
        images: Sequence[Image] = (),
        **inputs: Any,
    ) -> T: ...

    async def ask(
        self,
        instructions: str,
        /,
        *,
        returns: Any = None,
        tools: Sequence[Callable[..., Any]] = (),
        history: Iterable[Mapping[str, Any]] = (),
        images: Sequence[Image] = (),
        **inputs: Any,
    ) -> Any:
        """Ask, and wait for the whole answer.

        Args:
            instructions: the system message.
            returns: the type of the answer, any that pydantic knows; None for text. A reply that
                does not fit is shown to the model with its error once.
            tools: functions that the model may call.
            history: messages that come before the inputs.
            images: what the model looks at.
            **inputs: what the model works on, by name; see `noria.apps.model.messages`.

        Raises:
            ApiError: the call was refused or failed.
            AnswerError: the answer is not of the type, the model refused to give one, or it went
                on calling tools. Asked for text, the words of its refusal are the answer.
            NoriaError: an argument cannot be used.
        """
        messages = make_messages(instructions, inputs, history, images)
        fields = dict(self.params)
        form = None
        if returns is not None:
            form = OutputSchema(returns)
            fields["response_format"] = form.response_format()
        async with in_context():
            reply = await self._say(messages, fields, Tools(tools))
            if form is None:
                return reply
            try:
                return form.read(reply)
            except Unreadable as wrong:
                messages += _repair(reply, wrong)
            reply = await self._say(messages, fields, Tools(()))
        try:
            return form.read(reply)
        except Unreadable as wrong:
            raise AnswerError(
                f"{self.name} did not answer in the form that was asked for: {wrong}",
                "Ask a larger model, or for less at once.",
                reply=reply,
            ) from None

    def ask_sync(self, instructions: str, /, **keywords: Any) -> Any:
        """`ask` for code that does not await."""
        return wait(lambda: self.ask(instructions, **keywords))

    def stream(
        self,
        instructions: str,
        /,
        *,
        history: Iterable[Mapping[str, Any]] = (),
        images: Sequence[Image] = (),
        **inputs: Any,
    ) -> AnswerStream:
        """Ask for text, piece by piece. A chat function may return this as its answer.

        Raises:
            ApiError: while it is read: the call was refused, failed, or broke off.
            NoriaError: an argument cannot be used.
        """
        for name in ("returns", "tools"):
            if name in inputs:
                raise NoriaError(f"{name}: a stream gives text as it comes.", "Use ask instead.")
        return AnswerStream(self, make_messages(instructions, inputs, history, images))

    def stream_sync(self, instructions: str, /, **keywords: Any) -> Iterator[str]:
        """`stream` for code that does not await."""
        return iterate(lambda: self.stream(instructions, **keywords))

    @overload
    async def embed(self, texts: str) -> list[float]: ...

    @overload
    async def embed(self, texts: list[str] | tuple[str, ...]) -> list[list[float]]: ...

    async def embed(self, texts: Any) -> Any:
        """The vector of a text, or of each of several.

        Raises:
            ApiError: the call was refused or failed.
        """
        lone = isinstance(texts, str)
        fields = {"model": self.name, "input": [texts] if lone else list(texts)}
        answer = await self._complete(Endpoint.EMBEDDINGS, fields | self.params)
        vectors = [one["embedding"] for one in sorted(answer["data"], key=lambda one: one["index"])]
        return vectors[0] if lone else vectors

    # The calls

    async def _say(self, messages: list[Message], fields: dict[str, Any], tools: Tools) -> str:
        """The text that the model says in the end; what is said on the way joins `messages`."""
        if tools:
            fields = fields | {"tools": tools.described()}
        for _ in range(_MOST_ROUNDS):
            request = {"model": self.name, "messages": messages, **fields}
            said = Completion.of(await self._complete(Endpoint.CHAT, request))
            if said.refused and "response_format" in fields:
                raise AnswerError(
                    f"{self.name} refused: {said.text}", "Ask differently.", reply=said.text
                )
            if not said.tool_calls:
                return said.text
            messages.append(said.message)
            messages += await asyncio.gather(*(tools.call(made) for made in said.tool_calls))
        raise AnswerError(
            f"{self.name} called tools {_MOST_ROUNDS} times and did not answer.",
            "Say in the instructions when to stop.",
        )

    async def _complete(self, endpoint: Endpoint, request: dict[str, Any]) -> dict[str, Any]:
        context = await current_context()
        for attempt in range(self.retries + 1):
            try:
                async with asyncio.timeout(self.timeout):
                    return await complete(context, endpoint, request)
            except TimeoutError:
                failure = self._too_slow()
            except ApiError as refusal:
                failure = refusal
            lasting = failure.status < 500 and failure.status != 429
            lasting = lasting or failure.code in ("budget_exhausted", "insufficient_quota")
            pause = failure.retry_after or 0
            if attempt == self.retries or lasting or pause > _MOST_PAUSE_SECONDS:
                raise failure
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    def _too_slow(self) -> ApiError:
        return ApiError(
            504, "upstream_timeout", f"{self.name} did not answer within {self.timeout:g} s."
        )


class AnswerStream(AsyncIterator[str]):
    """An answer as it comes. Asked for when it is first read; leaving early stops the model."""

    def __init__(self, model: Model, messages: list[Message]) -> None:
        self._model = model
        self._messages = messages
        self._source = self._pieces()
        self.text = ""
        """What has come so far."""

    async def __anext__(self) -> str:
        piece: str = await anext(self._source)
        self.text += piece
        return piece

    async def aclose(self) -> None:
        """Stop the model, if it is still answering."""
        await self._source.aclose()

    async def _pieces(self) -> Any:
        model = self._model
        context = await current_context()
        fields = {"model": model.name, "messages": self._messages, **model.params}
        loop = asyncio.get_running_loop()
        until = loop.time() + model.timeout if model.timeout is not None else None
        async with aclosing(stream(context, fields)) as events:  # type: ignore[type-var]
            while True:
                try:
                    async with asyncio.timeout_at(until):
                        event = await anext(events)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise model._too_slow() from None
                for piece in pieces_of(event):
                    if said := piece.text or piece.refusal:
                        yield said


def _repair(reply: str, wrong: Unreadable) -> list[Message]:
    return [
        {"role": "assistant", "content": reply},
        {
            "role": "user",
            "content": f"That cannot be used: {wrong}. Answer again, with JSON that fits the "
            "schema and nothing else.",
        },
    ]
