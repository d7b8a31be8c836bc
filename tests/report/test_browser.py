"""The report in a real browser: it opens without a network, sorts, filters, steps through slices, and is accessible."""

import csv
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from axe_playwright_python.sync_playwright import Axe
from ellipsoids import HOSTILE, MISSED
from playwright.sync_api import Browser, Page, expect, sync_playwright

pytestmark = pytest.mark.browser

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    assert executable, "no Chromium: install one, or name it in the environment variable CHROMIUM"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, report_file: Path):
    """Open the report; whatever it writes to the console or asks the network for fails the test at its end."""
    contexts, complaints = [], []

    def open_it(fragment: str = "", *, width: int = 1280, scheme: str = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on(
            "request", lambda request: complaints.append(request.url) if is_foreign(request.url) else None
        )
        page.goto(report_file.as_uri() + fragment)
        page.wait_for_selector("#curves svg")
        return page

    def is_foreign(url: str) -> bool:
        return not url.startswith(("data:", report_file.as_uri()))

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []


def column(page: Page, table: str, number: int) -> list[str]:
    return [
        text.strip() for text in page.locator(f"{table} tbody tr td:nth-child({number})").all_inner_texts()
    ]


def leading_number(text: str) -> float:
    return float(text.split()[0])


def test_the_page_opens_with_its_plots_and_tables(open_page) -> None:
    page = open_page()
    assert page.title() == "ellipsoids: report of 4 runs"
    for plot in ("distribution", "differences", "curves"):
        assert page.locator(f"#{plot} svg.marks").count() == 1
    assert page.locator("#distribution svg .mark-symbol path").count() > 40
    assert page.locator("#case-table tbody tr").count() == 14


def test_a_click_sorts_a_table_by_its_numbers(open_page) -> None:
    page = open_page()
    table = "#table1-paper-means"
    assert column(page, table, 2)[:3] == ["Dice-CE", "HL", "GSL"]
    header = page.locator(f"{table} thead th").nth(2)
    header.click()
    expect(header).to_have_attribute("aria-sort", "ascending")  # a table sorts a moment after the click
    ascending = [leading_number(text) for text in column(page, table, 3)]
    assert ascending == sorted(ascending)
    header.locator(".dt-column-order").focus()
    page.keyboard.press("Enter")
    expect(header).to_have_attribute("aria-sort", "descending")
    assert [leading_number(text) for text in column(page, table, 3)] == ascending[::-1]


def test_cases_sort_by_number_and_not_by_text(open_page) -> None:
    page = open_page()
    page.locator("#metric").select_option(label="Hausdorff (mm)")
    header = page.locator("#case-table thead th").nth(5)
    for direction in ("ascending", "descending"):
        header.click()
        expect(header).to_have_attribute("aria-sort", direction)
    values = [text for text in column(page, "#case-table", 6) if text != "\N{EN DASH}"]
    numbers = [leading_number(text) for text in values]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] > 10 > numbers[-1]  # as text, 9 would come before 10


def test_filters_leave_what_they_ask_for(open_page) -> None:
    page = open_page()
    count = page.locator("#case-count")
    page.locator("#filter-case").fill("CASE_1")
    assert column(page, "#case-table", 1) == ["case_10", "case_11", "case_12"]
    assert count.inner_text() == "3 of 14 cases"
    page.locator("#filter-case").fill("")
    page.locator("#filter-fold").select_option("1")
    assert set(column(page, "#case-table", 2)) == {"1"}
    page.locator("#filter-fold").select_option("all")
    page.locator("#filter-empty").check()
    assert column(page, "#case-table", 1) == [MISSED]
    page.locator("#filter-empty").uncheck()
    page.locator("#metric").select_option(label="Hausdorff (mm)")
    page.locator("#filter-worst").fill("20")
    assert column(page, "#case-table", 1) == [MISSED]
    page.locator("#filter-case").fill("nothing like it")
    assert "No case is left by the filters" in page.locator("#case-table tbody").inner_text()


