"""A spreadsheet that opens the CSV files finds text and numbers there, and no formula."""

import csv
import gzip
import shutil
import subprocess

import pytest

from offline_rl.report import write_report
from offline_rl.report.build_report import build_report
from tests.helpers.small_report import evaluation, findings

openpyxl = pytest.importorskip("openpyxl")
OFFICE = shutil.which("soffice")
PAYLOADS = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "\x00=1+1",
    "\u202e=1+1",
    "\ufeff=1+1",
    "\x1b[31m=1+1",
    '"=1+1',
    '=HYPERLINK("http://x","y")',
    "=1+1;=1+1,=1+1",
    "＝1+1",
    "=DDE('x';'y';'z')",
    "-2+3+cmd|' /C calc'!D2",
    "{=1+1}",
]


def hostile(payload):
    """A report with the payload in every text that a table has."""
    samples = []
    for label, seed in (("base", None), (f"{payload}x", 0), (f"{payload}x", 1)):
        one = evaluation(label, seed, f"{payload}b", model=payload)
        one.grid["problem_id"] = payload + one.grid["problem_id"]
        one.grid["reason"] = one.grid["answer"] = payload
        samples.append(one)
    made = findings(*samples)
    made.training["reason"] = made.training["status"] = payload
    made.data["statistic"] = made.data["value"] = payload
    return build_report(made)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The text of every table of a report, by payload and file."""
    found = {}
    for number, payload in enumerate(PAYLOADS):
        folder = tmp_path_factory.mktemp(str(number))
        write_report(folder, hostile(payload), ("csv",))
        for path in sorted(folder.iterdir()):
            data = path.read_bytes()
            text = gzip.decompress(data) if path.suffix == ".gz" else data
            found[payload, path.name.partition(".")[0]] = text.decode()
    return found


def formulas(folder, files):
    """Cells of the files that LibreOffice takes for formulas, as openpyxl finds them."""
    subprocess.run(
        [
            *(OFFICE, "--headless", f"-env:UserInstallation=file://{folder}/profile"),
            *("--infilter=CSV:44,34,76,1", "--convert-to", "xlsx", "--outdir", folder),
            *map(str, files),
        ],
        check=True,
        capture_output=True,
        timeout=300,
    )
    found = []
    for file in files:
        sheet = openpyxl.load_workbook(folder / f"{file.stem}.xlsx").active
        cells = [cell for row in sheet.iter_rows() for cell in row]
        assert cells
        found += [f"{file.name} {cell.value!r}" for cell in cells if cell.data_type == "f"]
    return found


@pytest.mark.skipif(OFFICE is None, reason="LibreOffice is not installed: soffice")
def test_libreoffice_opens_every_table_without_a_formula(tmp_path, tables):
    folder = tmp_path / "sheets"
    folder.mkdir()
    files = []
    for (payload, name), text in tables.items():
        files.append(tmp_path / f"{name}-{PAYLOADS.index(payload)}.csv")
        files[-1].write_text(text, encoding="utf-8", newline="")
    # What the check is worth: the same text without the guard is a formula.
    naked = tmp_path / "naked.csv"
    naked.write_text("a,b\n=1+1,2\n")
    assert formulas(folder, [*files, naked]) == ["naked.csv '=1+1'"]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_cell_of_any_table_begins_like_a_formula(tables, payload):
    own = [text for (of, _), text in tables.items() if of == payload]
    assert len(own) == 10
    for text in own:
        cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
        numbers = [cell for cell in cells if cell[:1] in "+-" and cell[1:2].isdigit()]
        live = [cell for cell in cells if cell.lstrip().startswith(tuple("=+-@＝＋－＠"))]
        assert [cell for cell in live if cell not in numbers] == []
        assert all(float(cell) is not None for cell in numbers)
