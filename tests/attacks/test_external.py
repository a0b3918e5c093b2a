"""Other libraries' attacks as views: converted, seeded, and believed only as far as they can be checked."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from robustcheck import RobustcheckError, evaluate
from robustcheck.attacks.external.adapter import ExternalAttack
from robustcheck.attacks.external.protocol import AttackResult
from robustcheck.evaluation.batch_state import BatchState, CleanBatch
from robustcheck.evaluation.prepared_model import PreparedModel
from robustcheck.notation import load, parse

pytestmark = pytest.mark.filterwarnings("ignore")

VIEWS = {
    "foolbox": [
        "foolbox:LinfPGD_9",
        "foolbox:LinfPGD_9[steps=3,random_start=false]",
        "foolbox:L2PGD_90[steps=9]",
    ],
    "torchattacks": ["torchattacks:FGSM_9", "torchattacks:PGD_9[steps=3]", "torchattacks:PGDL2_90[steps=9]"],
    "art": [
        "art:FastGradientMethod_9",
        "art:ProjectedGradientDescent_9[max_iter=3]",
        "art:SquareAttack_9[max_iter=200]",
    ],
    "autoattack": ["autoattack_9[attacks=apgd-ce]"],
}
MODULES = {"art": "art", "autoattack": "pyautoattack"}


@pytest.mark.slow
@pytest.mark.parametrize(("library", "view"), [(key, view) for key, views in VIEWS.items() for view in views])
def test_attack_is_within_epsilon_and_takes_something(toy_classifier, toy_images, library, view):
    pytest.importorskip(MODULES.get(library, library))
    records = evaluate(toy_classifier, toy_images, [view, f"JPG_50({view})"], batch_size=5)
    assert re.search(r"[a-z-]+ \d+\.\d+", records.provenance.libraries[0])
    largest = records.column("l2", view).max() if "L2" in view else records.column("linf", view).max()
    assert 0 < largest <= float(view.partition("_")[2].partition("[")[0])
    assert records.mean("p_top", view) < records.mean("p_top", "x") - 0.02


def test_fgs_of_three_libraries_is_ours(toy_classifier, toy_images):
    for name in ("foolbox", "torchattacks", "art"):
        pytest.importorskip(name)
    views = ["foolbox:FGSM_5[random_start=false]", "torchattacks:FGSM_5", "art:FastGradientMethod_5"]
    records = evaluate(toy_classifier, toy_images, ["Adv_5", *views])
    for view in views:
        np.testing.assert_array_equal(records.column("l2", view), records.column("l2", "Adv_5"))
        np.testing.assert_allclose(records.column("p_top", view), records.column("p_top", "Adv_5"), atol=1e-6)


def test_label_is_the_top_label_unless_the_true_one_is_asked_for(toy_classifier, toy_images):
    pytest.importorskip("torchattacks")
    views = ["torchattacks:FGSM_9", "torchattacks:FGSM_9[label=true]", "Adv_9", "Adv_9[label=true]"]
    records = evaluate(toy_classifier, toy_images, views)
    for theirs, ours in (views[::2], views[1::2]):
        np.testing.assert_allclose(records.column("p_top", theirs), records.column("p_top", ours), atol=1e-6)


def test_seed_decides_what_a_library_draws_and_leaves_ours_alone(toy_classifier, toy_images):
    pytest.importorskip("torchattacks")
    view = "torchattacks:PGD_9[steps=1]"
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    expected = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    runs = [evaluate(toy_classifier, toy_images, [view], seed=seed).column("l2", view) for seed in (0, 0, 1)]
    assert torch.equal(torch.rand(3), expected[0])
    assert (np.random.rand(3) == expected[1]).all()  # noqa: NPY002
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()


@pytest.mark.parametrize(
    ("view", "module", "message"),
    [
        ("foolbox:LinfPGDD_8", "foolbox", "unknown attack of Foolbox 'LinfPGDD': did you mean 'LinfPGD'"),
        ("foolbox:LinfPGD_8[stepz=3]", "foolbox", "unknown option of foolbox:LinfPGD 'stepz': did you mean 'steps'"),
        ("foolbox:GaussianBlurAttack_8", "foolbox", "has no epsilon of a norm"),
        ("foolbox:L1PGD_8", "foolbox", "views know L-inf and L2"),
        ("torchattacks:PGDD_8", "torchattacks", "unknown attack of torchattacks 'PGDD'"),
        ("torchattacks:PGD_8[eps=3]", "torchattacks", "gets eps from the view"),
        ("torchattacks:CW_8", "torchattacks", "has no epsilon that it keeps to"),
        ("art:ProjectedGradientDescen_8", "art", "unknown attack of ART"),
        ("art:DeepFool_8", "art", "has no epsilon that it keeps to"),
        ("art:FastGradientMethod_8[nb=1]", "art", "unknown option of art:FastGradientMethod 'nb'"),
        ("autoattack_8[wersion=rand]", "pyautoattack", "unknown option of autoattack 'wersion': did you mean 'version'"),
    ],
)  # fmt: skip
def test_what_a_library_does_not_have_is_said_before_the_first_image(
    toy_classifier, toy_images, view, module, message
):
    pytest.importorskip(module)
    with pytest.raises(RobustcheckError, match=message):
        evaluate(toy_classifier, toy_images, [view])


@pytest.mark.parametrize("text", ["art:FGSM_1", "autoattack_1", "foolbox:FGSM_1", "torchattacks:FGSM_1"])
def test_library_that_is_not_installed_says_what_to_install(uninstall, text):
    view = parse(text)
    validate = load(view.declared.validator)
    library = re.match("[a-z]+", text).group()
    loaded = [name for name in sys.modules if name.split(".")[0] in {library, "pyautoattack"}]
    uninstall(library, "pyautoattack", *loaded)
    with pytest.raises(RobustcheckError, match=r"pip install .*pytest-robustcheck\[attacks,torchattacks\]"):
        validate(view)


def attacked(classifier, images, run):
    """What the attack `It` of a library makes of images within 8 levels, if `run` is what the library does."""
    attack = ExternalAttack(
        lambda _: None, lambda request, net, pixels, labels: AttackResult(run(pixels), "inf")
    )
    count = len(images)
    batch = BatchState(
        PreparedModel.plain(classifier),
        CleanBatch(images, ("a",) * count, torch.zeros(count).long(), torch.zeros(count).long()),
        seed=0,
        codec="auto",
        batch_size=2,
        other_model=lambda _: classifier,
    )
    (found,) = attack(batch, [parse("foolbox:It_8")])
    return found


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            lambda images: images + 9 / 255,
            r"foolbox:It went 9 levels \(norm inf\) from its images, further than epsilon 8",
        ),
        (lambda images: images * torch.nan, "some that are not finite"),
        (lambda images: images[:, :, :3], "returned images of shape"),
        (lambda images: 1 / 0, "foolbox:It failed: ZeroDivisionError"),
    ],
)
def test_result_is_not_believed(toy_classifier, returned, message):
    images = torch.full((2, 3, 16, 16), 100, dtype=torch.uint8)
    with pytest.raises(RobustcheckError, match=message):
        attacked(toy_classifier, images, returned)


def test_result_outside_the_range_is_cut(toy_classifier):
    images = torch.full((1, 3, 16, 16), 250, dtype=torch.uint8)
    assert (attacked(toy_classifier, images, lambda pixels: pixels + 8 / 255) == 255).all()


@pytest.mark.slow
@pytest.mark.parametrize("view", ["foolbox:LinfPGD_8", "torchattacks:PGD_8", "art:FastGradientMethod_8"])
def test_warnings_of_a_library_s_import_do_not_fail_a_strict_run(view):
    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "from robustcheck.notation import load, parse\n"
        f"view = parse('{view}')\n"
        "load(view.declared.validator)(view)"
    )
    pytest.importorskip(view.partition(":")[0])
    # Others warn before it is a library's turn: torch and the like are loaded first.
    code = "import robustcheck.attacks, torchvision, scipy.ndimage\n" + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
