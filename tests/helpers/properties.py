"""What the property tests draw from, and how a parser is asked."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

few = settings(max_examples=40, deadline=None)
many = settings(max_examples=100, deadline=None)
in_folder = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# What answers are made of, so that chance reaches further than the first sign.
PIECES = [
    *("\\boxed{", "}", "{", "\\frac", "\\sqrt", "$", "\\(", "\\)", "^", "_", "\\text{", "1", "2/3"),
    *("answer is ", "\n", "####", "</think>", "<|im_end|>", ",", "(", ")", "=", "\\pi", "x", "%"),
    *(
        "\\left",
        "\\right",
        "\\{",
        "[",
        "]",
        "\\cup",
        "\\infty",
        "-",
        "!",
        "e",
        "√",
        "½",
        "A.",
        "**",
    ),
    *(
        "\\begin{pmatrix}",
        "&",
        "\\\\",
        "\\end{pmatrix}",
        "\\binom",
        "°",
        "\x00",
        "\u202e",
        "٣",
        "²",
    ),
]
latex = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
texts = latex | st.text(max_size=80)
any_text = st.text(st.characters(), max_size=60)  # Halves of surrogate pairs as well.
cells = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text | latex,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=8,
)


def value_or(kinds, parse, *arguments):
    """The value, or None where the parser refuses in words of its own."""
    try:
        return parse(*arguments)
    except kinds as error:
        if not str(error).strip():
            raise
    return None
