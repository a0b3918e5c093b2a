import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustcheck.notation import DEEPEST, NotationError, Span, View, X, choice_of, parse

EPSILON = st.integers(1, 255)
QUALITY = st.integers(1, 100).filter(lambda quality: quality != 75)


SPAN = st.tuples(QUALITY, QUALITY).filter(lambda ends: ends[0] < ends[1]).map(lambda ends: Span(*ends))
MAYBE_QUALITY = st.one_of(st.none(), QUALITY, SPAN)
PASSED = st.one_of(
    MAYBE_QUALITY.map(lambda quality: View("JPG", quality, (), (X,)).head),
    MAYBE_QUALITY.map(lambda quality: View("JPG", quality, (), (X,)).head + ":identity"),
    EPSILON.map(lambda epsilon: f"Noise_{epsilon}"),
)
AIM = {
    "label": st.just("true"),
    "through": st.lists(PASSED, min_size=1, max_size=3).map("+".join),
    "eot": st.integers(2, 9).map(str),
    "from": st.sampled_from(["resnet50", "sample:lite1", "timm:resnet18.a1_in1k"]),
    "norm": st.just("2"),
}
CLIMB = {
    "steps": st.integers(1, 19).map(str),
    "step": st.sampled_from(["0.5", "2"]),
    "restarts": st.integers(2, 9).map(str),
    "momentum": st.just("0.9"),
}


def some(options):
    names = st.sets(st.sampled_from(sorted(options)), max_size=3).map(sorted)
    return names.flatmap(
        lambda chosen: st.tuples(*(options[name].map(lambda text, n=name: (n, text)) for name in chosen))
    )


def steps(sources):
    return st.one_of(
        st.builds(lambda e, o, s: View("Adv", e, o, (s,)), EPSILON, some(AIM), sources),
        st.builds(lambda e, o, s: View("PGD", e, o, (s,)), EPSILON, some(AIM | CLIMB), sources),
        st.builds(lambda e, s: View("Noise", e, (), (s,)), EPSILON, sources),
        st.builds(
            lambda n, q, s: View(n, q, (), (s,)),
            st.sampled_from(["JPG", "JPG_noise"]),
            MAYBE_QUALITY,
            sources,
        ),
        st.lists(sources.filter(lambda view: view != X), min_size=1, max_size=3).map(
            lambda views: choice_of("Worst", views)
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
    for mark in "()[],=;":
        text = text.replace(mark, data.draw(blank) + mark + data.draw(blank))
    if text.endswith("JPG"):
        text += "_75(x)"
    assert parse(text) == view


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
        ("JPG_50..90(Adv_1)", "JPG_50..90(Adv_1)"),
        ("PGD_8[step=2.0,steps=40,start=random]", "PGD_8[step=2,steps=40]"),
        ("PGD_8[steps=20]", "PGD_8"),
        ("Adv_1[target=07]", "Adv_1[target=7]"),
        ("Adv_1[through=JPG_75+Noise_2]", "Adv_1[through=JPG+Noise_2]"),
        ("Worst(PGD_1; Adv_1)", "Worst(Adv_1; PGD_1)"),
        ("Worst(Adv_5; Worst(Adv_1; PGD_1); Adv_1)", "Worst(Adv_1; Adv_5; PGD_1)"),
        ("Worst(Adv_1; Adv_1)", "Adv_1"),
        ("foolbox:LinfPGD_8[steps=5,random_start=false]", "foolbox:LinfPGD_8[random_start=false,steps=5]"),
    ],
)
def test_one_spelling(text, canonical):
    assert str(parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 0, ["expected a view", "x, APGD, Adv, JPG", "the end"]),
        ("JPEG(Adv_1)", 0, ["unknown step 'JPEG'", "did you mean JPG?", "Adv"]),
        ("JPG(Foo_1)", 4, ["unknown step 'Foo'"]),
        ("Adv", 3, ["needs its epsilon", "Adv_1"]),
        ("Adv_0.4", 4, ["1 to 255", "got 0.4", "erase"]),
        ("Adv_1.5", 4, ["must be an integer"]),
        ("Adv_300", 4, ["1 to 255"]),
        ("JPG_7.5", 4, ["must be an integer from 1 to 100"]),
        ("JPG_0", 4, ["from 1 to 100"]),
        ("JPG(Adv_1", 9, ["expected ')'", "the end"]),
        ("JPG(Adv_1))", 10, ["expected the end"]),
        ("Adv_1[steps=3]", 6, ["no option 'steps'", "label, loss, norm, target, through"]),
        ("PGD_1[restart=3]", 6, ["no option 'restart'", "did you mean restarts?"]),
        ("JPG[label=top]", 4, ["no option 'label'", "allowed: draws"]),
        ("Adv_1[label=foo]", 12, ["top, true"]),
        ("Adv_1[label=top,label=top]", 16, ["twice"]),
        ("Adv_1[through=JPEG]", 14, ["did you mean JPG"]),
        ("Adv_1[through=JPG_0]", 18, ["from 1 to 100"]),
        ("Adv_1[through=JPG_noise]", 14, ["between attack and model", "got JPG_noise"]),
        ("Adv_1[through=JPG+JPG_0]", 22, ["from 1 to 100"]),
        ("Adv_1[through=x]", 14, ["between attack and model"]),
        ("Adv_1[label=true,target=3]", 24, ["label or target, not both"]),
        ("PGD_1[start=zero,restarts=3]", 26, ["random start"]),
        ("PGD_1[steps=0]", 12, ["steps must be an integer from 1"]),
        ("Adv_1[target=most]", 13, ["must be a class index or least"]),
        ("Noise_300", 6, ["1 to 255"]),
        ("JPG_90..50", 4, ["from a smaller number to a larger"]),
        ("JPG_50..900", 4, ["from 1 to 100"]),
        ("Adv_1..5", 4, ["must be an integer"]),
        ("Worst", 5, ["Worst(Adv_1; PGD_1)"]),
        ("JPG(Adv_1; Adv_5)", 9, ["expected ')'"]),
        ("foolbx:LinfPGD_8", 0, ["did you mean foolbox:?"]),
        ("foolbox:LinfPGD", 15, ["foolbox:LinfPGD_1"]),
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
        ("Noise_2(Adv_1)", ("Noise_2",)),
        ("JPG_50(JPG(Adv_1[through=JPG+JPG_50]))", ()),
        ("JPG(Adv_1[through=JPG:identity])", ()),
        ("JPG(autoattack_8)", ("JPG",)),
        ("JPG(Worst(Adv_1; PGD_1[through=JPG]))", ()),
        ("JPG(Worst(Adv_1; PGD_1))", ("JPG",)),
        ("Worst(JPG(Adv_1); JPG(PGD_1))", ("JPG",)),
        ("Worst(JPG(Adv_1); JPG(PGD_1[through=JPG]))", ()),
        ("Worst(JPG(Noise_1); JPG(PGD_1))", ("JPG",)),
    ],
)
def test_blind_is_a_defence_that_the_attack_did_not_go_through(text, blind_to):
    assert parse(text).blind_to == blind_to


