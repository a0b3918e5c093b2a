"""The fixtures beside `robustness`."""


def test_classifier_fgs_and_jpeg(repository):
    repository.makepyfile(
        """
        import torch
        import robustcheck

        def test_they_are_the_library_s(robustcheck_classifier, fgs, jpeg, robustcheck_images):
            images = next(iter(robustcheck_images)).pixels
            adversarial = fgs(images, epsilon=3)
            assert torch.equal(adversarial, robustcheck.attacks.fgs(robustcheck_classifier, images, epsilon=3))
            assert torch.equal(jpeg(images, quality=30), robustcheck.jpeg.roundtrip(images, quality=30))
            assert robustcheck_classifier(adversarial).shape == (len(images), 4)
        """
    )
    repository.runpytest().assert_outcomes(passed=1)


def test_robustness_answers_what_a_user_asks(repository):
    repository.makepyfile(
        """
        import numpy as np
        import pytest

        def test_it(robustness):
            x = robustness["x"]
            assert float(x.accuracy) == 0.9
            assert x.accuracy.low < 0.9 < x.accuracy.high
            assert float(x.kept) == 1
            assert float(robustness["Adv_9"].top_probability) < float(x.top_probability)
            records = robustness.evaluate("JPG(Adv_9)")
            assert records.mean("accuracy", "x") == 0.9
            assert records.column("p_top", "JPG(Adv_9)").shape == (40,)
            assert records.column("linf", "Adv_9").max() == 9
            assert "forty" in repr(robustness)
            assert "accuracy(x) = 90.0 %" in repr(x.accuracy)
            assert 0 <= float(robustness.recovery("JPG(Adv_20)")) <= 1
        """
    )
    repository.runpytest().assert_outcomes(passed=1)


def test_a_repository_that_brings_a_folder_of_images(repository):
    from PIL import Image

    for name, colour in (("ash", (90, 90, 90)), ("birch", (200, 180, 160))):
        folder = repository.mkdir("trees") if name == "ash" else repository.path / "trees"
        (folder / name).mkdir()
        Image.new("RGB", (40, 30), colour).save(folder / name / f"{name}.png")
    repository.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="session")
        def robustcheck_images():
            return "trees"

        def test_it(robustness):
            assert len(robustness.images) == 2
            assert list(robustness.images.labels) == [0, 1]
            assert robustness["x"].kept >= 1.0
        """
    )
    result = repository.runpytest("-W", "default")
    result.stdout.fnmatch_lines(["*RobustnessWarning: trees has 2 classes and toy has 4*"])
    result.assert_outcomes(failed=1, warnings=1)  # kept(x) is 1 of every model
    assert "of every model" in result.stdout.str()
