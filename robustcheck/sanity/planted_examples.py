"""The check that an attack finds adversarial examples that are known to exist: see `robustcheck.sanity.planted_problems`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from robustcheck.attacks import Objective
from robustcheck.attacks.gradient_ascent import FixedSteps
from robustcheck.attacks.seeds import image_seeds, mixed_seeds
from robustcheck.claims.intervals import clopper_pearson
from robustcheck.errors import RobustcheckError, RobustnessWarning
from robustcheck.evaluation.engine import Evaluation
from robustcheck.evaluation.runner import RunConfig
from robustcheck.images import ImageSet
from robustcheck.models import Classifier
from robustcheck.notation import View, X, parse
from robustcheck.sanity.check import Check, CheckResult, Failed, Skipped
from robustcheck.sanity.planted_problems import TRIES, Head, Planting, Threat, apart
from robustcheck.sanity.subject import Subject
from robustcheck.transforms.through import through_defence

NAME = "attack_finds_the_planted_example"
LEAST_PROBLEMS = 20
_ENOUGH, _MOST_BUILT = 24, 64
"""Problems that are wanted, and how many are built for them at most."""
PASSES_AT = 0.9
"""Share of what the reference attack finds that an attack must find."""
_STEPS, _RESTARTS = 200, 5
_STEP = 0.1
"""Size of a step of the reference attack, in epsilons; each restart halves it."""
_QUERIES = 2000
_SINGLE_STEPS = {
    *("torchattacks:FGSM", "torchattacks:FFGSM", "foolbox:FGSM", "foolbox:LinfFastGradientAttack"),
    *("foolbox:L2FastGradientAttack", "art:FastGradientMethod"),
}


def attack_finds_the_planted_example(subject: Subject, view: View) -> str:
    """The attack finds adversarial examples that were planted for it, on heads of two classes on the network's features.

    A model that withstands it has shown nothing: look for a gradient that is cut, a step size that is too small or too
    large, a loss that is not that of the label, an attack that stops early, or too few steps (PGD_e[steps=40]). A sound
    attack that finds nine in ten of what the reference attack finds fails with a probability of at most 5 %.
    """
    attack = attack_of(view)
    if attack.options.get("from") is not None:
        return f"{attack} is made on another model, where nothing is planted; it is listed, not judged"
    problems = subject.cached(Threat.of(attack), lambda: _problems(subject, Threat.of(attack)))
    if len(problems.images) < LEAST_PROBLEMS:
        raise Skipped(
            f"not testable: {problems}, and {LEAST_PROBLEMS} are needed. More images help; where the reference attack finds "
            "few, the gradient may be masked"
        )
    found = _found_by(view, problems.classifier, problems.images, subject)
    count, n = int(found.sum()), len(found)
    text = f"{view} finds {count} of {n} examples ({problems})"
    if _is_single_step(attack):
        return f"{text}; a single step, it is listed, not judged"
    most = clopper_pearson(count, n, confidence=0.9).high  # 95 % on its one side
    if most < PASSES_AT:
        raise Failed(f"{text}: at most {most:.0%} with 95 % confidence, and {PASSES_AT:.0%} are required")
    return text


def planted_check(view: str | View) -> Check:
    """Return the check of one attack, with the defences that it goes through: `attack_finds_the_planted_example[PGD_8]`."""
    tested = parse(view)

    def function(subject: Subject) -> str:
        return attack_finds_the_planted_example(subject, tested)

    function.__name__ = f"{NAME}[{tested}]"
    function.__doc__ = attack_finds_the_planted_example.__doc__
    return Check(function)


def attacks_in(views: Iterable[View]) -> list[View]:
    """Return each attack that is in some views, once, on clean images, and behind the defences that it goes through.

    >>> attacks_in([parse("JPG(PGD_8)"), parse("JPG(Adv_1[through=JPG,label=true])"), parse("x")])
    [parse("PGD_8"), parse("JPG(Adv_1[through=JPG])")]
    """
    attacks = (
        each for view in views for each in view.walk() if each.sources and each.declared.kind == "attack"
    )
    return list(dict.fromkeys(map(_alone, attacks)))


def is_untested(result: CheckResult) -> bool:
    """Return whether it is of an attack for which too few examples could be planted."""
    return result.name.startswith(f"{NAME}[") and result.state == "skipped"


def attack_of(view: View) -> View:
    """Return the attack of a view; raises `RobustcheckError` if it has none, or several."""
    attacks = [each for each in view.walk() if each.sources and each.declared.kind == "attack"]
    if len(attacks) != 1:
        raise RobustcheckError(f"examples are planted for one attack, such as PGD_8, got {view}")
    return attacks[0]


def _alone(attack: View) -> View:
    written = tuple((name, text) for name, text in attack.written if name not in {"label", "target", "draws"})
    view = replace(attack, written=written, sources=(X,))
    for step in attack.through:
        view = replace(step.view, sources=(view,))
    return view


def _is_single_step(attack: View) -> bool:
    strength = attack.declared.strength
    is_first = strength is not None and strength.rank <= 1
    return is_first or attack.options.get("steps") == 1 or attack.step in _SINGLE_STEPS


@dataclass(frozen=True)
class Problems:
    """Problems that the reference attack solves, and random tries do not."""

    classifier: Classifier
    """Of two classes: 0 for what the images are, 1 for what is planted."""
    images: Tensor  # uint8 (n, 3, H, W)
    built: int
    by_chance: int
    """How many of those built are solved by random tries."""
    reference: str

    def __str__(self) -> str:
        unsolved = self.built - self.by_chance - len(self.images)
        return (
            f"of {self.built} planted, {self.by_chance} are found by {TRIES} random tries and {unsolved} not by "
            f"{self.reference}: {len(self.images)} are left"
        )


def _problems(subject: Subject, threat: Threat) -> Problems:
    """Build problems until there are enough that the reference attack solves, and random tries do not."""
    images = apart(_variants(subject.images_under(X)), threat)[:_MOST_BUILT].to(subject.classifier.device)
    planting = Planting.on(subject.classifier, threat, images, subject.seed, subject.evaluation.batch_size)
    solved: list[tuple[int, Head]] = []
    reference, built, by_chance = "", 0, 0
    for start in range(0, len(images), _ENOUGH):
        numbers = range(start, min(start + _ENOUGH, len(images)))
        heads = [(number, planting.head(images[number], images[number - 1])) for number in numbers]
        fitted = [(number, head) for number, head in heads if head is not None]
        hard = [(number, head) for number, head in fitted if not head.is_found_by_chance]
        built, by_chance = built + len(fitted), by_chance + len(fitted) - len(hard)
        if hard:
            own = images[[number for number, _ in hard]]
            classifier = planting.classifier_of(own, [head for _, head in hard])
            is_solved, reference = _solved_by_reference(classifier, own, threat, subject)
            solved += [each for each, found in zip(hard, is_solved.tolist(), strict=True) if found]
        if len(solved) >= LEAST_PROBLEMS:
            break
    own = images[[number for number, _ in solved]]
    classifier = planting.classifier_of(own, [head for _, head in solved]) if solved else subject.classifier
    return Problems(classifier, own, built, by_chance, reference or "the reference attack")


def _variants(images: Tensor) -> Tensor:
    """Return images and their mirror images: a head needs no image that anybody would take."""
    return torch.cat([images, images.flip(3), images.flip(2), images.flip(2, 3)])


def _solved_by_reference(
    classifier: Classifier, images: Tensor, threat: Threat, subject: Subject
) -> tuple[Tensor, str]:
    """Return which images' planted class is found: bool (n,), and by what."""
    try:
        with classifier.evaluating():
            found = _ascended(classifier, images, threat, subject)
    except RobustcheckError:  # no gradient
        view = parse(f"Square_{threat.epsilon}[queries={_QUERIES}]")
        return _found_by(view, classifier, images, subject), f"a search of {_QUERIES} queries"
    return found, f"a reference attack ({_STEPS} steps, {_RESTARTS} restarts)"


