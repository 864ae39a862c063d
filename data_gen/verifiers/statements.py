"""Where a completion states its final answer outside of a box."""

import re

from data_gen.verifiers.extraction import final_boxes, has_open_box, last_box_end

# "The answer is 6", "**Final answer:** 6", "#### 6": what follows up to the end of its line.
_ANNOUNCED = re.compile(
    r"(?:####|(?:\b(?:final|correct) )?\banswers?\b(?:\*\*)?(?: ?to (?:this|the) \w+)?"
    r"(?: choice| option)?\s{0,2}(?:\*\*)?(?::|=|\bis\b|\bare\b|would be|should be|must be)"
    r"(?:\*\*)?)"
    r"[ \t:]*(?:\*\*)?\n{0,2}[ \t]*([^\n]+(?:\n[ \t]*(?:\\\]|\$\$))?|(?:\\\[|\$\$)[^$]*)",
    re.IGNORECASE,
)
_RESULT = re.compile(
    r"\b(?:result|solution|solutions|value|total|probability|area|sum|number)\b[^.\n=$]{0,60}?"
    r"\b(?:is|are|equals)\b[ \t:]*([^\n]+)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(
    r"(?<=[^\d\s])\.(?:\s|$)|(?<=\d)\.(?!\d)|[!?](?:\s|$)|,? (?:because|since|so|which)\b"
)
_MATH = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$(.+?)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_NUMBER = re.compile(
    r"(?<![\w.])-?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?(?:[eE][+-]?\d+)?(?:\s?\\?%)?(?![\w])"
)
_PLAIN = re.compile(r"(?:is|are|be|equals|:|=|\s|\*)*(.*)", re.DOTALL | re.IGNORECASE)
_BARE = re.compile(
    r"[^A-Za-z]*|(?:[a-z] ?= ?)?[^A-Za-z]*[a-z\d]{0,3}[^A-Za-z]*|\(?[A-Z]\)?|\w+", re.IGNORECASE
)
# The final statement stands at the end; what comes long before it is working.
_TAIL = 2000


def stated_answer(turn: str) -> str | None:
    """The final answer of a turn: the last announced one, in a box or outside of it.

    Without an announcement ("the answer is", "####", "answer:") after the last box the box
    counts; without a box, a result stated in the last sentence. None where nothing is stated, and
    where the turn ends within a box.
    """
    if has_open_box(turn):
        return None
    boxed = final_boxes(turn)
    tail = turn[max(last_box_end(turn), len(turn) - _TAIL) :]
    for match in reversed(list(_ANNOUNCED.finditer(tail))):
        said = _said(match[1], strict=boxed is not None)
        if said:
            return said
    return boxed if boxed is not None else _concluded(tail)


def _concluded(tail: str) -> str | None:
    lines = [line.strip() for line in tail.strip().splitlines() if line.strip()]
    if not lines:
        return None
    results = list(_RESULT.finditer(tail))
    for match in reversed(results):
        if match.end() == len(tail.rstrip()) and (said := _said(match[1], strict=True)):
            return said
    last = lines[-1] if not re.fullmatch(r"\\\]|\$\$", lines[-1]) else "\n".join(lines[-3:])
    math = _spans(last)
    if math:
        return math[-1].strip().rstrip(".,")
    plain = last.strip("* ").rstrip(".")
    if _BARE.fullmatch(plain) and any(letter.isalnum() for letter in plain) and len(plain) < 100:
        return plain if not plain.isalpha() or len(plain) == 1 else None
    sentence = [part for part in re.split(r"(?<=[.!?])\s", plain) if part][-1]
    _, equals, after = sentence.rpartition("=")
    if equals:
        return after.strip() or None
    numbers = _NUMBER.findall(sentence)
    return str(numbers[0]).strip() if len(numbers) == 1 else None


def _said(text: str, strict: bool) -> str | None:
    """The answer that begins a statement; `strict`: only mathematics, a number or a letter."""
    text = text.strip().strip("*").strip()
    found = _math_first(text)
    if found:
        return found
    plain = _PLAIN.match(text)
    rest = _SENTENCE_END.split(plain[1] if plain else text, maxsplit=1)[0].strip(" *$.:")
    if not rest:
        return None
    numbers = _NUMBER.findall(rest)
    begins = _NUMBER.match(rest)
    if re.fullmatch(r"\(?[A-J]\)?|\([A-J]\).{0,60}", rest) or rest.startswith("\\"):
        return rest
    if begins:
        return rest if len(rest) < 80 else begins[0]
    if re.fullmatch(r"[a-z](?:_\w)? ?= ?.+|[-+(\[{].*|\S*\d\S*", rest) and len(rest) < 100:
        return rest
    if len(numbers) == 1 and len(rest) < 120:
        return str(numbers[0])
    return None if strict or len(rest.split()) > 4 else rest


def _math_first(text: str) -> str | None:
    """The mathematics that a statement begins with or, if there is one alone, contains."""
    spans = list(_MATH.finditer(text))
    if not spans:
        return None
    end = _SENTENCE_END.search(_MATH.sub(lambda m: "x" * len(m[0]), text))
    inside = [span for span in spans if end is None or span.start() < end.start()]
    if not inside:
        return None
    first = inside[0]
    before = text[: first.start()].strip(" :*")
    group = [first]
    for span in inside[1:]:
        gap = text[group[-1].end() : span.start()].strip()
        if gap not in (",", "and", "or", ", and", ", or", ";"):
            break
        group.append(span)
    if len(group) < len(inside) and before:
        return None
    if before and re.search(r"\d", before):
        return None
    contents = [next(part for part in span.groups() if part is not None) for span in group]
    unit = re.match(r"\s*(\\?%|percent\b)", text[group[-1].end() :])
    return ", ".join(contents).strip() + (r"\%" if unit else "")


def _spans(text: str) -> list[str]:
    return [
        next(part for part in span.groups() if part is not None) for span in _MATH.finditer(text)
    ]
