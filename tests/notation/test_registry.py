"""The registry of steps: rows are read without torch, and each names an implementation that is there."""

import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from robustcheck import register_attack, register_defence
from robustcheck.attacks import pgd
from robustcheck.notation import STEPS, NotationError, add_steps, load, parse, temporary_steps

FIXTURES = Path(__file__).parents[2] / "fixtures"
CODE = """
import sys
from pathlib import Path
from robustcheck.claims.toml_file import read_claims
from robustcheck.notation import STEPS, parse

for step in STEPS.values():
    view = parse(step.example)
    print(step.name, view, view.options, view.blind_to, view.adaptive_counterpart, view.is_seeded, view.declared.version)
for path in sys.argv[1:]:
    print(path, len(read_claims(Path(path)).claims))
assert not {"torch", "torchvision", "PIL", "timm"} & set(sys.modules)
"""


def test_examples_and_claim_files_are_read_without_torch():
    files = sorted(map(str, FIXTURES.rglob("robustcheck.toml")))
    assert files
    done = subprocess.run([sys.executable, "-c", CODE, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(STEPS) + len(files)


@pytest.mark.parametrize("step", STEPS.values(), ids=lambda step: step.name)
def test_row_names_an_implementation_that_is_there(step):
    assert callable(load(step.implementation))
    assert not step.validator or callable(load(step.validator))
    assert parse(step.example).head.startswith(step.name.removesuffix("NAME"))
    assert not step.control or step.control in STEPS


def test_options_are_values_with_their_defaults():
    options = parse("PGD_8[through=JPG_50+JPG:identity,momentum=0.5,target=07,from=resnet50]").options
    assert (options.eot, options.steps, options.restarts, options.norm) == (1, 20, 1, "inf")
    assert (options.momentum, options.target, options["from"], options.step) == (0.5, 7, ("resnet50",), None)
    assert [(str(step.view), step.gradient) for step in options.through] == [
        ("JPG_50", "own"),
        ("JPG", "identity"),
    ]
    assert parse("Adv_1").options.through == ()
    assert isinstance(parse("PGD_8").options.momentum, float)
    with pytest.raises(AttributeError, match="no option 'epsilon'; there are: label"):
        _ = options.epsilon


def test_options_of_registered_functions_are_values_too():
    with temporary_steps():

        @register_attack("Darken")
        def darken(classifier, images, labels, *, epsilon, spare: float = 0.0, everywhere: bool = True): ...

        assert parse("Darken_8").options == {"label": "top", "draws": 1, "spare": 0.0, "everywhere": True}
        assert parse("Darken_8[everywhere=false,spare=0.25]").options.everywhere is False
        assert str(parse("Darken_8[everywhere=true,spare=0]")) == "Darken_8"


def test_a_view_survives_pickling_with_its_options():
    view = parse("Adv_1[through=JPG,eot=4]")
    assert view.options.eot == 4
    again = pickle.loads(pickle.dumps(view))
    assert again == view
    assert again.options == view.options


def test_registrations_can_be_undone():
    before = dict(STEPS)
    with temporary_steps():

        @register_defence("Same")
        def same(images): ...

        assert parse("Same(Adv_1)").kind == "defence"
    assert before == STEPS
    with pytest.raises(NotationError, match="unknown step 'Same'"):
        parse("Same")


def test_the_function_has_the_defaults_of_the_view():
    parameters = inspect.signature(pgd).parameters
    options = STEPS["PGD"].options
    for name in ("steps", "step", "restarts", "start", "momentum"):
        assert parameters[name].default == options[name].default


def test_a_row_replaces_the_one_of_its_name():
    with temporary_steps():
        add_steps(STEPS["foolbox:"])
        assert list(STEPS).count("foolbox:") == 1
