"""Hooks take whatever pytest and its plugins may legally give them, and end no run that is not ours."""

ODD = """
import pathlib
import pytest

class Item(pytest.Item):
    def runtest(self):
        self.user_properties += [(1, 2), ["robustcheck_other", None], (pathlib.Path("a"), "b"), ("robustcheck_claim",)]

    def reportinfo(self):
        return self.path, None, "odd"

class File(pytest.File):
    def collect(self):
        yield Item.from_parent(self, name="odd")

def pytest_collect_file(file_path, parent):
    return File.from_parent(parent, path=file_path) if file_path.suffix == ".odd" else None

@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    if report.when == "teardown" and not hasattr(report, "again"):
        extra = pytest.TestReport(
            "elsewhere::x", ("elsewhere", None, "x"), {}, "passed", None, "teardown", user_properties=((3, 4),), again=1
        )
        config.hook.pytest_runtest_logreport(report=extra)

def pytest_configure(config):
    globals()["config"] = config
"""


def test_odd_items_reports_and_properties(pytester):
    pytester.makeconftest(ODD)
    (pytester.path / "a.odd").write_text("")
    pytester.makepyfile(test_it="def test_it(record_property):\n    record_property(None, {})\n")
    result = pytester.runpytest("-Wdefault")
    result.assert_outcomes(passed=2)
    assert "INTERNALERROR" not in result.stdout.str()


def test_a_report_without_a_terminal_or_a_cache(repository):
    repository.makepyfile("def test_it(robustness):\n    assert robustness['x'].accuracy >= 0.3")
    for plugin in ("terminal", "cacheprovider", "junitxml", "assertion", "capture", "logging", "warnings"):
        result = repository.runpytest_inprocess("-p", f"no:{plugin}")
        assert result.ret == 0, plugin
