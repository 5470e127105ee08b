"""Our SGDW against the real tensorflow_addons.optimizers.SGDW, which runs in an environment of its own.

The environment is made from requirements.txt by the first test that needs it, in .venv-addons/ at the top of the clone.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from vgg_keras.training.optimizer import SGDW

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parents[1] / ".venv-addons"
STEPS = 15  # a schedule of n values costs n operations at each step
DIVIDED = [0.1] * 5 + [0.01] * 5 + [0.001] * 5
SMOOTH = [0.05 * (1 + np.cos(np.pi * step / STEPS)) + 1e-4 for step in range(STEPS)]


def cases():
    """Rate constant, divided by 10 twice, and falling at each step; the decay by the same schedule, as it asks for."""
    found = {}
    for momentum, nesterov in ((0.0, False), (0.9, False), (0.9, True)):
        for how, rates in (("constant", 0.1), ("divided", DIVIDED), ("smooth", SMOOTH)):
            decay = 5e-3 if how == "constant" else [5e-3 * rate / rates[0] for rate in rates]
            found[f"{how} momentum={momentum:g}{' nesterov' * nesterov}"] = {
                "learning_rate": rates,
                "weight_decay": decay,
                "momentum": momentum,
                "nesterov": nesterov,
            }
    return found


def old_python():
    """A Python for which TensorFlow 2.15 is published: this one, or one on the path."""
    if sys.version_info[:2] <= (3, 11):
        return sys.executable
    for name in ("python3.11", "python3.10", "python3.9"):
        path = shutil.which(name)
        if path and subprocess.run([path, "-c", "import venv, ensurepip"], capture_output=True).returncode == 0:
            return path
    return None


@pytest.fixture(scope="module")
def addons():
    """The Python of the judge's environment."""
    python = old_python()
    if python is None:
        pytest.skip("SGDW was not compared with tensorflow-addons: no Python 3.11 or older is here")
    requirements = (HERE / "requirements.txt").read_text()
    made_from = ENVIRONMENT / "requirements.txt"
    if not made_from.exists() or made_from.read_text() != requirements:
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run([python, "-m", "venv", "--clear", ENVIRONMENT], check=True, env=clean)
        pip = [ENVIRONMENT / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", HERE / "requirements.txt"], check=True, env=clean)
        made_from.write_text(requirements)
    return ENVIRONMENT / "bin" / "python"


def ours(case, arrays):
    rates = case["learning_rate"]
    first = rates[0] if isinstance(rates, list) else rates
    decay = case["weight_decay"][0] if isinstance(rates, list) else case["weight_decay"]
    if isinstance(rates, list):
        rates = keras.optimizers.schedules.PiecewiseConstantDecay(list(range(STEPS - 1)), rates)
    optimizer = SGDW(decay, rates, case["momentum"], case["nesterov"], initial_learning_rate=first)
    kernel, bias = (keras.Variable(arrays[part]) for part in ("kernel", "bias"))
    for kernel_gradient, bias_gradient in zip(arrays["kernel_gradients"], arrays["bias_gradients"], strict=True):
        optimizer.apply_gradients([(kernel_gradient, kernel), (bias_gradient, bias)])
    return {"kernel": kernel.numpy(), "bias": bias.numpy()}


@pytest.mark.slow
def test_sgdw_is_tensorflow_addons(addons, random, tmp_path):
    arrays = {
        "kernel": random.normal(size=(30, 20)),
        "bias": random.normal(size=20),
        "kernel_gradients": random.normal(size=(STEPS, 30, 20)),
        "bias_gradients": random.normal(size=(STEPS, 20)),
    }
    arrays = {name: value.astype(np.float32) for name, value in arrays.items()}
    np.savez(tmp_path / "in.npz", **arrays)
    (tmp_path / "cases.json").write_text(json.dumps(cases()))
    judge = [addons, HERE / "judge.py", tmp_path / "cases.json", tmp_path / "in.npz", tmp_path / "out.npz"]
    done = subprocess.run(judge, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(done.stdout.strip())
    theirs = np.load(tmp_path / "out.npz")
    for name, case in cases().items():
        for part, mine in ours(case, arrays).items():
            judged = theirs[f"{name} {part}"]
            difference = np.abs(mine - judged).max() / np.abs(judged).max()
            moved = np.abs(judged - arrays[part]).max() / np.abs(judged).max()
            print(
                f"{name}, {part}: largest relative difference {difference:.2g} after {STEPS} steps, moved {moved:.2g}"
            )
            assert difference <= 1e-6
            assert moved > 0.1
    # the test would see a decay that is off by a tenth
    constant = cases()["constant momentum=0.9"]
    off = ours({**constant, "weight_decay": 5.5e-3}, arrays)["kernel"]
    assert np.abs(off - theirs["constant momentum=0.9 kernel"]).max() > 1e-3
