"""README's and docs/' blocks: each is run, or says why not; shown output is compared with a run's.

Before a block stands, in a comment: `test: NAME` (a test here runs it), `output: NAME` (a test here compares it with what
comes out), or `not run: reason`. A block of Python without a comment is executed, after those before it on its page.
`python -m tests.shown_output` writes outputs anew.
"""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import robustcheck
from robustcheck import evaluate
from robustcheck.notation import parse, temporary_steps
from robustcheck.options.table import OPTIONS
from robustcheck.specs import IMAGE_SOURCES, MODEL_SOURCES
from tests.shown_output import OUTPUTS, blocks, pages, produced

PAGES = pages()
TEXT = "\n".join(path.read_text() for path in PAGES)
ROOT = PAGES[0].parent
README = PAGES[0].read_text()
BLOCKS = [block for path in PAGES for block in blocks(path)]
PYTHON = {path: [b for b in blocks(path) if b.language == "python" and not b.mark] for path in PAGES}


def code(name):
    """The block that a comment gives a name."""
    (block,) = [block for block in BLOCKS if block.mark == ("test", name)]
    return block.text


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory):
    """A record store, so that what several outputs show is computed once."""
    return str(tmp_path_factory.mktemp("store"))


@pytest.fixture
def toy_repository(pytester):
    """The repository of getting-started, in a folder."""
    pytester.makeconftest(code("toy repository"))
    return pytester


def test_first_screen_has_the_commands_and_the_test_file():
    screen = "\n".join(README.splitlines()[:50])
    assert len(README.splitlines()) <= 200
    assert "pip install -e '.[sample]' && pytest --robustcheck-suite=jpeg-study" in screen
    assert "pip install -e '.[test]'" in screen
    assert len(code("five lines").splitlines()) == 5
    (failure,) = [block for block in BLOCKS if block.mark == ("output", "failing claim")]
    assert len(failure.text.splitlines()) == 9
    assert failure.text in screen


def test_ci_takes_the_test_command_from_here():
    (command,) = re.findall(r"<!-- test command -->\n```sh\n(pip install.*)\n```", README)
    assert command.split(" && ")[-1].split()[0] == "pytest"
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text()


def test_every_block_runs_or_says_why_not():
    tested = {
        *re.findall(r'code\("([^"]+)"\)', Path(__file__).read_text()),
        *(name for name, _ in OUTPUTS.values() if name),
    }
    for block in BLOCKS:
        where = f"{block.page.name}, {block.text.splitlines()[0]}"
        if not block.mark:
            assert block.language == "python" or block.language.startswith("{"), where
            continue
        kind, name = block.mark
        assert kind != "not run" or len(name) > 10, where
        assert kind != "test" or name in tested, where
        assert kind != "output" or name in OUTPUTS, where


@pytest.mark.parametrize("page", [page for page in PAGES if PYTHON[page]], ids=lambda page: page.stem)
def test_python_of_a_page_runs_from_top_to_bottom(pytester, page):
    plain = [block.text for block in PYTHON[page] if "\ndef test_" not in block.text]
    names = {}
    for text in plain:
        exec(text, names)
    tests = [block.text for block in PYTHON[page] if "\ndef test_" in block.text]
    if tests:
        pytester.makepyfile(**{f"test_{number}": text for number, text in enumerate(tests)})
        result = pytester.runpytest("-p", "no:cacheprovider", "--hypothesis-seed=1")
        result.assert_outcomes(passed=len(tests))


def test_options_that_are_shown_exist():
    flags = {option.flag for option in OPTIONS}
    shown = set(re.findall(r"(?<![\w-])--robustcheck-[a-z-]*[a-z]", TEXT))
    assert len(shown) > 20
    assert shown <= flags


def test_extras_that_are_shown_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    shown = {
        name for names in re.findall(r"pip install [^\n]*\[([\w,]+)\]", TEXT) for name in names.split(",")
    }
    shown |= set(re.findall(r"extras? `(\w+)`", TEXT))
    assert len(shown) > 5
    assert shown <= set(extras)


def test_workflow_is_yaml():
    workflows = [yaml.safe_load(block.text) for block in BLOCKS if block.language == "yaml"]
    assert all(workflow["jobs"] for workflow in workflows)
    (steps,) = [workflow["jobs"]["gate"]["steps"] for workflow in workflows if "gate" in workflow["jobs"]]
    assert any("pytest --robustcheck-images" in step.get("run", "") for step in steps)


