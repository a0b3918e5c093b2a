"""`robustcheck.toml`: what it may say, and errors that name file and line."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robustcheck.claims import ClaimSettings, parse_claim, read_claims
from robustcheck.errors import RobustcheckError


@pytest.fixture
def write(tmp_path):
    def write(text, name="robustcheck.toml"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


def test_claims_in_order_with_their_lines(write):
    path = write(
        """\
        # what we promise
        [claims]
        jpeg-undoes-eps-1 = "recovery(JPG(Adv_1)) >= 60%"

        "still usable" = '''
          accuracy(JPG(Adv_1))
            >= 0.8 * accuracy(x)'''
        'last' = "accuracy(x) >= 0.5"  # = "[claims.no]"
        """
    )
    read = read_claims(path)
    assert read.family == "none"
    assert [(claim.name, claim.line) for claim in read.claims] == [
        ("jpeg-undoes-eps-1", 3),
        ("still usable", 5),
        ("last", 8),
    ]
    assert read.claims[1].claim == parse_claim("accuracy(JPG(Adv_1)) >= 0.8 * accuracy(x)")
    assert read.claims[0].text == "recovery(JPG(Adv_1)) >= 60%"
    assert read.claims[0].settings == ClaimSettings()


def test_settings_of_the_file_and_of_a_claim(write):
    path = write(
        """\
        family = "none"
        tolerance = 0.01
        [robustcheck]
        alpha = 0.02
        on_undecided = "warn"
        [claims]
        plain = "accuracy(x) >= 0.5"
        inline = {claim = "accuracy(x) >= 0.6", about = "population"}
        dotted.claim = "accuracy(x) >= 0.7"
        dotted.alpha = 0.001
        [claims."of its own"]
        on_undecided = "pass"
        claim = "accuracy(x) >= 0.8"
        tolerance = 0
        """
    )
    claims = {claim.name: claim for claim in read_claims(path).claims}
    shared = ClaimSettings(alpha=0.02, tolerance=0.01, on_undecided="warn")
    assert claims["plain"].settings == shared
    assert claims["inline"].settings == ClaimSettings(0.02, 0.01, "population", "warn")
    assert claims["dotted"].settings == ClaimSettings(0.001, 0.01, "testset", "warn")
    assert claims["of its own"].settings == ClaimSettings(0.02, 0.0, "testset", "pass")
    assert [claim.line for claim in claims.values()] == [7, 8, 9, 11]


def test_a_family(write):
    assert read_claims(write('family = "holm"\n[claims]\na = "accuracy(x) >= 0.5"')).family == "holm"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "no claims: write [claims]"),
        ("# nothing\n", 1, "no claims"),
        ("\n\n[claims]\n", 3, "no claims"),
        ("claims = 3", 1, "no claims"),
        ('[claims]\na = "accuracy(x) >= 0.5', 2, "Unterminated string"),
        ('[claims]\na = "accuracy(x) >= 0.5"\na = "accuracy(x) >= 0.6"', 3, "given twice"),
        ('[claims]\na = "accuracy(x) > 0.5"\n[claims]\nb = "accuracy(x) > 0.6"', 3, "given twice"),
        ("[claims]\na = 3", 2, "claim 'a' must be text such as"),
        ("[claims]\n\na = ['accuracy(x) > 0.5']", 3, "claim 'a' must be text"),
        (
            '[claims]\na = "acuracy(x) >= 0.5"',
            2,
            "claim 'a': unknown measure 'acuracy': did you mean accuracy?",
        ),
        ('[claims]\na = "accuracy(x) >= 0"', 2, "true of every model"),
        ('[claims]\nok = "accuracy(x) > 0.1"\n[claims.a]\nalpha = 0.1', 3, "claim 'a' has no text"),
        (
            '[claims.a]\nclaim = "accuracy(x) > 0.1"\nalfa = 0.1',
            3,
            "unknown setting 'alfa': did you mean 'alpha'?",
        ),
        (
            '[claims.a]\nclaim = "accuracy(x) > 0.1"\nalpha = 5',
            3,
            "alpha must be a probability between 0 and 1, got 5",
        ),
        ('[claims.a]\nclaim = "accuracy(x) > 0.1"\nalpha = true', 3, "alpha must be a number, got True"),
        (
            '[claims.a]\nclaim = "accuracy(x) > 0.1"\ntolerance = "x"',
            3,
            "tolerance must be a number, got 'x'",
        ),
        (
            '[claims.a]\nclaim = "accuracy(x) > 0.1"\ntolerance = -1',
            3,
            "tolerance must be >= 0 and < 1, got -1",
        ),
        (
            '[claims.a]\nclaim = "accuracy(x) > 0.1"\nabout = "images"',
            3,
            "about must be one of testset, population",
        ),
        ('[claims.a]\nclaim = "accuracy(x) > 0.1"\nfamily = "holm"', 3, "unknown setting 'family'"),
        ('tolerence = 0.1\n[claims]\na = "accuracy(x) > 0.1"', 1, "did you mean 'tolerance'?"),
        ('[claim]\na = "accuracy(x) > 0.1"', 1, "unknown table 'claim': did you mean 'claims'?"),
        ('[Claims]\na = "accuracy(x) > 0.1"', 1, "unknown table 'Claims': did you mean 'claims'?"),
        ('[claim.a]\nclaim = "accuracy(x) > 0.1"', 1, "unknown table 'claim': did you mean 'claims'?"),
        ("[tool.robustcheck]\nalpha = 0.1", 1, "unknown table 'tool': Allowed: claims, robustcheck"),
        ('a = "accuracy(x) > 0.1"', 1, "a is a claim: write it below [claims]"),
        ('\na = "kept(JPG) < 10%"\n[claims]', 2, "a is a claim: write it below [claims]"),
        (
            '[robustcheck]\n\non_undecided = "skip"\n[claims]',
            3,
            "on_undecided must be one of fail, warn, pass",
        ),
        ('family = ["holm"]\n[claims]', 1, "family must be one of none, holm"),
        ('robustcheck = 3\n[claims]\na = "accuracy(x) > 0.1"', 1, "must be a table of settings"),
        ("alpha = 0.1\n[robustcheck]\nalpha = 0.1\n[claims]", 3, "alpha is set twice"),
        ('[claims]\nfamily = "holm"', 2, "family is a setting: write it above [claims]"),
        ('[claims]\n"a::b" = "accuracy(x) > 0.1"', 2, "text without '::'"),
        ('[claims]\n"" = "accuracy(x) > 0.1"', 2, "a claim's name must be printable text"),
        ('family = "holm"\n[claims.a]\nclaim = "accuracy(x) > 0.1"\nalpha = 0.1', 4, "share one alpha"),
    ],
)
def test_errors_name_file_and_line(write, text, line, problem):
    path = write(text)
    with pytest.raises(RobustcheckError) as caught:
        read_claims(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert problem in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(RobustcheckError, match="can't be read: No such file"):
        read_claims(tmp_path / "robustcheck.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"[claims]\na = '\xff'")
    with pytest.raises(RobustcheckError, match=r"binary.toml:\d+: a TOML file must be UTF-8, got byte 0xff"):
        read_claims(binary)


def test_windows_line_ends_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "robustcheck.toml"
    path.write_bytes(b'\xef\xbb\xbf[claims]\r\n\r\na = "accuracy(x) >= 0.5"\r\n')
    assert [claim.line for claim in read_claims(path).claims] == [3]


def test_lines_of_keys_in_every_form(write):
    path = write(
        """\
        # [claims.b]
        [robustcheck]
        alpha = 0.01
        [claims . "b.c"]
        claim = "accuracy(x) >= 0.5"
        alpha = 0.02
        [ claims.'d' ]
        alpha = 0.03
        claim = "accuracy(x) >= 0.5"
        [claims]
          'a"b' = "accuracy(x) >= 0.5"
        g = "accuracy(x) >= 0.5"
        e . claim = "accuracy(x) >= 0.5"
        "f" = { claim = "accuracy(x) >= 0.5" }
        """
    )
    lines = {claim.name: claim.line for claim in read_claims(path).claims}
    assert lines == {"b.c": 4, "d": 7, 'a"b': 11, "g": 12, "e": 13, "f": 14}


toml_names = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
    lambda name: name.strip() and name.isprintable() and "::" not in name
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(toml_names, st.integers(0, 3), st.booleans()),
        min_size=1,
        max_size=8,
        unique_by=lambda row: row[0],
    )
)
def test_quoted_names_are_found_whatever_stands_between(write, rows):
    text, expected = "[claims]\n", {}
    for name, gap, literal in rows:
        quoted = (
            f"'{name}'"
            if literal and "'" not in name
            else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        )
        text += "# [not] = 'a'\n" * gap
        expected[name] = text.count("\n") + 1
        text += f"{quoted} = '''\naccuracy(x)\n  >= 0.5'''  # {name}\n"
    assert {claim.name: claim.line for claim in read_claims(write(text)).claims} == expected
