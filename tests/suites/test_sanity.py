"""`--robustcheck-suite=sanity`: a test for each check, with a sentence on what a failure means."""

import pytest

pytestmark = pytest.mark.slow

SUITE = "--robustcheck-suite=sanity"


def test_sound_toy_passes_and_each_check_is_told(repository):
    result = repository.runpytest(SUITE)
    outcomes = result.parseoutcomes()
    assert outcomes.get("failed", 0) == 0
    assert outcomes["passed"] >= 20
    assert outcomes["skipped"] == 1  # no other model to make attacks on
    result.stdout.fnmatch_lines(
        ["checks of the evaluation", "  passed   logits_are_finite: 4 finite logits*", "  skipped  transfer*"]
    )


def test_failing_check_says_what_it_means_and_what_to_look_at(repository):
    conftest = repository.path / "conftest.py"
    conftest.write_text(
        conftest.read_text().replace("self.weight.T / 28", "self.weight.T / 28).softmax(dim=1)")
    )
    conftest.write_text(conftest.read_text().replace("return images", "return (images"))
    result = repository.runpytest(SUITE, "-k", "probabilities or eval_mode")
    result.assert_outcomes(failed=1, passed=1)
    text = " ".join(result.stdout.str().split())
    assert (
        "The model returns logits, and not probabilities. Not so here: every row of the output lies in 0..1"
        in text
    )
    assert "Leave out the model's own softmax." in text
    assert "failed logits_are_not_probabilities" in text


def test_attack_that_the_repository_registered_is_examined_too(repository):
    conftest = repository.path / "conftest.py"
    conftest.write_text(
        conftest.read_text()
        + """

@robustcheck.register_attack("Brighten")
def brighten(classifier, images, labels, *, epsilon):
    return (images.int() + epsilon + 1).clamp(0, 255).to(torch.uint8)
"""
    )
    from robustcheck.notation import temporary_steps

    with temporary_steps():
        result = repository.runpytest(SUITE, "-k", "Brighten")
    names = [line for line in result.outlines if line.startswith("FAILED")]
    assert any("epsilon_zero_changes_nothing-Brighten" in line for line in names)
    assert any("perturbation_stays_within_epsilon_when_saved-Brighten" in line for line in names)


def test_warning_passes_and_names_what_may_be_wrong(repository):
    conftest = repository.path / "conftest.py"
    conftest.write_text(
        conftest.read_text().replace("labels[:4] =", "labels[:30] =").replace("labels[:4] +", "labels[:30] +")
    )
    conftest.write_text(
        conftest.read_text().replace("self.weight.T / 28", "self.weight.T")
    )  # and it is very sure
    result = repository.runpytest(SUITE, "-k", "confidence")
    result.assert_outcomes(passed=1, warnings=1)
    text = " ".join(result.stdout.str().split())
    assert "warned errors_are_as_many_as_confidence_allows: 30 of 40 images are wrong" in text
    assert "Far more: labels are wrong, or the inputs are not" in text


@pytest.mark.parametrize("workers", ["0", "2"])
def test_checks_arrive_from_workers(repository, workers):
    pytest.importorskip("xdist")
    result = repository.runpytest(SUITE, "-n", workers, "-k", "logits or eval_mode")
    assert len([line for line in result.outlines if line.startswith("  passed ")]) == 4


def test_transfer_is_checked_where_another_model_is_named(repository):
    (repository.path / "another.py").write_text(
        "import torch, robustcheck\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.weight = torch.nn.Parameter(torch.randn(4, 768, generator=torch.Generator().manual_seed(3)))\n"
        "    def forward(self, images):\n"
        "        return images.flatten(1) @ self.weight.T / 28\n"
        "def net():\n"
        "    return robustcheck.Classifier(Net().eval(), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16, device='cpu')\n"
    )
    result = repository.runpytest(SUITE, "--robustcheck-transfer=another:net", "-k", "transfer")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["  passed   transfer_is_not_stronger_than_white_box: mean p(l_x) *"])
