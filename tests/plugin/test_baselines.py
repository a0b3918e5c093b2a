"""`--robustcheck-save`, `--robustcheck-compare` and `no_regression`."""

import pytest

TESTS = """
def test_no_worse(robustness):
    assert robustness.no_regression("x", tolerance=0.01)
    assert robustness.no_regression("JPG_50(Adv_9)", tolerance=0.01)
"""
SAVE = "def test_views(robustness):\n    robustness.evaluate('x', 'JPG_50(Adv_9)')\n"


@pytest.fixture
def saved(repository):
    repository.makepyfile(test_save=SAVE)
    result = repository.runpytest("--robustcheck-save=v1.0", "test_save.py")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["saved as *v1.0.csv"])
    repository.makepyfile(test_gate=TESTS)
    return repository


def spoil(repository, old, new):
    conftest = repository.path / "conftest.py"
    text = conftest.read_text()
    assert old in text
    conftest.write_text(text.replace(old, new))


def test_the_same_model_is_green_and_the_file_is_the_same_again(saved):
    result = saved.runpytest("--robustcheck-compare=v1.0", "test_gate.py")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["against the baseline v1.0.csv", "*x: 90.0 % -> 90.0 %: +0.0 points*0 lost, 0 won*"]
    )
    first = (saved.path / "robustcheck-baselines" / "v1.0.csv").read_text()
    saved.runpytest("--robustcheck-save=again", "test_save.py")
    assert (saved.path / "robustcheck-baselines" / "again.csv").read_text() == first


def test_a_worse_model_is_red_with_the_images_newly_lost(saved):
    spoil(
        saved,
        "self.weight = torch.nn.Parameter(",
        "self.weight = torch.nn.Parameter(0.05 * torch.ones(4, 768) + ",
    )
    spoil(
        saved,
        "labels = robustcheck_model(torch.from_numpy(pixels)).argmax(1).numpy()",
        "labels = np.array(LABELS)",
    )
    baseline = (saved.path / "robustcheck-baselines" / "v1.0.csv").read_text()
    labels = [line.split(",")[2] for line in baseline.splitlines() if not line.startswith("#")][1:]
    spoil(saved, "import numpy", f"LABELS = [{', '.join(labels)}]\nimport numpy")
    spoil(saved, "labels[:4] = (labels[:4] + 1) % 4", "")
    spoil(saved, "generator=torch.Generator().manual_seed(0)", "generator=torch.Generator().manual_seed(1)")
    result = saved.runpytest("--robustcheck-compare=v1.0", "test_gate.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">*assert robustness.no_regression(*",
            "*refuted: accuracy(x) - accuracy(x) of the baseline >= -0.01*",
            "*- robustcheck -*",
            "REFUTED: accuracy(x) - accuracy(x) of the baseline >= -0.01",
            "since the baseline x: 90.0 % -> *",
            "  lost: toy-??.png (label ?)",
            "against the baseline v1.0.csv",
            "  x: 90.0 % -> *",
            "*McNemar p*",
            "    lost: toy-*, toy-*and*more",
        ]
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("default_rng(0)", "default_rng(1)", "*of another image set*"),
        ("input_size=16", "input_size=16, resize=20", "*of another pixels*"),
    ],
)
def test_what_cannot_be_compared_is_refused(saved, old, new, message):
    spoil(saved, old, new)
    result = saved.runpytest("--robustcheck-compare=v1.0", "test_gate.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E {message}"])


def test_another_seed_is_refused_and_a_missing_view_named(saved):
    saved.makepyfile(test_more="def test_it(robustness):\n    assert robustness.no_regression('Adv_3')")
    saved.runpytest(
        "--robustcheck-compare=v1.0", "--robustcheck-seed=1", "test_gate.py"
    ).stdout.fnmatch_lines(["E *of another seed*"])
    saved.runpytest("--robustcheck-compare=v1.0", "test_more.py").stdout.fnmatch_lines(
        ["E *unknown view in the baseline v1.0.csv 'Adv_3'*"]
    )


def test_without_a_baseline_the_gate_says_how_to_make_one(saved):
    saved.runpytest("test_gate.py").stdout.fnmatch_lines(
        ["E *--robustcheck-save=NAME*--robustcheck-compare=NAME*"]
    )


@pytest.mark.parametrize("name", ["../up", "/tmp/x", "a/b", "con", ".hidden", "x" * 101, "nul.csv", "a b"])
def test_names_that_could_leave_the_folder_are_refused(repository, name):
    repository.makepyfile(SAVE)
    result = repository.runpytest(f"--robustcheck-save={name}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "a baseline's name is" in result.stderr.str()
    assert [path.name for path in repository.path.iterdir() if path.suffix == ".csv"] == []


def test_a_missing_baseline_is_a_usage_error_that_lists_what_is_there(saved):
    result = saved.runpytest("--robustcheck-compare=v1.1", "test_gate.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *unknown baseline 'v1.1': did you mean 'v1.0'?*"])


