"""The page in a browser: contents in sight, tables that sort, lines that stand out, and everything within reach on a phone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import PROGRAM, PROGRAMS, Browser
from pages import METHODS, lay_out
from shifted_rows import shifted_and_foreign_rows, store_shifted_rows
from test_report import params

from confidnet_core.reporting.palette import CORRECT_PREDICTION_COLOUR, DARK_PAGE_COLOURS, PALETTE
from confidnet_core.reporting.report import write_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason=f"the page is looked at in a browser: one of {', '.join(PROGRAMS)} on the PATH"),
]
TABLE = "document.querySelector('#letters .sortable table')"
COLUMN = f"[...{TABLE}.tBodies[0].rows].map((row) => row.cells[{TABLE}.querySelector('th.headline').cellIndex].textContent.trim())"
CURVES = "document.querySelector('#letters .chart.wide')"
LINES = f"{CURVES}.querySelector('.plot').data.map((line) => line.line)"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        draw = np.random.default_rng(0)
        lay_out("letters", draw.integers(0, 3, 80), (0, 1))
        lay_out("streets", draw.integers(0, 4, (80, 6, 8)), (0, 1), void=3)
        store_shifted_rows(shifted_and_foreign_rows(list(METHODS), (0, 1)))
        write_report(params(METHODS, run=("letters", "streets"), seeds=(0, 1)), root / "reports")
    return root / "reports/index.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(autouse=True)
def _no_script_fails(browser: Browser) -> Iterator[None]:
    yield
    assert not browser.problems


def click(browser: Browser, element: str) -> None:
    browser.run(f"{element}.click()")


def draw_curves(browser: Browser) -> None:
    browser.run(f"{CURVES}.scrollIntoView({{block: 'center'}})")
    browser.wait(lambda: browser.run(f"!!{CURVES}.querySelector('.plot .scatterlayer .trace')"))


@pytest.mark.parametrize("width", [1400, 390])
def test_the_contents_stay_in_sight_and_nothing_is_wider_than_the_screen(browser: Browser, page: Path, width: int):
    browser.open(page, "streets-trainings", width)
    browser.wait(lambda: browser.run("window.scrollY") > 500)
    assert browser.run("document.querySelector('nav.contents').getBoundingClientRect().top") == 0
    browser.wait(lambda: browser.run("document.querySelector('.here').textContent") == "streets: Trainings")
    assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_the_contents_are_a_menu_on_a_phone_that_closes_behind_a_choice(browser: Browser, page: Path):
    browser.open(page, width=390)
    entry = "document.querySelector('nav a[href=\"#letters-scores\"]')"
    assert not browser.run(f"{entry}.checkVisibility()")
    click(browser, "document.querySelector('nav summary')")
    assert browser.run(f"{entry}.checkVisibility()")
    click(browser, entry)
    browser.wait(lambda: not browser.run(f"{entry}.checkVisibility()"))
    assert browser.run("document.getElementById('letters-scores').open")


def test_what_an_address_names_is_unfolded_and_the_rest_stays_folded(browser: Browser, page: Path):
    browser.open(page, "letters-scores")
    opened = "[...document.querySelectorAll('main details[open]')].map((fold) => fold.id)"
    browser.wait(lambda: browser.run(opened) == ["letters-scores"])
    browser.wait(lambda: browser.run("document.querySelectorAll('#letters-scores .plot').length") > 0)


def test_everything_is_unfolded_and_drawn_for_a_printer(browser: Browser, page: Path):
    browser.open(page)
    browser.wait(lambda: browser.run("'Plotly' in window"))
    unfolded = "document.querySelectorAll('main details:not([open])').length"
    folded = browser.run(unfolded)
    browser.run("window.addEventListener('beforeprint', () => { window.left = [" + unfolded + ", "
                "document.querySelectorAll('.chart:not(:has(.plot svg))').length]; })")  # fmt: skip
    browser.print()
    assert browser.run("window.left") == [0, 0]
    assert folded == browser.run(unfolded) > 10


def test_a_table_sorts_by_a_click_best_first_then_the_other_way_the_oracle_last(browser: Browser, page: Path):
    browser.open(page)
    button = f"{TABLE}.querySelector('th.headline button')"
    browser.run(f"{TABLE}.querySelector('th').querySelector('button').click()")
    click(browser, button)
    found = [float(text.split(" ")[0]) for text in browser.run(COLUMN)]
    assert found[:-1] == sorted(found[:-1], reverse=True) and found[-1] == max(found)
    assert browser.run(f"{TABLE}.querySelector('th.headline').getAttribute('aria-sort')") == "descending"
    click(browser, button)
    assert [float(text.split(" ")[0]) for text in browser.run(COLUMN)] == [*reversed(found[:-1]), found[-1]]
    assert browser.run(f"[...{TABLE}.querySelectorAll('[aria-sort]')].map((head) => head.getAttribute('aria-sort'))") == ["ascending"]


def test_a_keyboard_sorts_a_table(browser: Browser, page: Path):
    browser.open(page)
    browser.run(f"{TABLE}.querySelector('th button').focus()")
    browser.press("Enter", 13, "\r")
    names = browser.run(f"[...{TABLE}.tBodies[0].rows].map((row) => row.cells[0].textContent)")
    assert names[:-1] == sorted(names[:-1], key=str.lower) and len(names) == len(METHODS)


@pytest.mark.parametrize(("width", "place"), [(1400, 3), (390, 1)])
def test_on_a_phone_the_metric_of_the_verdict_stands_beside_the_names(browser: Browser, page: Path, width: int, place: int):
    browser.open(page, "letters-table", width)
    assert browser.run(f"{TABLE}.querySelector('th.headline').cellIndex") == place
    cell = browser.run(f"{TABLE}.querySelector('td.headline').getBoundingClientRect().toJSON()")
    name = browser.run(f"{TABLE}.querySelector('tbody th').getBoundingClientRect().toJSON()")
    assert name["right"] <= cell["left"] and cell["right"] <= width
    assert browser.run(f"{TABLE}.querySelector('td.headline').textContent").strip()


@pytest.mark.parametrize("dark", [False, True])
def test_the_scores_that_matter_are_in_colour_and_the_rest_are_faded(browser: Browser, page: Path, dark: bool):
    browser.open(page, dark=dark)
    draw_curves(browser)
    pressed = browser.run(
        "[...document.querySelectorAll('#letters .wide ~ .legend button')].map((each) => each.getAttribute('aria-pressed'))"
    )
    colours = [line["color"] for line in browser.run(LINES)]
    faded = browser.run("getComputedStyle(document.documentElement).getPropertyValue('--faded')")
    assert [colour == faded for colour in colours] == [choice == "false" for choice in pressed]
    assert colours[0] == (DARK_PAGE_COLOURS[PALETTE[0]] if dark else PALETTE[0]) and "false" in pressed


def test_a_line_gets_its_colour_under_the_pointer_and_keeps_it_when_its_name_is_chosen(browser: Browser, page: Path):
    browser.open(page)
    draw_curves(browser)
    place = browser.run(
        "[...document.querySelectorAll('#letters .wide ~ .legend button')].findIndex((each) => each.ariaPressed === 'false')"
    )
    name, line = f"document.querySelectorAll('#letters .wide ~ .legend button')[{place}]", f"{LINES}[{place}]"
    faded = browser.run(line)
    box = browser.run(f"{name}.getBoundingClientRect().toJSON()")
    browser.point(box["x"] + 5, box["y"] + 5)
    browser.wait(lambda: browser.run(line)["color"] == PALETTE[place])
    assert browser.run(line)["width"] > faded["width"]
    browser.point(2, 2)
    browser.wait(lambda: browser.run(line) == faded)
    click(browser, name)
    browser.point(2, 2)
    browser.wait(lambda: browser.run(line)["color"] == PALETTE[place])


def test_a_point_of_a_curve_says_whose_it_is(browser: Browser, page: Path):
    browser.open(page)
    draw_curves(browser)
    place = browser.run(
        f"(() => {{ const plot = {CURVES}.querySelector('.plot'), {{xaxis, yaxis}} = plot._fullLayout, line = plot.calcdata[0].at(-10);"
        f"const box = plot.getBoundingClientRect();"
        "return [box.x + xaxis._offset + xaxis.c2p(line.x), box.y + yaxis._offset + yaxis.c2p(line.y)]; })()"
    )
    browser.point(place[0] - 3, place[1])
    browser.point(*place)
    names = browser.run("[...document.querySelectorAll('#letters .wide ~ .legend button')].map((each) => each.textContent.trim())")
    browser.wait(lambda: (browser.run(f"{CURVES}.querySelector('.hoverlayer').textContent") or "").startswith(tuple(names)))


def test_histograms_of_all_scores_have_one_axis(browser: Browser, page: Path):
    browser.open(page, "letters-scores")
    bars = "[...document.querySelectorAll('#letters-scores .plot')].filter((plot) => plot.data?.[0].type === 'bar')"
    browser.wait(lambda: browser.run(f"{bars}.length") >= 2)
    assert browser.run(f"{bars}.every((plot) => plot.layout.yaxis.range.join() === '0,1')")
    assert browser.run(f"{bars}.every((plot) => plot.data[0].marker.color === '{CORRECT_PREDICTION_COLOUR}')")


def test_both_charts_of_shifts_fit_a_phone_and_follow_one_legend(browser: Browser, page: Path):
    browser.open(page, "letters-shifts", width=390)
    charts = "[...document.querySelectorAll('#letters .panels .chart')]"
    browser.wait(lambda: browser.run(f"{charts}.filter((chart) => chart.querySelector('.plot .scatterlayer .trace')).length") == 2)
    assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert browser.run(f"{charts}.every((chart) => chart.querySelector('.plot svg').getBoundingClientRect().right <= 390)")
    name = "document.querySelector('#letters .panels .legend button[aria-pressed=\"false\"]')"
    place = browser.run(f"[...document.querySelectorAll('#letters .panels .legend button')].indexOf({name})")
    lines = f"{charts}.map((chart) => chart.querySelector('.plot').data[{place}].line.color)"
    faded = browser.run(lines)
    click(browser, name)
    browser.wait(lambda: browser.run(lines) == 2 * [PALETTE[place]])
    click(browser, f"document.querySelectorAll('#letters .panels .legend button')[{place}]")
    browser.wait(lambda: browser.run(lines) == faded)
