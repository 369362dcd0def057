"""The tables `[actions]` of `noria.toml`: the policy, and where each provider is."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from noria.sections import BudgetText, Section

__all__ = ["ActionRule", "Actions", "EC2Settings", "SimSettings"]

Effects = Literal["read", "create", "change", "destroy"]
_HOURS = re.compile(
    r"(?:(mon|tue|wed|thu|fri|sat|sun)(?:-(mon|tue|wed|thu|fri|sat|sun))? )?"
    r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)"
)
_GPU_HOURS = re.compile(r"\d+(?:\.\d+)?(?:/(?:hour|day|week|month))?")


class ActionRule(Section):
    """One rule of the policy. It applies where all of its conditions hold.

    Names may hold `*`. Conditions about a call hold for a plan if they hold for one of its calls;
    `count_over` adds up all calls of the plan that the other conditions hold for.
    """

    name: str = Field(min_length=1, max_length=100)
    """How the rule is called where it has decided."""
    decision: Literal["allow", "needs_approval", "deny"]
    """What it says. `deny` wins over `needs_approval`, which wins over `allow`."""
    effects: tuple[Effects, ...] = ()
    """The call reads, creates, changes or destroys."""
    operations: tuple[str, ...] = ()
    """The call's operation, as `CATALOGUE.NAME`."""
    providers: tuple[str, ...] = ()
    """Who carries it out."""
    regions: tuple[str, ...] = ()
    """The call's region."""
    except_regions: tuple[str, ...] = ()
    """The call's region is none of these."""
    instance_types: tuple[str, ...] = ()
    """What it starts."""
    irreversible: bool | None = None
    """Whether the call cannot be taken back."""
    count_over: int | None = Field(None, ge=0)
    """More than so many are started."""
    price_hour_over: str | None = None
    """The plan costs more than so many USD an hour."""
    ceiling_over: str | None = None
    """The plan can cost more than so many USD until its time to live ends."""
    spend_over: BudgetText | None = None
    """With this plan, actions may spend more than this in the window, such as `"500 USD/day"`."""
    gpu_hours_over: str | None = None
    """With this plan, actions may use more accelerator hours, such as `"64/day"`."""
    per_person: bool = False
    """`spend_over` and `gpu_hours_over` count each person's own plans."""
    people: tuple[str, ...] = ()
    """Who has planned: `user:NAME`, `team:NAME`, `group:NAME`, `app:NAME`, `admin` or `*`."""
    except_people: tuple[str, ...] = ()
    """Who has planned is none of these."""
    hours: str | None = None
    """When it is carried out (UTC), such as `"mon-fri 08:00-18:00"`."""
    except_hours: str | None = None
    """It is carried out at another time."""
    approvers: tuple[str, ...] = ()
    """Who may sign, in the form of `people`; left out, everybody."""
    signatures: int = Field(1, ge=1, le=10)
    """How many people must sign."""
    four_eyes: bool = False
    """Whoever has planned may not sign."""

    @field_validator("hours", "except_hours")
    @classmethod
    def _are_hours(cls, text: str | None) -> str | None:
        if text is not None and not _HOURS.fullmatch(text):
            raise ValueError(f'{text!r} are not hours such as "mon-fri 08:00-18:00" (UTC)')
        return text

    @field_validator("price_hour_over", "ceiling_over")
    @classmethod
    def _is_money(cls, text: str | None) -> str | None:
        if text is not None and not re.fullmatch(r"\d[\d_,]*(\.\d{1,9})? USD", text):
            raise ValueError(f'{text!r} is not an amount such as "100 USD"')
        return text

    @field_validator("gpu_hours_over")
    @classmethod
    def _are_gpu_hours(cls, text: str | None) -> str | None:
        if text is not None and not _GPU_HOURS.fullmatch(text):
            raise ValueError(f'{text!r} are not accelerator hours such as "64/day" or "500"')
        return text

    @field_validator("people", "except_people", "approvers")
    @classmethod
    def _are_people(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not re.fullmatch(r"(user|team|group|app):.+|admin|\*", name):
                raise ValueError(f"{name!r} is not user:NAME, team:NAME, group:NAME, admin or *")
        return names

    @model_validator(mode="after")
    def _fits(self) -> ActionRule:
        signs = self.approvers or self.signatures > 1 or self.four_eyes
        if signs and self.decision != "needs_approval":
            raise ValueError("approvers, signatures and four_eyes go with needs_approval only")
        return self


class EC2Settings(Section):
    """Amazon EC2, by boto3 (extra `ec2`)."""

    endpoint_url: str | None = Field(None, pattern=r"^https?://[^\s]+$")
    """Another server that speaks its API, such as moto's."""
    regions: tuple[str, ...] = ()
    """The regions that are looked through; left out, those of the offers."""
    image: str | None = None
    """The image of machines whose call names none; left out, Amazon's newest Linux."""
    consistency_seconds: float = Field(15.0, ge=0)
    """How long what was started may not be shown yet."""
    role_arn: str | None = None
    """A role that is taken on for each plan, for an hour at a time, with no more than it needs."""


class SimSettings(Section):
    """The simulator, which keeps its machines in the home."""

    quota: int = Field(64, ge=0)
    """Machines at the same time in one region."""
    capacity: int = Field(1000, ge=0)
    """Machines of one type that a region has."""
    start_seconds: float = Field(0.0, ge=0)
    """From the order to the running machine."""
    consistency_seconds: float = Field(0.0, ge=0)
    """How long what was made may not be seen yet."""


class Actions(Section):
    """Plans of API calls: who may have what carried out, and by whom."""

    default: Literal["allow", "needs_approval", "deny"] = "needs_approval"
    """What becomes of a call that no rule speaks of. One that only reads is allowed."""
    approval_hours: float = Field(24.0, gt=0, le=24 * 90)
    """How long a signature is good for."""
    attempts: int = Field(6, ge=1, le=100)
    """How often a call is tried that a provider has throttled or has no capacity for."""
    rules: tuple[ActionRule, ...] = ()
    """The policy."""
    ec2: EC2Settings = EC2Settings()
    """Amazon EC2."""
    sim: SimSettings = SimSettings()
    """The simulator."""

    @model_validator(mode="after")
    def _names_differ(self) -> Actions:
        names = [rule.name for rule in self.rules]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two rules are called {sorted(twice)[0]!r}")
        return self
