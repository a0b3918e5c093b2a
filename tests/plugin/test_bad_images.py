"""`--robustcheck-bad-images`: named and stopped at, or left out of every number and counted in every report."""

import pytest


@pytest.fixture
def folder(red_and_green, pytester):
    """An image in each folder that is none."""
    for inner in (pytester.path / "set").iterdir():
        (inner / "broken.png").write_bytes(b"not an image")
    return red_and_green


@pytest.mark.parametrize("option", [[], ["--robustcheck-bad-images=error"]])
def test_they_stop_the_claims_that_need_them(pytester, folder, option):
    result = pytester.runpytest(folder, *option)
    result.assert_outcomes(failed=1)
    text = " ".join(line.removeprefix("E").strip() for line in result.outlines)
    assert (
        "2 of 8 images of set are bad: a_red/broken.png cannot be decoded: Pillow finds no image in it"
        in text
    )
    assert "b_green/broken.png cannot be decoded" in text
    assert "--robustcheck-bad-images=skip" in text


@pytest.mark.slow
@pytest.mark.parametrize("option", [[], ["-n2"], ["--robustcheck-stop-early", "--robustcheck-budget=6"]])
def test_they_are_left_out_of_the_numbers_and_counted(pytester, folder, option):
    result = pytester.runpytest(folder, "-v", "--robustcheck-bad-images=skip", *option)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["x * 100.0 % * 6"])
    text = " ".join(" ".join(result.outlines).split())
    assert "images set, 6 images, 2 bad ones skipped (a_red/broken.png cannot be decoded" in text


def test_relative_images_are_meant_from_where_the_run_started(pytester, red_and_green):
    """A test that changes the directory is the first to need them."""
    (pytester.path / "test_a.py").write_text(
        "def test_one(tmp_path, monkeypatch, request):\n"
        "    monkeypatch.chdir(tmp_path)\n"
        "    robustness = request.getfixturevalue('robustness')\n"
        "    assert len(robustness.images) == 6\n"
    )
    pytester.runpytest(red_and_green, "-Wdefault").assert_outcomes(passed=2)


def test_a_baseline_of_the_others_is_saved_and_compared_with(pytester, folder):
    skip = "--robustcheck-bad-images=skip"
    pytester.runpytest(folder, skip, "--robustcheck-save=v1").assert_outcomes(passed=1)
    saved = (pytester.path / "robustcheck-baselines" / "v1.csv").read_text()
    assert "2 bad ones skipped" in saved
    assert "img:a_red/broken.png" not in saved
    (pytester.path / "set" / "a_red" / "0.png").write_bytes(b"now broken as well")
    result = pytester.runpytest(folder, skip, "--robustcheck-compare=v1")
    said = " ".join(" ".join(result.outlines).split())
    assert "1 of the baseline's 6 images missing here" in said


def test_logits_that_are_not_finite_name_image_and_view_and_stop_the_claim(pytester, folder):
    test = pytester.path / "test_colours.py"
    broken = "* 9 / (images.mean((2, 3))[:, :1] < 0.58).float()"
    test.write_text(test.read_text().replace("* 9", broken))
    result = pytester.runpytest(folder, "--robustcheck-bad-images=skip")
    result.assert_outcomes(failed=1)
    text = " ".join(line.removeprefix("E").strip() for line in result.outlines)
    assert "toy gave logits that are not finite for 1 of 6 images of x, the first being a_red/2.png" in text
    assert "HOLDS" not in text
    assert "REFUTED" not in text


def test_a_fixture_may_give_a_torch_dataset(pytester, folder):
    pytester.makeconftest(
        """
        import pytest, torch
        from torchvision.datasets import ImageFolder

        @pytest.fixture(scope="session")
        def robustcheck_images():
            return ImageFolder("set", is_valid_file=lambda path: "broken" not in path)
        """
    )
    result = pytester.runpytest("-v", "--robustcheck-limit=4", "--robustcheck-stratify")
    result.assert_outcomes(passed=1)
    text = " ".join(" ".join(result.outlines).split())
    assert "the fixture robustcheck_images (ImageFolder), 4 images, stratified, classes by order" in text
