"""tables.md and tables.tex tell what the other formats tell: tested pairs, caveats, signs."""

import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from eval.notes import Note
from offline_rl.report import training_table
from offline_rl.report.fairness import with_marks
from offline_rl.report.paper_tables import _literal, latex, markdown
from tests.helpers.full_report import RECORDS, make_report
from tests.helpers.policies import trial
from tests.helpers.reports import with_results, with_tables


def rows(text):
    """The cells of every row of Markdown tables, unescaped."""
    lines = [line for line in plain(text).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]


def plain(text):
    """Markdown or LaTeX without the escapes of signs."""
    return re.sub(r"\\(\W)", r"\1", text)


def test_tested_pairs_are_shown_primary_first_and_the_others_counted():
    report = make_report()
    families = report.pairwise["family"]
    assert families.iloc[0] == "secondary"
    others = int((families == "exploratory").sum())
    for text in (markdown(report), latex(report)):
        assert re.findall(r"(\w+) family", text) == ["primary", "secondary"]
        left_out = "Left out, and in pairwise.csv (format csv): "
        assert f"{left_out}{others} exploratory rows, of pairs" in plain(text)
    pairs = [
        (row[0], row[1], row[2]) for row in rows(markdown(report)) if row[1] in ("base", "rft")
    ]
    tested = report.pairwise[families != "exploratory"].sort_values("family", kind="stable")
    assert pairs == list(zip(tested["label"], tested["against"], tested["benchmark"], strict=True))


def test_the_tables_of_declared_pairs_alone_leave_nothing_out():
    report = make_report()
    tested = report.pairwise[report.pairwise["family"] != "exploratory"]
    assert "exploratory" not in markdown(with_tables(report, pairwise=tested))


def test_every_row_has_its_training_seeds_and_a_pair_the_budgets_that_differ():
    report = make_report()
    found = rows(markdown(report))
    assert [row[:2] for row in found if len(row) == 5 and row[0] not in ("label", "---")] == [
        ["base", "0"],
        ["dft", "2"],
        ["dpo", "2"],
        ["rft", "2"],
    ]
    pairs = {tuple(row[:3]): row[-2:] for row in found if len(row) == 8}
    assert pairs["dpo", "rft", "macro"] == ["2 / 2", "tokens"]
    assert pairs["dpo", "base", "macro"] == ["2 / 0", ""]
    assert pairs["dft", "rft", "hard"] == ["2 / 2", ""]
    assert "& 2 / 2 & tokens \\\\" in latex(report)
    for text in (markdown(report), latex(report)):
        assert text.count("seeds: training seeds") == 3
        assert plain(text).count("unequal: what the two had in amounts more than 5% apart") == 2


def test_trials_that_differ_are_marked_and_equal_budgets_take_no_column():
    trials = [trial(RECORDS[0], 0, 0.5)]
    report = make_report()
    tried = with_marks(report.pairwise, training_table(RECORDS, trials, model="m"))
    found = rows(markdown(with_tables(report, pairwise=tried)))
    marks = {tuple(row[:3]): row[-1] for row in found if len(row) == 8}
    assert marks["dft", "rft", "macro"] == "trials"
    assert marks["dpo", "rft", "macro"] == "tokens, trials"
    equal = with_tables(report, pairwise=report.pairwise.assign(budgets_that_differ=None))
    assert "unequal" not in markdown(equal) + latex(equal)


def test_names_that_look_like_numbers_stay_as_they_are():
    names = {"dft": "1e5", "dpo": "007", "easy": "0x1F", "hard": "nan"}
    report = make_report(lambda name: names.get(name, name))
    first = rows(markdown(report))
    assert first[0] == ["label", "seeds", "0x1F", "nan", "macro"]
    assert [row[0] for row in first[1:5]] == ["base", "007", "1e5", "rft"]
    assert "\n007 & 2 & " in latex(report)


def test_failures_budgets_and_notes_follow_the_tables():
    report = make_report()
    told = ["Missing: dpo, seed 1: the loss is nan at step 3", *map(str, report.notes)]
    assert len(told) > 3
    listed = plain(markdown(report)).split("\nNotes:\n\n")[1]
    assert listed == "".join(f"- {note}\n" for note in told)
    paragraphs = plain(latex(report)).split("\nNotes:\n\n")[1]
    assert paragraphs == "\n".join(f"{note}\n" for note in told)


@pytest.mark.parametrize(
    "note", ["---", "- - -", "1. one", "* * *", "# one", "=== ", "[a]: b", "%"]
)
def test_a_note_is_a_paragraph_whatever_it_begins_with(note):
    notes = (Note("data", note), Note("data", note))
    report = replace(with_results(make_report(), failures={}), notes=notes)
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown(report))
    last = max(n for n, token in enumerate(tokens) if token.type == "bullet_list_open")
    item = ["list_item_open", "paragraph_open", "inline", "paragraph_close", "list_item_close"]
    kinds = [token.type for token in tokens[last:]]
    assert kinds == ["bullet_list_open", *item * 2, "bullet_list_close"]
    assert tokens[-4].children[0].content == note.strip()
    ending = latex(report).split("\n\n")[-1].strip()
    assert not re.match(r"[\[*%#]", ending)


def test_numbers_have_a_minus_in_latex_and_names_keep_their_hyphen():
    report = make_report(lambda name: f"{name}-2")
    lowest = report.pairwise.query("family == 'primary'")["low_points"].min()
    assert lowest < 0
    text = latex(report)
    assert f"[}}$-${-lowest:.1f}, " in text
    assert not re.search(r"-\d+\.\d", text)
    assert re.search(r"^dft-2 & base & macro & ", text, re.M)
    assert "& easy-2 &" in text


@pytest.mark.parametrize("text", ["see @k", "see @k-hacker", "@pass@k"])
def test_no_sign_before_a_name_is_left_to_link(text):
    assert _literal(text).startswith(text.partition("@")[0] + "\\@")
    assert _literal("avg@16, pass@k") == "avg@16, pass@k"