@pytest.mark.slow
def test_first_model_and_claims_hold_on_the_sample(pytester):
    (pytester.path / "robustcheck.toml").write_text(code("claims"))
    (pytester.path / "sub").mkdir()
    (pytester.path / "sub" / "robustcheck.toml").write_text(code("short claims"))
    pytester.makepyfile(test_python=code("five lines").replace("0.60", "0.30"))
    pytester.makeconftest(
        code("own model")
        .replace("my_net()", "robustcheck.load_model('sample').module")
        .replace("(0.485, 0.456, 0.406), (0.229, 0.224, 0.225)", "(0.5,) * 3, (0.5,) * 3")
    )
    result = pytester.runpytest("--robustcheck-images=sample", "-W", "default")
    result.assert_outcomes(passed=7)


def test_toy_repository_holds_its_claims(toy_repository):
    toy_repository.makepyfile(test_started=code("toy claims"), test_claims=code("toy python claims"))
    toy_repository.runpytest().assert_outcomes(passed=4)


def run(pytester, commands):
    """Run pytest's commands of a block, on a test of its own."""
    pytester.makepyfile("def test_it(robustness):\n    assert robustness['Noise_1'].kept >= 0.5")
    for line in commands.splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == "pytest"
        yield pytester.runpytest(*arguments)


def test_reports_are_written(toy_repository):
    (result,) = run(toy_repository, code("toy report"))
    result.assert_outcomes(passed=1)
    assert {"report.html", "run.json", "records.csv"} <= {path.name for path in toy_repository.path.iterdir()}


def test_records_are_written(toy_repository):
    (result,) = run(toy_repository, code("toy records"))
    result.assert_outcomes(passed=1)
    header, *rows = (toy_repository.path / "records.csv").read_text().splitlines()
    page = (ROOT / "docs" / "records.md").read_text()
    described = [
        name
        for cell in re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", cell)
    ]
    assert set(header.split(",")) == {*described, "run"}
    assert len(rows) == 40


def test_second_run_reads_the_store(toy_repository):
    for _ in range(2):
        (result,) = run(toy_repository, code("toy store"))
    result.stdout.fnmatch_lines(["records: 40 of 40 from the store, *"])


def test_a_forecast_judges_nothing(toy_repository):
    (result,) = run(toy_repository, code("toy forecast"))
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["  test_it: kept(Noise_1) >= 0.5", "FORECAST ONLY: no claim was judged. *"])


def test_marker_selects_gates(toy_repository):
    others, gates = run(toy_repository, code("toy markers"))
    others.assert_outcomes(deselected=1)
    gates.assert_outcomes(passed=1)


@pytest.mark.slow
def test_sanity_of_the_toy_can_be_asked(toy_repository):
    (result,) = run(toy_repository, code("toy sanity"))
    assert result.parseoutcomes()["passed"] > 10


def test_baseline_example(pytester):
    pytester.makepyfile(code("baseline"))
    (pytester.path / "robustcheck.toml").write_text('[claims]\na = "accuracy(JPG(Adv_1)) >= 1%"')
    some = ["--robustcheck-limit=4", "--robustcheck-seed=1"]
    pytester.runpytest("--robustcheck-save=v1", "robustcheck.toml", *some).assert_outcomes(passed=1)
    pytester.runpytest("--robustcheck-compare=v1", *some).assert_outcomes(passed=2)


@pytest.mark.slow
def test_gate_on_speed(pytester):
    pytester.makepyfile(code("ratio"))
    result = pytester.runpytest("--robustcheck-limit=4", "--benchmark-disable")
    result.assert_outcomes(passed=2, skipped=1)
    pytester.makepyfile(code("speed from run to run"))  # in place of the first
    pytester.runpytest("--robustcheck-limit=4", "--benchmark-disable").assert_outcomes(passed=1)


def test_own_attack_and_defence(toy_classifier, toy_images):
    with temporary_steps():
        exec(code("own steps"), {})
        views = ["Posterise", "Posterise_4(Adv_1)", "Adv_1[through=Posterise_4:identity]", "Darken_8"]
        records = evaluate(toy_classifier, toy_images, views)
        assert records.column("linf", "Darken_8").max() == 8
        assert records.column("linf", "Posterise").max() == 16


@pytest.mark.slow
def test_use_without_pytest(capsys):
    exec(code("without pytest"), {})
    assert re.match(r"0\.[3-8]\d* \[\d", capsys.readouterr().out)


@pytest.mark.slow
def test_sanity_without_pytest(capsys):
    exec(code("sanity without pytest"), {})
    assert len(re.findall(r"^passed \w+ .+", capsys.readouterr().out, re.MULTILINE)) == 1


