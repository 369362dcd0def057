"""A database or an API that functions read, under the same rules as documents."""

from __future__ import annotations

import os
from collections.abc import Iterable

from noria.apps.run.sync import wait
from noria.errors import ApiError, NoriaError
from noria.tracing import current, span
from noria.types import Label, SpanKind

__all__ = ["Resource"]


class Resource:
    """Where something can be read from, for those who may.

    Args:
        app: the application that it belongs to.
        name: what it is called.
        url_env: the environment variable that holds its address.
        grants: the groups that may read it; none: everyone.
        label: the label of what comes from it.

    Raises:
        ValueError: there is no such label.
    """

    def __init__(
        self, app: str, name: str, url_env: str, grants: Iterable[str], label: Label | str
    ) -> None:
        self.app = app
        self.name = name
        self.url_env = url_env
        self.grants = frozenset([grants] if isinstance(grants, str) else grants)
        self.label = label if isinstance(label, Label) else Label.parse(label)

    def __repr__(self) -> str:
        return f"Resource({self.name!r})"

    @property
    def url(self) -> str:
        """Its address, for the caller of this run. From here on the run's models must be cleared
        for its label, whether anything was read or not.

        Raises:
            ApiError: 403 `resource_not_granted`; 503 when the mark cannot be kept.
            NoriaError: this is no run, or the variable is not set.
        """
        context = current.get()
        if context is None:
            raise NoriaError(
                f"The resource {self.name} was read outside of any run, so nobody is asking.",
                "Read it in a function of the application.",
            )
        with span(SpanKind.SEARCH, f"{self.app}.{self.name}") as work:
            work.attributes = {"resource": self.name, "label": str(self.label)}
            if not context.trace.key.principal.may_see(self.grants, self.label):
                raise ApiError(
                    403, "resource_not_granted",
                    f"{self.name} is not for this key: it has another group, or no clearance for "
                    f"{self.label}.",
                )  # fmt: skip
            url = os.environ.get(self.url_env)
            if not url:
                raise NoriaError(
                    f"The resource {self.name} has no address.",
                    f"Set {self.url_env} where noria is started.",
                )
            wait(lambda: context.runtime.labels.raise_to(context.trace, self.label))
        return url
