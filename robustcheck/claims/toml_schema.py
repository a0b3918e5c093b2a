"""The JSON schema of `robustcheck.toml`, for editors, made from the tables by which the file is read.

It can't say whether a claim's text is well formed: `python -m robustcheck check` does.
"""

from __future__ import annotations

from typing import Any

from robustcheck.claims.policy import ABOVE_ZERO, WORDS
from robustcheck.claims.toml_file import OWN, SHARED

DESCRIPTIONS = {
    "alpha": "maximum probability that a false claim passes, when stopping early",
    "tolerance": "by how much a claim may be missed, as a share: 0.01 is one percentage point",
    "about": "what a claim is about: these images, or the population that they were drawn from",
    "on_undecided": "what becomes of a claim that the images can't decide",
    "family": "holm: the claims that hold, hold jointly at alpha",
}
_CLAIM = {"type": "string", "minLength": 1, "examples": ["accuracy(JPG(Adv_1)) >= 0.8 * accuracy(x)"]}


def schema() -> dict[str, Any]:
    """Return the schema, JSON Schema draft 2020-12."""
    shared = {name: _setting(name) for name in SHARED}
    table = {
        "type": "object",
        "properties": {"claim": _CLAIM, **{name: _setting(name) for name in OWN}},
        "required": ["claim"],
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "robustcheck.toml: claims about the robustness of an image classifier",
        "type": "object",
        "properties": {
            **shared,
            "robustcheck": {"type": "object", "properties": shared, "additionalProperties": False},
            "claims": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": r"^(?!.*::)(?=.*\S).*$"},
                "additionalProperties": {"anyOf": [_CLAIM, table]},
            },
        },
        "required": ["claims"],
        "additionalProperties": False,
    }


def _setting(name: str) -> dict[str, Any]:
    if name in WORDS:
        return {"enum": [*WORDS[name]], "description": DESCRIPTIONS[name]}
    low = {"exclusiveMinimum": 0} if name in ABOVE_ZERO else {"minimum": 0}
    return {"type": "number", **low, "exclusiveMaximum": 1, "description": DESCRIPTIONS[name]}
