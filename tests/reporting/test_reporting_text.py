"""LaTeX that compiles, and what the terminal shows."""

import re
from dataclasses import replace
from pathlib import Path

from fake_runs import MINUS, NO_PAPER, NOTHING, PAPER, QUICK, run_result, written

from gsl_experiments.reporting import files_text, gather_tables, tables_text
from gsl_experiments.validation import Exclusion


def test_latex_is_a_booktabs_table_with_escapes(tmp_path):
    results = [
        run_result("dl", regions=("A_b & 5%",)),
        run_result(regions=("A_b & 5%",), folds=(1,)),
        run_result("hl", regions=("A_b & 5%",)),
    ]
    text = written(tmp_path, results)["phantom/table1.tex"]
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    header, *rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text).group(1)
    for line in (header, *rows):
        assert len(re.split(r"(?<!\\)&", line)) == len(columns) == 9
    assert r"Dice $\uparrow$ & Hausdorff 95 (mm) $\downarrow$" in header
    assert rows[0].startswith(r"phantom & A\_b \& 5\% & DL & \textbf{0.8500 (0.0500)} & ")
    assert body.count(r"\midrule") == 1
    assert r"\label{tab:phantom-table1-protocol-paper}" in text
    for special in "_&%#":
        outside_comments = re.sub(r"^%.*|(?<!\\)%$", "", text, flags=re.MULTILINE).replace(body, "")
        assert not re.search(rf"(?<!\\){special}", outside_comments), special


def test_latex_brackets_do_not_become_arguments_of_a_line_break(tmp_path):
    text = written(tmp_path, [run_result(dataset="lits")], paper=PAPER)["lits/table2.tex"]
    assert "0.9302 (0.1075) {[}$-$0.0802{]}" in text
    assert "[" not in re.sub(r"\{\[\}", "", text)


def test_latex_of_statistics_has_no_sign_that_text_mode_prints_as_another(tmp_path):
    many = [((0.5 + index / 100), 3.0 + index) for index in range(30)]
    worse = [(dice - 0.1, hd95_mm + 1) for dice, hd95_mm in many]
    text = written(tmp_path, [run_result("dice_ce", values=many), run_result(values=worse)])
    body = re.sub(r"^%.*|(?<!\\)%$", "", text["phantom/statistics.tex"], flags=re.MULTILINE)
    assert "$<$0.001" in body
    assert not re.search(r"(?<!\$)[<>|]", body)
    assert (
        r"\caption{Statistics, phantom, Table 1: losses, protocol paper: Liver, tests against Dice-CE.}"
        in body
    )
    assert r"\caption{Losses, phantom, protocol paper.}" in text["phantom/table1.tex"]
    assert body.isascii()


def test_latex_of_a_table_without_rows_is_a_comment(tmp_path):
    text = written(tmp_path, [run_result()])["phantom/statistics.tex"]
    assert all(line.startswith("%") or not line for line in text.splitlines())
    assert "nothing to compare. No tests: there is no run dice_ce of protocol paper" in text


def shown(results, *, paper=NO_PAPER, settings=QUICK):
    return tables_text(gather_tables(results, paper=paper, settings=settings))


def test_the_terminal_shows_the_tables_that_have_rows_in_aligned_columns():
    text = shown(
        [run_result(schedule="step5"), run_result(schedule="cosine", values=((0.7, 4.0), (0.7, 5.0)))]
    )
    title, header, step5, cosine, best, *_ = text.splitlines()
    assert title == "phantom, Table 2: schedules of the GSL, protocol paper"
    assert re.split(r" {2,}", header.strip())[:3] == ["Task", "Schedule", "Dice ↑"]
    assert re.split(r" {2,}", step5.strip()) == [
        "Liver",
        "Step - 5",
        "0.8500 (0.0500)*",
        "5.0000 (1.0000)",
        "2.5000 (0.5000)",
        "2/2",
    ]
    assert step5.index("0.8500") == cosine.index("0.7000") == header.index("Dice")
    assert best == "  * best mean of a task."
    assert shown([]) == "No run has been trained yet.\n"


def test_the_terminal_compares_with_the_paper_and_the_baseline():
    values = [(0.90 + index / 1000, 9.0) for index in range(8)]
    better = [(dice + 0.02 + index / 1000, 8.0) for index, (dice, _) in enumerate(values)]
    text = shown(
        [run_result("dice_ce", dataset="lits", values=values), run_result(dataset="lits", values=better)],
        paper=PAPER,
    )
    # Mean Dice 0.9035 + 0.02 + 0.0035 = 0.927; the paper's is 0.9302. 8 - 8.9046 = -0.9046.
    assert f"[{MINUS}0.0032]" in text
    assert f"8.0000 (0.0000)* [{MINUS}0.9046]" in text
    assert re.search(
        rf"^ *Liver *DL *{NOTHING} *{NOTHING} *{NOTHING} *{NOTHING} *not run$", text, re.MULTILINE
    )
    # All eight cases are better: p = 2 / 256 = 0.0078, and there is one comparison.
    tests = text[text.index("Against Dice-CE") :]
    assert "+0.0235 (0.008, better)" in tests
    assert f"{MINUS}1.0000 (0.008, better)" in tests


def test_the_terminal_names_what_the_means_do_not_hold():
    left_out = Exclusion(3, {"case_9": ["volume-9.nii: cut off"]})
    text = shown([replace(run_result(empty=(0,)), exclusion=left_out), run_result("dl", folds=(1,))])
    for words in ("1 of 2 cases have an empty mask", "Excluded from the dataset", "incomplete: 1/2 folds"):
        assert words in text
    assert "No tests: there is no run dice_ce of protocol paper" in text


def test_the_files_stand_on_a_line_a_folder():
    files = [Path("out/a", name) for name in ("table1.md", "table1.csv", "provenance.json")]
    assert files_text([*files, Path("out/b/table1.md")]) == (
        "Written:\n  out/a: table1.{md,csv}, provenance.json\n  out/b: table1.md"
    )
