"""What stands beside a number: its unit, a percent sign, the base of its digits."""

import re
from dataclasses import dataclass
from fractions import Fraction

from data_gen.verifiers.answer_text.numbers import rational

# Names of one unit -> (what it measures, how many of the first of its kind it is).
_TABLE: dict[str, tuple[str, str]] = {
    "mm millimeter millimetre": ("length", "1/1000"),
    "cm centimeter centimetre": ("length", "1/100"),
    "dm decimeter decimetre": ("length", "1/10"),
    "m meter metre": ("length", "1"),
    "km kilometer kilometre": ("length", "1000"),
    "in inch inche": ("imperial length", "1"),
    "ft foot feet": ("imperial length", "12"),
    "yd yard": ("imperial length", "36"),
    "mi mile": ("imperial length", "63360"),
    "mg milligram": ("mass", "1/1000"),
    "g gram gm": ("mass", "1"),
    "kg kilogram": ("mass", "1000"),
    "oz ounce": ("imperial mass", "1"),
    "lb pound lbs": ("imperial mass", "16"),
    "s sec second": ("time", "1"),
    "min minute": ("time", "60"),
    "h hr hour": ("time", "3600"),
    "day": ("time", "86400"),
    "week": ("time", "604800"),
    "ml milliliter millilitre": ("volume", "1/1000"),
    "l liter litre": ("volume", "1"),
    "cent ¢": ("dollars", "1/100"),
    "dollar usd buck": ("dollars", "1"),
    "euro eur": ("euros", "1"),
    "degree deg °": ("angle", "1"),
}
_UNITS = {
    name: (names.split()[0], kind, Fraction(factor))
    for names, (kind, factor) in _TABLE.items()
    for name in names.split()
}
_SHORT = {"j": "J", "n": "N", "w": "W", "v": "V", "k": "K", "hz": "Hz", "kwh": "kWh", "mph": "mph",
          "kmh": "km/h", "kph": "km/h", "kmph": "km/h", "pa": "Pa"}  # fmt: skip
