"""Secrets and personal data in texts: found by patterns whose hits a library of rules confirms.

Numbers of telephones are confirmed by Google's rules (`phonenumbers`), those of accounts and cards
by their check digits (`python-stdnum`). A value is replaced by a placeholder such as `[EMAIL_1]`,
the same one wherever the value stands in a conversation, so that the conversation stays sound.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

__all__ = ["PERSONAL", "SECRET", "Found", "Masker", "find"]

SECRET, PERSONAL = "secret", "personal_data"

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}\b")
_NUMBER = re.compile(r"\d[\d ()./\u00a0\u2011-]{5,24}\d(?![\w/])")
_BEFORE = re.compile(r"(?:\A|[^\w.+/#-])([+(]?|\+\()\Z")
_COUNTRY = re.compile(r"[A-Z]{2}\d\d")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,4})?\b")
_IP = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)")
_SSN = re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")
_NAMED = (
    r"(?:password|passwd|secret|secret_key|secret_access_key|api_?key|access_token|auth_token)"
    r"[\"']?[ ]*[:=][ ]*[\"'](?P<value>(?=[^\"'\s]*[A-Za-z])(?=[^\"'\s]*\d)"
    r"(?![^\"']*[<>{}$])[^\"'\s]{8,200})[\"']"
)
# Each pattern is only tried where one of its words occurs. A group `value` is what is secret.
_SECRETS: tuple[tuple[str, tuple[str, ...], re.Pattern[str], bool], ...] = tuple(
    (kind, tuple(hints.split()), re.compile(pattern, flags), bool(flags))
    for kind, hints, pattern, flags in (
        (
            "PRIVATE_KEY",
            "-----BEGIN",
            r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----[\s\S]{0,20000}?"
            r"-----END (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----",
            0,
        ),
        ("API_KEY", "sk-", r"\bsk-(?:ant-|proj-|or-v1-|svcacct-)?[A-Za-z0-9_-]{20,200}", 0),
        ("API_KEY", "_live_ _test_", r"\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,100}", 0),
        ("API_KEY", "AKIA ASIA AGPA AROA", r"\b(?:AKIA|ASIA|AGPA|AROA)[A-Z0-9]{16}\b", 0),
        ("API_KEY", "AIza", r"\bAIza[A-Za-z0-9_-]{35}", 0),
        (
            "API_KEY",
            "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
            r"\bgh[pousr]_[A-Za-z0-9]{36,255}|\bgithub_pat_[A-Za-z0-9_]{22,255}",
            0,
        ),
        (
            "API_KEY",
            "glpat- hf_ npm_ pypi- dop_v1_ SG. ya29.",
            r"\bglpat-[A-Za-z0-9_-]{20,64}|\bhf_[A-Za-z0-9]{30,64}|\bnpm_[A-Za-z0-9]{36}"
            r"|\bpypi-[A-Za-z0-9_-]{50,255}|\bdop_v1_[a-f0-9]{64}"
            r"|\bSG\.[\w-]{20,24}\.[\w-]{39,50}|\bya29\.[A-Za-z0-9_-]{20,}",
            0,
        ),
        (
            "API_KEY",
            "xoxa xoxb xoxe xoxp xoxr xoxs hooks.slack.com",
            r"\bxox[abeprs]-[A-Za-z0-9-]{10,250}"
            r"|https://hooks\.slack\.com/services/[A-Za-z0-9/]{30,}",
            0,
        ),
        ("TOKEN", "eyJ", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}", 0),
        ("TOKEN", "Bearer", r"Bearer (?P<value>[A-Za-z0-9._~+/-]{20,}=*)", 0),
        ("PASSWORD", "://", r"://(?P<value>[^\s:/@]{1,64}:[^\s/@]{3,128})@", 0),
        ("PASSWORD", "passw secret api_ apikey _token", _NAMED, re.IGNORECASE),
    )
)


@dataclass(frozen=True, slots=True)
class Found:
    """Something in a text that should not be learned."""

    start: int
    end: int
    kind: str
    """What a placeholder says: `EMAIL`, `PHONE`, `API_KEY`, ..."""
    group: str
    """`secret` or `personal_data`."""


def find(text: str) -> list[Found]:
    """Secrets and personal data in a text, in order and without overlaps."""
    hits: list[Found] = []
    lowered = text.lower()
    for kind, hints, pattern, any_case in _SECRETS:
        searched = lowered if any_case else text
        for hint in hints:
            if hint in searched:
                named = "value" if pattern.groups else 0
                hits += [Found(*one.span(named), kind, SECRET) for one in pattern.finditer(text)]
                break
    if "@" in text:
        hits += [Found(*one.span(), "EMAIL", PERSONAL) for one in _EMAIL.finditer(text)]
    for one in _NUMBER.finditer(text):
        hits += _number(one)
    if _COUNTRY.search(text):
        hits += _confirmed(_IBAN, text, "IBAN", _is_iban)
    return list(_apart(sorted(hits, key=lambda hit: (hit.start, -hit.end))))


def _apart(hits: list[Found]) -> Iterator[Found]:
    end = 0
    for hit in hits:
        if hit.start >= end:
            yield hit
            end = hit.end


def _confirmed(
    pattern: re.Pattern[str], text: str, kind: str, sound: Callable[[str], bool]
) -> Iterator[Found]:
    for one in pattern.finditer(text):
        if sound(one[0]):
            yield Found(*one.span(), kind, PERSONAL)


def _number(found: re.Match[str]) -> Iterator[Found]:
    """What a run of digits is: an address, a card, a telephone; usually nothing."""
    before = _BEFORE.search(found.string[max(0, found.start() - 3) : found.start()])
    if before is None:  # a part of a longer word or number
        return
    text = before[1] + found[0]
    start, end = found.start() - len(before[1]), found.end()
    digits = "".join(filter(str.isdigit, text))
    if text.count(".") >= 3:
        for one in _IP.finditer(text):
            if _is_public(one[0]):
                yield Found(start + one.start(), start + one.end(), "IP", PERSONAL)
    elif _SSN.fullmatch(text):
        yield Found(start, end, "SSN", PERSONAL)
    elif 13 <= len(digits) <= 19 and _is_card(digits):
        yield Found(start, end, "CARD", PERSONAL)
    elif 8 <= len(digits) <= 15 and _is_phone(text, digits):
        yield Found(start, end, "PHONE", PERSONAL)


def _is_public(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


def _is_card(digits: str) -> bool:
    from stdnum import luhn

    # Networks begin with 3 (Amex, JCB), 4 (Visa), 5 and 2 (Mastercard), 6 (Discover, UnionPay).
    return digits[0] in "23456" and bool(luhn.is_valid(digits)) and len(set(digits)) > 1


def _is_iban(text: str) -> bool:
    from stdnum import iban

    return bool(iban.is_valid(text))


def _is_phone(text: str, digits: str) -> bool:
    """Whether a number is one of a telephone somewhere. Without `+` it must be written as people
    write them, with the gaps of North America: bare digits are mostly something else."""
    if text[0] != "+" and not re.fullmatch(
        r"(?:1[ .-])?(?:\(\d{3}\)[ ]?|\d{3}[ .-])\d{3}[ .-]\d{4}", text
    ):
        return False
    import phonenumbers

    try:
        number = phonenumbers.parse(text, None if text[0] == "+" else "US")
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_possible_number(number)) and (
        text[0] == "+" or bool(phonenumbers.is_valid_number(number)) or digits[-7:-4] == "555"
    )


@dataclass(slots=True)
class Masker:
    """Replaces what is found in the texts of one conversation."""

    masked: dict[str, int] = field(default_factory=dict)
    """How many were replaced, by kind."""
    _names: dict[tuple[str, str], str] = field(default_factory=dict)

    def mask(self, text: str) -> str:
        """The text with placeholders."""
        hits = find(text)
        if not hits:
            return text
        parts, end = [], 0
        for hit in hits:
            parts += [text[end : hit.start], self._placeholder(hit, text[hit.start : hit.end])]
            end = hit.end
        return "".join([*parts, text[end:]])

    def _placeholder(self, hit: Found, value: str) -> str:
        self.masked[hit.kind] = self.masked.get(hit.kind, 0) + 1
        key = (hit.kind, _plain(value))
        if key not in self._names:
            number = sum(kind == hit.kind for kind, _ in self._names) + 1
            self._names[key] = f"[{hit.kind}_{number}]"
        return self._names[key]


def _plain(value: str) -> str:
    return re.sub(r"[^a-z0-9+@]", "", value.lower())
