"""The pytest plugin: options, fixtures, hooks; each translates and delegates.

Nothing here imports torch or numpy before a test asks for a fixture.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from robustcheck.benchmark.run import FIXTURE as BENCHMARK
from robustcheck.benchmark.run import RUN, BenchmarkRun
from robustcheck.errors import RobustcheckError
from robustcheck.options.table import Settings, add_options, mistyped
from robustcheck.report import writers as outputs
from robustcheck.session import KEY, Session, failures, views_named_by
from robustcheck.session import xdist as xdist_worker
from robustcheck.session.failures import Unusable, told_plainly
from robustcheck.session.toml_items import NAME as CLAIMS_FILE
from robustcheck.session.toml_items import ClaimItem, ClaimModule

if TYPE_CHECKING:
    from torch import Tensor

    from robustcheck.benchmark.fixture import Benchmark
    from robustcheck.models import Classifier
    from robustcheck.robustness import Robustness


_SUITES = Path(__file__).parent / "suites"
_NAMES_VIEWS = {
    "robustness",
    "robustcheck_model",
    "robustcheck_images",
    "robustcheck_classifier",
    "fgs",
    "jpeg",
}
_OURS = _NAMES_VIEWS | {BENCHMARK}  # what a benchmark names is measured, not claimed


# ------------------------------------------------------------------------------------------ options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and their ini keys."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(args: list[str]) -> None:
    """Say which option was meant, where one is misspelt; pytest itself says only that it knows none of the name."""
    if problem := mistyped(args):
        raise pytest.UsageError(problem)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Check the options, and add the suite that they name to what is collected."""
    in_ini = (
        vars(config).get("_inicfg") or vars(config).get("inicfg") or {}
    )  # there is no public way any more
    if problem := mistyped([], [key for key in in_ini if key.startswith("robustcheck_")]):
        raise pytest.UsageError(problem)
    settings = Settings.of(config)
    config.stash[KEY] = session = Session(
        settings,
        root=config.rootpath,
        new_progress=partial(_progress, config),
        cache_folder=partial(_cache_folder, config),
        worker=xdist_worker.Worker.of(config),
    )
    config.pluginmanager.register(session.log, "robustcheck_log")
    config.stash[RUN] = benchmarks = BenchmarkRun(config)
    config.pluginmanager.register(benchmarks, "robustcheck_benchmark_run")
    session.facts["command line"] = shlex.join(["pytest", *map(str, config.invocation_params.args)])
    session.facts["date"] = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    if not hasattr(config, "workerinput") and config.getoption("xmlpath", None):
        session.log.on_properties = _make_readable
    try:
        outputs.check(settings)
        session.check_baselines()
        session.resources.check_workers(is_spread=_is_spread(config))
    except RobustcheckError as error:
        raise pytest.UsageError(str(error)) from None
    if settings.suite is not None and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args[:] = []  # the suite alone
    elif config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        claims = config.rootpath / CLAIMS_FILE  # is rarely below the folder of the tests
        config.args += [str(claims)] * claims.is_file()


# ----------------------------------------------------------------------------------------- fixtures


@pytest.fixture(scope="session")
def robustcheck_model(pytestconfig: pytest.Config) -> Any:
    """The model under test; by default the one that the options name.

    Override it in conftest.py to bring your own:

        @pytest.fixture(scope="session")
        def robustcheck_model():
            return robustcheck.Classifier(net, mean=(0.5,) * 3, std=(0.5,) * 3, input_size=224)
    """
    with told_plainly():
        return pytestconfig.stash[KEY].load_model()


@pytest.fixture(scope="session")
def robustcheck_images(pytestconfig: pytest.Config) -> Any:
    """The images it is tested on: a spec such as a folder's path, or an ImageSet; override it to bring your own."""
    return pytestconfig.stash[KEY].images_spec()


@pytest.fixture(scope="module")
def robustcheck_classifier(pytestconfig: pytest.Config, robustcheck_model: Any) -> Classifier:
    """The model under test: uint8 images (N, 3, H, W) in, logits (N, classes) out.

    logits = robustcheck_classifier(images)
    """
    with told_plainly():
        return pytestconfig.stash[KEY].as_classifier(robustcheck_model)


@pytest.fixture(scope="module")
def robustness(
    pytestconfig: pytest.Config, robustcheck_classifier: Classifier, robustcheck_images: Any
) -> Robustness:
    """What can be claimed of the model on the images.

    def test_jpeg_gives_back_what_a_small_attack_takes(robustness):
        assert robustness.recovery("JPG(Adv_1)") >= 0.4
    """
    with told_plainly():
        return pytestconfig.stash[KEY].robustness(robustcheck_classifier, robustcheck_images)


