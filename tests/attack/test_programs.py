"""Hostile programs: no Python of theirs runs, nothing is written, nothing floods, and one line says what is wrong."""

import os

import pytest
import torch

import robustcheck
from robustcheck.models.programs.expressions import is_expression
from robustcheck.models.programs.operators import is_allowed
from tests.attack import program_files as files
from tests.attack.checkpoint_files import CANARY
from tests.attack.child import outcomes

SOUND = files.sound()
FILES = {(kind, name): content for kind, make in files.KINDS.items() for name, content in make(SOUND)}
LEFT_OUT = dict(files.left_out(SOUND))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What came of each file, in a child process of little time and memory, and what was written."""
    folder, work = tmp_path_factory.mktemp("hostile"), tmp_path_factory.mktemp("work")
    cases = []
    for (kind, name), content in [
        *FILES.items(),
        *((("left out", name), content) for name, content in LEFT_OUT.items()),
    ]:
        path = folder / f"{len(cases)}.pt2"
        path.write_bytes(content)
        cases.append((f"{kind}/{name}", "program", str(path)))
    os.mkfifo(folder / "fifo.pt2")
    cases.append(("special/fifo", "program", str(folder / "fifo.pt2")))
    cases.append(("special/zeros", "program", "/dev/zero"))
    return outcomes(cases, work), list(work.iterdir())


@pytest.mark.parametrize("case", [*FILES, ("special", "fifo"), ("special", "zeros")], ids="/".join)
def test_a_hostile_program_ends_in_one_line(results, case):
    kind, message = results[0]["/".join(case)]
    assert kind == "RobustcheckError", message
    assert "\n" not in message
    assert message.isprintable()


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_not_needed_is_left_out(results, name):
    assert results[0][f"left out/{name}"] == ("ok", "")


def test_nothing_ran_and_nothing_was_written(results):
    assert results[1] == []


def test_the_payloads_are_real(tmp_path, monkeypatch):
    """What is tested above could fail: with trust, the graph that names a file creates it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pt2").write_bytes(FILES["text", "file"])
    program = robustcheck.load_program("net.pt2", trust=True)
    assert not (tmp_path / CANARY).exists()
    program(torch.rand(2, 3, 16, 16))
    assert (tmp_path / CANARY).exists()


@pytest.mark.parametrize(
    "text",
    [
        "s0",
        "2*s0 + 1",
        "s0**2",
        "Max(1, s0)",
        "Mul(Integer(2), Symbol('s77', positive=True, integer=True))",
        "Eq(s0, 4)",
        "s0 >= 2",
        "-u0//3",
        "Pow(Symbol('s1', integer=True), Integer(-1))",
    ],
)
def test_sizes_as_torch_writes_them_are_expressions(text):
    assert is_expression(text)


@pytest.mark.parametrize(
    "name",
    [
        "from_file",
        "set_",
        "resize_",
        "empty",
        "_cudnn_rnn",
        "record_stream",
        "data",
        "_sobol_engine_draw",
        "native_batch_norm",
        "_foreach_add_",
        "__and__",
        "requires_grad_",
    ],
)
def test_operators_with_side_effects_are_not_allowed(name):
    overloads = ["default", *getattr(torch.ops.aten, name).overloads()]
    assert not any(is_allowed(f"torch.ops.aten.{name}.{overload}") for overload in overloads)


def test_every_operator_on_the_list_exists_and_gives_no_resource_away():
    """A misspelt one would refuse sound programs, and one that takes a path or a function is none of tensors alone."""
    from robustcheck.models.programs.operators import ATEN

    missing = {name for name in ATEN if not hasattr(torch.ops.aten, name)}
    assert not missing
    for name in ATEN:
        packet = getattr(torch.ops.aten, name)
        for overload in packet.overloads():
            for argument in getattr(packet, overload)._schema.arguments:
                assert argument.name not in {"filename", "storage", "source_file"}, name
