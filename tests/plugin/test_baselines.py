"""`--robustcheck-save`, `--robustcheck-compare` and `no_regression`."""

import csv
import re

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
        ["against the baseline v1.0.csv, 20*", "  none of 40 images lost or won: x, Adv_9, JPG_50(Adv_9)"]
    )
    first = (saved.path / "robustcheck-baselines" / "v1.0.csv").read_text()
    saved.runpytest("--robustcheck-save=again", "test_save.py")
    again = (saved.path / "robustcheck-baselines" / "again.csv").read_text()
    about = re.compile(r'""saved"": {.*?}')
    assert about.sub("", again) == about.sub("", first)


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
    labels = [row["label"] for row in csv.DictReader(baseline.splitlines()) if row["view"] == "x"]
    spoil(saved, "import numpy", f"LABELS = [{', '.join(labels)}]\nimport numpy")
    spoil(saved, "labels[:4] = (labels[:4] + 1) % 4", "")
    spoil(saved, "generator=torch.Generator().manual_seed(0)", "generator=torch.Generator().manual_seed(1)")
    result = saved.runpytest("--robustcheck-compare=v1.0", "test_gate.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">*assert robustness.no_regression(*",
            "E       REFUTED: accuracy(x) - accuracy(x) of the baseline >= -0.01",
            "E         measured *, required >= -1.0 %: * points short",
            "*- robustcheck -*",
            "since the baseline x: 90.0 % -> *",
            "  lost: toy-??.png (label ?)",
            "against the baseline v1.0.csv, 20*",
            "  x: 90.0 % -> *",
            "*McNemar p*",
            "    lost: toy-*, toy-*and*more",
        ]
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "default_rng(0)",
            "default_rng(1)",
            "*of another image set: 40 of the baseline's 40 images missing here, 40 of*",
        ),
        ("mean=(0.5,)", "mean=(0.6,)", "*v1.0.csv differs in pixels: *"),
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
    ).stdout.fnmatch_lines(["E *differs in seed: *"])
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
            "version": text.replace('""format"": 3', '""format"": 1'),
            "header": text.replace('""provenance""', "provenance"),
            "cell": text.replace(",x,1,", ",x,one,", 1),
            "columns": text.replace("p_top", "top"),
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
    result.stdout.fnmatch_lines(["  note: codec: JPEG 4:2:0*"])
    path.write_text(text.replace("JPEG 4:2:0", "JPEG 4:4:4"))
    saved.runpytest("--robustcheck-compare=v1.0", "test_gate.py").stdout.fnmatch_lines(
        ["E *differs in codec*"]
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


def baseline_of(repository, name="v1.0"):
    return (repository.path / "robustcheck-baselines" / f"{name}.csv").read_text()


def worse(repository):
    spoil(
        repository,
        "labels[:4] = (labels[:4] + 1) % 4",
        "robustcheck_model.module.weight.data.neg_()\n    labels[:4] = (labels[:4] + 1) % 4",
    )


def test_a_red_comparison_does_not_save_over_what_it_was_compared_with(saved):
    before = baseline_of(saved)
    worse(saved)
    for _ in range(2):  # the rerun is as red as the run
        result = saved.runpytest("test_gate.py", "--robustcheck-compare=v1.0", "--robustcheck-save=v1.0")
        result.assert_outcomes(failed=1)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(
            ["ERROR: the baseline v1.0 was not saved: *was compared with it*--robustcheck-compare=v1.0"]
        )
        assert baseline_of(saved) == before
    result = saved.runpytest("test_save.py", "--robustcheck-save=v1.0")  # accepted on purpose
    result.stdout.fnmatch_lines(["saved as *v1.0.csv"])
    assert baseline_of(saved) != before


def test_a_green_comparison_saves(saved):
    result = saved.runpytest("test_gate.py", "--robustcheck-compare=v1.0", "--robustcheck-save=v1.0")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["saved as *v1.0.csv"])