@pytest.fixture(scope="module")
def fgs(robustcheck_classifier: Classifier) -> Callable[..., Tensor]:
    """Fast gradient sign on the model under test; `robustcheck.attacks.fgs` has the details.

    adversarial = fgs(images, epsilon=1)
    """
    from robustcheck.attacks import fgs

    return partial(fgs, robustcheck_classifier)


@pytest.fixture(scope="session")
def jpeg() -> Callable[..., Tensor]:
    """JPEG recompression of uint8 images; `robustcheck.jpeg.roundtrip` has the details.

    recompressed = jpeg(images, quality=75)
    """
    from robustcheck.jpeg import roundtrip

    return roundtrip


@pytest.fixture
def robustcheck_benchmark(request: pytest.FixtureRequest, benchmark: Any) -> Benchmark:
    """Measure speed and memory, on top of pytest-benchmark; `.ratio` is for a gate that holds on any machine.

    def test_my_codec_is_twice_as_fast(robustcheck_benchmark, images):
        result = robustcheck_benchmark.ratio(lambda: mine(images), lambda: theirs(images))
        assert result.ratio_low >= 2

    `robustcheck_benchmark(function, *args, images=N)` measures anything; `.attack("Adv_1")`, `.jpeg(quality=75)`
    and `.table()` measure the run's own model on its own images.
    """
    from robustcheck.benchmark.fixture import Benchmark
    from robustcheck.benchmark.timer import device_seconds
    from robustcheck.models.device import resolve_device

    config = request.config
    marker = request.node.get_closest_marker("benchmark")
    with told_plainly():
        device = resolve_device(config.stash[KEY].settings.device)
    return Benchmark(
        benchmark,
        config.stash[RUN],
        timer=marker.kwargs.get("timer", device_seconds) if marker else device_seconds,
        device=lambda: device,
        robustness=lambda: request.getfixturevalue("robustness"),
    )


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Add the versions and devices that a time depends on to what pytest-benchmark stores."""
    from robustcheck.benchmark.device import machine

    machine_info["robustcheck"] = machine()


# ---------------------------------------------------------------------------------------- collecting


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the claims of a `robustcheck.toml`."""
    if file_path.name != CLAIMS_FILE:
        return None
    module: pytest.Module = ClaimModule.from_parent(parent, path=file_path)
    return module


class SuiteModule(pytest.Module):
    """A test module that ships with robustcheck, under its own name instead of its path in some environment."""

    @classmethod
    def named(cls, name: str, session: pytest.Session) -> SuiteModule:
        """Return the collector of a suite."""
        stem = name.replace("-", "_")
        pytest.register_assert_rewrite(f"robustcheck.suites.{stem}")
        module: SuiteModule = cls.from_parent(
            session, path=_SUITES / f"{stem}.py", nodeid=f"robustcheck/{name}"
        )
        return module


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the suite that is asked for: by name, or by a model named where no test is that uses it."""
    settings = config.stash[KEY].settings
    wanted = settings.suite
    if wanted is None and "model" in settings.on_command_line and not any(map(_uses_fixtures, items)):
        wanted = "jpeg-study"
    if wanted is not None:
        items.extend(session.genitems(SuiteModule.named(wanted, session)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Plan the views that the tests to be run name, so that they are evaluated together."""
    if session.config.option.collectonly:
        return
    ours = session.config.stash[KEY]
    for item in session.items:
        if isinstance(item, ClaimItem):
            ours.planned.update(dict.fromkeys(item.declared.claim.views))
        elif not _NAMES_VIEWS.isdisjoint(getattr(item, "fixturenames", ())):
            ours.planned.update(dict.fromkeys(views_named_by(item)))


def _uses_fixtures(item: pytest.Item) -> bool:
    return not _OURS.isdisjoint(getattr(item, "fixturenames", ()))


# ------------------------------------------------------------------------------------------- running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Know which test a claim belongs to."""
    item.config.stash[KEY].current_test = item
    return (yield)


