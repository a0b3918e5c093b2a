"""The README's examples, run; its commands and tables, held against the code."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from robustcheck import evaluate
from robustcheck.notation import parse, temporary_steps
from robustcheck.specs import IMAGE_SOURCES, MODEL_SOURCES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = {path: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))}
TEXT = "\n".join(PAGES.values())


def holding(language, word):
    """The only block of code of all pages that has a word in it."""
    (block,) = [block for block in re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL) if word in block]
    return block


def test_first_screen_has_the_commands_and_the_test_file():
    screen = "\n".join(README.splitlines()[:36])
    assert "pip install -e '.[sample]' && pytest --robustcheck-suite=jpeg-study" in screen
    assert "pip install -e '.[test]'" in screen
    assert len(holding("python", "def test_jpeg_gives_back").splitlines()) == 5


def test_ci_takes_the_test_command_from_here():
    (command,) = re.findall(r"<!-- test command -->\n```sh\n(pip install.*)\n```", README)
    assert command.endswith("pytest")
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text()


def test_test_file_and_claims_and_model_hold_on_the_sample(pytester):
    pytester.makepyfile(test_python=holding("python", "def test_jpeg_gives_back"))
    (pytester.path / "robustcheck.toml").write_text(holding("toml", "[claims]"))
    model = holding("python", "def robustcheck_model")
    pytester.makeconftest(
        model.replace("my_net()", "robustcheck.load_model('sample').module")
        .replace("0.485, 0.456, 0.406", "0.5, 0.5, 0.5")
        .replace("0.229, 0.224, 0.225", "0.5, 0.5, 0.5")
    )
    result = pytester.runpytest("--robustcheck-images=sample", "-W", "default")
    result.assert_outcomes(passed=5)


def test_baseline_example(pytester):
    pytester.makepyfile(holding("python", 'no_regression("JPG'))
    (pytester.path / "robustcheck.toml").write_text('[claims]\na = "accuracy(JPG(Adv_1)) >= 1%"')
    some = ["--robustcheck-limit=4", "--robustcheck-seed=1"]
    pytester.runpytest("--robustcheck-save=v1", "robustcheck.toml", *some).assert_outcomes(passed=1)
    pytester.runpytest("--robustcheck-compare=v1", *some).assert_outcomes(passed=2)


@pytest.mark.slow
def test_gate_on_speed(pytester):
    pytester.makepyfile(holding("python", "robustcheck_benchmark.ratio"))
    result = pytester.runpytest("--robustcheck-limit=4", "--benchmark-disable")
    result.assert_outcomes(passed=2, skipped=1)
    pytester.makepyfile(holding("python", "robustcheck_benchmark.attack"))  # in place of the first
    pytester.runpytest("--robustcheck-limit=4", "--benchmark-disable").assert_outcomes(passed=1)


def test_own_attack_and_defence(toy_classifier, toy_images):
    with temporary_steps():
        exec(holding("python", "register_defence"), {})
        views = ["Posterise", "Posterise_4(Adv_1)", "Adv_1[through=Posterise_4:identity]", "Darken_8"]
        records = evaluate(toy_classifier, toy_images, views)
        assert records.column("linf", "Darken_8").max() == 8
        assert records.column("linf", "Posterise").max() == 16


@pytest.mark.slow
def test_use_without_pytest(capsys):
    exec(holding("python", "records.mean("), {})
    assert re.match(r"0\.[3-8]\d* \[\d", capsys.readouterr().out)


def test_property_test_finds_its_bug_and_passes_without_it(pytester):
    example = holding("python", "def from_normalised")
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


def test_property_tests_of_their_page_pass(pytester):
    page = (ROOT / "docs" / "property-tests.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    pytester.makepyfile(**{f"test_{number}": block for number, block in enumerate(blocks)})
    result = pytester.runpytest("-p", "no:cacheprovider", "--hypothesis-seed=1")
    result.assert_outcomes(passed=len(blocks))


@pytest.mark.slow
def test_shards_by_rank_are_all_there_for_pytest(pytester, monkeypatch):
    """Two processes, as torchrun starts them."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(pytester.path), str(ROOT)]))
    pytester.makepyfile(
        toy="from tests import toys\n\n\ndef make():\n    return toys.classifier_of(toys.Linear())\n",
        shards=holding("python", "WORLD_SIZE")
        .replace('"resnet50"', '"toy:make"')
        .replace("imagenet:/data/", ""),
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


@pytest.mark.parametrize(("kind", "sources"), [("Your model", MODEL_SOURCES), ("Your images", IMAGE_SOURCES)])
def test_every_source_of_a_spec_is_described(kind, sources):
    section = TEXT.split(f"## {kind}\n")[1].split("\n## ")[0]
    for source in sources:
        assert f"`{source.prefix or source.example}" in section


def test_every_view_that_is_written_can_be_read():
    names = "x|Adv|PGD|JPG|Noise|Worst|foolbox:|torchattacks:|art:|autoattack"
    written = [view for view in re.findall(rf"`((?:{names})[^`]*)`", TEXT) if "Posterise" not in view]
    assert len(written) > 10
    for view in written:
        if "_e" not in view:
            parse(view)


@pytest.mark.parametrize(
    ("page", "target"),
    [
        (page, target)
        for page, text in PAGES.items()
        for target in re.findall(r"\]\((?!https:)([^)\s]+)\)", text)
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


@pytest.mark.slow
def test_what_is_shown_is_what_comes_out(pytester):
    """The study's views and findings; another processor may turn single images, and with them a number."""

    def told(lines):
        views = [line.split()[0] for line in lines if re.match(r"(x|Adv|JPG|Noise)\S* .*%", line)]
        return views, re.findall(r"(?:holds|does not hold) here", " ".join(lines))

    result = pytester.runpytest("--robustcheck-suite=jpeg-study", "--robustcheck-model=sample")
    assert told(result.outlines) == told(holding("text", "findings of arXiv").splitlines())
