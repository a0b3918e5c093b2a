"""The limits of size that keep the house in order."""

import ast
import re
from pathlib import Path

import robustcheck

PACKAGE = Path(robustcheck.__file__).parent
NOUNS = {"decoding", "exported", "locked", "preprocessing", "string"}
PUBLIC = {"Classifier"}  # its parameters are the user's


def classes():
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                yield node, [each for each in node.body if isinstance(each, ast.FunctionDef)]


def is_property(method):
    return any("property" in ast.unparse(decorator) for decorator in method.decorator_list)


def test_modules_are_named_by_nouns():
    stems = {path.stem for path in PACKAGE.rglob("*.py")}
    odd = {stem for stem in stems if re.search(r"(ing|ed|ly)$", stem) and stem.split("_")[-1] not in NOUNS}
    assert not odd


def test_classes_have_at_most_15_methods():
    large = {
        node.name
        for node, methods in classes()
        if sum(not each.name.startswith("__") and not is_property(each) for each in methods) > 15
    }
    assert not large


def test_constructors_have_at_most_7_parameters():
    long = {
        node.name
        for node, methods in classes()
        for each in methods
        if each.name == "__init__" and len(each.args.args[1:] + each.args.kwonlyargs) > 7
    }
    assert long <= PUBLIC


def test_evaluation_is_a_room_and_the_plugin_translates():
    assert len(list((PACKAGE / "evaluation").glob("*.py"))) - 1 <= 14
    assert len((PACKAGE / "plugin.py").read_text().splitlines()) <= 250
