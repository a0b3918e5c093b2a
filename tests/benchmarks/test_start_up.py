"""What a pytest run that uses nothing of ours pays for our being installed."""

import os
import subprocess
import sys
from statistics import median


def test_start_up_against_bare_pytest(robustcheck_benchmark, tmp_path):
    (tmp_path / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    # As where pytest ran before: with modules that are compiled.
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]

    def run(*arguments):
        subprocess.run([*pytest, *arguments], check=True, capture_output=True, cwd=tmp_path, env=environment)

    result = robustcheck_benchmark.ratio(run, lambda: run("-p", "no:robustcheck"), rounds=15)
    over = [ours - theirs for ours, theirs in zip(result.ours, result.theirs, strict=True)]
    robustcheck_benchmark.note(f"{1000 * median(over):.0f} ms over bare pytest, by the median of 15 rounds")