def test_property_test_finds_its_bug_and_passes_without_it(pytester):
    example = code("broken preprocessing")
    pytester.makepyfile(test_broken=example, test_mended=example.replace(".to(torch", ".round().to(torch"))
    result = pytester.runpytest("-p", "no:cacheprovider", "--hypothesis-seed=1")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["FAILED test_broken.py::test_pixels_survive_normalisation*"])
    # Told once or, where Hypothesis runs as in CI, several times.
    told = re.findall(
        r"batch=(torch\.(?:tensor|full)\(.*?dtype=torch.uint8\))", result.stdout.str(), re.DOTALL
    )
    assert told
    for shown in told:
        failing = eval(re.sub(r"^E +", "", shown, flags=re.MULTILINE), {"torch": torch})
        assert failing.shape == (1, 3, 4, 4)
        assert failing.equal(failing[..., :1, :1].expand_as(failing))


@pytest.mark.slow
def test_shards_by_rank_are_all_there_for_pytest(pytester, monkeypatch):
    """Two processes, as torchrun starts them."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(pytester.path), str(ROOT)]))
    pytester.makepyfile(
        toy="from tests import toys\n\n\ndef make():\n    return toys.classifier_of(toys.Linear())\n",
        shards=code("ranks").replace('"resnet50"', '"toy:make"').replace("imagenet:/data/", ""),
        test_it="def test_it(robustness):\n    robustness.check('kept(JPG(Adv_1)) >= 1%')",
    )
    (pytester.path / "imagenet").mkdir()
    for index in range(150):
        noise = np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(pytester.path / "imagenet" / f"{index:03}.png")
    for rank, parts in ((0, 2), (1, 3)):
        environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2"}
        subprocess.run([sys.executable, "shards.py"], cwd=pytester.path, env=environment, check=True)
        assert len([*(pytester.path / "records").rglob("*.parquet")]) == parts
    asked = ["--robustcheck-model=toy:make", "--robustcheck-images=imagenet", "--robustcheck-store=records"]
    result = pytester.runpytest_subprocess(*asked, "-W", "default")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["records: 450 of 450 from the store, *"])


@pytest.mark.parametrize(("page", "sources"), [("models", MODEL_SOURCES), ("images", IMAGE_SOURCES)])
def test_every_source_of_a_spec_is_described(page, sources):
    text = (ROOT / "docs" / f"{page}.md").read_text()
    for source in sources:
        assert f"| `{source.prefix or source.example}" in text or f", `{source.prefix}" in text


def test_every_public_name_is_in_the_reference():
    reference = (ROOT / "docs" / "api.md").read_text()
    for name in robustcheck.__all__:
        assert re.search(rf"robustcheck\.{name}\b", reference), name
    for name in robustcheck.strategies.__all__:
        assert re.search(rf"robustcheck\.strategies\.{name}\b", reference), name


def constants():
    """Every text in the package's code, without what f-strings fill in."""
    for path in (ROOT / "robustcheck").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_messages_of_troubleshooting_are_messages():
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    messages = re.findall(r"^\| `([^`]+)`(?: \([^|]*\))? \|", page, re.MULTILINE)
    assert len(messages) > 25
    written = "\n".join(constants())
    # `unknown model` and `unknown step` are made by one function of the kind and the name.
    assert [m for m in messages if m not in written and not m.startswith("unknown ")] == []


def test_every_view_that_is_written_can_be_read():
    names = "x|Adv|PGD|APGD|Square|JPG|Noise|Worst|foolbox:|torchattacks:|art:|autoattack"
    written = [view for view in re.findall(rf"`((?:{names})[^`]*)`", TEXT) if "Posterise" not in view]
    assert len(written) > 10
    for view in written:
        if "_e" not in view and view != "Worst(...)":
            parse(view)


def without_code(text):
    """The text without blocks and spans of code, where `[draws=8](Adv_1)` is no link."""
    return re.sub(r"`[^`]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize(
    ("page", "target"),
    [
        (page, target)
        for page in PAGES
        for target in re.findall(r"\]\((?!https:)([^)\s]+)\)", without_code(page.read_text()))
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_links_lead_somewhere(page, target):
    path, _, heading = target.partition("#")
    there = (page.parent / path).resolve() if path else page
    assert there.exists()
    if heading:
        headings = re.findall(r"^#+ (.+)$", there.read_text(), re.MULTILINE)
        assert heading in {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


def masked(text):
    """A text without its numbers and line breaks: another processor may turn single images."""
    return re.sub(r"\s+", " ", re.sub(r"\d[\d.]*", "#", text)).strip()


@pytest.mark.slow
@pytest.mark.parametrize("name", OUTPUTS)
def test_what_is_shown_is_what_comes_out(name, tmp_path, shared_store):
    (shown,) = [block for block in BLOCKS if block.mark == ("output", name)]
    assert masked(shown.text) == masked(produced(name, tmp_path, shared_store))
