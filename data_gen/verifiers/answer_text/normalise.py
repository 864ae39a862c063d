"""One way of writing for what TeX, Unicode and plain text write in many: strings to strings."""

import re
import unicodedata

from data_gen.verifiers.answer_text.boxed import braced

_SIGNS = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "×": r"\times ", "·": r"\cdot ",
    "⋅": r"\cdot ", "∙": r"\cdot ", "•": r"\cdot ", "÷": "/", "≤": r"\le ", "≥": r"\ge ",
    "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "∞": r"\infty ", "∪": r"\cup ",
    "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "±": r"\pm ", "∓": r"\mp ",
    "°": r"^{\circ}", "º": r"^{\circ}", "′": "'", "’": "'", "…": r"\ldots ", "ℝ": r"\mathbb{R}",
    "∖": r"\setminus ", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ",
    "⟨": r"\langle ", "⟩": r"\rangle ", "∠": r"\angle ", "∶": ":", "﹣": "-",
    "¢": r"\text{ cents}", "∛": r"\sqrt[3]",
}  # fmt: skip
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta",
    "η": "eta", "θ": "theta", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi",
    "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "ϕ": "phi", "χ": "chi",
    "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda",
    "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
_TABLE = str.maketrans(_SIGNS | {sign: f"\\{name} " for sign, name in _GREEK.items()})
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_FRACTION = re.compile("(\\d+)⁄(\\d+)")

_GONE = {
    "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl",
    "biggr", "Biggl", "Biggr", "displaystyle", "textstyle", "scriptstyle", "limits", "nolimits",
    "bf", "rm", "it", "boldmath", "hfill", "phantom", "mathstrut", "strut", "allowbreak",
}  # fmt: skip
_RENAMED = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom",
    "leq": "le", "leqslant": "le", "geq": "ge", "geqslant": "ge", "neq": "ne", "ast": "cdot",
    "lbrace": "{", "rbrace": "}", "lvert": "|", "rvert": "|", "vert": "|", "lbrack": "[",
    "rbrack": "]", "varnothing": "emptyset", "infin": "infty", "dots": "ldots", "cdots": "ldots",
    "dotsc": "ldots", "dotsb": "ldots", "lt": "<", "gt": ">", "simeq": "approx", "degree": "circ",
    "colon": ":", "div": "/", "bar": "overline", "smallsetminus": "setminus", "union": "cup",
    "arcctg": "arccot", "tg": "tan", "ctg": "cot", "land": "wedge", "lor": "vee",
    "varphi": "phi", "vartheta": "theta", "varepsilon": "epsilon", "lnot": "neg",
}  # fmt: skip
_WORDS = {"text", "mbox", "hbox", "textnormal", "textrm", "textbf", "textit", "textsf", "emph",
          "texttt", "textsc", "mathrm", "operatorname", "mathbf", "mathit", "mathsf", "mathtt",
          "boldsymbol", "bm", "pmb", "mathcal", "mathnormal", "textup"}  # fmt: skip
