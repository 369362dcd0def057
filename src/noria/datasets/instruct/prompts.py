"""What a model is asked for new tasks and their answers, and how its replies are read.

Reading is strict: what does not have the form that was asked for is counted and left out, never
mended.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["input_prompt", "new_tasks", "parse_input", "parse_tasks", "tasks_prompt"]

_ITEM = re.compile(r"^[ \t]*(?:Task[ \t]*)?(\d{1,3})[.):][ \t]+(.*)$", re.MULTILINE)
_NO_INPUT = re.compile(r"\W*(?:no\W?input|none|n/a|not needed|not applicable)\b", re.IGNORECASE)


def tasks_prompt(examples: Sequence[str], wanted: int) -> str:
    """Ask for tasks after some examples; the reply goes on with the numbers."""
    listed = "\n".join(
        f"{number}. {' '.join(example.split())}" for number, example in enumerate(examples, 1)
    )
    first = len(examples) + 1
    return (
        "Below is a numbered list of different tasks for an assistant that reads and writes text. "
        f"Go on with the list: write {wanted} new tasks, numbered {first} to "
        f"{first + wanted - 1}, each on one line, each different from all others in what it asks "
        f"for and how it begins. Write only the list.\n\n{listed}\n"
    )


def parse_tasks(reply: str, first: int) -> tuple[list[str], int]:
    """The tasks of a reply, and how many items did not have the form.

    Args:
        reply: what the model said.
        first: the number that the first new task must have. A reply may begin again with 1.
    """
    found = _ITEM.findall(reply)
    if not found:
        return [], 1
    tasks, wrong, expected = [], 0, None
    for number, text in found:
        if expected is None and int(number) in (1, first):
            expected = int(number)
        if int(number) != expected or not text.strip():
            wrong += 1
            continue
        expected += 1
        tasks.append(text.strip().strip("*").strip())
    return tasks, wrong


def new_tasks(tasks: Sequence[str], shown: Sequence[str]) -> list[str]:
    """The tasks that are no repetition of what the model was shown."""
    known = {" ".join(one.split()).lower() for one in shown}
    return [task for task in tasks if " ".join(task.split()).lower() not in known]


def input_prompt(task: str) -> str:
    """Ask for an input that a task needs, if it needs one."""
    return (
        "Some tasks need an input (a text to summarise, a list to sort) and others do not. Write "
        "one realistic input for the task below, after the word Input and a colon. If the task "
        f"needs none, write exactly: Input: <noinput>\n\nTask: {task}\n"
    )


def parse_input(reply: str) -> str | None:
    """The input of a reply: "" where the task needs none, None where the form is wrong."""
    head, colon, rest = reply.strip().partition(":")
    if not colon or head.strip().lower().strip("*") != "input":
        return None
    rest = rest.strip().strip("*").strip()
    if _NO_INPUT.match(rest):
        return ""
    return rest or None
