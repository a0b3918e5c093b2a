"""The pytest plugin: options, fixtures, hooks; each translates and delegates.

Nothing here imports torch or numpy before a test asks for a fixture.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pytest

from robustcheck.claim_items import NAME as CLAIMS_FILE
from robustcheck.claim_items import ClaimItem, ClaimModule
from robustcheck.errors import ClaimFailed, RobustcheckError
from robustcheck.session import KEY, Session, views_named_by
from robustcheck.settings import Settings, add_options, mistyped

if TYPE_CHECKING:
    from torch import Tensor

    from robustcheck.models import Classifier
    from robustcheck.robustness import Robustness

_PACKAGE = Path(__file__).parent
_SUITES = _PACKAGE / "suites"
_OURS = {"robustness", "robustcheck_model", "robustcheck_images", "robustcheck_classifier", "fgs", "jpeg"}


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
        settings, root=config.rootpath, new_progress=partial(_progress, config)
    )
    config.pluginmanager.register(session, "robustcheck_session")
    try:
        session.check_baselines()
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
    with _told_plainly():
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
    with _told_plainly():
        return pytestconfig.stash[KEY].as_classifier(robustcheck_model)


@pytest.fixture(scope="module")
def robustness(
    pytestconfig: pytest.Config, robustcheck_classifier: Classifier, robustcheck_images: Any
) -> Robustness:
    """What can be claimed of the model on the images.

    def test_jpeg_gives_back_what_a_small_attack_takes(robustness):
        assert robustness.recovery("JPG(Adv_1)") >= 0.4
    """
    with _told_plainly():
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
        elif _uses_fixtures(item):
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
    from robustcheck.claims import Estimate, Ratio

    session = config.stash[KEY]
    entries = session.verdicts[session.current_test]
    if not entries or not isinstance(left, Estimate | Ratio) | isinstance(right, Estimate | Ratio):
        return None
    *_, verdict = entries[-1]
    session.explained.append(verdict)
    return verdict.explain()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Leave our own frames out of a user's mistake, and add to a failed claim the images that count against it.

    What keeps many tests from running, such as a model that can't be had, is told once; the others skip.
    """
    session = item.config.stash[KEY]
    error = None if call.excinfo is None else call.excinfo.value
    if call.excinfo is not None and _says_all(error, call.excinfo.tb):
        _end_at_the_users_line(call.excinfo.tb)
        session.explained.append(getattr(error, "verdict", None))
    report = yield
    if isinstance(error, Unusable):
        if error.msg in session.told:
            report.outcome = "skipped"
            report.longrepr = (str(item.path), 0, "Skipped: robustcheck: the first error says why")
        session.told.add(error.msg)
    if report.when == "call" and report.failed:
        report.sections += _failure_sections(item)
    return report


def _failure_sections(item: pytest.Item) -> list[tuple[str, str]]:
    session = item.config.stash[KEY]
    sections = []
    for robustness, subject, verdict in session.verdicts.get(item, ()):
        if verdict.state != "holds":
            from robustcheck.report.failure import evidence

            explained = any(verdict is other for other in session.explained)
            lines = [*([] if explained else verdict.explain()), *evidence(subject, robustness)]
            sections.append(("robustcheck", "\n".join(lines)))
    return [section for section in sections if section[1]]


def _says_all(error: BaseException | None, entry: TracebackType | None) -> bool:
    """Whether the message is complete without our frames: we raised it ourselves, of a user's mistake."""
    while entry is not None and entry.tb_next is not None:
        entry = entry.tb_next
    ours = entry is not None and _is_ours(entry)
    return isinstance(error, RobustcheckError | ClaimFailed) or (ours and isinstance(error, TypeError))


def _end_at_the_users_line(entry: TracebackType | None) -> None:
    while entry is not None and entry.tb_next is not None:
        if _is_ours(entry.tb_next) and not _is_ours(entry):
            entry.tb_next = None
        entry = entry.tb_next


def _is_ours(entry: TracebackType) -> bool:
    path = Path(entry.tb_frame.f_code.co_filename)
    return path.is_relative_to(_PACKAGE) and not path.is_relative_to(_SUITES)


class Unusable(pytest.fail.Exception):  # type: ignore[misc,name-defined] # an attribute of a function
    """A fixture can't be had, by a mistake of the user's; the message is all there is to say."""


@contextmanager
def _told_plainly() -> Generator[None]:
    """Turn a user's mistake into its message alone."""
    try:
        yield
    except RobustcheckError as error:
        raise Unusable(f"robustcheck: {error}", pytrace=False) from None


# ----------------------------------------------------------------------------------------- reporting


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Save the baseline that is asked for; in a worker of pytest-xdist, send what it evaluated to the controller."""
    ours = session.config.stash[KEY]
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["robustcheck"] = [study.to_plain() for study in ours.studies()]
    elif exitstatus in {pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR}:
        return
    elif not ours.is_empty and not ours.save_baseline():
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take in what a worker of pytest-xdist evaluated."""
    for plain in getattr(node, "workeroutput", {}).get("robustcheck", ()):
        from robustcheck.report import Study

        node.config.stash[KEY].from_workers.append(Study.from_plain(plain))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, the claims and the findings."""
    session = config.stash[KEY]
    if session.is_empty:
        return
    from robustcheck.report.terminal import render

    terminalreporter.section("robustcheck")
    for line in render(session.finished(), encoding=_encoding(terminalreporter)):
        terminalreporter.line(line)
    if session.saved:
        terminalreporter.line(session.saved)


def _encoding(terminalreporter: pytest.TerminalReporter) -> str:
    return getattr(terminalreporter._tw._file, "encoding", None) or "ascii"  # noqa: SLF001 - there is no public way


def _progress(config: pytest.Config) -> Callable[[int, int], None] | None:
    """Return what tells how far an evaluation has come, for the first time that there is one."""
    reporter: Any = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None or config.get_verbosity() < 0:
        return None
    from robustcheck.report.progress import Progress

    capture: Any = config.pluginmanager.getplugin("capturemanager")

    def write(text: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write(text, flush=True)

    return Progress(write, rewrites=reporter.isatty and "CI" not in os.environ)
