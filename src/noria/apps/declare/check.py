"""`@check`: a function that says whether an answer is good. It binds what it looks at by name.

The names are: the target's parameters as received; a step's name (its last result; a parameter
typed `list[T]` takes the results of all its calls); `notes`, every document that was searched;
`messages`, the conversation that was answered; `reply`, the answer.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeVar

from noria.apps.declare.function import Function, function_of, place_in_file
from noria.apps.declare.step import known_steps
from noria.errors import AppError

__all__ = ["Check", "Verdict", "check"]

C = TypeVar("C", bound=Callable[..., Any])

RESERVED = ("notes", "messages", "reply")
"""Names that every run has, unless a parameter of its function is called so."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found, where yes or no is not all there is to say."""

    passed: bool
    score: float | None = None
    """From 0 to 1."""
    reason: str = ""


@dataclass(eq=False)
class Check:
    """What noria knows of a check."""

    name: str
    call: Callable[..., Any]
    """The function as it was written."""
    function: Function
    """Whose answers it looks at."""
    sample: float = 1.0
    """The share of the answers that it looks at."""
    at_least: float | None = None
    """The pass rate below which somebody is told."""
    severity: Literal["warn", "block"] = "warn"
    timeout: float = 120.0
    """Seconds after which it is given up as an error."""

    def __post_init__(self) -> None:
        self.names = tuple(inspect.signature(self.call).parameters)
        if not 0 < self.sample <= 1:
            self._refuse(f"sample is {self.sample!r}, which is not above 0 and at most 1")
        if self.at_least is not None and not 0 < self.at_least <= 1:
            self._refuse(f"at_least is {self.at_least!r}, which is not above 0 and at most 1")
        if self.severity not in ("warn", "block"):
            self._refuse(f'severity is {self.severity!r}; it is "warn" or "block"')
        if self.blocks and self.sample < 1:
            self._refuse("a check that blocks looks at every answer, so it has no sample")
        if any(other.name == self.name for other in self.function.app.checks):
            self._refuse(f"{self.function.app.name} has another check of this name")

    @property
    def blocks(self) -> bool:
        """No answer is handed out before it has passed."""
        return self.severity == "block"

    @property
    def where(self) -> str:
        """The file and line where it stands."""
        return place_in_file(self.call)

    def verify(self) -> None:
        """Make sure that there is something for each of its parameters.

        Raises:
            AppError: a name is neither a parameter of its target, nor a step, nor one of those
                that every run has.
        """
        parameters = list(self.function.signature.parameters)
        for name in self.names:
            if name not in parameters and name not in RESERVED and name not in known_steps:
                raise AppError(
                    f"{self.where}: the check {self.name} asks for {name!r}, and nothing has that "
                    "name.",
                    f"It can look at: {', '.join(dict.fromkeys((*parameters, *RESERVED)))}, and "
                    f"the results of steps: {', '.join(known_steps) or 'there are none'}.",
                )

    def takes_all(self, name: str) -> bool:
        """Whether a parameter takes the results of all calls of a step, and not of the last."""
        wanted = self._hints().get(name)
        given = typing.get_type_hints(known_steps[name].call).get("return")
        return typing.get_origin(wanted) is list and wanted != given

    def _hints(self) -> dict[str, Any]:
        try:
            return typing.get_type_hints(self.call)
        except Exception as unknown:  # noqa: BLE001 - an annotation is code
            self._refuse(f"an annotation cannot be read: {unknown}")

    def _refuse(self, why: str) -> NoReturn:
        raise AppError(f"{self.where}: the check {self.name}: {why}.")


def check(
    target: Callable[..., Any],
    *,
    sample: float = 1.0,
    at_least: float | None = None,
    severity: Literal["warn", "block"] = "warn",
    timeout: float = 120.0,
    name: str | None = None,
) -> Callable[[C], C]:
    """Have a function look at the answers of another one.

    It gives a bool, a number from 0 to 1 (0.5 and more passes), or a `Verdict`.

    Args:
        target: a function that an application offers.
        sample: the share of its answers to look at.
        at_least: tell the application's webhook when the pass rate is surely below this.
        severity: `warn` looks at an answer after it was handed out; `block` looks before, and an
            answer that does not pass, or cannot be checked, is not handed out.
        timeout: seconds after which the check is given up as an error.
        name: what it is called; by default the function's name.

    Raises:
        AppError: the target is no function of an application, or a keyword cannot be used.
    """

    def decorate(call: C) -> C:
        function = function_of(target)
        if function is None:
            raise AppError(
                f"{place_in_file(call)}: the check {call.__name__} looks at {target!r}, which no "
                "application offers.",
                "Name a function below @app.chat or @app.task: @check(answer)",
            )
        function.add_check(
            Check(name or call.__name__, call, function, sample, at_least, severity, timeout)
        )
        return call

    return decorate
