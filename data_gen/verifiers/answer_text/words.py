"""Answers that are words, letters of choices, and the words that stand for mathematics."""

import re

_NUMBERS = {
    "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "seven": "7", "eight": "8", "nine": "9", "ten": "10", "eleven": "11", "twelve": "12",
    "twenty": "20", "hundred": "100", "a hundred": "100", "one hundred": "100",
}  # fmt: skip
_ALIASES = {
    "no solution": r"\emptyset", "no solutions": r"\emptyset", "empty set": r"\emptyset",
    "the empty set": r"\emptyset", "no real solution": r"\emptyset",
    "no real solutions": r"\emptyset", "all real numbers": r"\mathbb{R}",
    "all reals": r"\mathbb{R}", "the real numbers": r"\mathbb{R}", "real numbers": r"\mathbb{R}",
    "infinity": r"\infty", "positive infinity": r"\infty", "negative infinity": r"-\infty",
}  # fmt: skip
_SHORTENED = {
    "mon": "monday",
    "tue": "tuesday",
    "tues": "tuesday",
    "wed": "wednesday",
    "thu": "thursday",
    "thurs": "thursday",
    "fri": "friday",
    "sat": "saturday",
    "sun": "sunday",
}
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_CHOICE = re.compile(r"\(([A-Ja-j])\)|\[([A-J])\]|([A-Ja-j])")
_LABELLED = re.compile(
    r"(?:\\text\{\s*\(([A-J])\)\s*\}|\(([A-J])\)|(?:\\text\{\s*)?([A-J])[).:]\s*\}?)\s*(.+)"
)
# What comes after the answer; with a comma in it, it may be a further case.
_CONDITION = re.compile(r"(?<=\S)\s*\\text\{[\s(]*(?:for|since|because)\b[^{},]*\}[^,;{}]*$")
_LEADS = re.compile(
    r"\s*(?:the )?(?:final |correct )?(?:answer|option|choice)(?: is)?\s*:?\s*(.*)", re.IGNORECASE
)


def spoken(text: str) -> str | None:
    """The words of a normal text in small letters, None where it is mathematics.

    Bare letters are words from two on; what is set in \\text is words in any length.
    """
    if not _TEXT.search(text):
        if not re.fullmatch(r"[A-Za-z][A-Za-z' .\-]*[A-Za-z]\.?", text) or "-" in text[:2]:
            return None
        plain = text
    else:
        plain = _TEXT.sub(r" \1 ", text)
    if re.search(r"[\\^_=<>+/*{}|]|^\s*[-$]?\d", plain) or not re.search("[A-Za-z]", plain):
        return None
    plain = re.sub(r"\b([ap])\.?m\b\.?", r"\1m", plain.strip().lower())
    plain = re.sub(r"[.\s]+$", "", re.sub(r"\s+", " ", plain)).strip()
    plain = re.sub(r"^(?:the|a|an) (?=[a-z])", "", plain)
    return _SHORTENED.get(plain, plain)


def worded(text: str) -> str:
    """The mathematics that words stand for ("five", "no solution"), else the text as it is."""
    said = spoken(text)
    if said is None:
        return text
    return _NUMBERS.get(said) or _ALIASES.get(said) or text


def choice(text: str) -> str | None:
    """The capital letter of a choice such as "(B)", "B" or \\text{(b)}; None for anything else.

    A bare small letter is a variable.
    """
    plain = _TEXT.sub(r"\1", text).strip().strip(".:,)").strip()
    plain = plain + ")" if plain.startswith("(") and not plain.endswith(")") else plain
    lead = _LEADS.fullmatch(plain)
    plain = lead[1] if lead and lead[1] else plain
    match = _CHOICE.fullmatch(plain)
    if match is None:
        return None
    letter = match[1] or match[2] or match[3]
    marked = bool(match[1] or match[2] or lead or _TEXT.search(text))
    return letter.upper() if marked or letter.isupper() else None


def labelled(text: str) -> tuple[str, str] | None:
    """The letter of a choice and what is chosen, for a text such as "(B) 12"."""
    match = _LABELLED.fullmatch(text)
    if match is None or not match[4].strip(" }"):
        return None
    return match[1] or match[2] or match[3], match[4].strip()


def without_lead(text: str) -> str:
    """The text without words such as "the answer is" before it."""
    match = re.match(r"\\text\{([^{}]*)\}\s*(?=\S)", text)
    lead = _LEADS.fullmatch(match[1].strip()) if match else None
    if match and lead and not lead[1]:
        return text[match.end() :].strip()
    return _CONDITION.sub("", re.sub(r"^\\approx\s*", "", text))
