"""Where a completion states its final answer."""

import re

# Marks that end a turn in a chat template: what follows was not asked for.
_TURN_END = re.compile(
    r"<\|(?:im_end|im_start|endoftext|eot_id|end_of_text|eom_id|start_header_id|end|user"
    r"|assistant|system)\|>|</s>|<eos>|<end_of_turn>|<start_of_turn>|\[/?INST\]"
)
_OPENING = re.compile(
    r"\s*(?:<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>)?\s*"
    r"(?:assistant|model)?\s*(?:<\|end_header_id\|>|<\|assistant\|>)?\s*"
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*")


def own_turn(text: str, stop: tuple[str, ...] = ()) -> str:
    """The completion without what follows the end of its turn or a stop string."""
    opening = _OPENING.match(text)
    start = opening.end() if opening else 0
    end = _TURN_END.search(text, start)
    cut = end.start() if end else len(text)
    for word in stop:
        found = text.find(word, start, cut)
        cut = found if found >= 0 else cut
    return text[start:cut]


def last_box(text: str) -> str | None:
    """The content of the last box; None without one, or when the last one is not closed."""
    opened = list(_BOX.finditer(text))
    content: str | None = None
    end = 0
    for box in opened:
        if box.start() < end:
            continue
        content, end = _braced(text, box.end())
    return content


def _braced(text: str, start: int) -> tuple[str | None, int]:
    if start >= len(text) or text[start] != "{":
        return None, start
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
            return text[start + 1 : position - 1].strip(), position
    return None, len(text)
