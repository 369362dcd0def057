"""Cleaning a list of people, row by row, with a rule for everything that a rule can do.

    noria run app.py clean --in people.jsonl --out clean.jsonl

What a rule can find is never asked of a model. What the model says must fit the type and stand in
the line, and what does not is a failed row in the report: never a guess in the data.
"""

import re

from pydantic import BaseModel, Field

from noria import App, step
from noria.errors import ApiError

app = App("cleaning", model="cleaner", budget="2 USD/day")


class Names(BaseModel):
    """What only a reader can tell apart."""

    given_name: str = Field(min_length=1, max_length=60)
    family_name: str = Field(min_length=1, max_length=60)
    company: str | None = Field(None, max_length=80)


class Person(Names):
    """A row as it should be."""

    email: str
    phone: str | None


@step
def by_rule(line: str) -> tuple[str, str | None, str]:
    """The address, the telephone number, and what is left of a line."""
    email = re.search(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", line)
    if email is None:
        raise ApiError(422, "no_address", "there is no email address in it")
    rest = line.replace(email[0], " ")
    phone = None
    if written := re.search(r"(?:\+|00)[\d ()/.-]*\d", rest):
        rest = rest.replace(written[0], " ")
        digits = re.sub(r"\D", "", written[0]).removeprefix("00")
        if not 8 <= len(digits) <= 15:
            raise ApiError(422, "bad_phone", f"{written[0]} is no telephone number")
        phone = f"+{digits}"
    return email[0].lower(), phone, " ".join(re.split(r"[\s,;|]+", rest)).strip()


@step
def must_stand_in(line: str, names: Names) -> None:
    """A model may not invent a name. Where it does, another attempt may help."""
    said = f"{names.given_name} {names.family_name} {names.company or ''}".lower()
    if invented := [word for word in re.findall(r"\w+", said) if word not in line.lower()]:
        raise ApiError(502, "made_up", f"the model has made up {', '.join(invented)}")


@app.task(retries=1)
async def clean(line: str) -> Person:
    """One line of the old list as a row of the new one."""
    email, phone, rest = by_rule(line)
    names = await app.model.ask(
        "Which person is this? Give the names and the company as they are written.",
        text=rest,
        returns=Names,
    )
    must_stand_in(rest, names)
    return Person(email=email, phone=phone, **names.model_dump())
