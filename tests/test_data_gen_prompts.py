"""Prompts: what the model is given, with hostile problem text taken letter by letter."""

import subprocess
import sys

import pytest
from transformers import AutoTokenizer

from data_gen.prompts import check_style, encode, render
from data_gen.types import DataError, Problem

HOSTILE = r"{problem} {0} {{x}} {self.__class__} {% raw %} {{ 7*7 }} %s \1 $x$ é"

TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}</{{ message.role }}>"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def tokenizer(random_model):
    return AutoTokenizer.from_pretrained(random_model)


@pytest.fixture
def chat_tokenizer(tokenizer):
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def problem(text):
    return Problem("p", text, "1")


@pytest.mark.parametrize("text", ["1+1", HOSTILE])
def test_every_style_holds_the_problem_letter_by_letter(chat_tokenizer, text):
    boxed = r"Please reason step by step, and put your final answer within \boxed{}."
    expected = {
        "raw": text,
        "Q: {problem}\nA: {": f"Q: {text}\nA: {{",
        "chat": f"<user>{text}</user><assistant>",
        "qwen-boxed": "<system>You are a helpful assistant.</system>"
        f"<user>{text}\n{boxed}</user><assistant>",
    }
    for style, prompt in expected.items():
        assert render(problem(text), style, chat_tokenizer) == prompt
        tokens = encode(problem(text), style, chat_tokenizer)
        assert chat_tokenizer.decode(tokens) == prompt


def test_unknown_styles_and_missing_chat_templates_are_refused(tokenizer):
    with pytest.raises(DataError, match="'chats' is neither one of raw, chat, qwen-boxed nor"):
        check_style("chats")
    for style in ("chat", "qwen-boxed"):
        assert check_style(style) == style
        with pytest.raises(DataError, match="needs a chat template"):
            render(problem("1+1"), style, tokenizer)


def test_a_template_that_refuses_the_system_role_says_so(tokenizer):
    tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(DataError, match=r"'qwen-boxed': .*System role not supported"):
        render(problem("1+1"), "qwen-boxed", tokenizer)


def test_special_tokens_are_added_once(chat_tokenizer):
    """A chat template writes its own; a tokenizer that begins texts with one must not add it."""
    from tokenizers.processors import TemplateProcessing

    eos = chat_tokenizer.eos_token
    begin = TemplateProcessing(single=f"{eos} $A", special_tokens=[(eos, 0)])
    chat_tokenizer.backend_tokenizer.post_processor = begin
    chat_tokenizer.chat_template = "{{ eos_token }}" + TEMPLATE
    assert encode(problem("x"), "raw", chat_tokenizer).count(0) == 1
    assert encode(problem("x"), "chat", chat_tokenizer).count(0) == 1


def test_importing_the_package_is_free_of_heavy_libraries():
    code = (
        "import sys\n"
        "from data_gen import verify, collect, load_problems, load_rollouts\n"
        "heavy = {'torch', 'transformers', 'vllm', 'datasets', 'pandas', 'pyarrow', 'numpy',\n"
        "         'scipy', 'sympy', 'httpx'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-P", "-W", "error", "-c", code], check=True)
