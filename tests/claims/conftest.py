"""A source whose outcomes are a table: what an evaluation is to the claims, without a model."""

from __future__ import annotations

import numpy as np
import pytest

from robustcheck.claims import Estimate, Ratio, mean, recovery
from robustcheck.claims.decisions import decide_exact
from robustcheck.notation import parse


class TableSource:
    """Columns by measure and view; remembers the claims that it was asked to decide."""

    def __init__(self, columns):
        self.columns = columns
        self.n = len(next(iter(columns.values())))
        self.asked = []

    def sample(self, terms):
        return np.column_stack([self.columns[term] for term in terms]).reshape(self.n, len(terms))

    def peek(self, terms):
        return self.sample(terms)

    def decide(self, claim):
        self.asked.append(claim)
        return decide_exact(claim, self.sample(claim.terms))

    def accuracy(self, view):
        return Estimate(self, mean("accuracy", view))

    def recovery(self, view):
        return Ratio(self, recovery(view))


@pytest.fixture
def make_source():
    """Return a function from n and the number right in each view to a source with nested outcomes."""

    def make(n=20, *, measure="accuracy", **right):
        views = {"x": "x", "adv": "Adv_1", "jpg": "JPG(Adv_1)"}
        return TableSource(
            {
                (measure, parse(views[view])): (np.arange(n) < count).astype(float)
                for view, count in right.items()
            }
        )

    return make


@pytest.fixture
def study(make_source):
    """Twenty images: 18 right clean, 4 under attack, 10 after JPEG."""
    return make_source(x=18, adv=4, jpg=10)
