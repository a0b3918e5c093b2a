"""The page in a browser: no error, no request, no scrolling sideways, pictures that decode, tables that sort."""

import shutil

import pytest

from robustcheck.report.formats.html import render
from robustcheck.report.run import FinishedRun
from robustcheck.report.study import Study
from robustcheck.report.summary import summary_of

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium with a profile of its own, which ends with the module."""
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a run's page, and fails where the page complained or asked for anything."""
    contexts, complaints = [], []

    def opens(run, *, width=1280, scheme="light", script=True):
        path = tmp_path / "report.html"
        path.write_text(render(summary_of(run)), encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, java_script_enabled=script
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message) or dialog.dismiss())
        page.on("request", lambda request: complaints.append(request.url))
        page.goto(path.as_uri())
        complaints.remove(path.as_uri())
        return page

    yield opens
    for context in contexts:
        context.close()
    assert not [complaint for complaint in complaints if not complaint.startswith("data:image/webp")]


def long_run(made):
    deep = "JPG_50(" * 9 + "Adv_9[label=true,through=JPG_50]" + ")" * 9
    views = (
        "x",
        "Adv_1",
        "Adv_5",
        "Adv_10",
        "JPG(Adv_1)",
        "JPG(Adv_5)",
        "JPG_50(Adv_1)",
        "JPG_noise(Adv_1)",
        deep,
    )
    run = made.run(made.records(50, views, model="a" * 300))
    return FinishedRun(
        run.studies, (*run.claims, made.claim(text="accuracy(" + deep + ") >= 0.5")), run.findings, run.checks
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_stands_out_at_the_side(opened, made, width, scheme):
    page = opened(long_run(made), width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_rows_and_pictures_are_all_there(opened, made):
    page = opened(made.run())
    assert page.locator("table.claims tbody tr").count() == 3
    assert page.locator("table.views tbody tr").count() == 4
    assert page.locator("table.boxes tbody tr").count() == 4
    widths = page.evaluate("[...document.images].map((image) => image.complete && image.naturalWidth)")
    assert widths == [1, 1, 1, 1]


def test_tables_sort_by_number_by_mouse_and_keyboard(opened, made):
    page = opened(made.run(made.records(40)))
    numbers = (
        "[...document.querySelectorAll('table.views tbody tr')].map((row) => +row.cells[1].dataset.value)"
    )
    header = page.locator("table.views th", has_text="Top-1").first
    header.get_by_role("button").click()
    up = page.evaluate(numbers)
    assert up == sorted(up)
    assert header.get_attribute("aria-sort") == "ascending"
    header.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert page.evaluate(numbers) == sorted(up, reverse=True)
    assert len(set(up)) > 1


def test_the_papers_column_is_shown_on_request_without_script(opened, made):
    page = opened(made.run(), script=False)
    column = page.locator("td.paper").first
    assert not column.is_visible()
    page.get_by_label("Show the paper's numbers").check()
    assert column.is_visible()


def contrast(page):
    """Return the texts whose colour is too near to that behind them, by the rule of WCAG 2 (4.5 to 1)."""
    return page.evaluate(
        """() => {
          const parse = (text) => text.match(/[\\d.]+/g).map(Number);
          const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
          const behind = (element) => {
            for (; element; element = element.parentElement) {
              const colour = parse(getComputedStyle(element).backgroundColor);
              if (colour.length === 3 || colour[3] > 0) return colour;
            }
            return [255, 255, 255];
          };
          const low = [];
          for (const element of document.querySelectorAll("body *")) {
            if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
            if (element.closest("svg, script, style, .hidden")) continue;
            const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) low.push([element.textContent.trim().slice(0, 40), ratio]);
          }
          return low;
        }"""
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(opened, made, scheme):
    assert contrast(opened(made.run(), scheme=scheme)) == []


def test_hostile_names_run_nothing(opened, made, hostile_texts):
    panels = tuple(made.panel(text, text, text) for text in hostile_texts)
    claims = tuple(made.claim(text=text, notes=(text,), file=text) for text in hostile_texts)
    records = made.records(len(hostile_texts), names=hostile_texts, model="".join(hostile_texts))
    page = opened(FinishedRun((Study(records, 5, panels),), claims), width=360)
    assert page.locator("h1").count() == 1
    shown = page.locator("article.panel h5 > bdi").all_inner_texts()
    assert len(shown) == len(hostile_texts) == 20
    assert all(text.strip() for text in shown)
    assert shown[0] == "<script>alert(1)</script>"
    assert page.evaluate("document.documentElement.scrollWidth") == 360
