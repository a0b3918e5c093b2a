"""Whether an evaluation can be trusted: checks that hold of any sound one, whatever the model.

`registry.examine` runs them all, and so does `pytest --robustcheck-suite=sanity`, where each is a test. What can be
seen in the records themselves (`robustcheck.claims.record_warnings`) is a warning of every run.

After Athalye, Carlini, Wagner (arXiv 1802.00420), Carlini et al. (arXiv 1902.06705), and the flags of AutoAttack
(arXiv 2003.01690).
"""
