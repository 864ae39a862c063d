"""What kind of answer a text is: a term, a list, a tuple, a set, an interval, a relation."""

import re
from dataclasses import dataclass

from data_gen.verifiers.answer_text.boxed import braced


@dataclass(frozen=True, slots=True)
class Term:
    """A number, an expression or words: what is compared as a whole."""

    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """Items in brackets: `kind` is the opening and the closing one, "{}" is a set.

    "()" with two items is a point as well as an open interval; the text alone cannot tell.
    """

    kind: str
    items: "tuple[Shape, ...]"


@dataclass(frozen=True, slots=True)
class Listing:
    """Several answers without brackets; `joiner` is "," or "and" or "or"."""

    joiner: str
    items: "tuple[Shape, ...]"


@dataclass(frozen=True, slots=True)
class Relation:
    """Parts with a sign between each two: "=", "<", ">", "\\le", "\\ge", "\\ne", "\\in", ..."""

    parts: "tuple[Shape, ...]"
    signs: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Union:
    """Sets joined by \\cup, and those taken out by \\setminus."""

    parts: "tuple[Shape, ...]"
    without: "tuple[Shape, ...]" = ()


Shape = Term | Group | Listing | Relation | Union

_TOKEN = re.compile(
    r"\\text\{[^{}]*\}|\\(?:begin|end)\{[a-z]+\*?\}|\\[A-Za-z]+|\\.|\d[\d.]*|[<>!=]=|[A-Za-z]+|.",
    re.DOTALL,
)
_WORD_JOINERS = re.compile(r"\\text\{\s*,?\s*(and|or)\s*\}")
_RELATIONS = {
    "=": "=", "<": "<", ">": ">", "<=": r"\le", ">=": r"\ge", "==": "=", "!=": r"\ne",
    r"\le": r"\le", r"\ge": r"\ge", r"\ne": r"\ne", r"\in": r"\in", r"\approx": r"\approx",
    r"\equiv": r"\equiv", r"\notin": r"\notin", r"\sim": r"\sim", r"\subset": r"\subset",
    r"\to": r"\to", r"\Rightarrow": r"\to", r"\implies": r"\to", r"\rightarrow": r"\to",
    r"\Leftrightarrow": r"\to", r"\iff": r"\to", r"\mapsto": r"\to", r"\cong": r"\cong",
}  # fmt: skip
_OPENING = {"(", "[", "{", r"\{", r"\langle", r"\lfloor", r"\lceil"}
_CLOSING = {")", "]", "}", r"\}", r"\rangle", r"\rfloor", r"\rceil"}
_BRACKETS = {"(": "(", "[": "[", r"\{": "{", r"\langle": "<"}
_CLOSERS = {")": ")", "]": "]", r"\}": "}", r"\rangle": ">"}
THOUSANDS = re.compile(r"-?(?:\\\$)?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?:[^\d,].*)?")
_BARE_THOUSANDS = re.compile(r"-?(?:\\\$)?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DEEPEST = 12


def read(text: str, depth: int = 0) -> Shape:
    """The shape of a normal text."""
    text = text.strip()
    tokens = _tokens(text)
    if depth > _DEEPEST or tokens is None:
        return Term(text)
    if depth < 2 and (listing := _listing(tokens, depth)):
        return listing
    parts, signs = _split(tokens, set(_RELATIONS))
    if signs and all(parts) and len(parts) < 20:
        return _relation(parts, signs, text, depth)
    if union := _union(tokens, depth):
        return union
    if len(variants := _signed(text)) == 2:
        return Listing("or", tuple(read(variant, depth + 1) for variant in variants))
    return _group(tokens, depth) or Term(text)


def _tokens(text: str) -> list[str] | None:
    """The tokens, None where brackets do not close."""
    tokens = _TOKEN.findall(text)
    balance = 0
    for token in tokens:
        balance += token in _OPENING or token.startswith(r"\begin")
        balance -= token in _CLOSING or token.startswith(r"\end{")
        if balance < 0:
            return None
    return tokens if balance == 0 else None


def _split(tokens: list[str], signs: set[str]) -> tuple[list[str], list[str]]:
    """The texts between those of the signs that stand outside of all brackets."""
    parts: list[str] = [""]
    found: list[str] = []
    depth = 0
    for token in tokens:
        depth += token in _OPENING or token.startswith(r"\begin")
        depth -= token in _CLOSING or token.startswith(r"\end{")
        if depth == 0 and token in signs and not token.startswith(tuple(_CLOSING)):
            found.append(token)
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts], found


def _listing(tokens: list[str], depth: int) -> Listing | None:
    marked = [
        f"\\text{{{match[1]}}}" if (match := _WORD_JOINERS.fullmatch(token)) else token
        for token in tokens
    ]
    joiners = {",", ";", r"\text{and}", r"\text{or}", "and", "or", r"\wedge", r"\vee"}
    parts, signs = _split(marked, joiners)
    if not signs or len(parts) > 200:
        return None
    parts, signs = _with_thousands(parts, signs)
    parts = [part for part in parts if part]
    if len(parts) < 2:
        return None
    word = next((sign for sign in signs if sign not in ",;"), ",")
    joiner = {r"\wedge": "and", r"\vee": "or"}.get(word, word.removeprefix(r"\text{").rstrip("}"))
    items: list[Shape] = []
    for part in parts:
        shape = read(part, depth + 1)
        items += shape.items if isinstance(shape, Listing) and shape.joiner == "or" else [shape]
    return Listing("," if joiner == ";" else joiner, tuple(items))


