"""What flows round the wheel: money, time, labels, the caller, usage, spans.

Everything else in noria is written against these few names. They hold no behaviour that
needs a database, a network or a configuration.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal, InvalidOperation

__all__ = [
    "EVERY_GROUP",
    "Budget",
    "Label",
    "MediaUsage",
    "Money",
    "Principal",
    "Span",
    "SpanKind",
    "Status",
    "Subject",
    "Usage",
    "Window",
    "from_nanoseconds",
    "utc_now",
]

NANO_PER_USD = 1_000_000_000


class Money(int):
    """An amount in integer nano-dollars (1 USD = 1,000,000,000). Never a float.

    Arithmetic gives plain integers, which are nano-dollars as well.
    """

    @classmethod
    def from_usd(cls, amount: str | int | Decimal) -> Money:
        """Make an amount from US dollars, rounding up to a whole nano-dollar.

        Raises:
            ValueError: `amount` is not a finite decimal number.
        """
        try:
            dollars = Decimal(amount)
        except InvalidOperation:
            raise ValueError(f"{amount!r} is not an amount of dollars, such as 20 or 0.5") from None
        if not dollars.is_finite():
            raise ValueError(f"{amount!r} is not a finite amount of dollars")
        return cls((dollars * NANO_PER_USD).to_integral_value(rounding=ROUND_CEILING))

    @property
    def usd(self) -> Decimal:
        """The same amount as an exact decimal number of US dollars."""
        return Decimal(int(self)) / NANO_PER_USD

    def __str__(self) -> str:
        """Dollars with three significant figures (below a thousand), as pages show them."""
        dollars = self.usd
        if dollars == 0:
            return "$0"
        if abs(dollars) >= 100:
            return f"${dollars:,.2f}" if dollars > 0 else f"-${-dollars:,.2f}"
        digits = max(2, 2 - dollars.adjusted())
        sign, size = ("-", -dollars) if dollars < 0 else ("", dollars)
        return f"{sign}${size:.{digits}f}"


class Window(enum.StrEnum):
    """The span of time that a budget covers, in UTC. Weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"

    def start(self, at: datetime) -> datetime:
        """The first instant of the window that holds `at` (the epoch for `total`)."""
        midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        match self:
            case Window.DAY:
                return midnight
            case Window.WEEK:
                return midnight - timedelta(days=midnight.weekday())
            case Window.MONTH:
                return midnight.replace(day=1)
            case Window.TOTAL:
                return datetime.fromtimestamp(0, UTC)

    def end(self, at: datetime) -> datetime | None:
        """The first instant after the window that holds `at`; None for `total`."""
        begin = self.start(at)
        match self:
            case Window.DAY:
                return begin + timedelta(days=1)
            case Window.WEEK:
                return begin + timedelta(days=7)
            case Window.MONTH:
                return (begin + timedelta(days=32)).replace(day=1)
            case Window.TOTAL:
                return None


_BUDGET = re.compile(r"\s*([0-9][0-9_,]*(?:\.[0-9]+)?)\s*USD\s*(?:/\s*(day|week|month))?\s*", re.I)


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `limit` may be spent and held at any instant of one `window`."""

    limit: Money
    window: Window

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `"20 USD/day"`, `"5 USD/week"`, `"100 USD/month"` or `"3.50 USD"` (a total).

        Raises:
            ValueError: the text has another form.
        """
        match = _BUDGET.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text!r} is not a budget; write an amount and a window, "
                'such as "20 USD/day", "100 USD/month", or "5 USD" for a total'
            )
        amount = Money.from_usd(match[1].replace(",", "").replace("_", ""))
        return cls(amount, Window(match[2].lower()) if match[2] else Window.TOTAL)

    def __str__(self) -> str:
        amount = f"{self.limit.usd.normalize():f} USD"
        return amount if self.window is Window.TOTAL else f"{amount}/{self.window}"


class Subject(enum.StrEnum):
    """What a budget can stand on. A call must fit every budget that applies to it."""

    INSTALLATION = "installation"
    TEAM = "team"
    USER = "user"
    KEY = "key"
    MODEL = "model"
    APP = "app"


