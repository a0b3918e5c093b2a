"""The pytest plugin: options, fixtures, hooks; each translates and delegates.

Importing it loads neither torch nor numpy: imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from robustcheck.benchmark.hooks import ARGUMENTS, FIXTURE, RUN, TIMED, BenchmarkRun
from robustcheck.errors import RobustcheckError
from robustcheck.limits import use_limits
from robustcheck.options.table import Settings, add_options, misspelt
from robustcheck.report import writers
from robustcheck.session import forecast, marker, mutants, xdist
from robustcheck.session.allure import AllureAttachments
from robustcheck.session.baseline_saver import BaselineSaver
from robustcheck.session.collection import SuiteCollection
from robustcheck.session.evaluation_clock import check_timeout
from robustcheck.session.evaluation_errors import EvaluationErrors, user_errors
from robustcheck.session.evaluations import MUTATION
from robustcheck.session.failures import FailureReports
from robustcheck.session.interruption import Interruption
from robustcheck.session.mutation_forecast import WorkersForecast
from robustcheck.session.openmp import ADVICE, limit_spinning
from robustcheck.session.reporter import Reporter, new_progress
from robustcheck.session.result_log import ResultLog
from robustcheck.session.results import ForkedTests
from robustcheck.session.session import KEY, Session
from robustcheck.session.toml_items import NAME as CLAIMS_FILE
from robustcheck.session.toml_items import ClaimModule, check_kind
from robustcheck.text import shell_command

if TYPE_CHECKING:
    from torch import Tensor

    from robustcheck.benchmark.fixture import Benchmark
    from robustcheck.models import Classifier
    from robustcheck.robustness import Robustness


# ------------------------------------------------------------------------------------------ options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and their ini keys."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Before a conftest can import torch, limit how its threads spin; suggest the closest option for one that is misspelt."""
    early_config.stash[ADVICE] = limit_spinning(early_config)
    early_config.stash[ARGUMENTS] = tuple(args)
    if problem := misspelt(args):
        raise pytest.UsageError(problem)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Check the options, and register the objects that follow the run."""
    in_ini = vars(config).get("_inicfg") or vars(config).get("inicfg") or {}  # there is no public way
    if problem := misspelt([], [key for key in in_ini if key.startswith("robustcheck_")]):
        raise pytest.UsageError(problem)
    settings = Settings.of(config)
    cleanup = ExitStack()
    cleanup.enter_context(use_limits(settings.input_limits or {}))
    config.add_cleanup(cleanup.close)
    is_worker = hasattr(config, "workerinput")
    writes_junit = not is_worker and bool(config.getoption("xmlpath", None))
    log = ResultLog(junit_family=config.getini("junit_family") if writes_junit else None)
    config.stash[KEY] = session = Session(
        settings,
        root=config.rootpath,
        command_line=shell_command(["pytest", *map(str, config.invocation_params.args)]),
        new_progress=partial(new_progress, config),
        cache_folder=partial(_cache_folder, config),
        worker=xdist.Worker.of(config),
        log=log,
    )
    config.stash[RUN] = benchmarks = BenchmarkRun(config)
    saver = BaselineSaver(session)
    kinds = (
        SuiteCollection,
        ForkedTests,
        EvaluationErrors,
        FailureReports,
        AllureAttachments,
        mutants.Mutants,
        forecast.Forecaster,
        WorkersForecast,
        xdist.Controller,
    )
    config.addinivalue_line("markers", marker.LINE)
    for part in (
        log,
        session.clock,
        *(kind(session) for kind in kinds),
        saver,
        Reporter(session, saver),
        benchmarks,
        Interruption(full_trace=config.getoption("fulltrace", default=False)),
    ):
        config.pluginmanager.register(part, f"robustcheck.{type(part).__name__}")
    try:
        writers.check(settings)
        check_kind(config.rootpath / CLAIMS_FILE)
        check_timeout(settings.timeout)
        mutants.check(settings)
        session.resources.check_baselines()
        session.resources.check_workers(is_spread=is_worker or bool(config.getoption("numprocesses", None)))
    except RobustcheckError as error:
        raise pytest.UsageError(str(error)) from None
    if settings.suite not in {None, MUTATION} and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args[:] = []  # the suite alone
    elif config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        # It is rarely below the folder of the tests. By its name: pytest reads a bracket in a path as a parameter.
        config.args += [CLAIMS_FILE] * (config.rootpath / CLAIMS_FILE).is_file()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the claims of a `robustcheck.toml`."""
    if file_path.name != CLAIMS_FILE:
        return None
    module: pytest.Module = ClaimModule.from_parent(parent, path=file_path)
    return module