@pytest.mark.parametrize(
    ("text", "twin"),
    [
        ("JPG(Adv_1)", "JPG(Adv_1[through=JPG])"),
        ("JPG_50(Adv_2[label=true])", "JPG_50(Adv_2[label=true,through=JPG_50])"),
        ("JPG_50(JPG(Adv_1))", "JPG_50(JPG(Adv_1[through=JPG+JPG_50]))"),
        ("JPG_50(JPG(Adv_1[through=JPG]))", "JPG_50(JPG(Adv_1[through=JPG+JPG_50]))"),
        ("JPG_50..90(PGD_1)", "JPG_50..90(PGD_1[through=JPG_50..90,eot=8])"),
        ("JPG(Noise_2(Adv_1[eot=3]))", "JPG(Noise_2(Adv_1[through=Noise_2+JPG,eot=3]))"),
        ("JPG(Worst(Adv_1; PGD_1))", "JPG(Worst(Adv_1[through=JPG]; PGD_1[through=JPG]))"),
        ("Worst(JPG(Adv_1); JPG_9(PGD_1))", "Worst(JPG(Adv_1[through=JPG]); JPG_9(PGD_1[through=JPG_9]))"),
        ("JPG(autoattack_8)", None),
        ("JPG(Adv_1[through=JPG])", None),
        ("Adv_1", None),
        ("x", None),
        ("JPG", None),
        ("JPG(Noise_1)", None),
    ],
)
def test_adaptive_counterpart(text, twin):
    assert parse(text).adaptive_counterpart == (None if twin is None else parse(twin))


@given(VIEWS)
def test_a_counterpart_is_blind_to_nothing_that_its_attack_could_go_through(view):
    twin = view.adaptive_counterpart
    if twin is not None:
        assert view.blind_to
        assert not twin.blind_to
        assert twin.adaptive_counterpart is None
        assert parse(str(twin)) == twin


@pytest.mark.parametrize(
    ("text", "attack", "seeded"),
    [
        ("x", None, False),
        ("JPG(Adv_1)", "Adv_1", False),
        ("JPG(PGD_1)", "PGD_1", True),
        ("JPG(PGD_1[start=zero])", "PGD_1[start=zero]", False),
        ("JPG_50..90(Adv_1)", "Adv_1", True),
        ("Adv_1[through=Noise_2]", "Adv_1[through=Noise_2]", True),
        ("Worst(Adv_1; Adv_5)", "Worst(Adv_1; Adv_5)", False),
        ("JPG(Worst(Adv_1; Adv_5))", "Worst(Adv_1; Adv_5)", False),
        ("Worst(JPG(Adv_1); JPG_50(Adv_5))", "Worst(Adv_1; Adv_5)", False),
    ],
)
def test_attack_on_the_way_and_whether_it_is_drawn(text, attack, seeded):
    assert parse(text).attack == (None if attack is None else parse(attack))
    assert parse(text).is_seeded is seeded


def test_whether_options_of_a_library_are_its_own():
    view = parse("torchattacks:PGD_8[label=true,alpha=0.01]")
    assert view.options.label == "true"
    assert view.library_options == {"alpha": "0.01"}
