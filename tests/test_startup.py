"""How TensorFlow and Keras start: a quiet standard error, and numbers that no keras.json changes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import command
from vgg_keras.log_filter import LOG_LEVEL

QUICK = (
    "--config=quickstart",
    "--set=architecture.name=A",
    "--set=architecture.width=0.03125",
    "--set=data.batch=300",
    "--set=training.epochs=1",
)


def python(script, *, home=None, **environment):
    """A script in a process of its own, with a home of its own."""
    environment = {name: str(value) for name, value in environment.items()}
    inherited = {name: value for name, value in os.environ.items() if name not in ("KERAS_BACKEND", LOG_LEVEL)}
    homes = {"HOME": str(home)} if home else {}
    command = [sys.executable, "-W", "error::UserWarning", "-c", script]
    return subprocess.run(command, env={**inherited, **homes, **environment}, capture_output=True, text=True)


def keras_json(folder, **fields):
    (folder / ".keras").mkdir(exist_ok=True)
    (folder / ".keras" / "keras.json").write_text(json.dumps(fields))


# A standard error that is no file, with the one method that it must have. It passes on what it is given.
STREAM = "type('Stream', (), {'write': lambda self, text: os.write(2, text.encode())})()"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "stream"),
    [
        ("tensorflow", STREAM),
        *(
            # every command, such as the quiet ones below, begins with Keras
            pytest.param(*given, marks=pytest.mark.full)
            for given in (
                ("tensorflow", "sys.stderr"),
                ("tensorflow", "None"),
                ("keras", "sys.stderr"),
                ("vgg_keras.nets.builder", "sys.stderr"),
            )
        ),
    ],
)
def test_frameworks_start_without_a_word_also_where_standard_error_is_somebodys_own(first, stream):
    end = "" if stream == "sys.stderr" else "os._exit(0)"  # absl closes the stream at the end of Python
    done = python(
        f"import os, sys; sys.stderr = {stream}; import vgg_keras, {first}, tensorflow as tf; "
        f"tf.config.list_physical_devices(); tf.add(1, 2); {end}"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_import_that_fails_says_why(tmp_path):
    broken = tmp_path / "tensorflow"
    broken.mkdir()
    text = """
import os
os.write(2, b"I0000 00:00:1.0 1 a.cc:1] fine\\nE0000 00:00:1.0 1 a.cc:1] broken\\n")
raise ImportError("no")
"""
    (broken / "__init__.py").write_text(text)
    done = python("import vgg_keras, tensorflow", PYTHONPATH=f"{tmp_path}:{os.getcwd()}")
    assert done.returncode == 1
    assert "a.cc:1] broken" in done.stderr and "ImportError: no" in done.stderr and "fine" not in done.stderr


NUMBERS = """
import json, numpy, vgg_keras
from vgg_keras.nets.dense import convolutions_and_head
found = []
for name, more in NETS:
    model = vgg_keras.build(name, num_classes=3, crop=32, width=1/16, seed=0, **more)
    images = numpy.random.default_rng(0).uniform(0, 255, (2, 32, 64, 3)).astype("float32")
    dense = vgg_keras.to_fully_convolutional(model)
    found += [numpy.asarray(model(images[:, :, :32])).ravel().tolist(), numpy.asarray(dense(images)).ravel().tolist()]
    maps = convolutions_and_head(model)[0](images)
    found.append(numpy.asarray(maps, "float32").ravel()[:50].tolist())
print(json.dumps(found))
"""


# JAX compiles each operation of each net: as fast as it can, and what the second process has in common with the first once.
JAX = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "true", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_channels_first_and_epsilon_of_keras_json_change_no_number(tmp_path, backend):
    nets = [("A", {"batch_norm": True, "head": "gap", "activation": "leaky_relu"})]
    compiling = {}
    if backend == "tensorflow":
        nets.append(("A-LRN", {}))
    else:
        compiling = {**JAX, "JAX_COMPILATION_CACHE_DIR": tmp_path / "compiled"}
    results = []
    for fields in ({}, {"image_data_format": "channels_first", "epsilon": 0.5, "backend": backend}):
        keras_json(tmp_path, **fields)
        chosen = {} if fields else {"KERAS_BACKEND": backend}
        done = python(NUMBERS.replace("NETS", repr(nets)), home=tmp_path, **compiling, **chosen)
        assert done.returncode == 0, done.stderr
        results.append([np.array(row) for row in json.loads(done.stdout.splitlines()[-1])])
    differences = [np.abs(mine - theirs).max() for mine, theirs in zip(*results, strict=True)]
    print("largest difference", max(differences))
    assert max(differences) == 0 and all(np.ptp(row) > 0 for row in results[0])


@pytest.mark.slow
def test_where_tensorflow_was_imported_before_the_search_for_a_gpu_is_quiet_and_another_floatx_refused(tmp_path):
    """In one line, by each function that would use it."""
    keras_json(tmp_path, floatx="float16")
    script = """