def _cache_folder(config: pytest.Config) -> Path | None:
    """Return a folder of ours in pytest's cache; None if the cache is turned off."""
    cache: pytest.Cache | None = getattr(config, "cache", None)
    try:
        return None if cache is None else cache.mkdir("robustcheck")
    except OSError as error:
        raise RobustcheckError(f"pytest's cache folder can't be used: {error}") from None


# ----------------------------------------------------------------------------------------- fixtures


@pytest.fixture(scope="session")
def robustcheck_model(pytestconfig: pytest.Config) -> Any:
    """The model under test; by default the one that the options name.

    Override it in conftest.py to bring your own:

        @pytest.fixture(scope="session")
        def robustcheck_model():
            return robustcheck.Classifier(net, mean=(0.5,) * 3, std=(0.5,) * 3, input_size=224)
    """
    with user_errors():
        return pytestconfig.stash[KEY].evaluations.load_model()


@pytest.fixture(scope="session")
def robustcheck_images(pytestconfig: pytest.Config) -> Any:
    """The images it is tested on: a spec such as a folder's path, or an ImageSet; override it to bring your own."""
    return pytestconfig.stash[KEY].evaluations.images_spec()


@pytest.fixture(scope="module")
def robustcheck_classifier(pytestconfig: pytest.Config, robustcheck_model: Any) -> Classifier:
    """The model under test: uint8 images (N, 3, H, W) in, logits (N, classes) out.

    logits = robustcheck_classifier(images)
    """
    with user_errors():
        return pytestconfig.stash[KEY].evaluations.as_classifier(robustcheck_model)


@pytest.fixture(scope="module")
def robustness(
    pytestconfig: pytest.Config, robustcheck_classifier: Classifier, robustcheck_images: Any
) -> Robustness:
    """What can be claimed of the model on the images.

    def test_jpeg_gives_back_what_a_small_attack_takes(robustness):
        assert robustness.recovery("JPG(Adv_1)") >= 0.4
    """
    with user_errors():
        return pytestconfig.stash[KEY].evaluations.robustness(robustcheck_classifier, robustcheck_images)


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
def _robustcheck_benchmark_timer(request: pytest.FixtureRequest) -> None:
    """Set the timer before `benchmark` is made, in a test that asks for our fixture by `request.getfixturevalue`."""
    if FIXTURE not in request.node.fixturenames:
        request.config.stash[RUN].give_timer(request.node)


@pytest.fixture
def robustcheck_benchmark(
    request: pytest.FixtureRequest,
    _robustcheck_benchmark_timer: None,
    benchmark: Any,
) -> Benchmark:
    """Measure speed and memory, on top of pytest-benchmark; `.ratio` is for a gate that holds on any machine.

    def test_my_codec_is_twice_as_fast(robustcheck_benchmark, images):
        result = robustcheck_benchmark.ratio(lambda: mine(images), lambda: theirs(images))
        assert result.ratio_low >= 2

    `robustcheck_benchmark(function, *args, images=N)` measures anything; `.attack("Adv_1")`, `.jpeg(quality=75)`
    and `.table()` measure the run's own model on its own images. `.pedantic`, `.extra_info`, `.group` and `.stats` are
    those of pytest-benchmark.
    """
    from robustcheck.benchmark.fixture import Benchmark
    from robustcheck.models.device import resolve_device

    request.node.stash[TIMED] = benchmark
    settings = request.config.stash[KEY].settings
    with user_errors():
        device = resolve_device(settings.device)
    return Benchmark(benchmark, request, device=device, precision=settings.precision)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Add the versions and devices that a time depends on to what pytest-benchmark stores."""
    from robustcheck.benchmark.device_facts import machine_info as facts

    machine_info["robustcheck"] = facts()
