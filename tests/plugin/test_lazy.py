"""A run that uses nothing of ours pays nothing for us."""

import subprocess
import sys

CHECK = """
import sys

def test_nothing():
    heavy = {"torch", "numpy", "torchvision", "scipy", "PIL", "timm", "pandas"}
    loaded = heavy & {name.split(".")[0] for name in sys.modules}
    assert not loaded
"""


def test_an_unrelated_run_imports_no_library(pytester):
    pytester.makepyfile(CHECK)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    assert "robustcheck" not in result.stdout.str().replace("pytest-robustcheck", "").replace(
        "robustcheck-", ""
    )


def test_collecting_imports_no_library(pytester):
    pytester.makepyfile("def test_it(robustness):\n    assert robustness['x'].kept > 0.5")
    code = (
        "import pytest, sys; code = pytest.main(['--collect-only', '-q']); "
        "print('loaded:', sorted({'torch', 'numpy', 'scipy'} & set(sys.modules))); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=pytester.path
    )
    assert "1 test collected" in done.stdout
    assert "loaded: []" in done.stdout


def test_a_network_of_the_repository_s_own_loads_neither_torchvision_nor_a_compiler(repository):
    """Each takes as long to import as torch itself."""
    repository.makepyfile(
        test_it="""
        import sys
        import robustcheck, torch

        class OwnAutocast(torch.nn.Linear):
            def forward(self, images):
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    return super().forward(images.flatten(1)).float()

        def test_it(robustness):
            robustness.evaluate("x", "JPG(Adv_1)", "Noise_1")
            own = robustcheck.Classifier(OwnAutocast(768, 4).eval(), mean=(0,) * 3, std=(1,) * 3, input_size=16)
            assert own.computed_in == ("bf16",)
            assert not {"torchvision", "torch._dynamo", "sympy", "scipy.stats"} & set(sys.modules)
        """
    )
    repository.runpytest_subprocess("--robustcheck-store=off").assert_outcomes(passed=1)


def test_a_run_that_asks_for_no_number_prints_no_section(pytester):
    pytester.makepyfile("def test_it():\n    pass")
    assert "= robustcheck =" not in pytester.runpytest().stdout.str()