def test_a_part_of_the_tests_does_not_replace_a_fuller_baseline(saved):
    before = baseline_of(saved)
    saved.makepyfile(test_less="def test_it(robustness):\n    robustness.evaluate('x')")
    result = saved.runpytest("test_less.py", "--robustcheck-save=v1.0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = " ".join(result.stdout.str().split())
    assert "replace v1.0.csv by less: it has no records of JPG_50(Adv_9)" in said
    assert baseline_of(saved) == before
    result = saved.runpytest(
        "test_less.py", "--robustcheck-save=v1.0", "--robustcheck-save-anyway=fewer views on purpose"
    )
    assert result.ret == 0
    assert "fewer views on purpose" in baseline_of(saved)


def test_missing_images_are_missed_whichever_way_they_went(saved):
    spoil(
        saved,
        "from_arrays(pixels, labels, names=names",
        "from_arrays(pixels[:30], labels[:30], names=names[:30]",
    )
    result = saved.runpytest("test_save.py", "--robustcheck-save=v1.0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "10 of its 40 images are missing" in " ".join(result.stdout.str().split())


def test_a_run_that_broke_off_or_evaluated_nothing_saves_nothing(saved):
    saved.makepyfile(
        test_stop=SAVE
        + "def test_red(): assert False\ndef test_more(robustness): robustness.evaluate('Adv_9')"
    )
    result = saved.runpytest("-x", "test_stop.py", "--robustcheck-save=broken")
    result.stdout.fnmatch_lines(["ERROR: the baseline broken was not saved: the run broke off*"])
    saved.makepyfile(test_nothing="def test_it(): pass")
    result = saved.runpytest("test_nothing.py", "--robustcheck-save=nothing")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["ERROR: the baseline nothing was not saved: nothing was evaluated"])
    assert [path.stem for path in (saved.path / "robustcheck-baselines").iterdir()] == ["v1.0"]


def test_a_baseline_knows_its_run_and_the_claims_that_failed_in_it(saved):
    saved.makepyfile(
        test_red="def test_it(robustness):\n    robustness.evaluate('Adv_9')\n    assert robustness['x'].accuracy >= 0.99"
    )
    result = saved.runpytest("test_save.py", "test_red.py", "--robustcheck-save=red", "-k", "not nothing")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["saved as *red.csv, with 1 claim that does not hold"])
    from robustcheck.records.csv import load

    about = load(saved.path / "robustcheck-baselines" / "red.csv")[1]["saved"]
    assert about["claims failed"] == "accuracy(x) >= 0.99"
    assert "--robustcheck-save=red -k 'not nothing'" in about["command"]
    assert re.match(r"20\d\d-", about["date"])
    assert about["tests"] == "all that were collected"


def test_a_comparison_names_what_has_no_counterpart(saved):
    spoil(saved, 'name="toy"', 'name="other"')
    saved.makepyfile(test_more="def test_it(robustness):\n    robustness.evaluate('x', 'Adv_3')")
    result = saved.runpytest("--robustcheck-compare=v1.0", "test_more.py")
    said = " ".join(result.stdout.str().split())
    assert "against the baseline v1.0.csv, 20" in said
    assert "model: toy then, other now" in said
    assert "2 views without counterpart, in the baseline only: JPG_50(Adv_9), Adv_9" in said
    assert "1 view without counterpart, in this run only: Adv_3" in said


@pytest.mark.parametrize(
    ("date", "options", "noted"),
    [
        ("2001-01-01 00:00 UTC", [], True),
        ("2001-01-01 00:00 UTC", ["--robustcheck-baseline-age=4w"], True),
        ("2001-01-01 00:00 UTC", ["--robustcheck-baseline-age=99999d"], False),
        ("2999-01-01 00:00 UTC", [], False),
        ("some day", [], False),
    ],
)
def test_an_old_baseline_is_noted(saved, date, options, noted):
    path = saved.path / "robustcheck-baselines" / "v1.0.csv"
    path.write_text(re.sub(r'""date"": ""[^"]*""', f'""date"": ""{date}""', path.read_text(), count=1))
    result = saved.runpytest("--robustcheck-compare=v1.0", "test_gate.py", *options)
    result.assert_outcomes(passed=1)
    assert ("note: the baseline is " in result.stdout.str()) is noted


@pytest.mark.parametrize(
    ("date", "said"),
    [
        ("some day", "must be such as 2026-01-31 12:00 UTC, got 'some day'"),
        ("2999-01-01 00:00 UTC", "lies in the future"),
    ],
)
def test_a_baseline_whose_age_cannot_be_told_is_noted(saved, date, said):
    path = saved.path / "robustcheck-baselines" / "v1.0.csv"
    path.write_text(re.sub(r'""date"": ""[^"]*""', f'""date"": ""{date}""', path.read_text(), count=1))
    result = saved.runpytest("--robustcheck-compare=v1.0", "test_gate.py", "--robustcheck-baseline-age=4w")
    result.assert_outcomes(passed=1)
    shown = " ".join(result.stdout.str().split())
    assert "note: the baseline's age is unknown: its date" in shown
    assert said in shown


@pytest.mark.parametrize("text", ["30", "-1d", "1y", "d", "1.5d"])
def test_the_age_of_a_baseline_is_checked(repository, text):
    result = repository.runpytest(f"--robustcheck-baseline-age={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--robustcheck-baseline-age: must be a number of days or weeks*"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("V1.0", "*there is v1.0.csv, and Windows and macOS take names that differ by case*: save as v1.0*"),
        ("v1.0.csv", "*name is that of its file without .csv, got 'v1.0.csv': write v1.0"),
        ("new.CSV", "*name is that of its file without .csv, got 'new.CSV': write new"),
    ],
)
def test_a_name_that_would_make_a_second_file_by_mistake_is_refused(saved, name, said):
    result = saved.runpytest(f"--robustcheck-save={name}", "test_save.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (result.stdout if name == "V1.0" else result.stderr).fnmatch_lines([said])
    assert [path.name for path in (saved.path / "robustcheck-baselines").iterdir()] == ["v1.0.csv"]