@pytest.mark.parametrize("damage", ["cut", "version", "header", "cell", "columns"])
def test_a_damaged_baseline_is_never_misread(saved, damage):
    path = saved.path / "robustcheck-baselines" / "v1.0.csv"
    text = path.read_text()
    path.write_text(
        {
            "cut": text[: len(text) - 40],
            "version": text.replace("records 1", "records 2"),
            "header": text.replace('"provenance"', "provenance"),
            "cell": text.replace(",9,", ",nine,", 1),
            "columns": text.replace("x:p_top", "x:top"),
        }[damage]
    )
    result = saved.runpytest("--robustcheck-compare=v1.0", "test_gate.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "v1.0.csv" in result.stderr.str()
    assert "Traceback" not in result.stderr.str()


def test_a_run_that_failed_its_integrity_tests_makes_no_baseline_to_compare_with(repository):
    spoil(repository, "labels[:4] = (labels[:4] + 1) % 4", "labels[:] = np.arange(40) % 4")
    repository.runpytest("--robustcheck-suite=jpeg-study", "--robustcheck-save=bad")
    repository.makepyfile(test_gate=TESTS)
    result = repository.runpytest("--robustcheck-compare=bad", "test_gate.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "failed its own integrity tests (clean_accuracy_is_far_above_chance)" in result.stderr.str()


def test_nor_do_its_records(repository):
    spoil(repository, "labels[:4] = (labels[:4] + 1) % 4", "labels[:] = np.arange(40) % 4")
    repository.runpytest("--robustcheck-suite=jpeg-study", "--robustcheck-records=bad.csv")
    repository.makepyfile(test_gate=TESTS)
    result = repository.runpytest("--robustcheck-compare=bad.csv", "test_gate.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "failed its own integrity tests (clean_accuracy_is_far_above_chance)" in result.stderr.str()


def test_a_baseline_that_cannot_be_saved_is_no_success(repository):
    (repository.path / "robustcheck-baselines").write_text("a file where the folder belongs")
    repository.makepyfile(SAVE)
    result = repository.runpytest("--robustcheck-save=v1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["ERROR: the baseline v1 was not saved:*"])


def test_another_library_version_is_flagged_and_another_codec_refused(saved):
    path = saved.path / "robustcheck-baselines" / "v1.0.csv"
    text = path.read_text()
    path.write_text(text.replace("by Pillow ", "by Pillow 0."))
    result = saved.runpytest("--robustcheck-compare=v1.0", "test_gate.py")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["  note: another codec: JPEG 4:2:0*"])
    path.write_text(text.replace("JPEG 4:2:0", "JPEG 4:4:4"))
    saved.runpytest("--robustcheck-compare=v1.0", "test_gate.py").stdout.fnmatch_lines(
        ["E *of another codec*"]
    )


@pytest.mark.slow
def test_an_interrupted_run_leaves_the_baseline_as_it_was(saved):
    path = saved.path / "robustcheck-baselines" / "v1.0.csv"
    before = path.read_text()
    saved.makepyfile(
        test_stop="""
        def test_it(robustness):
            robustness.evaluate("x")
            raise KeyboardInterrupt
        """
    )
    result = saved.runpytest_subprocess("--robustcheck-save=v1.0", "test_stop.py")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert path.read_text() == before


def test_a_baseline_is_of_whole_image_sets(repository):
    repository.makepyfile(
        "def test_it(robustness):\n    assert robustness.check('accuracy(x) >= 0.1', about='testset')"
    )
    conftest = repository.path / "conftest.py"
    text = (
        conftest.read_text().replace("(40, 3, 16, 16)", "(600, 3, 16, 16)").replace("range(40)", "range(600)")
    )
    conftest.write_text(text)
    result = repository.runpytest("--robustcheck-stop-early", "--robustcheck-save=part")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(
        ["ERROR: the baseline part was not saved: x was evaluated on * of 600 images*"]
    )


def test_other_labels_are_refused_for_what_depends_on_them(saved):
    spoil(saved, "labels[:4] = (labels[:4] + 1) % 4", "labels[:] = (labels + 1) % 4")
    result = saved.runpytest("--robustcheck-compare=v1.0", "test_gate.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *has other labels for * of 40 images*"])


def test_equal_images_are_compared_one_with_one(repository):
    spoil(repository, "labels = robustcheck_model", "pixels[1] = pixels[0]\n    labels = robustcheck_model")
    repository.makepyfile(test_save=SAVE, test_gate=TESTS)
    repository.runpytest("--robustcheck-save=v1", "test_save.py").assert_outcomes(passed=1)
    repository.runpytest("--robustcheck-compare=v1", "test_gate.py").assert_outcomes(passed=1)
