"""How a gold answer is taken from a cell of a problem set."""

import re
from typing import Any, Literal

from data_gen.store.table_files import plain_text
from data_gen.verifiers.answer_text.boxed import last_box

AnswerFrom = Literal["column", "last_box", "after_hashes", "first"]

# What a cell lacks when no answer is found in it.
LACKING: dict[AnswerFrom, str] = {
    "column": "it is empty",
    "first": "it is empty",
    "last_box": r"no closed \boxed{...} at its end",
    "after_hashes": "nothing follows ####",
}


def gold_answer(value: Any, how: AnswerFrom, strip_dollars: bool, place: str) -> str:
    """The gold answer in a cell, "" where there is none.

    `how` takes the cell itself, its last box, what follows its last ####, or the first member of
    its list; `strip_dollars` takes out $ signs that no backslash stands before. Raises DataError
    for a cell that is neither text nor a number.
    """
    if how == "first" and isinstance(value, list):
        value = value[0] if value else None
    text = plain_text(value, place)
    if how == "last_box":
        text = last_box(text) or ""
    elif how == "after_hashes":
        _, hashes, text = text.rpartition("####")
        text = text if hashes else ""
    if strip_dollars:
        text = re.sub(r"(?<!\\)\$", "", text)
    return text.strip()
