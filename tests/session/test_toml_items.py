"""`robustcheck.toml`: a test per claim."""

import pytest

CLAIMS = """
[claims]
clean        = "accuracy(x) >= 80%"
attack-works = "accuracy(Adv_20) <= 0.5 * accuracy(x)"

[claims.too-much]
claim = "recovery(JPG_50(Adv_20)) >= 90%"
"""


def write(repository, text=CLAIMS):
    (repository.path / "robustcheck.toml").write_text(text)


def test_each_claim_is_a_test_shown_with_its_place_when_it_fails(repository):
    write(repository)
    result = repository.runpytest("-v")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "robustcheck.toml::clean PASSED*",
            "robustcheck.toml::attack-works PASSED*",
            "robustcheck.toml::too-much FAILED*",
            "*robustcheck.toml:6: too-much",
            "REFUTED: recovery(JPG_50(Adv_20)) >= 0.9",
            "  measured *required >= 90.0 %: * points short",
            "worst images (5 of *",
            "FAILED robustcheck.toml::too-much*",
        ]
    )
    assert "Traceback" not in result.stdout.str()


def test_claims_are_selected_by_name(repository):
    write(repository)
    repository.runpytest("-k", "attack-works").assert_outcomes(passed=1, deselected=2)
    repository.runpytest("robustcheck.toml::clean").assert_outcomes(passed=1)


def test_it_is_found_below_the_rootdir_and_sees_the_fixtures_there(repository):
    (repository.mkdir("gates") / "robustcheck.toml").write_text('[claims]\nclean = "accuracy(x) >= 80%"\n')
    repository.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[claims]\na = "acuracy(x) >= 0.5"',
            "*robustcheck.toml:2: claim 'a': *acuracy*did you mean*accuracy*",
        ),
        (
            '[claims]\na = "accuracy(JPEG) >= 0.5"',
            "*robustcheck.toml:2: claim 'a': unknown step 'JPEG': did you mean JPG?*",
        ),
        ("[claims]\na = 3", "*robustcheck.toml:2: claim 'a' must be text*"),
        ("[claims", "*robustcheck.toml:1:*"),
        ("", "*robustcheck.toml:1: no claims*"),
    ],
)
def test_mistake_names_file_and_line(repository, text, message):
    write(repository, text)
    result = repository.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])
    assert "Traceback" not in result.stdout.str()


def test_undecided_fails_warns_or_passes_as_it_says(repository):
    settings = "".join(
        f'[claims.{word}]\nclaim = "accuracy(x) >= 85%"\nabout = "population"\non_undecided = "{word}"\n'
        for word in ("fail", "warn", "pass")
    )
    write(repository, settings)
    result = repository.runpytest("-W", "default")
    result.assert_outcomes(passed=2, failed=1, warnings=1)
    result.stdout.fnmatch_lines(
        [
            "*robustcheck.toml:1: fail",
            "NOT SHOWN: accuracy(x) >= 0.85",
            "*other seeds until*",
            "*RobustnessWarning: *robustcheck.toml:5: warn",
        ]
    )


def test_family_is_decided_jointly(repository):
    write(repository, 'family = "holm"\n' + CLAIMS)
    result = repository.runpytest()
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["  HOLDS     *: accuracy(x) >= 0.8", "  REFUTED   *: recovery(JPG_50(Adv_20)) >= 0.9"]
    )


def test_it_is_found_at_the_rootdir_where_the_tests_are_below(repository):
    write(repository)
    (repository.mkdir("tests") / "test_it.py").write_text("def test_it():\n    pass\n")
    repository.makeini("[pytest]\ntestpaths = tests")
    repository.runpytest().assert_outcomes(passed=3, failed=1)
    repository.runpytest("tests").assert_outcomes(passed=1)


def test_claims_run_for_each_parameter_of_the_fixtures_that_they_use(repository):
    conftest = repository.path / "conftest.py"
    text = conftest.read_text().replace('scope="session")', 'scope="session", params=["one", "two"])', 1)
    text = text.replace("def robustcheck_model():", "def robustcheck_model(request):").replace(
        'name="toy"', "name=request.param"
    )
    conftest.write_text(text)
    write(repository, 'family = "holm"\n' + CLAIMS)
    result = repository.runpytest("-v", "-k", "clean or attack")
    result.assert_outcomes(passed=4, deselected=2)
    result.stdout.fnmatch_lines_random(
        [f"robustcheck.toml::clean[[]{name}] PASSED*" for name in ("one", "two")]
    )
    repository.runpytest("robustcheck.toml::clean[two]").assert_outcomes(passed=1)


def test_a_claim_may_have_the_name_of_anything(repository):
    names = ("test", "obj", "class", "a b", "Klasse", "x[1]")
    write(repository, "[claims]\n" + "".join(f'"{name}" = "accuracy(x) >= 80%"\n' for name in names))
    repository.runpytest().assert_outcomes(passed=6)


@pytest.mark.parametrize("options", [(), ("-n1",)])
def test_the_summary_line_says_what_was_measured(repository, options):
    repository.makefile(".toml", robustcheck='[claims]\nstrong = "accuracy(x) >= 95%"\n')
    result = repository.runpytest(*options)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["FAILED robustcheck.toml::strong - 90.0 %, required >= 95.0 %"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            'alfa = 0.05\n[claims]\na = "accuracy(x) >= 0.5"',
            "line 1: unknown setting 'alfa': did you mean 'alpha'?",
        ),
        (
            '[claims]\na = "accuracy(JPEG) >= 0.5"',
            "line 2: unknown step 'JPEG': did you mean JPG?",
        ),
        ('[claims]\na = "acuracy(x) >= 0.5"', "line 2: unknown measure 'acuracy'"),
        ("[claims", "line 1: Expected ']' at the end of a table declaration"),
        ("[claims]\na = 3", "line 2: claim 'a' must be text such as"),
        ("[claims]\na = 1\na = 2", "line 3: this name is given twice"),
        ("alpha = 5\n[claims]", "line 1: alpha must be a probability between 0 and 1"),
        ("", "line 1: no claims: write [claims]"),
        (b"[claims]\na = '\xff'", "line 1: a TOML file must be UTF-8, got byte 0xff"),
    ],
)
def test_the_short_summary_says_what_is_wrong_with_a_file(repository, text, reason):
    (repository.path / "robustcheck.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    lines = repository.runpytest().outlines
    line = next(line for line in lines if line.startswith("ERROR robustcheck.toml"))
    assert line.startswith(f"ERROR robustcheck.toml - {reason}")
    assert len(line) <= 80


@pytest.mark.slow
def test_the_short_summary_of_workers_says_it_too(repository):
    pytest.importorskip("xdist")
    write(repository, "alpha = 5\n[claims]")
    result = repository.runpytest("-n", "1")
    result.stdout.fnmatch_lines(["ERROR robustcheck.toml - line 1: alpha must be a probability*"])


def test_a_module_that_a_mistake_keeps_from_import_names_no_class(repository):
    repository.makepyfile(test_it="import robustcheck\nNET = robustcheck.load_model('resnet51')\n")
    result = repository.runpytest()
    result.stdout.fnmatch_lines(["ERROR test_it.py - unknown model 'resnet51': did you mean*"])


@pytest.mark.parametrize("kind", ["a directory", "a link to nothing"])
def test_claims_that_are_no_file_are_not_left_out_silently(repository, kind):
    path = repository.path / "robustcheck.toml"
    if kind == "a directory":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    repository.makepyfile("def test_it(): pass")
    result = repository.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"robustcheck.toml must be a file of claims, got {kind}" in result.stderr.str()