def test_the_download_holds_the_cases_that_the_filters_leave(open_page) -> None:
    page = open_page()

    def saved() -> list[dict[str, str]]:
        with page.expect_download() as download:
            page.locator("#download").click()
        return list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))

    assert len(saved()) == (3 * 14 + 6) * 2  # cases of the runs that have them, regions
    page.locator("#filter-empty").check()
    rows = saved()
    assert {row["case"] for row in rows} == {MISSED}
    assert {row["region"] for row in rows} == {"Organ", "Lesion"}
    empty = {row["run"] for row in rows if row["prediction_empty"] == "true"}
    assert empty == {row["run"] for row in rows if float(row["prediction_ml"]) == 0} == {"GSL"}
    assert {row["reference_empty"] for row in rows} == {"false"}


def test_a_number_tells_its_statistics_to_mouse_and_keyboard(open_page) -> None:
    page = open_page()
    value = page.locator("#table1-paper-means .value").first
    tip = page.locator("#tip")
    assert tip.is_hidden()
    value.hover()
    assert "median" in tip.inner_text()
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    value.focus()
    assert "quartiles" in tip.inner_text()
    assert "median" in page.locator(f"[id='{value.get_attribute('aria-describedby')}']").text_content()


def test_keys_step_through_the_slices(open_page) -> None:
    page = open_page("#case=case_10&region=Organ&plane=axial&slice=11")
    picture = lambda: page.locator("#slice-image").get_attribute("src")  # noqa: E731
    outline = lambda: page.locator("#slice-outlines path.reference").get_attribute("d")  # noqa: E731
    before = picture(), outline()
    assert before[1].startswith("M")
    page.locator("#slice").focus()
    page.keyboard.press("ArrowRight")
    after = picture(), outline()
    assert after[0] != before[0]
    assert after[1] != before[1]
    assert page.locator("#picture-label").inner_text() == "Axial slice 12 of 20"
    assert page.locator("#slice").get_attribute("aria-valuetext") == "12 of 20"
    page.locator("#picture").focus()
    page.keyboard.press("ArrowLeft")
    assert (picture(), outline()) == before
    expect(page).to_have_url(re.compile("slice=11"))


def test_outlines_can_be_taken_away_and_planes_be_changed(open_page) -> None:
    page = open_page("#case=case_10&region=Lesion&plane=axial&slice=11")
    outlines = page.locator("#slice-outlines path")
    assert outlines.count() == 5
    page.get_by_role("checkbox", name="Dice-CE").uncheck()
    assert outlines.count() == 4
    before = page.locator("#slice-image").get_attribute("src")
    page.locator("#viewer-plane").select_option("coronal")
    assert page.locator("#slice-image").get_attribute("src") != before
    assert page.locator("#slice-image").get_attribute("alt").startswith("case_10, coronal slice ")
    expect(page).to_have_url(re.compile("plane=coronal"))
    expect(page).to_have_url(re.compile("off=0"))


def test_a_link_opens_its_case(open_page) -> None:
    page = open_page(f"#case={quote_plus(HOSTILE)}")
    assert page.locator("#viewer-case").input_value() == HOSTILE
    assert page.locator("#viewer-table-caption").inner_text() == f"{HOSTILE}, Organ"
    assert page.locator("#viewer-title").is_visible()
    page.locator("#case-table a", has_text="case_05").click()
    assert page.locator("#viewer-table-caption").inner_text() == "case_05, Organ"


def test_a_point_leads_to_its_case(open_page) -> None:
    page = open_page()
    page.locator("#metric").select_option(label="Hausdorff (mm)")
    page.wait_for_timeout(300)
    outlier = page.evaluate(
        """() => [...document.querySelectorAll('#distribution .mark-symbol path')]
            .map((path, place) => [path.getBoundingClientRect().x, place]).sort((a, b) => b[0] - a[0])[0][1]"""
    )
    page.locator("#distribution .mark-symbol path").nth(outlier).click()
    assert page.locator("#viewer-case").input_value() == MISSED
    expect(page).to_have_url(re.compile("case_03"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(open_page, scheme: str) -> None:
    page = open_page(width=360, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_against_wcag_aa(open_page, scheme: str) -> None:
    page = open_page(scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(background[4:].split(",")[0]) < 64) == (scheme == "dark")
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
    found = Axe().run(page, options=options).response["violations"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found] == []


def test_the_theme_can_be_chosen(open_page) -> None:
    page = open_page(scheme="light")
    page.locator("#theme").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"
