"""`python -m robustcheck COMMAND`: work on saved records, the record store and the docs, without a model.

Imports inside functions keep the start of each command fast.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import robustcheck
from robustcheck.errors import RobustcheckError
from robustcheck.text import printable, printable_lines

if TYPE_CHECKING:
    from robustcheck.report.run import FinishedRun
    from robustcheck.report.summary import Summary


def report(arguments: Sequence[str]) -> int:
    """Write a report from saved records."""
    parser = _parser("report")
    parser.add_argument("run", nargs="+", type=Path, metavar="RUN", help="records: a .csv or .parquet file")
    parser.add_argument(
        "--out", type=Path, default=Path("report.html"), help="PATH.html, .json or .md (default: report.html)"
    )
    options = parser.parse_args(arguments)
    from robustcheck.report.loader import load_run

    _write(load_run(options.run), options.out)
    return 0


def compare(arguments: Sequence[str]) -> int:
    """Show which images changed between the records of two runs."""
    parser = _parser("compare")
    parser.add_argument("old", type=Path, metavar="A", help="the records before")
    parser.add_argument("new", type=Path, metavar="B", help="the records after")
    parser.add_argument("--out", type=Path, help="also write it as PATH.html, .json or .md")
    parser.add_argument(
        "--fail-on-regression",
        type=_points,
        nargs="?",
        const=0.0,
        metavar="POINTS",
        help="exit with 1 where a view lost more than POINTS percentage points (default: 0), or nothing could be compared",
    )
    options = parser.parse_args(arguments)
    from robustcheck.report.formats.terminal import changes
    from robustcheck.report.loader import load_run
    from robustcheck.report.summary import summary_of

    run = load_run([options.new], against=options.old)
    summary = summary_of(run, plots=False)
    for line in changes(summary, encoding=sys.stdout.encoding or "ascii"):
        _say(line)
    if options.out is not None:
        _write(run, options.out)
    return 0 if options.fail_on_regression is None else _regressions(summary, options.fail_on_regression)


def _points(text: str) -> float:
    try:
        points = float(text)
    except ValueError:
        points = -1.0
    if not 0 <= points <= 100:
        raise argparse.ArgumentTypeError(f"must be percentage points from 0 to 100, got {text!r}")
    return points


def _regressions(summary: Summary, points: float) -> int:
    """Say which views lost more than so many points, and return the exit status."""
    changes = [change for study in summary.studies if study.against for change in study.against.changes]
    worse = [change.view for change in changes if 100 * (change.old - change.new) > points + 1e-9]
    if not changes:
        _say("FAILED: nothing could be compared")
    elif worse:
        _say(f"FAILED: more than {points:g} points lost under {', '.join(worse)}")
    return int(bool(worse) or not changes)


def merge(arguments: Sequence[str]) -> int:
    """Put together the records of several runs: of one image set under other views, or of different images."""
    parser = _parser("merge")
    parser.add_argument("run", nargs="+", type=Path, metavar="RUN", help="records: a .csv or .parquet file")
    parser.add_argument("--out", type=Path, required=True, help="PATH.csv or PATH.parquet")
    options = parser.parse_args(arguments)
    from robustcheck.records.tables import SUFFIXES, read, write

    if options.out.suffix.lower() not in SUFFIXES and not _is_stream(options.out):
        raise RobustcheckError(
            f"--out: the name of records ends in {' or '.join(SUFFIXES)}, got {options.out}"
        )
    records, header = read(options.run[0])
    for path in options.run[1:]:
        other, _ = read(path)
        try:
            records = records.concat(other) if records.image_differences(other) else records.merge(other)
        except RobustcheckError as error:
            raise RobustcheckError(f"{path}: {error}") from None
    write(
        records,
        options.out,
        {"classes": header.get("classes"), "merged": [path.name for path in options.run]},
    )
    count = f"{len(records)} images under {len(records.views)} views"
    _say(f"{count} written to {options.out}", sys.stderr if _is_stream(options.out) else None)
    return 0


def store(arguments: Sequence[str]) -> int:
    """List, verify or prune a record store."""
    parser = _parser("store")
    parser.add_argument("action", choices=sorted(_STORE), metavar="ACTION", help=", ".join(sorted(_STORE)))
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path(".pytest_cache/d/robustcheck"),
        metavar="DIR",
        help="the store's folder (default: in pytest's cache directory, from here)",
    )
    parser.add_argument(
        "--limit",
        default="0K",
        metavar="SIZE",
        help="prune: maximum size to keep, such as 500M (default: remove everything)",
    )
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        raise RobustcheckError(f"there is no record store at {options.folder}: name its folder")
    return _STORE[options.action](options.folder, options.limit)


def _list_store(folder: Path, _limit: str) -> int:
    from robustcheck.byte_size import format_size
    from robustcheck.store.maintenance import stored_configs

    found = stored_configs(folder)
    for config in found:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(config.used))
        _say(f"{config.digest[:12]}  {config.blocks} blocks, {format_size(config.size)}, last used {used}")
        if not config.can_be_read:
            _say(f"  of record version {config.version}, which this robustcheck does not read")
        for name in ("model", "weights", "images", "precision", "device", "batch size", "seed"):
            _say(f"  {name:<11}{config.facts.get(name, 'unknown')}")
    blocks, size = sum(config.blocks for config in found), sum(config.size for config in found)
    _say(f"{len(found)} configurations, {blocks} blocks, {format_size(size)} in {folder}")
    return 0


def _verify_store(folder: Path, _limit: str) -> int:
    from robustcheck.store.maintenance import blocks_in, damaged

    bad = 0
    for bad, (_, reason) in enumerate(damaged(folder), 1):  # noqa: B007 - it is the count
        _say(reason)
    count = sum(1 for _ in blocks_in(folder))
    _say(
        f"{count - bad} of {count} blocks are whole"
        + (": the others are computed again when needed" if bad else "")
    )
    return 1 if bad else 0


def _prune_store(folder: Path, limit: str) -> int:
    from robustcheck.byte_size import format_size, parse_size
    from robustcheck.store.maintenance import prune

    try:
        size = parse_size(limit)
    except ValueError as error:
        raise RobustcheckError(f"--limit {error}") from None
    count, freed = prune(folder, size)
    _say(f"removed {count} blocks, {format_size(freed)}")
    return 0


def options(arguments: Sequence[str]) -> int:
    """Print the page of options, docs/options.md."""
    _parser("options").parse_args(arguments)
    from robustcheck.options.page import render

    sys.stdout.write(render())
    return 0


def schema(arguments: Sequence[str]) -> int:
    """Print the JSON schema of robustcheck.toml, robustcheck/robustcheck.schema.json."""
    _parser("schema").parse_args(arguments)
    import json

    from robustcheck.claims.toml_schema import schema as of_toml

    sys.stdout.write(json.dumps(of_toml(), indent=2) + "\n")
    return 0


def check(arguments: Sequence[str]) -> int:
    """Check the claims of robustcheck.toml files, without a model; the exit status is 1 for one that is wrong."""
    parser = _parser("check")
    parser.add_argument(
        "file",
        nargs="*",
        type=Path,
        default=[Path("robustcheck.toml")],
        metavar="FILE",
        help="default: robustcheck.toml",
    )
    options = parser.parse_args(arguments)
    from robustcheck.claims.toml_file import read_claims

    status = 0
    for path in options.file:
        try:
            count = len(read_claims(path).claims)
        except RobustcheckError as error:
            sys.stderr.write(f"{error}\n")
            status = 1
        else:
            _say(f"{path}: {count} {'claim' if count == 1 else 'claims'}")
    return status


_STORE: Mapping[str, Callable[[Path, str], int]] = {
    "list": _list_store,
    "prune": _prune_store,
    "verify": _verify_store,
}
COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "check": check,
    "compare": compare,
    "merge": merge,
    "options": options,
    "report": report,
    "schema": schema,
    "store": store,
}


_NOBODY_READS = 141
"""The exit status where whoever read the output has left, as `head` does: what shells give programs that SIGPIPE ends."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 2 for a mistake of the user's."""
    parser = argparse.ArgumentParser(prog="python -m robustcheck", description=__doc__.partition("\n")[0])
    parser.add_argument("--version", action="version", version=f"robustcheck {robustcheck.__version__}")
    parser.add_argument(
        "command", choices=sorted(COMMANDS), metavar="COMMAND", help=", ".join(sorted(COMMANDS))
    )
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(given[:1])
    if sys.stdout is None:
        sys.stderr.write(
            f"robustcheck {options.command}: standard output is closed: send it to a file, or to the null device\n"
        )
        return 2
    try:
        status = COMMANDS[options.command](given[1:])
        _flush()
    except BrokenPipeError:
        with suppress(OSError):
            _flush()
        return _NOBODY_READS
    except (RobustcheckError, OSError) as error:
        sys.stderr.write(f"robustcheck {options.command}: {printable_lines(str(error))}\n")
        with suppress(OSError):
            _flush()
        return 2
    return status


def _parser(command: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"python -m robustcheck {command}", description=COMMANDS[command].__doc__
    )


def _write(run: FinishedRun, path: Path) -> None:
    from robustcheck.report.redaction import without_paths
    from robustcheck.report.writers import write_by_suffix

    write_by_suffix(without_paths(run, Path.cwd()), path)
    _say(f"written to {path}")


def _say(line: str, stream: TextIO | None = None) -> None:
    (stream or sys.stdout).write(f"{printable(line)}\n")


def _flush() -> None:
    """Write out what is buffered; where that fails, drop it, because Python would try again as it exits, and complain."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _is_stream(path: Path) -> bool:
    """Whether a path leads to a device or a pipe, /dev/stdout among them."""
    return path.exists() and not path.is_file() and not path.is_dir()


if __name__ == "__main__":
    sys.exit(main())
