"""Where a completion states its final answer outside of a box."""

import re
from collections.abc import Iterable

from data_gen.verifiers.answer_text.boxed import final_boxes, has_open_box, last_box_end

# "The answer is 6", "**Final answer:** 6", "#### 6": the answer stands after it.
_ANNOUNCED = re.compile(
    r"(?:(?<!#)####(?!#)|(?:\banswers?|\b(?:correct|right) (?:choice|option))\b"
    r"(?:\*\*)?(?: ?to (?:this|the) \w+)?"
    r"(?: choice| option)?\s{0,2}(?:\*\*)?"
    r"(?::|=|\bis\b|\bare\b|would be|should be|must be)(?:\*\*)?)"
    r"[ \t:]*(?:\*\*)?\s{0,4}(?=\S)",
    re.IGNORECASE,
)
_RESULT = re.compile(
    r"\b(?:result|solutions?|value|total|probability|area|sum|number)\b[^.\n=$]{0,80}"
    r"\b(?:is|are|equals)\b[ \t:]*([^\n]+)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(
    r"(?<=[^\d\s])\.(?:\s|$)|(?<=\d)\.(?!\d)|[!?](?:\s|$)|,? (?:because|since|so|which)\b"
)
_MATH = re.compile(
    # What ends in a space or a sign is text between two prices.
    r"\$\$(.+?)\$\$|(?<!\\)\$(?!\s)([^$]*?[^\s$+*/=x(<>,\\-])\$(?!\d)|\\\((.+?)\\\)|\\\[(.+?)\\\]",
    re.DOTALL,
)
_NUMBER = re.compile(
    r"(?<![\w.])-?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?(?:[eE][+-]?\d+)?(?:\s?\\?%)?"
    r"(?![\w])"
)
_LINKING = re.compile(r"(?:(?:is|are|be|equals|therefore|thus|simply)\b|[:=*\s])*", re.IGNORECASE)
# A number and what it counts; no term that goes on.
_COUNTED = re.compile(
    r"\s*(?!(?:or|and|to (?=\d)|plus|minus|times(?= ?\$?\d)|over|pi|sqrt|through|[b-z])\b)[A-Za-z]"
    r"(?!.*[-+*/=×] ?\$?\d)",
    re.IGNORECASE,
)
# "The answer is not 14" and "is no more than 14" state no answer; "no solution" does.
_REFUSED = re.compile(
    r"[\s*]*(?:\w+ly )?(?:not|never|neither|no (?:more|less|fewer|greater|longer|such))\b",
    re.IGNORECASE,
)
# What may stand before a number that is the answer: "the number 5", "x = 5", "exactly $5".
_NAMING = re.compile(
    r"(?:(?:exactly|simply|just|only|the|an?|number|values?|equals?|equal to|is|are|be|that|of|we"
    r"|get|have|therefore|thus|so|answer|total|sum|minus|negative|option|choice"
    r"|approximately|about|around|roughly)\b"
    r"|[A-Za-z](?:_\w)? ?=|[\w\s]{3,60}=|[A-Za-z](?=[-+*/^(\d])|\\[a-z]+\{?"
    r"|[\s:*$£€([{}+\-/=^,_])*",
    re.IGNORECASE,
)
_SPOILING = re.compile(
    r"\b(?:cubed|squared|doubled|tripled|halved|factorial|halves|thirds|fourths|quarters|fifths"
    r"|sixths|sevenths|eighths|ninths|tenths|impossible|wrong|incorrect|if|when|unless|else"
    r"|modulo|mod|out of|less|more|fewer|short|below|under|above|ago)\b"
    # A word and another number, but for "2 or 3" and "x = 2 and y = 3".
    r"|\b(?!(?:or|and)\s+(?:[a-z](?:_\w)? ?= ?)?[-$]?\d[\d.,/]*\s*$)[A-Za-z]{2,}[^.]*\d",
    re.IGNORECASE,
)
_IMPOSSIBLE = re.compile(
    r",? which (?:is|cannot be) ?(?:impossible|wrong|incorrect)?", re.IGNORECASE
)
_SCALE = re.compile(r"\s*(?:hundred|thousand|million|billion|trillion|dozen)\b", re.IGNORECASE)
_SCALED = re.compile(rf"{_NUMBER.pattern}{_SCALE.pattern}", re.IGNORECASE)
_TAKEN_BACK = re.compile(
    r"\b(?:wait|actually|recheck|re-check|mistake|incorrect|wrong|not correct|should be)\b",
    re.IGNORECASE,
)
_DENIED = re.compile(r"\b(?:not|unknown|unclear|cannot|neither|never|undetermined)\b|n't\b|\?")
_BARE = re.compile(
    r"[^A-Za-z]*|(?:[a-z] ?= ?)?[^A-Za-z]*[a-z\d]{0,3}[^A-Za-z]*|\(?[A-Z]\)?", re.IGNORECASE
)
_LETTER = re.compile(r"\(?[A-J]\)?|\([A-J]\).{0,60}")
_TERM = re.compile(r"[a-z](?:_\w)? ?= ?.+|[-+(\[{].*|\S*\d\S*")
# The final statement stands at the end; what comes long before it is working.
_TAIL = 2000
_LONGEST = 100


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
        stated = _paragraph(tail, match.end())
        if _REFUSED.match(stated) or _is_about_a_number(stated):
            return boxed
        if said := _said(stated, strict=boxed is not None):
            return said
    if boxed is not None:
        return None if _is_taken_back(boxed, tail) else boxed
    return _concluded(tail)