class Label(enum.IntEnum):
    """How widely a text may be shown. Ordered: a higher label includes the lower ones."""

    PUBLIC = 0
    INTERNAL = 1
    CONFIDENTIAL = 2
    RESTRICTED = 3

    @classmethod
    def parse(cls, text: str) -> Label:
        """Read a label's lower-case name.

        Raises:
            ValueError: there is no such label.
        """
        try:
            return cls[text.upper()]
        except KeyError:
            names = ", ".join(str(label) for label in cls)
            raise ValueError(f"{text!r} is not a label; use one of: {names}") from None

    def __str__(self) -> str:
        return self.name.lower()


EVERY_GROUP = "*"
"""As a group of a principal: member of every group that there is."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: what a key says about its holder."""

    key_id: str
    team: str | None = None
    user: str | None = None
    admin: bool = False
    groups: frozenset[str] = frozenset()
    clearance: Label = Label.PUBLIC

    def may_see(self, grants: Collection[str], label: Label) -> bool:
        """Whether a text with these grants (none: everyone) and this label may be shown."""
        if label > self.clearance:
            return False
        return not grants or EVERY_GROUP in self.groups or not self.groups.isdisjoint(grants)


@dataclass(frozen=True, slots=True)
class MediaUsage:
    """Tokens that are no text, as the provider counted them: part of `Usage.input_tokens` and
    `output_tokens`, and what was read from a prompt cache part of the input of its kind."""

    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    cached_audio: int = 0
    cached_image: int = 0


@dataclass(slots=True)
class Usage:
    """Tokens as the provider counted them. `cached_tokens` (read from a prompt cache) and
    `cache_write_tokens` are part of `input_tokens`, `reasoning_tokens` part of `output_tokens`.
    `compute_ms` is a local model's busy time."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    compute_ms: float = 0.0
    cache_write_tokens: int = 0
    searches: int = 0
    """How often the provider has searched the web, which is paid by the use."""
    absurd: bool = False
    """The provider's figures cannot be true, and none of them is kept."""
    hour_write_tokens: int = 0
    """Of `cache_write_tokens`, those that are kept for an hour, which cost more."""
    media: MediaUsage | None = None
    """Of the tokens, those of sound and of images, where there are any."""


class SpanKind(enum.StrEnum):
    """What a span records."""

    CHAT = "chat"
    EMBEDDING = "embedding"
    APP = "app"
    STEP = "step"
    SEARCH = "search"
    CHECK = "check"
    TOOL = "tool"
    ACTION = "action"
    """A plan that is carried out; it ends when nothing of it runs any more."""


class Status(enum.StrEnum):
    """How a span ended. `open` has not ended yet; `lost` is one whose end nobody saw."""

    OPEN = "open"
    OK = "ok"
    ERROR = "error"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(slots=True)
class Span:
    """One recorded piece of work, as the store keeps it. Times are UTC nanoseconds since the
    epoch, durations milliseconds, costs nano-dollars. Token counts are None while unknown."""

    id: str
    trace_id: str
    parent_id: str | None
    kind: SpanKind
    status: Status
    name: str | None
    model: str | None
    """The name the caller asked for."""
    target: str | None
    """The `provider:model` that answered (or was tried last)."""
    key_id: str | None
    team: str | None
    user: str | None
    app: str | None
    started_ns: int
    duration_ms: float | None
    ttft_ms: float | None
    """Time to the first token that went to the caller; None when nothing was streamed."""
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_nano: int
    hold_nano: int
    """What is still held for this span; 0 once it has ended."""
    overrun: bool
    """The provider reported more than was held; the whole was charged all the same."""
    uncertain_nano: int
    """Of the cost, what was charged for attempts that were sent and got no answer: the provider may
    have billed them, and nobody knows how much."""
    stream: bool
    attempts: int
    error_code: str | None
    error: str | None
    attributes: dict[str, object] = field(default_factory=dict)


def utc_now() -> datetime:
    """The present instant, with its zone."""
    return datetime.now(UTC)


def from_nanoseconds(nanoseconds: int) -> datetime:
    """An instant from UTC nanoseconds since the epoch (to the microsecond)."""
    return datetime.fromtimestamp(nanoseconds // 1000 / 1_000_000, UTC)
