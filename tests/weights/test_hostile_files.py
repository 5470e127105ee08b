"""Files that were made to run code, to reach out of themselves or to fill the memory, on every flag that takes a file.

A configuration that is a .py file is its author's code, and the one kind that is run.
"""

import contextlib
import importlib
import io
import json
import pickle
import resource
import shutil
import struct
import sys
import traceback
import zipfile

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from tests.conftest import write_images
from tests.warm import Warm
from tests.weights import sources
from vgg_keras.config import Architecture, Config, Data
from vgg_keras.files import sha256, write_json
from vgg_keras.plain_values import to_dict

NET = Architecture("A", num_classes=10, crop=32, width=1 / 16, mean=(70.0, 70.0, 70.0))
MOST = 200  # MB by which one of these may raise the memory


class Code:
    """A pickle that would run a command."""

    def __reduce__(self):
        return exec, ("open('ran', 'w').close()",)


# ---- the files


def pickles(folder, state):
    """torch's three formats, NumPy's two."""
    (folder / "plain_pickle.pth").write_bytes(pickle.dumps({**state, "extra": Code()}, protocol=2))
    torch.save({**state, "extra": Code()}, folder / "zipped_pickle.pth")
    torch.save({**state, "extra": Code()}, folder / "old_pickle.pt", _use_new_zipfile_serialization=False)
    np.savez(folder / "pickle.npz", description=np.array([Code()], object))
    with open(folder / "array_pickle.npz", "wb") as file:
        np.save(file, np.array([Code()], object))


def bombs(folder, state):
    torch.save({**state, "features.0.weight": torch.zeros(1).expand(10**12)}, folder / "repeats.pth")
    np.savez_compressed(folder / "packed.npz", description=np.zeros(2**28, np.uint8))