_SINGLE = {"m", "g", "s", "h", "J", "N", "W", "V", "A", "K", "L", "C", "T"}
_GENERIC = {
    "unit",
    "square unit",
    "sq unit",
    "cubic unit",
    "unit^2",
    "unit^3",
    "integer",
    "total",
    "in total",
}
_NO_UNIT = re.compile(
    r"\b(?:or|and|not|if|when|than|more|less|least|most|to|from|mod|base|between|plus|minus|times|over"
    r"|where|for|no|only|greater|fewer|about|around|approximately|half|halve|third|quarter|fifth|sixth"
    r"|seventh|eighth|ninth|tenth|hundredth|thousandth|up|per cent|with|remainder|radian"
    r"|rad|squared|cubed|doubled|tripled|halved|negated|factorial|reciprocal|inverse|below|under|above|ago"
    r"|short|zero|incorrect|wrong|rejected|invalid|impossible|lakh|crore|bn|mn|score|gross|couple|pair|is|are|but|except|undefined|exactly|each|every|any|all|none|never|always|pi|out)s?\b"
)
_MULTIPLES = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "dozen": 12,
}  # fmt: skip
_CURRENCY = re.compile(r"(-?)(?:\\text\{)?(?:\\\$|([€£₹¥])|US\\\$)\}?\s*(?=[-\d.\\])")
_PRICED = re.compile(r"(-?[\d,.]*\d)\s*\\?\$")
_PERCENT = re.compile(r"\s*(?:\\?%|\\text\{\s*(?:percent|\\?%|per cent)\.?\s*\}|percent)$")
_DEGREES = re.compile(r"\^\{\\circ\}\s*(?:\\text\{\s*([CF])\s*\}|([CF]))?$")
# Degrees in the argument of a function belong to the argument.
_FUNCTION = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)")
_WORDS = re.compile(
    r"((?:\\text\{[^{}]*\}|(?<=[\d}]) ?[A-Za-z][A-Za-z. ]*[A-Za-z]\.?)"
    r"(?:/?\\text\{[^{}]*\}|\^\{-?\d\}|/[A-Za-z]+|\\cdot(?=\\text))*)$"
)
_LONE = re.compile(r"(.*[\d}]) ?([A-Za-z])$")
_BASED = re.compile(
    r"\(?(?:\\text\{)?([0-9A-Fa-f]+)\}?\)?_\{(?:\\text\{)?\(?(?:base )?(\d{1,2}|[a-z]+)\)?\}?\}"
    r"|\(?([0-9A-Fa-f]+)\)? ?\\text\{\s*\(?(?:in )?base[ -](\d{1,2}|[a-z]+)\)?\s*\}"
)
_BASE_NAMES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
               "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "sixteen": 16}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number or a term, `times` a factor such as a million, with its unit ("" for none).

    `doubtful`: the unit is a bare letter that may be a variable as well.
    """

    body: str
    unit: str = ""
    percent: bool = False
    times: Fraction = Fraction(1)
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Based:
    """Digits in a base that is written beside them; `value` is None where a digit is too large."""

    base: int
    value: int | None


def based(text: str) -> Based | None:
    """The number that a text such as 12_{8} is, None for anything else."""
    match = _BASED.fullmatch(text)
    if match is None:
        return None
    digits, name = (match[1], match[2]) if match[1] else (match[3], match[4])
    base = int(name) if name.isdigit() else _BASE_NAMES.get(name, 0)
    if not 2 <= base <= 36 or not digits[0].isdigit():
        return None
    try:
        return Based(base, int(digits, base))
    except ValueError:
        return Based(base, None)


def quantity(text: str) -> Quantity:
    """Parts a normal text into what is measured and the unit that follows (or $ before) it."""
    money = _CURRENCY.match(text)
    if not money and (after := _PRICED.fullmatch(text)):
        return Quantity(after[1], "dollar")
    if money:
        inner = quantity(money[1] + text[money.end() :])
        if inner.unit or inner.percent:
            return Quantity(text)
        coin = {"€": "euro", "£": "pound sterling", "₹": "rupee", "¥": "yen"}.get(
            money[2] or "", "dollar"
        )
        return Quantity(inner.body, coin, False, inner.times)
    if match := _PERCENT.search(text):
        return Quantity(text[: match.start()], percent=True)
    match = _DEGREES.search(text)
    if match and not _FUNCTION.search(text):
        scale = match[1] or match[2]
        return Quantity(text[: match.start()], f"degree {scale}" if scale else "degree")
    match = _WORDS.search(text)
    unit = _unit(match[1]) if match and match.start() else None
    if match and unit is not None:
        body = text[: match.start()].strip()
        if unit.split(" ")[0] in _MULTIPLES and rational(body):
            factor, _, rest = unit.partition(" ")
            return Quantity(
                body, _canonical(rest) if rest else "", False, Fraction(_MULTIPLES[factor])
            )
        if match[1].startswith("\\text") or (rational(body) and _is_plain_unit(match[1])):
            return Quantity(body, unit)
    lone = _LONE.fullmatch(text)
    if lone and lone[2] in _SINGLE and rational(lone[1].strip()):
        return Quantity(lone[1].strip(), lone[2], doubtful=True)
    return Quantity(text)


def _is_plain_unit(words: str) -> bool:
    """Whether bare letters after a number are a unit and not variables: "cm", or whole words."""
    names = re.findall("[a-z]+", words.lower())
    known = [name for name in names if name.removesuffix("s") in _UNITS or name in _SHORT]
    return bool(names) and all(
        name in known or (len(name) > 3 and words.startswith(" ")) for name in names
    )


def _unit(words: str) -> str | None:
    """The unit that words name, None where they are none."""
    letter = re.fullmatch(r"\\text\{ *([A-Za-z]) *\}", words.strip())
    if letter and letter[1] not in _SINGLE:
        return None
    plain = re.sub(r"\\text\{([^{}]*)\}", r"\1", words).replace(r"\cdot", "*")
    plain = re.sub(r"\^\{(-?\d)\}", r"^\1", plain).replace(".", "").strip(" ()").lower()
    plain = re.sub(r" ?per ", "/", plain)
    plain = re.sub(r"\s*/\s*", "/", plain)
    if plain in ("in", "inches", "in^2", "in^3"):
        return _canonical(plain)
    if not re.fullmatch(r"[a-z¢°][a-z¢° '/*\-]*(?:\^-?\d)?(?:/[a-z]+(?:\^\d)?)?", plain):
        return None
    if _NO_UNIT.search(plain) or len(plain.split()) > 4:
        return None
    return _canonical(plain)


def _canonical(plain: str) -> str:
    power = re.search(r"\^(\d)$", plain)
    words = (plain[: power.start()] if power else plain).split()
    exponent = power[1] if power else ""
    if words[0] in ("square", "sq", "cubic") and len(words) > 1:
        exponent = "3" if words[0] == "cubic" else "2"
        words = words[1:]
    names = [_one(word) for word in words]
    unit = " ".join(names) + (f"^{exponent}" if exponent else "")
    return "" if unit in _GENERIC else unit


def _one(word: str) -> str:
    parts = word.split("/")
    if len(parts) > 1:
        return "/".join(_one(part) for part in parts)
    for name in (word, word.removesuffix("es"), word.removesuffix("s")):
        if name in _UNITS:
            return _UNITS[name][0]
    if word in _SHORT:
        return _SHORT[word]
    return word.removesuffix("s") if len(word) > 3 and not word.endswith("ss") else word


def conversion(gold: str, answer: str) -> Fraction | None:
    """How many `gold` units one `answer` unit is: 1 where one is missing, None where none fits."""
    if gold == answer or not gold or not answer:
        return Fraction(1)
    (one, power), (other, same) = _split(gold), _split(answer)
    if power != same or one not in _UNITS or other not in _UNITS:
        return None
    (_, kind, size), (_, other_kind, other_size) = _UNITS[one], _UNITS[other]
    return (other_size / size) ** power if kind == other_kind else None


def _split(unit: str) -> tuple[str, int]:
    name, _, power = unit.partition("^")
    return name, int(power or 1)
