"""Texts that would act as a formula, markup, an escape sequence, a path or a program."""

import csv
import gzip
import io
import json
import re
import unicodedata
from html.parser import HTMLParser

from markdown_it import MarkdownIt
from typer.testing import CliRunner

from offline_rl.cli import app

PAYLOADS = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3+cmd|' /C calc'!D2",
    "@SUM(1+1)",
    "\t=1+1",
    "\r\n=1+1",
    '=HYPERLINK("http://x","y")',
    "＝1+1",
    "<script>alert(1)</script>",
    "</script></style></title><script>alert(2)</script>",
    "<img src=x onerror=alert(3)>",
    '" onmouseover="alert(4)',
    "' onfocus='alert(5)' autofocus='",
    "[x](javascript:alert(6)) ![y](http://e.example/z) <http://e.example> www.e.example @someone",
    "--- \n---\nlicense: evil\n---\n# heading\n| a | b |\n| - | - |\n```\n~~~\n",
    "\\input{/etc/passwd}\\write18{id} $x_1$ ^^41 % # & ~ {",
    "\x1b[2J\x1b]0;title\x07\x9b31m\x1b]8;;http://e.example\x1b\\link\x1b]8;;\x1b\\",
    "\u202egnp\u2066\u200f\u200b\ufeff\u2028\u2029\x85",
    "a\x00b\x08\x7f\x0b\x0c\r",
    "[bold red]rich[/] [link=http://e.example]x[/link] :smile:",
    "{0.__class__.__mro__} {self} {problem} {",
    "%s%n%x%99999d %(name)s",
    "../../../x",
    "/tmp/absolute",
    "..\\..\\x.partial",
    "{{7*7}}{% include '/etc/passwd' %}{# #}",
    "${7*7} $(id) `id` ; id | id && id #{7*7}",
    "x" * 20_000,
    "&lt;script&gt; &#60;b&#62; \\u003cb\\u003e",
    "!!python/object/apply:os.system [id]",
    "*alias &anchor <<: [a, {b: c}]",
]
# Python holds it, and no file can: it is refused wherever it comes from outside.
HALF = "a\ud800b"


def inert(text):
    """Whether a terminal shows the text as it is: no control, bidi or format character in it."""
    steering = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return steering.isdisjoint(unicodedata.category(sign) for sign in set(text) - {"\n"})


def cells(path):
    """All cells of a CSV file, packed or not."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return [cell for row in csv.reader(io.StringIO(text)) for cell in row]


def formulas(path):
    """The cells that some spreadsheet would reckon with, numbers aside."""
    live = [cell for cell in cells(path) if cell.lstrip().startswith(tuple("=+-@＝＋－＠"))]
    return [cell for cell in live if not re.fullmatch(r"[+-][\d.]+(e[+-]?\d+)?", cell, re.I)]


class _Structure(HTMLParser):
    def __init__(self):
        super().__init__()
        self.attributes = set()
        self.addresses = set()
        self.scripts = 0

    def handle_starttag(self, tag, attributes):
        self.scripts += tag == "script"
        self.attributes |= {(tag, "")} | {(tag, name) for name, _ in attributes}
        self.addresses |= {v for name, v in attributes if name in ("href", "src", "xlink:href")}


def structure(html):
    """Tags with their attributes, addresses, and the number of scripts."""
    found = _Structure()
    found.feed(html)
    return found


def live_markdown(text):
    """What of a Markdown text is more than text and tables: HTML, links, code, addresses."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    inner = [child for token in tokens for child in (token.children or [])]
    kinds = {token.type for token in (*tokens, *inner)}
    acting = {one for one in kinds if re.match(r"html|link|image|code|fence|hr|em_|strong_", one)}
    return acting | set(re.findall(r"(?i)\w+:(?=//)|javascript:|(?<!\w)www\.|(?<![\w\\])@\w", text))


def command(*arguments):
    """Exit code and everything printed by the real command, its entry point included."""
    runner = CliRunner()
    done = runner.invoke(app.app, [str(one) for one in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def write_rows(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