def lies(folder, state):
    """Headers that promise more than there is."""
    (folder / "header.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")
    for name, shape, offsets in (("offsets", [4, 3, 3, 3], [0, 2**40]), ("shape", [10**6, 10**6], [0, 432])):
        header = json.dumps({"features.0.weight": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()
        (folder / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(432))
    blob = sources.caffemodel({"conv1_1": [np.zeros((2, 3, 3, 3), np.float32)]})
    lying = blob.replace(sources.field(1, 2) + sources.field(2, 3), sources.field(1, 2**30) + sources.field(2, 3))
    (folder / "blob.caffemodel").write_bytes(lying)
    (folder / "nested.caffemodel").write_bytes(b"\x0b" * 100_000)  # groups in groups
    scipy.io.savemat(folder / "dimensions.mat", {"layers": np.zeros((7, 9))})
    content = (folder / "dimensions.mat").read_bytes()
    (folder / "dimensions.mat").write_bytes(content.replace(struct.pack("<2i", 7, 9), struct.pack("<2i", 2**30, 2**30)))


def hdf5(folder, path, kind):
    """Spoils the first kernel of a file of Keras's."""
    outside = folder / "outside.h5"
    if not outside.exists():
        with h5py.File(outside, "w") as file:
            file["secret"] = np.zeros((3, 3, 3, 4), np.float32)
    with h5py.File(path, "a") as file:
        variables = file["layers/conv2d/vars"]
        del variables["0"]
        if kind == "external_link":
            variables["0"] = h5py.ExternalLink(str(outside), "secret")
        elif kind == "soft_link":
            variables["0"] = h5py.SoftLink("/layers/conv2d_1/vars/0")
        elif kind == "external_storage":
            variables.create_dataset("0", (3, 3, 3, 4), "f4", external=[(str(outside), 0, 432)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((3, 3, 3, 4), "f4")
            layout[:] = h5py.VirtualSource(str(outside), "secret", (3, 3, 3, 4))
            variables.create_virtual_dataset("0", layout)
        elif kind == "shape":
            variables.create_dataset("0", (10**6, 10**6), "f4")  # no byte of it is there
        elif kind == "packed":
            packed = variables.create_dataset("0", (2**28,), "f4", chunks=(2**20,), compression="gzip")
            packed[: 2**23] = 0


KINDS = ("external_link", "soft_link", "external_storage", "virtual", "shape", "packed")


def keras_files(folder, model):
    for kind in KINDS:
        model.save_weights(folder / f"{kind}.weights.h5")
        hdf5(folder, folder / f"{kind}.weights.h5", kind)
    with h5py.File(folder / "applications_link.h5", "w") as file:
        file.attrs["layer_names"] = ["block1_conv1"]
        file["block1_conv1"] = h5py.ExternalLink(str(folder / "outside.h5"), "/")
    model.save(folder / "net.keras")
    with zipfile.ZipFile(folder / "net.keras") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    strange = json.loads(files["config.json"])
    function = {"class_name": "__lambda__", "config": {"code": "open('ran', 'w')"}}
    strange["config"]["layers"].append({"class_name": "Lambda", "config": {"function": function}})
    for name, changes in (
        ("lambda", {"config.json": json.dumps(strange)}),
        ("module", {"config.json": files["config.json"].replace(b"MeanSubtraction", b"os.system")}),
        ("nested", {"config.json": "[" * 200_000}),
        ("swelling", {"config.json": bytes(2**28)}),
        ("linking", {"model.weights.h5": (folder / "external_link.weights.h5").read_bytes()}),
        ("escaping", {"model.weights.h5": None, "../model.weights.h5": files["model.weights.h5"]}),
    ):
        with zipfile.ZipFile(folder / f"{name}.keras", "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in {**files, **changes}.items():
                if content is not None:
                    archive.writestr(member, content)
    (folder / "net.keras").unlink()


def runs(folder, model):
    """Runs' folders, whose digests are right: whoever changes the files can change these too."""
    stored = {"config": to_dict(Config(architecture=NET, data=Data(scale=(32,)))), "classes": list("0123456789")}
    wide = json.loads(json.dumps(stored))
    wide["config"]["architecture"]["width"] = 3000.0
    configurations = {
        **{kind: json.dumps(stored) for kind in KINDS},
        "wide": json.dumps(wide),
        "nested": "[" * 200_000,
        "number": json.dumps({**stored, "config": {**stored["config"], "stages": [5]}}),
        "nameless": json.dumps({**stored, "config": {**stored["config"], "stages": [{}]}}),
    }
    for name, text in configurations.items():
        run = folder / f"run_{name}"
        run.mkdir()
        (run / "config.json").write_text(text)
        model.save_weights(run / "model.weights.h5")
        if name in KINDS:
            hdf5(folder, run / "model.weights.h5", name)
        names = ("config.json", "model.weights.h5")
        write_json(run / "manifest.json", {name: [sha256(run / name)] for name in names})


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A folder of such files, the good one beside them, and a photograph."""
    from vgg_keras.nets.builder import build

    folder, model = tmp_path_factory.mktemp("hostile"), build(NET, seed=0)
    net = sources.torch_vgg("A", width=1 / 16, crop=32)
    state = net.state_dict()
    torch.save(state, folder / "good.pth")
    for make in (pickles, bombs, lies):
        make(folder, state)
    keras_files(folder, model)
    runs(folder, model)
    (folder / "outside.h5").rename(folder / "outside")  # the links are to a file that is there, but none of the table
    shutil.copy(folder / "outside", folder / "outside.h5")
    write_images(folder / "photos", [(40, 50)])
    return folder


def names(folder, *endings):
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(endings) and path.name != "good.pth")


# ---- the flags


def run_all(command, many, commands):
    """Runs each command line of a command in this process; prints its status, what it said and how far the memory rose."""
    module = importlib.import_module(f"vgg_keras.{command}")
    from absl.testing import flagsaver

    from vgg_keras import cli

    for words in commands:
        before, said, status = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, io.StringIO(), None
        sys.argv = [command, *words]
        with flagsaver.flagsaver(), contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                cli.run(module.main, many=many)
            except SystemExit as end:
                status = end.code
            except BaseException:
                traceback.print_exc()
        rise = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print("RESULT", json.dumps([status, said.getvalue(), rise]), flush=True)


WEIGHTS = (".pth", ".pt", ".safetensors", ".caffemodel", ".mat", ".keras", ".h5")
SET = ("architecture.name=A", "architecture.width=0.0625", "architecture.crop=32", "data.scale=32", "stages=")
OF_H5 = ("--config=A", *(f"--set={override}" for override in SET), "--set=architecture.num_classes=10")
TABLE = {
    "predict --weights": ("predict", WEIGHTS, ("photos",)),
    "evaluate --weights": ("evaluate", WEIGHTS, ("--data=digits", "--out=out")),
    "export --weights": ("export", WEIGHTS, ("--data=digits", "--format=saved_model", "--out=out")),
    "predict --model": ("predict", ("", ""), ("photos",)),
    "evaluate --model": ("evaluate", ("",), ("--out=out",)),
    "export --model": ("export", ("",), ("--format=saved_model", "--out=out")),
    "evaluate --fuse": ("evaluate", ("",), ("--out=out",)),
    "train --weights": (
        "train",
        WEIGHTS,
        ("--config=quickstart", *(f"--set={override}" for override in SET), "--workdir=out"),
    ),
    "train --init_from": (
        "train",
        ("",),
        ("--config=quickstart", *(f"--set={override}" for override in SET), "--workdir=out"),
    ),
}


# open_model.resolve opens these nets as it does those of predict
AS_PREDICT = ("evaluate --weights", "export --weights", "evaluate --model", "export --model")


@pytest.mark.slow
@pytest.mark.parametrize(
    "flag", [pytest.param(flag, marks=pytest.mark.full) if flag in AS_PREDICT else flag for flag in TABLE]
)
def test_each_is_refused_in_one_line_and_nothing_runs(hostile, tmp_path, flag):
    command, endings, rest = TABLE[flag]
    option, many = flag.split()[1], "photographs" if command == "predict" else ""
    for path in hostile.iterdir():
        (tmp_path / path.name).symlink_to(path)
    files = [name for name in names(hostile, *endings) if name not in ("photos", "outside", "outside.h5")]
    if option == "--weights":
        files = [name for name in files if not name.startswith("run_")]
    commands = []
    for name in files:
        given = f"{option}={name},good.pth" if option == "--fuse" else f"{option}={name}"
        own = command == "train" or not name.endswith(".weights.h5")  # whose net the file need not hold
        given_net = () if own else (*OF_H5, "--set=architecture.mean=70,70,70")
        cache = () if option == "--fuse" else (f"--set=runtime.cache_dir={tmp_path / 'cache'}",)
        commands.append([given, *rest, *(given_net if option == "--weights" else ()), *cache])
    if flag == "predict --weights":  # the same command with a good file
        commands.append(["--weights=good.pth", "--set=architecture.crop=32", *commands[0][1:]])
    process = Warm(run_all, command, many, commands, folder=tmp_path, log=tmp_path / "log")
    assert process.wait() == 0, (tmp_path / "log").read_text()
    lines = (tmp_path / "log").read_text().splitlines()
    results = [json.loads(line.removeprefix("RESULT ")) for line in lines if line.startswith("RESULT ")]
    if flag == "predict --weights":
        status, said, _ = results.pop()
        assert status is None or status == 0, said
    highest = 0
    for name, (status, said, rise) in zip(files, results, strict=True):
        assert status == 2, (name, said)
        (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
        assert name in line and "weights_only" not in line, line
        print(f"{name:28} {rise:4.0f} MB  {line}")
        highest = max(highest, rise)
    assert highest < MOST
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").is_file()
    print(f"{flag}: {len(files)} files refused, the memory rose by {highest:.0f} MB at most")