def _with_thousands(parts: list[str], signs: list[str]) -> tuple[list[str], list[str]]:
    """Joins 3 and 100 to 3,100 where nothing but a comma stands between, as in "3,100 and 5".

    A list such as 27,54,108 is one: where a number stands alone, none is joined.
    """
    made = [[parts[0]]]
    kept: list[str] = []
    for sign, part in zip(signs, parts[1:], strict=True):
        start = made[-1][0].rpartition("=")[2].strip()
        joined = ",".join([start, *made[-1][1:], part])
        if sign == "," and THOUSANDS.fullmatch(joined) and re.match(r"\d{3}(?!\d)", part):
            made[-1].append(part)
        else:
            made.append([part])
            kept.append(sign)
    alone = any(len(group) == 1 and re.fullmatch(r"(?:.*=)? ?-?\d+", group[0]) for group in made)
    zeros = any(part.startswith("0") for group in made for part in group[1:])
    if alone and set(signs) == {","} and not zeros:
        return parts, signs
    return [",".join(group) for group in made], kept


def _relation(parts: list[str], signs: list[str], text: str, depth: int) -> Shape:
    read_parts = tuple(read(part, depth + 1) for part in parts)
    return Relation(read_parts, tuple(_RELATIONS[sign] for sign in signs), text)


def _union(tokens: list[str], depth: int) -> Union | None:
    parts, taken = _split(tokens, {r"\setminus"})
    if len(taken) > 1 or (taken and not all(parts)):
        return None
    without = (read(parts[1], depth + 1),) if taken else ()
    pieces, cups = _split(_TOKEN.findall(parts[0]), {r"\cup"})
    if not all(pieces) or not (cups or taken):
        return None
    return Union(tuple(read(piece, depth + 1) for piece in pieces), without)


def _signed(text: str) -> list[str]:
    """The two terms that a term with \\pm stands for; the text alone without it, or with two."""
    if text.startswith(r"\{") or text.count(r"\pm") + text.count(r"\mp") == 0:
        return [text]
    if text.count(r"\pm") > 1 or (r"\pm" not in text and r"\mp" in text):
        return [text]
    plus = text.replace(r"\pm", "+").replace(r"\mp", "-")
    minus = text.replace(r"\pm", "-").replace(r"\mp", "+")
    return [re.sub(r"(^|[(,])\+ ?", r"\1", plus), minus]


def _group(tokens: list[str], depth: int) -> Shape | None:
    if len(tokens) > 1 and tokens[0] == "{" and _closes_last(tokens):
        content, _ = braced("".join(tokens), 0)
        return read(content, depth + 1) if content else None
    if len(tokens) < 3 or tokens[0] not in _BRACKETS or tokens[-1] not in _CLOSERS:
        return None
    if not _closes_last(tokens):
        return None
    kind = _BRACKETS[tokens[0]] + _CLOSERS[tokens[-1]]
    parts, commas = _split(tokens[1:-1], {",", ";"})
    if kind == "()" and not commas:
        inner = "".join(tokens[1:-1])
        return None if re.fullmatch("[A-Za-z]", inner) else read(inner, depth + 1)
    if kind == "{}" and not commas and (builder := _builder(tokens[1:-1], depth)):
        return builder
    if not all(parts) or (kind not in ("()", "{}", "[]", "<>") and len(parts) != 2):
        return None
    if kind == "[]" and not commas:
        return None
    items: list[Shape] = []
    for part in parts:
        shape = read(part, max(depth + 1, 2))
        items += shape.items if kind == "{}" and isinstance(shape, Listing) else [shape]
    return Group(kind, tuple(items))


def _closes_last(tokens: list[str]) -> bool:
    """Whether the first bracket is closed by the last token, whatever the kinds of brackets."""
    depth = 0
    for number, token in enumerate(tokens):
        depth += token in _OPENING or token.startswith(r"\begin")
        depth -= token in _CLOSING or token.startswith(r"\end{")
        if depth == 0:
            return number == len(tokens) - 1
    return False


def _builder(tokens: list[str], depth: int) -> Shape | None:
    """The condition of a set such as \\{x \\mid 2 < x\\}, which stands for the set."""
    parts, bars = _split(tokens, {"|", r"\mid", ":"})
    if len(bars) != 1 or not re.fullmatch(
        r"[A-Za-z](?:\\in\\mathbb\{R\})?", parts[0].replace(" ", "")
    ):
        return None
    condition = read(parts[1], depth + 1)
    return condition if isinstance(condition, Relation) else None


def is_ambiguous_number(text: str) -> bool:
    """Whether a text such as "3,100" may be one number or a list of numbers."""
    return bool(_BARE_THOUSANDS.fullmatch(text))