_FUNCTIONS = {
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh",
    "tanh", "ln", "log", "exp", "gcd", "lcm", "max", "min",
}  # fmt: skip
_TOKEN = re.compile(r"\\[A-Za-z]+\*?|\\.|.", re.DOTALL)
_THOUSANDS = re.compile(
    r"(?<=\d)(?:\{,\}|,\s*\\!\s*|\\[,;:!]\s*|\\ |~|[\u2009\u202f\u00a0])(?=\d{3}(?!\d))"
)
_E_NOTATION = re.compile(r"(?<![A-Za-z\\\d.])((?:\d+\.?\d*|\.\d+))[eE]([+-]?\d+)(?!\d|\.\d)")
_E_IN_TEXT = re.compile(
    r"(?<=\d)\s*\\(?:text|mathrm)\{\s*[eE]\s*([+-]?)\s*\}\s*\{?\s*([+-]?\d{1,6})\}?"
)
_DECORATION = re.compile(
    r"\\(?:underline|uline)\s*(?=\{)|\\(?:text)?color\s*\{[a-zA-Z]{1,20}\}"
    r"|\\[hv]space\*?\s*\{[^{}]{1,20}\}"
)
_ENVIRONMENT = re.compile(
    r"\s*\\begin\{(aligned|align|gathered|equation|split|array)(\*?)\}(?:\{[clr]\})?(.*)"
    r"\\end\{\1\2\}\s*",
    re.DOTALL,
)
_QUAD_BETWEEN = re.compile(r"(?<=[\w})])\s*\\q?quad\s*(?=[a-zA-Z](?:_\w)?\s*=)")
_QUOTED = re.compile(r"\s*([\"`]|\*\*)([^\"`*]+)\1\s*")
_EMPTY_BRACKET = re.compile(r"\\(?:left|right|[bB]igg?[lr]?)\s*\.(?!\d)")
_UNIT_FRACTION = re.compile(
    r"\\frac\s*\{\s*\\text\s*\{([^{}]*)\}\s*\}\s*\{\s*\\text\s*\{([^{}]*)\}(\^\d)?\s*\}"
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?=\{)")


_TEXT_GROUP = re.compile(r"(\\text\{[^{}]*\})")
_PLAIN_NAME = re.compile(
    r"(?<![\\A-Za-z])(sqrt|arcsin|arccos|arctan|sin|cos|tan|cot|log|ln|exp|pi)"
    r"(?![A-Za-z])"
)


def normal(text: str) -> str:
    """The text in the one way of writing that the other modules read.

    Fonts, spacing, sizes and dollar signs go; Unicode signs become commands; every argument of
    \\frac, \\sqrt, ^ and _ has braces; e-notation is written as a power of ten; a full stop at the
    end goes. Words stay in \\text{...}. The value is never changed.
    """
    quoted = _QUOTED.fullmatch(text)
    text = _plain_signs(quoted[2] if quoted else text)
    text = _DECORATION.sub(" ", text)
    text = _without_environment(_EMPTY_BRACKET.sub(" ", text)).replace("{:}", ":")
    text = _QUAD_BETWEEN.sub(";", text)
    text = _E_IN_TEXT.sub(r"e\1\2", text)
    text = _THOUSANDS.sub("", text)
    text = _commands(text)
    text = text.replace("...", r"\ldots ").replace("**", "^")
    text = re.sub(r"(?<=\d)\s*[xX*]\s*(?=10\s*\^)", r"\\times ", text)
    text = re.sub(r"(?<=\d)\s*\*\s*", r"\\cdot ", text)
    text = _E_NOTATION.sub(_power_of_ten, text)
    text = "".join(
        part if number % 2 else _arguments(_PLAIN_NAME.sub(r"\\\1 ", part))
        for number, part in enumerate(_TEXT_GROUP.split(text))
    )
    # "3, 100" is a list; "3,100" is a number.
    text = re.sub(r"(?<=\d),\s+(?=\d{3}(?!\d)|\d{1,3},\d{3}(?!\d))", ";", text)
    text = _spaces(text)
    text = _ends(text)
    return r"\emptyset" if text == r"\{\}" else text


def _without_environment(text: str) -> str:
    """One line alone needs no environment around it."""
    match = _ENVIRONMENT.fullmatch(text)
    if match is None or r"\\" in match[3] or (match[1] == "array" and "&" in match[3]):
        return text
    return match[3].replace("&", "")


def _plain_signs(text: str) -> str:
    text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+", lambda m: f"^{{{m[0].translate(_RAISED)}}}", text)
    text = re.sub("[₀₁₂₃₄₅₆₇₈₉]+", lambda m: f"_{{{m[0].translate(_LOWERED)}}}", text)
    text = re.sub("√ *(\\d+|[A-Za-z])", r"\\sqrt{\1}", text)
    text = re.sub("√ *\\(([^()]*)\\)", r"\\sqrt{\1}", text).replace("√", r"\sqrt ")
    text = text.translate(_TABLE)
    text = unicodedata.normalize("NFKC", text) if not text.isascii() else text
    text = _FRACTION.sub(r"\\frac{\1}{\2}", text).translate(_TABLE)
    return "".join(c for c in text if c.isascii() or unicodedata.category(c) not in ("Cf", "Cc"))


def _commands(text: str) -> str:
    """Takes out what only sets the type, and gives every command its one name."""
    text = re.sub(r"(?<!\\)\$", " ", _BOX.sub("", text))
    tokens = _TOKEN.findall(text)
    made: list[str] = []
    for number, token in enumerate(tokens):
        name = token[1:].rstrip("*") if token.startswith("\\") else ""
        if not name:
            made.append(" " if token in "~\n\t\r" else token)
        elif name in _GONE:
            made.append(" ")
        elif name in _WORDS:
            made.append(
                r"\text" if "".join(tokens[number + 1 : number + 3]).lstrip()[:1] == "{" else " "
            )
        elif name in ",;:! ()" or name in "[]" or name in ("quad", "qquad", "thinspace", "enspace"):
            made.append("" if name == "!" else " ")
        elif name in _RENAMED:
            new = _RENAMED[name]
            made.append(new if new in "|<>[]:/" else f"\\{new}" + (" " if new.isalpha() else ""))
        else:
            made.append(token)
    return _texts(_UNIT_FRACTION.sub(r"\\text{\1/\2\3}", "".join(made)))


_TEXT = re.compile(r"\\text\s*(?=\{)")


def _texts(text: str) -> str:
    """A letter or a number set as text is that letter or number; \\text{sin} is a function."""
    made: list[str] = []
    done = 0
    for match in _TEXT.finditer(text):
        if match.start() < done:
            continue
        content, end = braced(text, match.end())
        if content is None:
            break
        inner = re.sub(r"\\text\s*\{([^{}]*)\}|\\text", r"\1", content)
        made.append(text[done : match.start()])
        bare = inner.strip()
        if bare in _FUNCTIONS:
            made.append(f"\\{bare} ")
        elif re.fullmatch(r"[-+]?[\d.,/ ]*\d|[=,;]", bare):
            made.append(f" {bare} ")
        elif re.fullmatch(r"\s*[mgshJNWVAKLCT]\s*", inner) and _is_unit(made[-1], text[end:]):
            made.append(f"\\text{{ {bare}}}")
        elif re.fullmatch(r"[A-Za-z]", inner) and not _alone(text, match.start(), end):
            made.append(f"{{{inner}}}" if made[-1].rstrip()[-1:] in "^_" else f" {inner} ")
        else:
            made.append(f"\\text{{{inner}}}")
        done = end
    return "".join(made) + text[done:]


def _is_unit(before: str, after: str) -> bool:
    """Whether an upright letter stands after a number, at the end or under another unit."""
    return before.rstrip()[-1:].isdigit() or bool(
        before.rstrip().endswith("}") and re.match(r"[\s.]*$|/|\^", after)
    )


def _alone(text: str, start: int, end: int) -> bool:
    return not (text[:start] + text[end:]).strip(" .,()")


def _power_of_ten(match: re.Match[str]) -> str:
    return f"{match[1]}\\times 10^{{{int(match[2]) if len(match[2]) < 9 else match[2]}}}"


def _arguments(text: str) -> str:
    """Writes \\frac12 as \\frac{1}{2}, \\sqrt3 as \\sqrt{3} and 2^10 as 2^{10}."""
    text = re.sub(r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac\s*(\d|[A-Za-z])\s*(?=\{)", r"\\frac{\1}", text)
    text = re.sub(r"\\frac\s*(\{[^{}]*\})\s*(\d|[A-Za-z])", r"\\frac\1{\2}", text)
    text = re.sub(r"\\frac\s+([a-zA-Z\d])\s*([a-zA-Z\d])", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\sqrt\s*(\[[^\[\]]*\])?\s*(\d+(?:\.\d+)?|[A-Za-z])", r"\\sqrt\1{\2}", text)
    text = re.sub(r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"\^\s*\\prime\b|\^\s*\{\s*\\prime\s*\}", "'", text)
    text = re.sub(r"\^\s*\\circ\b|\^\s*\{\s*\\circ\s*\}|\\circ\b(?=\s*$)", r"^{\\circ}", text)
    text = re.sub(
        r"\^\s*(-?\d+(?:\.\d+)?|[A-Za-z]|\\[A-Za-z]+(?![A-Za-z{]))(?!\s*\{)", r"^{\1}", text
    )
    text = re.sub(r"\^\s*\(([^()]{1,40})\)", r"^{\1}", text)
    return re.sub(r"_\s*(\d+|[A-Za-z])", r"_{\1}", text)


def _spaces(text: str) -> str:
    """Keeps a space only between words, numbers and commands that would run together."""
    parts = _TEXT_GROUP.split(re.sub(r"\s+", " ", text))
    for number in range(0, len(parts), 2):
        part = re.sub(r" (?![A-Za-z\d.])|(?<![A-Za-z\d.]) ", "", parts[number])
        parts[number] = re.sub(r"(\\[A-Za-z]+) (?=\d)", r"\1 ", part)
    return "".join(parts).replace(r"\text{}", "")


def _ends(text: str) -> str:
    """Without braces around it all, and without the full stop of a sentence."""
    content: str | None = text
    while content is not None:
        text = content.strip().lstrip(",;:").strip()
        while text.endswith((".", ",", ";", ":")) and text[-2:-1] != "\\":
            text = text[:-1].rstrip()
        text = text.rstrip("\\").strip() if text.endswith("\\") else text
        content, end = braced(text, 0) if text.startswith("{") else (None, 0)
        content = content if end == len(text) else None
    return text
