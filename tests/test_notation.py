import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustcheck.notation import DEEPEST, NotationError, View, X, parse

EPSILON = st.integers(1, 255)
QUALITY = st.integers(1, 100).filter(lambda quality: quality != 75)


def steps(sources):
    maybe_quality = st.one_of(st.none(), QUALITY)
    through = maybe_quality.map(lambda q: ("through", "JPG" if q is None else f"JPG_{q}"))
    options = st.sets(st.sampled_from(["label", "through"])).flatmap(
        lambda names: st.tuples(
            *([st.just(("label", "true"))] * ("label" in names) + [through] * ("through" in names))
        )
    )
    return st.one_of(
        st.builds(lambda e, o, s: View("Adv", e, o, (s,)), EPSILON, options, sources),
        st.builds(lambda e, s: View("Noise", e, (), (s,)), EPSILON, sources),
        st.builds(
            lambda n, q, s: View(n, q, (), (s,)),
            st.sampled_from(["JPG", "JPG_noise"]),
            maybe_quality,
            sources,
        ),
    )


VIEWS = st.recursive(st.just(X), steps, max_leaves=8)


@given(VIEWS)
def test_text_and_tree_are_two_forms_of_one_thing(view):
    assert parse(str(view)) == view
    assert str(parse(str(view))) == str(view)
    assert hash(parse(str(view))) == hash(view)


@given(VIEWS, st.data())
def test_blanks_defaults_and_spelled_out_clean_images_mean_nothing(view, data):
    blank = st.sampled_from(["", " ", "\t"])
    text = str(view)
    for mark in "()[],=":
        text = text.replace(mark, data.draw(blank) + mark + data.draw(blank))
    if text.endswith("JPG"):
        text += "_75(x)"
    assert parse(text) == view


@given(VIEWS)
def test_slug_is_what_k_selects(view):
    from _pytest.mark.expression import Expression

    assert Expression.compile(view.slug).evaluate(lambda name, **_: name == view.slug)


@given(VIEWS, VIEWS)
def test_other_views_have_other_slugs(one, other):
    assert (one == other) == (one.slug == other.slug)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("x", "x"),
        (" JPG_75 ( x ) ", "JPG"),
        ("Adv_1.0", "Adv_1"),
        ("Adv_5[through=JPG_75,label=top]", "Adv_5[through=JPG]"),
        ("Adv_5[through=JPG_50,label=true]", "Adv_5[label=true,through=JPG_50]"),
        ("JPG_noise_50(Adv_1)", "JPG_noise_50(Adv_1)"),
        ("JPG(JPG_50(Noise_2.0))", "JPG(JPG_50(Noise_2))"),
    ],
)
def test_one_spelling(text, canonical):
    assert str(parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 0, ["expected a view", "x, Adv, JPG", "the end"]),
        ("JPEG(Adv_1)", 0, ["unknown step 'JPEG'", "did you mean JPG?", "Adv"]),
        ("JPG(Foo_1)", 4, ["unknown step 'Foo'"]),
        ("Adv", 3, ["needs its epsilon", "Adv_1"]),
        ("Adv_0.4", 4, ["1 to 255", "got 0.4", "erase"]),
        ("Adv_1.5", 4, ["a whole number"]),
        ("Adv_300", 4, ["1 to 255"]),
        ("JPG_7.5", 4, ["a whole number from 1 to 100"]),
        ("JPG_0", 4, ["from 1 to 100"]),
        ("JPG(Adv_1", 9, ["expected ')'", "the end"]),
        ("JPG(Adv_1))", 10, ["expected the end"]),
        ("Adv_1[steps=3]", 6, ["no option 'steps'", "label, through"]),
        ("JPG[label=top]", 4, ["no option 'label'", "none"]),
        ("Adv_1[label=foo]", 12, ["top, true"]),
        ("Adv_1[label=top,label=top]", 16, ["twice"]),
        ("Adv_1[through=JPEG]", 14, ["did you mean JPG"]),
        ("Adv_1[through=JPG_0]", 18, ["from 1 to 100"]),
        ("Adv_1[through=Noise_1]", 14, ["a defence with a gradient"]),
        ("Adv_-1", 4, ["epsilon as a number"]),
        ("x(Adv_1)", 1, ["expected the end"]),
        ("Adv_1[]", 6, ["an option's name"]),
        ("JPG(" * (DEEPEST + 1), 4 * DEEPEST, [f"more than {DEEPEST}"]),
    ],
)
def test_error_points_at_the_column_and_names_what_is_allowed(text, column, words):
    with pytest.raises(NotationError) as caught:
        parse(text)
    assert caught.value.column == column
    for word in words:
        assert word in str(caught.value)
    *_, shown, mark = str(caught.value).splitlines()
    pointed = shown[mark.index("^") : mark.index("^") + 1]
    assert pointed == text[column : column + 1]


@given(st.text(max_size=40))
def test_any_text_is_a_view_or_a_notation_error(text):
    try:
        view = parse(text)
    except NotationError as error:
        column, view = error.column, None
    else:
        column = 0
    assert 0 <= column <= len(text)
    assert view is None or parse(str(view)) == view


def test_a_view_is_text():
    with pytest.raises(TypeError, match="written as text"):
        parse(3)


@pytest.mark.parametrize(
    ("text", "blind_to"),
    [
        ("x", ()),
        ("JPG", ()),
        ("Adv_1", ()),
        ("JPG(Adv_1)", ("JPG",)),
        ("JPG_50(JPG(Adv_1))", ("JPG_50", "JPG")),
        ("JPG(Adv_1[through=JPG])", ()),
        ("JPG_50(Adv_1[through=JPG])", ("JPG_50",)),
        ("JPG_noise(Adv_1)", ()),
        ("JPG(Noise_1)", ()),
        ("Adv_1(JPG)", ()),
    ],
)
def test_blind_is_a_defence_that_the_attack_did_not_go_through(text, blind_to):
    assert parse(text).blind_to == blind_to


@pytest.mark.parametrize(
    ("text", "twin"),
    [
        ("JPG(Adv_1)", "JPG(Adv_1[through=JPG])"),
        ("JPG_50(Adv_2[label=true])", "JPG_50(Adv_2[label=true,through=JPG_50])"),
        ("JPG_50(JPG(Adv_1))", "JPG_50(JPG(Adv_1[through=JPG]))"),
        ("Adv_1", None),
        ("x", None),
        ("JPG", None),
        ("JPG(Noise_1)", None),
    ],
)
def test_adaptive_twin(text, twin):
    assert parse(text).adaptive_twin == (None if twin is None else parse(twin))
