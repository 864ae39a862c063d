"""Writes a term so that math-verify's parser reads it as a mathematician does, or refuses it."""

import re

_GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda", "mu",
    "nu", "xi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta",
    "Lambda", "Pi", "Sigma", "Phi", "Psi", "Omega", "hbar", "ell",
}  # fmt: skip
FUNCTIONS = {
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
    "ln", "log", "exp",
}  # fmt: skip
_SYNTAX = {"frac", "sqrt", "pi", "cdot", "times", "binom", "infty", "lfloor", "rfloor", "lceil",
           "rceil", "gcd", "lcm", "max", "min"}  # fmt: skip
_TAKING = FUNCTIONS | {"frac", "sqrt", "binom", "gcd", "lcm", "max", "min"}
_ALLOWED = _GREEK | FUNCTIONS | _SYNTAX
_MATRIX = re.compile(r"\\(begin|end)\{([pbvVB]?matrix|array)\}(?:\{[clr|]*\})?")
_TOKEN = re.compile(
    r"\\(?:begin|end)\{[pbv]matrix\}|\\[A-Za-z]+|\\\\|\d+(?:\.\d*)?|\.\d+"
    r"|[A-Za-z]|[-+*/^_=!(){}\[\]|&,<> ]"
)
_MIXED = re.compile(r"(?<![\d.^_{])(\d+) ?\\frac\{(\d+)\}\{(\d+)\}(?!\^)")
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\^\{\\circ\}")
_DERIVATIVE = re.compile(
    r"\\frac\{d ?\\?[A-Za-z]*(?:_\{\w+\})?\}\{d ?[A-Za-z]\}|\\frac\{d\^|\\partial"
)
_PRIMES = re.compile(r"([A-Za-z])(_\{(\w+)\})?('+)")
_NAME = re.compile(r"(\\\\|\\(?:begin|end)\{\w+\}|\\[A-Za-z]+|[A-Za-z])(_\{(\w+)\})?")
_QUOTIENT = re.compile(
    r"(\d+)/(\d+)(?= ?(?:[A-Za-z(]|\\(?!cdot|times|end|\\|rfloor|rceil)[A-Za-z]))"
)
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")


def parsable(text: str) -> str | None:
    """The normal text with explicit products and exact decimals, None for what is no term.

    Only commands that are known here come through: text, operators, sums and derivatives do not.
    """
    if _DERIVATIVE.search(text):
        return None
    text = _MATRIX.sub(lambda m: rf"\{m[1]}{{{'v' if m[2] in ('vmatrix',) else 'p'}matrix}}", text)
    text = _THOUSANDS.sub(lambda m: m[0].replace(",", ""), text)
    text = _PRIMES.sub(lambda m: f"{m[1]}_{{{m[3] or ''}{'prime' * len(m[4])}}}", text)
    text = _NAME.sub(_marked, text)
    text = _DEGREES.sub(r"(\\frac{\1\\pi}{180})", text)
    text = _MIXED.sub(_mixed, text)
    text = re.sub(r"(?<=\d) ?(?=\\frac)", r"\\cdot", text)
    text = re.sub(r"\\cdot *(?=\\cdot)", "", text)
    if "matrix" not in text and (
        "&" in text or "," in re.sub(r"\\(?:gcd|lcm|max|min)\([^()]*\)", "", text)
    ):
        return None
    return _joined(text)


def other_readings(text: str) -> list[str]:
    """What a text may mean as well: (1/2)x for 1/2x, and natural logarithms for \\log."""
    found = [_QUOTIENT.sub(r"\\frac{\1}{\2}", text)] if _QUOTIENT.search(text) else []
    if re.search(r"\\log(?![_A-Za-z])", text):
        found.append(re.sub(r"\\log(?![_A-Za-z])", r"\\ln", text))
    return found


def lower_case(text: str) -> str:
    """The text with its variables in small letters."""
    return _NAME.sub(lambda m: m[0] if m[0].startswith("\\") else m[0].lower(), text)


def _marked(match: re.Match[str]) -> str:
    """The parser takes X for x: a capital becomes a small letter with an index of its own."""
    name, index = match[1], match[3]
    if name.startswith(r"\log") or (len(name) > 1 and not index):
        return match[0]
    index = re.sub("[A-Z]", lambda capital: f"cap{capital[0].lower()}", index or "")
    if name == "E":
        # Its small letter is a constant.
        return f"q_{{cape{index}}}"
    if name.isupper():
        return f"{name.lower()}_{{cap{index}}}"
    return f"{name}_{{{index}}}" if index else name


def _mixed(match: re.Match[str]) -> str:
    whole, top, bottom = match.groups()
    sign = "+" if int(top) < int(bottom) else r"\cdot"
    return f"({whole}{sign}\\frac{{{top}}}{{{bottom}}})"


def _joined(text: str) -> str | None:
    """Checks every sign, writes decimals as fractions, and puts a sign between factors."""
    made: list[str] = []
    position = 0
    last = ""
    opened: list[str] = []
    for match in _TOKEN.finditer(text):
        token = match[0]
        if match.start() != position:
            return None
        position = match.end()
        if token == " ":
            continue
        if token.isalpha() is False and token.startswith("\\") and not _known(token):
            return None
        number = token[0].isdigit() or token[0] == "."
        # The parser drops the index of a number.
        if (number and last == "number") or (token == "_" and last in ("number", ")", "}", "")):
            return None
        if (number and last in (")", "}")) or (
            token == "(" and last in (")", "number", "}", "constant")
        ):
            made.append(r"\cdot ")
        made.append(_exact(token) if number else token + (" " if token[0] == "\\" else ""))
        last = _after(token, number, last, opened)
    return "".join(made) if position == len(text) and not opened else None


def _known(token: str) -> bool:
    return token == "\\\\" or token.startswith((r"\begin", r"\end")) or token[1:] in _ALLOWED


def _after(token: str, number: bool, last: str, opened: list[str]) -> str:
    """What the token leaves behind: "}" and ")" and "number" are factors that are complete."""
    if token in "({[":
        # An argument in braces: after that of a power of a function, another one follows.
        opened.append("function" if last.startswith("function") else last)
        return "open"
    if token in ")}]":
        if not opened:
            opened.append("unbalanced")
            return ""
        kind = opened.pop()
        if token == "}":
            # After the index of a name, brackets hold what it is a function of.
            return {"function": "function", "_": "letter"}.get(kind, "}")
        return ")"
    if number:
        return "number"
    if token[:1] == "\\" and token[1:] in _TAKING:
        return "function"
    if token in "^_":
        return "function^" if last.startswith("function") else token
    if token in (r"\pi", "e"):
        return "constant"
    return "letter" if token.isalpha() else "other"


def _exact(number: str) -> str:
    whole, _, decimals = number.partition(".")
    if not decimals:
        return whole.lstrip("0") or "0"
    digits = (whole + decimals).lstrip("0") or "0"
    return f"\\frac{{{digits}}}{{1{'0' * len(decimals)}}}"