def _ascended(classifier: Classifier, images: Tensor, threat: Threat, subject: Subject) -> Tensor:
    """Return which problems projected gradient descent solves; each is left once it is solved."""
    is_found = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    for restart in range(_RESTARTS):
        rows = (~is_found).nonzero().flatten()
        if len(rows):
            is_found[rows] = _climbed(classifier, images[rows], threat, restart, subject)
    return is_found


def _climbed(
    classifier: Classifier, images: Tensor, threat: Threat, restart: int, subject: Subject
) -> Tensor:
    seeds = image_seeds(subject.seed, [str(row) for row in range(len(images))], f"reference {restart}")
    position, left = threat.ball(images).random(seeds), torch.arange(len(images), device=images.device)
    found = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    for _ in range(_STEPS):
        ball, own = threat.ball(images[left]), [seeds[row] for row in left.tolist()]
        tried = ball.to_bytes(position)
        objective = _objective(classifier, threat, own, subject.evaluation.batch_size)
        gradient, score = objective.gradient(tried)
        is_solved = _is_solved(classifier, threat, tried, own) if threat.through else score.succeeded > 0
        found[left[is_solved]] = True
        goes_on = ~is_solved & (gradient != 0).flatten(1).any(dim=1)
        step = FixedSteps(ball.epsilon * _STEP / 2**restart)
        position, left = step.next(ball, position, gradient, None)[goes_on], left[goes_on]
        if not len(left):
            break
    return found


def _objective(classifier: Classifier, threat: Threat, seeds: Sequence[int], batch_size: int) -> Objective:
    return Objective(
        classifier,
        torch.zeros(len(seeds), dtype=torch.int64, device=classifier.device),
        defence=through_defence(threat.through) if threat.through else None,
        samples=threat.draws,
        seeds=seeds,
        batch_size=batch_size,
    )


def _is_solved(classifier: Classifier, threat: Threat, images: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return on which images the planted class is predicted, whatever the defences draw: bool (n,)."""
    draws = [threat.defended(images, mixed_seeds(seeds, draw)) for draw in range(threat.draws)]
    return torch.stack([classifier(images).argmax(dim=1) == 1 for images in draws]).all(dim=0)


def _found_by(view: View, classifier: Classifier, images: Tensor, subject: Subject) -> Tensor:
    """Return on which images the planted class is predicted under a view: bool (n,)."""
    planted = ImageSet.from_arrays(
        images.cpu().numpy(), np.zeros(len(images), dtype=np.int64), name="planted"
    )
    config = RunConfig(subject.seed, subject.evaluation.batch_size, optimize="none")
    evaluation = Evaluation(classifier, planted, config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RobustnessWarning)  # they are about heads of ours
        evaluation.run([view])
    return torch.from_numpy(evaluation.records.columns[view]["prediction"] == 1).to(images.device)
