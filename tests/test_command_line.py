"""`python -m robustcheck`: its version, and the check of claims that needs no model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import robustcheck
from robustcheck.__main__ import main


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"robustcheck {robustcheck.__version__}\n"


def test_claims_that_can_be_read_are_counted(tmp_path, capsys):
    path = tmp_path / "robustcheck.toml"
    path.write_text('[claims]\na = "accuracy(x) >= 0.5"\nb = "recovery(JPG(Adv_1)) >= 60%"\n')
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 2 claims\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[claims]\nclean = "accuracy(x) => 0.5"\n', [":2:", "clean", "column"]),
        ('[claims]\nclean = "acuracy(x) >= 0.5"\n', [":2:", "clean", "did you mean accuracy"]),
        ('alpha = 2\n[claims]\nclean = "accuracy(x) >= 0.5"\n', [":1:", "alpha", "between 0 and 1", "2"]),
        ("[claims]\nclean = 3\n", [":2:", "clean", "must be text", "3"]),
        ("[claims\n", [":1:"]),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_line(tmp_path, capsys, text, says):
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('[claims]\na = "accuracy(x) >= 0.5"\n')
    bad.write_text(text)
    assert main(["check", str(bad), str(good)]) == 1
    shown = capsys.readouterr()
    assert str(bad) in shown.err
    assert all(word in shown.err for word in says), shown.err
    assert "good.toml: 1 claim\n" in shown.out


def test_a_file_that_is_not_there_is_an_error(tmp_path, capsys):
    assert main(["check", str(tmp_path / "none.toml")]) == 1
    assert "none.toml can't be read" in capsys.readouterr().err


def _ends(command, cwd, **streams):
    """Run `python -m robustcheck COMMAND` and return its exit status and what it wrote to stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "robustcheck", *command],
        cwd=cwd,
        stderr=subprocess.PIPE,
        check=False,
        **streams,
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices of POSIX")
@pytest.mark.parametrize("command", ["options", "schema"])
def test_output_that_cannot_be_written_ends_a_command_in_words(tmp_path, command):
    reader, writer = os.pipe()
    os.close(reader)
    assert _ends([command], tmp_path, stdout=writer) == (141, ""), "as head leaves"
    os.close(writer)
    closed = subprocess.run(
        ["sh", "-c", f'exec "$0" -m robustcheck {command} >&-', sys.executable],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert closed.returncode == 2
    assert closed.stderr.startswith(f"robustcheck {command}: standard output is closed")
    if (full := Path("/dev/full")).exists():
        with full.open("w") as stream:
            status, said = _ends([command], tmp_path, stdout=stream)
        assert status == 2
        assert said == f"robustcheck {command}: [Errno 28] No space left on device\n"


def test_the_check_loads_neither_torch_nor_numpy(tmp_path):
    (tmp_path / "robustcheck.toml").write_text('[claims]\na = "accuracy(PGD_8[steps=4]) >= 0.5"\n')
    code = (
        "import sys; from robustcheck.__main__ import main; main(['check']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


def test_a_name_that_is_misspelt_is_seen_and_public_names_are_listed():
    assert {"Robustness", "Benchmark", "Classifier", "jpeg", "strategies"} <= set(dir(robustcheck))
    assert not [name for name in dir(robustcheck) if name.startswith("_") and name != "__version__"]
    assert all(getattr(robustcheck, name) is not None for name in dir(robustcheck))
    with pytest.raises(AttributeError, match="no attribute 'Clasifier'"):
        robustcheck.Clasifier  # noqa: B018
