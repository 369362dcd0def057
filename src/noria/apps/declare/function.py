"""What noria knows of a function of an application: its name, its signature, how it is run."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from noria.apps.run.semaphore import CrossLoopSemaphore
from noria.errors import ApiError, AppError

if TYPE_CHECKING:
    from pydantic import BaseModel, TypeAdapter

    from noria.apps.declare.app import App
    from noria.apps.declare.check import Check

__all__ = ["Function", "function_of", "place_in_file"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_STREAMS = (AsyncIterator, Iterator)


def place_in_file(function: Callable[..., Any]) -> str:
    """Where a function stands, as an error says it: file and line."""
    code = inspect.unwrap(function).__code__
    return f"{code.co_filename}, line {code.co_firstlineno}"


@dataclass(eq=False)
class Function:
    """A function that an application offers at its doors."""

    app: App
    name: str
    kind: Literal["chat", "task"]
    call: Callable[..., Any]
    """The function as it was written."""
    timeout: float | None = None
    """Seconds for one attempt; None: as long as it takes."""
    retries: int = 0
    """Further attempts when one fails."""
    concurrency: int | None = None
    """Runs at the same time in one process; further ones wait."""
    schedule: str | None = None
    """When a task runs by itself, as a cron line in UTC."""

    checks: list[Check] = field(default_factory=list)
    """What looks at its answers."""

    def __post_init__(self) -> None:
        self._wanted: frozenset[str] = frozenset()
        self.signature = inspect.signature(self.call)
        self.gate = CrossLoopSemaphore(self.concurrency) if self.concurrency else None
        self._check_keywords()
        for parameter in self.signature.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                self._refuse(f"*{parameter.name} cannot be filled in by a caller; name each one")
        if self.kind == "chat":
            self._check_chat()

    @property
    def wanted(self) -> frozenset[str]:
        """What its checks look at, by name."""
        return self._wanted

    def add_check(self, check: Check) -> None:
        """Have its answers looked at."""
        self.checks.append(check)
        self._wanted |= frozenset(check.names)

    @property
    def full_name(self) -> str:
        """Application and function, as its runs are named."""
        return f"{self.app.name}.{self.name}"

    @property
    def where(self) -> str:
        """The file and line where it stands."""
        return place_in_file(self.call)

    @property
    def doc(self) -> str:
        """What it does, in its own words."""
        return inspect.getdoc(self.call) or ""

    @property
    def generates(self) -> bool:
        """It yields its answer piece by piece."""
        return inspect.isasyncgenfunction(self.call) or inspect.isgeneratorfunction(self.call)

    @property
    def streams(self) -> bool:
        """Its answer is known to come piece by piece."""
        origin = typing.get_origin(self._returned) or self._returned
        return self.generates or (isinstance(origin, type) and issubclass(origin, _STREAMS))

    @property
    def takes_history(self) -> bool:
        """It wants what was said before."""
        return "history" in self.signature.parameters

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The annotations.

        Raises:
            AppError: one names what does not exist.
        """
        try:
            return typing.get_type_hints(self.call, include_extras=True)
        except Exception as unknown:  # noqa: BLE001 - an annotation is code
            raise AppError(f"{self.where}: an annotation cannot be read: {unknown}") from None

    @cached_property
    def arguments(self) -> type[BaseModel]:
        """The arguments as one object. A parameter without annotation takes anything.

        Raises:
            AppError: a parameter has a type that cannot be read from JSON.
        """
        from pydantic import ConfigDict, Field, create_model

        # The fields have names of their own, since a parameter may be called as pydantic likes.
        fields: dict[str, Any] = {
            f"argument_{number}": (
                self.hints.get(parameter.name, Any),
                Field(
                    ... if parameter.default is parameter.empty else parameter.default,
                    alias=parameter.name,
                ),
            )
            for number, parameter in enumerate(self.signature.parameters.values())
        }
        try:
            return create_model(
                f"{self.name}_arguments", __config__=ConfigDict(extra="forbid"), **fields
            )
        except Exception as unusable:  # noqa: BLE001 - pydantic has many ways to say no
            return self._refuse(f"its arguments cannot be read from JSON: {_first_line(unusable)}")

    @cached_property
    def returns(self) -> TypeAdapter[Any]:
        """How its result becomes JSON.

        Raises:
            AppError: its type has no form in JSON.
        """
        from pydantic import TypeAdapter

        returned = self._returned
        if self.streams or _is_stream(returned):
            returned = str if self.kind == "chat" else Any
        try:
            return TypeAdapter(returned)
        except Exception as unusable:  # noqa: BLE001
            return self._refuse(f"its result has no form in JSON: {_first_line(unusable)}")

    def argument_schema(self) -> dict[str, Any]:
        """The JSON schema of the arguments, an object."""
        schema = self.arguments.model_json_schema(by_alias=True)
        for described in schema.get("properties", {}).values():
            described.pop("title", None)
        return schema | {"title": self.name}

    def return_schema(self) -> dict[str, Any]:
        """The JSON schema of the result."""
        return self.returns.json_schema(mode="serialization")

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments from JSON, as the function takes them; what was left out is left out.

        Raises:
            ApiError: 422 `invalid_arguments`, which lists every one that cannot be used.
        """
        from pydantic import ValidationError

        try:
            read = self.arguments.model_validate(dict(given))
        except ValidationError as invalid:
            raise self._explain(invalid) from None
        names = list(self.signature.parameters)
        set_ = read.model_fields_set
        return {
            name: getattr(read, f"argument_{number}")
            for number, name in enumerate(names)
            if f"argument_{number}" in set_
        }

    def spread(self, arguments: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Arguments by name, as a call takes them."""
        left = dict(arguments)
        args: list[Any] = []
        for parameter in self.signature.parameters.values():
            if parameter.kind is not parameter.POSITIONAL_ONLY:
                break
            if parameter.name not in left:
                break
            args.append(left.pop(parameter.name))
        return args, left

    def _explain(self, invalid: Any) -> ApiError:
        problems = invalid.errors(include_url=False, include_context=False)
        lines = []
        for problem in problems:
            where = ".".join(str(part) for part in problem["loc"]) or "the arguments"
            match problem["type"]:
                case "missing":
                    said = "is missing"
                case "extra_forbidden":
                    known = ", ".join(self.signature.parameters) or "none"
                    said = f"is no argument of {self.name}, which takes: {known}"
                case _:
                    said = problem["msg"][:1].lower() + problem["msg"][1:]
            lines.append(f"{where}: {said}")
        first = problems[0]["loc"]
        return ApiError(
            422, "invalid_arguments", "; ".join(lines), param=str(first[0]) if first else None
        )

    @property
    def _returned(self) -> Any:
        returned = self.hints.get("return", Any)
        origin = typing.get_origin(returned)
        if isinstance(origin, type) and issubclass(origin, Awaitable):
            return typing.get_args(returned)[-1]
        return returned

    def _check_keywords(self) -> None:
        if self.timeout is not None and not (_is_number(self.timeout) and self.timeout > 0):
            self._refuse(f"timeout must be seconds above 0, not {self.timeout!r}")
        if not isinstance(self.retries, int) or self.retries < 0:
            self._refuse(f"retries must be a whole number from 0, not {self.retries!r}")
        limit = self.concurrency
        if limit is not None and not (isinstance(limit, int) and limit > 0):
            self._refuse(f"concurrency must be a whole number from 1, not {limit!r}")

    def _check_chat(self) -> None:
        parameters = self.signature.parameters
        if "question" not in parameters:
            self._refuse("a chat function takes a parameter named question, what is asked")
        for parameter in parameters.values():
            wanted = parameter.name not in ("question", "history")
            if wanted and parameter.default is parameter.empty:
                self._refuse(
                    f"{parameter.name} needs a default, since a chat gives only question and "
                    "history"
                )

    def _refuse(self, why: str) -> typing.NoReturn:
        raise AppError(f"{self.where}: {self.name}: {why}.")


def function_of(call: object) -> Function | None:
    """What noria knows of a decorated function; None for any other object."""
    found = getattr(call, "__noria__", None)
    return found if isinstance(found, Function) else None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_stream(returned: Any) -> bool:
    """One of the types a result may have comes piece by piece, as in `str | AsyncIterator[str]`."""
    parts = typing.get_args(returned)
    union = typing.get_origin(returned) in (typing.Union, types.UnionType)
    origins = [typing.get_origin(part) or part for part in parts] if union else []
    return any(isinstance(one, type) and issubclass(one, _STREAMS) for one in origins)


def _first_line(failure: BaseException) -> str:
    return (str(failure) or type(failure).__name__).splitlines()[0]