def _is_taken_back(boxed: str, tail: str) -> bool:
    """Whether what follows the last box speaks of a mistake and ends with another number."""
    numbers = _NUMBER.findall(tail)
    return bool(_TAKEN_BACK.search(tail) and numbers and str(numbers[-1]).strip() != boxed.strip())


def _is_about_a_number(stated: str) -> bool:
    """Whether a statement says something of a number instead of naming it: half of 5, 5 mod 7."""
    sentence = _SENTENCE_END.split(stated.strip(), maxsplit=1)[0]
    sentence = (
        _IMPOSSIBLE.sub(" impossible", stated.strip()) if _IMPOSSIBLE.search(stated) else sentence
    )
    number = _NUMBER.search(sentence)
    if number is None or _MATH.search(sentence) or _LETTER.match(sentence):
        return False
    before, after = sentence[: number.start()], sentence[number.end() :]
    if _SCALE.match(after):
        after = _SCALE.sub("", after, count=1)
    return not _NAMING.fullmatch(before) or bool(_SPOILING.search(after))


def _paragraph(tail: str, start: int) -> str:
    """The rest of the line, or all of the displayed formula that it begins with."""
    display = _MATH.match(tail, start)
    end = tail.find("\n", display.end() if display else start)
    return tail[start:] if end < 0 else tail[start:end]


def _concluded(tail: str) -> str | None:
    """What the last sentence of a turn without any announcement says."""
    lines = [line.strip() for line in tail.strip().splitlines() if line.strip()]
    if not lines:
        return None
    for match in reversed(list(_RESULT.finditer(tail))):
        if match.end() == len(tail.rstrip()) and (said := _said(match[1], strict=True)):
            return said
    last = lines[-1] if not re.fullmatch(r"\\\]|\$\$", lines[-1]) else "\n".join(lines[-3:])
    if math := _contents(_MATH.finditer(last)):
        return math[-1].strip().rstrip(".,")
    plain = last.strip("* ").rstrip(".")
    if _BARE.fullmatch(plain) and any(sign.isalnum() for sign in plain) and len(plain) < _LONGEST:
        return plain if not plain.isalpha() or len(plain) == 1 else None
    sentences = [part for part in re.split(r"(?<=[.!?])\s", plain) if part]
    if not sentences:
        return None
    sentence = sentences[-1]
    _, equals, after = sentence.rpartition("=")
    if equals:
        return _counted(after.strip()) or after.strip() or None
    numbers = _NUMBER.findall(sentence)
    stated = len(numbers) == 1 and not _DENIED.search(sentence)
    return str(numbers[0]).strip() if stated else None


def _said(text: str, strict: bool) -> str | None:
    """The answer that begins a statement; `strict`: only mathematics, a number or a letter."""
    text = text.strip().strip("*").strip()
    if found := _formula(text):
        return found
    linking = _LINKING.match(text)
    rest = text[linking.end() :] if linking else text
    rest = _SENTENCE_END.split(rest, maxsplit=1)[0].strip(" *.:")
    rest = re.sub(r"^(?:minus|negative) (?=\d)", "-", rest)
    if scaled := _SCALED.match(rest):
        return scaled[0]
    if not rest or len(rest) > 2 * _LONGEST:
        return None
    if _LETTER.fullmatch(rest) or (rest.startswith("\\") and len(rest) > 2):
        return rest
    name, equals, value = rest.rpartition("=")
    if equals and len(name) > 3 and not re.search(r"\\|,|\b(?:or|and)\b", rest):
        rest = value.strip()
    if counted := _counted(rest):
        return counted
    if (_NUMBER.match(rest) or _TERM.fullmatch(rest)) and len(rest) < _LONGEST:
        return rest
    numbers = _NUMBER.findall(rest)
    if len(numbers) == 1:
        return str(numbers[0])
    return None if strict or len(rest.split()) > 4 or not rest[:1].isalpha() else rest


def _counted(text: str) -> str | None:
    """The number of a text such as "12 apples in the basket"."""
    number = _NUMBER.match(text)
    return number[0].strip() if number and _COUNTED.match(text, number.end()) else None


def _formula(text: str) -> str | None:
    """The formula that a statement begins with or, if there is one alone, contains."""
    spans = list(_MATH.finditer(text))
    end = _SENTENCE_END.search(_MATH.sub(lambda m: "x" * len(m[0]), text))
    inside = [span for span in spans if end is None or span.start() < end.start()]
    if not inside:
        return None
    before = text[: inside[0].start()].strip(" :*")
    group = [inside[0]]
    for span in inside[1:]:
        gap = text[group[-1].end() : span.start()].strip()
        if gap not in (",", "and", "or", ", and", ", or", ";"):
            break
        group.append(span)
    if before and (len(group) < len(inside) or re.search(r"\d", before)):
        return None
    percent = re.match(r"\s*(\\?%|percent\b)", text[group[-1].end() :])
    return ", ".join(_contents(group)).strip() + (r"\%" if percent else "")


def _contents(spans: Iterable[re.Match[str]]) -> list[str]:
    return [next(part for part in span.groups() if part is not None) for span in spans]
