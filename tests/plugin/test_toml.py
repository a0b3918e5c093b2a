"""`robustcheck.toml` is collected beside the tests, wherever the repository is."""

import pytest

from tests.toys import CONFTEST


@pytest.mark.parametrize("name", ["proj [v2]", "a[b", "c]d", "per%cent #1"])
def test_the_path_of_the_repository_is_no_syntax(pytester, name, monkeypatch):
    root = pytester.path / name
    (root / "tests").mkdir(parents=True)
    (root / "conftest.py").write_text(CONFTEST)
    (root / "tests" / "test_p.py").write_text("def test_plain(): pass")
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\ntestpaths = ["tests"]\n')
    (root / "robustcheck.toml").write_text('[claims]\nright = "accuracy(x) >= 30%"\n')
    monkeypatch.chdir(root)
    result = pytester.runpytest_subprocess("-v", "--robustcheck-store=off")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["robustcheck.toml::right PASSED*"])