import tensorflow as tf, vgg_keras
tf.config.list_physical_devices()
tf.add(1, 2)
for make in (
    lambda: vgg_keras.build("D", num_classes=2, crop=32, width=0.1),
    lambda: vgg_keras.SGDW(5e-5, 1e-2),
    lambda: vgg_keras.CoupledSGD(5e-4),
):
    try:
        make()
    except vgg_keras.UserError as error:
        print(error)
vgg_keras.SGDW(5e-5, 1e-2)
"""
    done = python(script, home=tmp_path)
    assert done.returncode == 1 and "cuInit" not in done.stderr
    for line in (*done.stdout.splitlines(), done.stderr.splitlines()[-1]):
        assert "Keras's floatx must be float32. Received: float16" in line
    assert len(done.stdout.splitlines()) == 3 and "UserError: " in done.stderr.splitlines()[-1]


def run(name, *arguments, folder, **environment):
    inherited = {key: value for key, value in os.environ.items() if key not in ("KERAS_BACKEND", LOG_LEVEL)}
    return subprocess.run(
        command(name, *arguments, cache=folder),
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        cwd=folder,
    )


def quiet(name, *arguments, folder):
    """Runs a command with an empty home; it writes nothing to standard error."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    done = run(name, *arguments, folder=folder, HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", f"{name} {arguments}: {done.stderr}"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The folder of a run without a keras.json."""
    folder = tmp_path_factory.mktemp("plain")
    quiet("train", *QUICK, "--workdir=run", folder=folder)
    return folder / "run"


@pytest.mark.slow
def test_a_run_is_the_same_whatever_keras_json_says(tmp_path, plain):
    """The loss after an epoch, to the bit, and one line that names what is not used."""
    keras_json(tmp_path, floatx="float16", epsilon=0.1, image_data_format="channels_first", backend="torch")
    environment = {"HOME": str(tmp_path), "KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "1"}
    done = run("train", *QUICK, "--workdir=run", folder=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("not used: KERAS_MAX_EPOCHS=1")
    for word in ("floatx=float16", "epsilon=0.1", "image_data_format=channels_first", "backend=torch", "keras.json"):
        assert word in line
    losses = []
    for workdir in (plain, tmp_path / "run"):
        assert "model.weights.h5" in json.loads((workdir / "manifest.json").read_text())
        losses.append([json.loads(line)["loss"] for line in (workdir / "metrics.jsonl").read_text().splitlines()])
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ('{"floatx": "bfloat16"}', "floatx='bfloat16'"),
        ('{"epsilon": 1}', "epsilon=1"),
        ('{"image_data_format": "NCHW"}', "image_data_format='NCHW'"),
        ("[1]", "which holds no section"),
        (None, "keras.json: a FIFO, a socket or a device, where a file is needed"),
    ],
)
def test_a_keras_json_that_keras_cannot_read_gets_one_line(tmp_path, text, received):
    (tmp_path / ".keras").mkdir()
    path = tmp_path / ".keras" / "keras.json"
    path.write_text(text) if text else os.mkfifo(path)
    done = run("train", *QUICK, folder=tmp_path, HOME=str(tmp_path))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1 and received in done.stderr and "keras.json" in done.stderr


def test_a_picture_is_drawn_without_a_home_and_without_a_word(tmp_path):
    script = "from vgg_keras import startup; startup.command_settings()\n"
    script += "from vgg_keras.evaluation import plots; plots.pyplot().subplots()"
    environment = {name: value for name, value in os.environ.items() if name != "MPLCONFIGDIR"}
    environment |= {"HOME": "/proc/none", "TMPDIR": str(tmp_path)}  # where nobody can make a folder
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("backend", "installed", "said"),
    [
        ("Jax", True, "KERAS_BACKEND must name one of Keras's backends. Received: 'Jax'. Did you mean 'jax'?"),
        ("jax", False, "KERAS_BACKEND=jax needs the package jax. Received: none. Try pip install jax."),
    ],
)
def test_a_backend_that_cannot_be_imported_gets_one_line(tmp_path, backend, installed, said):
    if not installed:
        (tmp_path / "sitecustomize.py").write_text(f"import sys; sys.modules[{backend!r}] = None")
    environment = {"KERAS_BACKEND": backend, "PYTHONPATH": str(tmp_path)}
    done = run("benchmark", "train", "--config=quickstart", folder=tmp_path, **environment)
    assert (done.returncode, done.stderr) == (2, f"error: {said}\n")


@pytest.mark.slow
def test_no_command_writes_anothers_words_to_standard_error(tmp_path, plain):
    """The training of `plain`, and what is done with its net."""
    quiet("evaluate", f"--model={plain}", folder=tmp_path)
    for form in ("tflite", "onnx"):  # whose converters write most
        limits = ("--set=export.images=4", "--set=export.min_agreement=0")
        quiet("export", f"--model={plain}", f"--format={form}", f"--out=exported_{form}", *limits, folder=tmp_path)
