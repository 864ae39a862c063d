"""Where a completion states its final answer in a box, and where its own turn ends."""

import re
from dataclasses import dataclass

# Marks that end a turn in a chat template: what follows was not asked for.
_TURN_END = re.compile(
    r"<[|｜][^<>|｜\n]{1,40}[|｜]>|</s>|<eos>|<end_of_turn>|<start_of_turn>|\[/?INST\]"
    r"|\n[ \t]*(?:#{1,4} ?|\*\*)?(?:User|Human|USER|HUMAN|Instruction) ?:"
    r"|\n[ \t]*#{2,4} ?(?:User|Human|Instruction|Input)\b"
    # What a chat's marks leave when they are decoded as nothing.
    r"|\n[ \t]*(?:assistant|user|system|human)[ \t]*(?=\n|$)"
)
# Headings of an invented next problem; before the first answer they may restate the real one.
_NEXT_PROBLEM = re.compile(
    r"\n[ \t]*(?:#{1,4} ?|\*\*|Next |New )?"
    r"(?:Question|Problem|Exercise|Example|Assistant|Q|QUESTION|PROBLEM)(?: ?\d{1,3})?\*{0,2} ?[:.]"
    r"|\n[ \t]*#{1,4} ?(?:Question|Problem|Exercise)(?: ?\d{1,3})?[ \t]*\n"
)
_ANSWERED = re.compile(r"\\(?:boxed|fbox)|####|\banswer(?: is|:|\*\*)", re.IGNORECASE)
_OPENING = re.compile(
    r"\s*(?:<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>)?\s*"
    r"(?:assistant|model)?\s*(?:<\|end_header_id\|>|<\|assistant\|>)?\s*"
)
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)(?![A-Za-z])\s*")
_BARE = re.compile(
    r"-?\d+(?:\.\d+)?(?:/\d+)?|-?\\[dt]?frac\{[^{}]{1,40}\}\{[^{}]{1,40}\}|[A-Za-z]\b"
)
_MATH_MARKS = re.compile(
    r"\\[\[\]()]|\$|\\(?:q?quad|text|mbox|textbf|left|right)(?![A-Za-z])|\\[,;! ]|[\s{}*~&]"
)
_JOINED = re.compile(
    r"(?:[,;]|,?(?:and|or),?)(?:and|or)?"
    r"((?:\\?[A-Za-z]{1,8}(?:_?\w{1,3})?'?(?:\([a-z]\))?)=)?"
)
# What belongs to the box before: "(from the first case)", "for n = 2".
_ASIDE = re.compile(
    r"^[\s$]*(?:\\\))?\s*(?:\([a-z][^()]*\)|(?:for|from|when|if|in)\s[^.!?,;]{1,50}?)"
    r"(?=,? (?:and|or) )"
)
_NAME_BEFORE = re.compile(r"(?<![A-Za-z+\-*/^\\])([A-Za-z](?:_\{?\w{1,3}\}?)?) ?= ?[$\s(\\\[]*$")
_NEGATED = re.compile(r"\b(?:not|rather than|instead of)\b[\s$:]*(?:\\\()?\s*$", re.IGNORECASE)
# A joiner with the marks around it is no longer than this.
_LONGEST_GAP = 80


@dataclass(frozen=True, slots=True)
class _Box:
    start: int
    end: int
    content: str


def own_turn(text: str, stop: tuple[str, ...] = ()) -> str:
    """The completion without its thoughts and what follows the end of its turn or a stop string.

    Thoughts that are never closed leave nothing: the completion ends before its answer.
    """
    opening = _OPENING.match(text)
    start = opening.end() if opening else 0
    end = _TURN_END.search(text, start)
    cut = end.start() if end else len(text)
    for word in stop:
        found = text.find(word, start, cut)
        cut = found if found >= 0 else cut
    turn = _without_thoughts(text[start:cut])
    for heading in _NEXT_PROBLEM.finditer(turn):
        if _ANSWERED.search(turn, 0, heading.start()):
            return turn[: heading.start()]
    return turn


def _without_thoughts(turn: str) -> str:
    _, closed, after = turn.rpartition("</think>")
    if closed:
        return after
    return "" if turn.lstrip().startswith("<think>") else turn


def last_box(text: str) -> str | None:
    """The content of the last box; None without one, or when the last one is not closed."""
    boxes = _boxes(text)
    return boxes[-1].content if boxes else None


def final_boxes(text: str) -> str | None:
    """The answer in the last box, with those that "and", "or" or a comma joins to it.

    None without a box, when the last one is not closed, or when all are empty.
    """
    boxes = [box for box in _boxes(text) or [] if box.content]
    while len(boxes) > 1 and _NEGATED.search(text[boxes[-2].end : boxes[-1].start][-40:]):
        boxes.pop()
    if not boxes:
        return None
    group = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        if not _joins(text[box.end : group[0].start]):
            break
        group.insert(0, box)
    contents = [box.content for box in group]
    if len(set(contents)) == 1:
        return contents[0]
    return ", ".join(_named(text, box) for box in group)


def last_box_end(text: str) -> int:
    """The position after the last box that is closed and not empty, 0 where there is none."""
    return max((box.end for box in _boxes(text) or [] if box.content), default=0)


def has_open_box(text: str) -> bool:
    """Whether the text ends within a box."""
    return _boxes(text) is None


def _named(text: str, box: _Box) -> str:
    name = _NAME_BEFORE.search(text[max(0, box.start - 30) : box.start])
    named = name is not None and "=" not in box.content
    return f"{name[1]} = {box.content}" if named and name else box.content


def _joins(gap: str) -> bool:
    if len(gap) > _LONGEST_GAP:
        return False
    return bool(_JOINED.fullmatch(_MATH_MARKS.sub("", _ASIDE.sub("", gap, count=1))))


def _boxes(text: str) -> list[_Box] | None:
    """The outermost boxes in order; None when the last one is not closed."""
    boxes: list[_Box] = []
    end = 0
    for opening in _BOX.finditer(text):
        if opening.start() < end:
            continue
        if text.startswith("{", opening.end()):
            content, end = braced(text, opening.end())
            if content is None:
                return None
        else:
            bare = _BARE.match(text, opening.end())
            if bare is None:
                continue
            content, end = bare[0], bare.end()
        boxes.append(_Box(opening.start(), end, content.strip()))
    return boxes


def braced(text: str, start: int) -> tuple[str | None, int]:
    """What stands in the braces that open at `start`, and the position after them.

    (None, the length of the text) where they are not closed.
    """
    depth = 0
    position = start
    while position < len(text):
        sign = text[position]
        if sign == "\\":
            position += 2
            continue
        depth += (sign == "{") - (sign == "}")
        position += 1
        if depth == 0:
            return text[start + 1 : position - 1], position
    return None, len(text)
