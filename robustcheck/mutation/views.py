"""Faults of attacks and transforms: another view is evaluated under the name of the one that a claim is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from robustcheck.errors import RobustcheckError
from robustcheck.mutation.mutation import Mutation, Setup, Subject
from robustcheck.notation import View, parse
from robustcheck.notation.tree import choice_of

_ATTACKED = "an upper bound on what is left under the attack: accuracy(Adv_1) <= 0.5 * accuracy(x)"
_NEAR = "an upper bound on what is left under the attack, near what is measured"
_BOTH = "bounds from below and from above on the defended view, near what is measured"
_MOST_LEVELS = 255
_LARGE = 8


def rewritten(view: View, change: Callable[[View], View]) -> View:
    """Return a view with each of its steps changed, innermost first; a step whose change is no view stays as it is."""
    if not view.sources:
        return view
    sources = tuple(rewritten(source, change) for source in view.sources)
    is_choice = view.declared.kind == "selection"
    made = choice_of(view.step, sources) if is_choice else replace(view, sources=sources)
    try:
        return view if made is None else parse(str(change(made)))
    except RobustcheckError:
        return made or view


def _fault(
    name: str, what: str, advice: str, change: Callable[[View], View], *, of: str = "an attack"
) -> Mutation:
    """Return a mutation that changes steps, which applies where a claim names one: `of` says which."""

    def changed(setup: Setup) -> Setup:
        return replace(setup, rewrite=lambda view: rewritten(view, change))

    def applies(subject: Subject) -> str:
        is_any = any(rewritten(view, change) != view for view in subject.views)
        return "" if is_any else f"no claim names {of}"

    return Mutation(name, what, advice, changed, applies)


def _is(view: View, kind: str) -> bool:
    """Whether the last step of a view is an attack, a defence or noise by itself, and no selection."""
    return bool(view.sources) and view.declared.kind != "selection" and view.kind == kind


def _without(kind: str) -> Callable[[View], View]:
    return lambda view: view.source if _is(view, kind) else view


def _of_amount(kind: str, amount: Callable[[int], int]) -> Callable[[View], View]:
    def change(view: View) -> View:
        if not _is(view, kind) or not view.number:
            return view
        return replace(view, amount=amount(round(view.number)))

    return change


def _noise(view: View) -> View:
    if not _is(view, "attack"):
        return view
    return View("Noise", min(round(view.number), _MOST_LEVELS), sources=view.sources)


def _jpeg(quality: int) -> Callable[[View], View]:
    return lambda view: replace(view, amount=quality) if view.step == "JPG" else view


def _with_option(name: str, text: str | None) -> Callable[[View], View]:
    """Return a change of an option of attacks: another value, or none."""

    def change(view: View) -> View:
        options = dict(view.written)
        if (
            not _is(view, "attack")
            or name not in view.declared.options
            or (text is None and name not in options)
        ):
            return view
        options.pop(name, None)
        if text is not None:
            options[name] = text
        return replace(view, written=tuple(sorted(options.items())))

    return change


def _defence_first(view: View) -> View:
    """Exchange a defence and the attack that it is applied to."""
    if not _is(view, "defence") or not _is(view.source, "attack"):
        return view
    attack = view.source
    return replace(attack, sources=(replace(view, sources=attack.sources),))


MUTATIONS = (
    _fault(
        "epsilon_a_255th",
        "epsilon is divided by 255 once more: at whole pixel levels the attack changes nothing",
        _ATTACKED,
        _without("attack"),
    ),
    _fault(
        "attack_is_noise", "random signs of the same size take the place of the attack", _ATTACKED, _noise
    ),
    _fault(
        "epsilon_halved",
        "the attack has half its epsilon",
        _NEAR,
        _of_amount("attack", lambda epsilon: max(1, epsilon // 2)),
        of="an attack of epsilon > 1",
    ),
    _fault(
        "epsilon_doubled",
        "the attack has twice its epsilon",
        "a lower bound on what is left under the attack, near what is measured",
        _of_amount("attack", lambda epsilon: min(2 * epsilon, _MOST_LEVELS)),
    ),
    _fault(
        "large_epsilons_dropped",
        "the attack changes nothing where epsilon is above 8",
        "a bound on what is left under the largest epsilon: accuracy(Adv_16) <= 0.2 * accuracy(x)",
        lambda view: view.source if _is(view, "attack") and view.number > _LARGE else view,
        of="an attack of epsilon > 8",
    ),
    _fault(
        "attack_of_one_step",
        "an iterated attack takes one step",
        _NEAR,
        _with_option("steps", "1"),
        of="an attack of several steps",
    ),
    _fault(
        "attack_without_restarts",
        "the attack is run once where it should restart",
        _NEAR,
        _with_option("restarts", None),
        of="an attack with restarts",
    ),
    _fault(
        "attack_blind_to_the_defence",
        "the attack's gradient does not go through the defence",
        "a bound on the adaptive view below that on the blind one; --robustcheck-require-adaptive",
        _with_option("through", None),
        of="an attack through a defence",
    ),
    _fault(
        "attack_of_one_draw",
        "the gradient is of one draw where it should be averaged over several",
        _NEAR,
        _with_option("eot", None),
        of="an attack with eot",
    ),
    _fault(
        "defence_left_out",
        "the defence is not applied",
        "a lower bound on the defended view that the attack alone misses: recovery(JPG(Adv_1)) >= 30%",
        _without("defence"),
        of="a defence",
    ),
    _fault(
        "defence_before_the_attack",
        "the defence is applied before the attack, not after it",
        _BOTH,
        _defence_first,
        of="a defence after an attack",
    ),
    _fault("jpeg_quality_95", "JPEG has quality 95", _BOTH, _jpeg(95), of="JPG"),
    _fault("jpeg_quality_10", "JPEG has quality 10", _BOTH, _jpeg(10), of="JPG"),
    _fault(
        "noise_left_out",
        "the noise is not added",
        "a bound from above on the noisy view, or one on the size of its change: records.mean('linf', 'Noise_1')",
        _without("noise"),
        of="noise",
    ),
)
