"""`App`: functions around a model, the documents they read, and the checks that look at them."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, ParamSpec, TypeVar, overload

from noria.apps.declare.function import Function
from noria.apps.declare.resource import Resource
from noria.apps.declare.variant import Variant
from noria.apps.model.model import Model
from noria.apps.run.context import running
from noria.apps.run.placed import as_app_function
from noria.errors import ApiError, AppError
from noria.models.promotions import promoted
from noria.tracing import current
from noria.types import Budget, Label

if TYPE_CHECKING:
    from noria.apps.declare.check import Check
    from noria.retrieval import Index

__all__ = ["App", "declared"]

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_MISSING: Any = object()

declared: list[App] = []
"""Every application of this process, in the order in which they were made."""


class App:
    """An application: what it is called, which model it asks, and what it may spend.

    Args:
        name: how it is addressed: small letters, digits, dashes and underscores.
        model: what `app.model` asks: a `Model`, or the name of one.
        budget: the most that all its runs may spend, such as `"20 USD/day"`.
        title: what people call it.
        description: what it is for.
        record_content: whether what goes in and out of its steps and models is kept.
        alert: a webhook that is told when a check's pass rate falls: an address, or the name of
            the environment variable that holds it.
        settings: values that `app.setting` gives, which a variant may change.

    Raises:
        AppError: an argument cannot be used.
    """

    def __init__(
        self,
        name: str,
        *,
        model: str | Model = "local:smollm2",
        budget: str | None = None,
        title: str | None = None,
        description: str | None = None,
        record_content: bool = True,
        alert: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        frame = sys._getframe(1)
        self.file = Path(frame.f_code.co_filename).absolute()
        """Where it was made."""
        self.line = frame.f_lineno
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self._refuse(
                f"{name!r} cannot be the name of an application; use a small letter, then small "
                "letters, digits, dashes and underscores"
            )
        self.name = name
        self.title = title or name
        self.description = description or ""
        self.record_content = record_content
        self.alert = alert
        try:
            self.budget = Budget.parse(budget) if budget else None
        except ValueError as unreadable:
            self._refuse(f"budget: {unreadable}")
        self._model = Model(model) if isinstance(model, str) else model
        self._settings = dict(settings or {})
        self.functions: dict[str, Function] = {}
        """What it offers, by name."""
        self.indexes: dict[str, Index] = {}
        self.resources: dict[str, Resource] = {}
        self.variants: dict[str, Variant] = {}
        declared.append(self)

    def __repr__(self) -> str:
        return f"App({self.name!r})"

    @property
    def where(self) -> str:
        """The file and line where it was made."""
        return f"{self.file}, line {self.line}"

    # Functions

    @overload
    def chat(self, function: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    def chat(
        self,
        *,
        name: str | None = None,
        timeout: float | None = None,
        retries: int = 0,
        concurrency: int | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    def chat(  # type: ignore[misc]
        self,
        function: Any = None,
        /,
        *,
        name: str | None = None,
        timeout: float | None = None,
        retries: int = 0,
        concurrency: int | None = None,
    ) -> Any:
        """Offer a function that answers a person's `question`; a parameter `history` takes what was
        said before. The application's first chat function answers under its name as a model.

        Args:
            function: the function, which stays what it is: it can be called as before.
            name: what it is called at the doors; by default the function's name.
            timeout: seconds for one attempt.
            retries: further attempts when one fails.
            concurrency: runs at the same time; further ones wait.

        Raises:
            AppError: the function or a keyword cannot be used.
        """
        return self._decorate(function, name, "chat", timeout, retries, concurrency, None)

    @overload
    def task(self, function: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    def task(
        self,
        *,
        name: str | None = None,
        timeout: float | None = None,
        retries: int = 0,
        concurrency: int | None = None,
        schedule: str | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    def task(  # type: ignore[misc]
        self,
        function: Any = None,
        /,
        *,
        name: str | None = None,
        timeout: float | None = None,
        retries: int = 0,
        concurrency: int | None = None,
        schedule: str | None = None,
    ) -> Any:
        """Offer a function of any signature. The keywords are those of `chat`, and `schedule`: a
        cron line in UTC, such as `"0 6 * * *"`, by which it runs by itself."""
        return self._decorate(function, name, "task", timeout, retries, concurrency, schedule)

    def _decorate(
        self, call: Any, name: str | None, kind: Literal["chat", "task"], *how: Any
    ) -> Any:
        def register(call: Any) -> Any:
            if not inspect.isfunction(call):
                self._refuse(f"@app.{kind} stands before a function, not before {call!r}")
            function = Function(self, name or call.__name__, kind, call, *how)
            other = self.functions.setdefault(function.name, function)
            if other is not function:
                raise AppError(
                    f"{function.where}: {self.name} has two functions {function.name}; the other "
                    f"one stands in {other.where}."
                )
            return as_app_function(function)

        return register if call is None else register(call)

    # What functions use

    @property
    def model(self) -> Model:
        """The application's model, or that of the variant which is running."""
        run = running.get()
        if run is None or run.app is not self:
            return self._model
        return self._model.named(run.model or self.model_name(run.variant))

    def model_name(self, variant: str | None = None) -> str:
        """The model that a variant asks; what was promoted stands in for the application's own."""
        if variant is not None:
            return self.variants[variant].model or self._model.name
        context = current.get()
        found = promoted(context.runtime.config.home, self.name) if context is not None else None
        return found or self._model.name

    def setting(self, name: str, default: D = _MISSING) -> D | Any:
        """A setting of the variant that is running, else the application's, else `default`.

        Raises:
            AppError: nobody has set it and there is no default.
        """
        run = running.get()
        if run is not None and run.app is self and run.variant is not None:
            settings = self.variants[run.variant].settings
            if name in settings:
                return settings[name]
        value = self._settings.get(name, default)
        if value is _MISSING:
            self._refuse(f"there is no setting {name!r}; give it in App(settings=...)")
        return value

    def variant(self, name: str, *, model: str | None = None, **settings: Any) -> Variant:
        """The same application with another model or other settings, addressed as `app@name`."""
        if not _NAME.fullmatch(name) or name in self.variants:
            self._refuse(f"the variant {name!r} is there already or is no name that can be used")
        self.variants[name] = Variant(name, model, settings)
        return self.variants[name]

    def find_variant(self, name: str | None) -> str | None:
        """Check the name of a variant.

        Raises:
            ApiError: 404 `variant_not_found`.
        """
        if name is None or name in self.variants:
            return name
        known = ", ".join(f"{self.name}@{one}" for one in self.variants) or "none"
        raise ApiError(
            404, "variant_not_found", f"{self.name} has no variant {name!r}. It has: {known}."
        )

    def index(self, name: str, source: Any, **keywords: Any) -> Index:
        """Documents that its functions can search. Globs begin in the folder of the file.

        Args:
            name: unique in the home.
            source: a glob, an address, a list of these, or a function that yields documents.
            **keywords: those of `noria.retrieval.Index`: `embed`, `chunk`, `label`, `grants`,
                `refresh`, `store`.

        Raises:
            AppError: the application has such an index already.
            ConfigError: an argument cannot be used.
        """
        from noria.apps.run.index import OwnIndex

        if name in self.indexes:
            self._refuse(f"there are two indexes {name!r}")
        keywords.setdefault("root", self.file.parent)
        self.indexes[name] = OwnIndex(name, source, app=self.name, **keywords)
        return self.indexes[name]

    def resource(
        self,
        name: str,
        *,
        url_env: str,
        grants: Iterable[str] = (),
        label: Label | str = Label.PUBLIC,
    ) -> Resource:
        """A database or an API that its functions read, under the rules of documents. The arguments
        are those of `Resource`.

        Raises:
            AppError: the name is taken or the label unknown.
        """
        if name in self.resources:
            self._refuse(f"there are two resources {name!r}")
        try:
            self.resources[name] = Resource(self.name, name, url_env, grants, label)
        except ValueError as unknown:
            self._refuse(f"the resource {name!r}: {unknown}")
        return self.resources[name]

    def actions(
        self, catalogue: str | None = None, *, effects: Iterable[str] = ("read",)
    ) -> list[Callable[..., Any]]:
        """Tools by which a model has API calls planned and carried out: what `Model.ask` takes as
        `tools`. The policy of `[actions]` decides over each plan. One that somebody must sign comes
        back as pending, and is carried out when the model asks for it after that.

        Args:
            catalogue: the part of the catalogue whose operations may be called, such as `ec2`, or
                `cloud` for all that start machines; None: every part.
            effects: what calls may do: `read`, `create`, `change`, `destroy`.

        Raises:
            AppError: there is no such effect.
        """
        from noria.plugins import registry

        make: Callable[..., list[Callable[..., Any]]] = registry().toolkits.find("actions")
        try:
            return make(self.name, catalogue, list(effects), lambda: self.model)
        except ValueError as unknown:
            self._refuse(f"actions: {unknown}")

    @property
    def checks(self) -> list[Check]:
        """The checks of all its functions."""
        return [check for function in self.functions.values() for check in function.checks]

    @property
    def schedules(self) -> dict[str, str]:
        """The cron lines of the tasks that run by themselves, by task."""
        return {one.name: one.schedule for one in self.functions.values() if one.schedule}

    @property
    def answers(self) -> Function | None:
        """The function that answers under the application's name as a model."""
        return next((one for one in self.functions.values() if one.kind == "chat"), None)

    def _refuse(self, why: str) -> NoReturn:
        raise AppError(f"{self.where}: {why}.")