def pytest_assertrepr_compare(config: pytest.Config, left: object, right: object) -> list[str] | None:
    """Explain a claim that did not hold."""
    if "robustcheck.claims" not in sys.modules:
        return None
    return failures.explain_comparison(config.stash[KEY], left, right)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Leave our own frames out of a user's mistake, and add to a failed claim the images that count against it.

    What keeps many tests from running, such as a model that can't be had, is told once; the others skip.
    """
    session = item.config.stash[KEY]
    if call.excinfo is not None:
        failures.end_at_the_users_line(session, call.excinfo)
    report = yield
    error = None if call.excinfo is None else call.excinfo.value
    if isinstance(error, Unusable):
        failures.tell_once(session, item, report, error)
    if report.when == "call" and report.failed:
        report.sections += failures.sections(session, item)
    if report.failed and report.when != "teardown" and _uses_fixtures(item):
        failures.note_trouble(session, item, error)
    return report


# ----------------------------------------------------------------------------------------- reporting


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Save the baseline and write the reports that are asked for; in a worker of pytest-xdist, send what it
    evaluated to the controller.

    First of all, since the JUnit file that takes in what there is to say is written at the same time.
    """
    ours = session.config.stash[KEY]
    ours.ended = exitstatus != pytest.ExitCode.INTERNAL_ERROR
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["robustcheck"] = ours.to_plain()
        return
    complete = exitstatus not in {pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR}
    if not complete:
        ours.facts["interrupted"] = "the run was interrupted: what is here is what there was by then"
    ours.end_work()
    if stored := ours.stored():
        ours.facts["records"] = str(stored)
    saved = ours.save_baseline() if complete and not ours.is_empty else True
    if not (ours.write_reports(_suite_properties(session.config)) and saved):
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def _make_readable(report: pytest.TestReport) -> None:
    """Put the numbers of claims into a test's properties one by one, for the JUnit file."""
    if any(name.startswith("robustcheck_") for name, _ in report.user_properties):
        from robustcheck.report.formats.junit import readable

        report.user_properties[:] = readable(report.user_properties)


def _suite_properties(config: pytest.Config) -> Callable[[str, object], None] | None:
    """Return what adds a property to the suite of the JUnit file, where one is written."""
    # The fixture record_testsuite_property does this, but in a controller of pytest-xdist there are no fixtures.
    writers = (getattr(plugin, "add_global_property", None) for plugin in config.pluginmanager.get_plugins())
    return next(filter(None, writers), None)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist by what it shares the work with the others."""
    xdist_worker.tell(node, node.config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """Learn the order of the tests, which is that of a serial run."""
    node.config.stash[KEY].log.position.update({test: at for at, test in enumerate(ids)})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take in what a worker of pytest-xdist evaluated."""
    told = getattr(node, "workeroutput", {}).get("robustcheck")
    if told is not None:  # a worker that died told nothing
        node.config.stash[KEY].take_in(told)


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, the claims and the findings, before a plugin's own summary that may end in an error."""
    session = config.stash[KEY]
    if session.is_empty and not session.written and not session.resources.messages:
        return
    terminalreporter.section("robustcheck")
    if not session.is_empty:
        from robustcheck.report.formats.terminal import render
        from robustcheck.report.summary import summary_of

        for line in render(summary_of(session.finished(), plots=False), encoding=_encoding(terminalreporter)):
            terminalreporter.line(line)
    if "interrupted" in session.facts:
        for line in session.where_it_stopped():
            terminalreporter.line(line)
    if stored := session.stored():
        terminalreporter.line(f"records: {stored}")
    for line in session.resources.messages:
        terminalreporter.line(line)
    if session.saved:
        terminalreporter.line(session.saved)
    for line in session.written:
        terminalreporter.line(line)


def _cache_folder(config: pytest.Config) -> Path | None:
    """Return a folder of ours in pytest's cache; None where the cache is turned off."""
    cache: pytest.Cache | None = getattr(config, "cache", None)
    return None if cache is None else cache.mkdir("robustcheck")


def _is_spread(config: pytest.Config) -> bool:
    """Return whether pytest-xdist runs tests in processes of its own."""
    return hasattr(config, "workerinput") or bool(config.getoption("numprocesses", None))


def _encoding(terminalreporter: pytest.TerminalReporter) -> str:
    return getattr(terminalreporter._tw._file, "encoding", None) or "ascii"  # noqa: SLF001 - there is no public way


def _progress(config: pytest.Config, detail: Callable[[], str]) -> Callable[[int, int], None] | None:
    """Return what tells how far an evaluation has come; None in a worker of pytest-xdist, and by -q."""
    reporter: Any = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None or config.get_verbosity() < 0:
        return None
    from robustcheck.report.progress import Progress

    capture: Any = config.pluginmanager.getplugin("capturemanager")

    def write(text: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write(text, flush=True)

    return Progress(write, rewrites=reporter.isatty and "CI" not in os.environ, detail=detail)
