"""A source of weights before it is read: that it exists, has a known format, and has the sha256 that it should have.

No framework is needed here, so a command line refuses a wrong source at once.
"""

import contextlib
import hashlib
import os
import re
from pathlib import Path

from vgg_keras.errors import UserError, nearest
from vgg_keras.files import sha256 as file_sha256
from vgg_keras.paths import local_path, user_path
from vgg_keras.runs import CHECKPOINTS, CONFIG, KERAS, MANIFEST, WEIGHTS, read_config, run_of, weights_digest
from vgg_keras.weights import presets
from vgg_keras.weights.formats import READERS

IMAGENET = "imagenet"
# Keras Applications' files of the authors' two nets
APPLICATIONS = {
    "D": "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
    "E": "vgg19_weights_tf_dim_ordering_tf_kernels.h5",
}
_RUNS_FILES = (CONFIG, KERAS, MANIFEST, WEIGHTS)
ENDINGS = tuple(READERS)
# A file under a public name must have one of these digests.
PINNED = {
    # keras/src/applications/vgg16.py and vgg19.py
    "vgg16_weights_tf_dim_ordering_tf_kernels.h5": ("md5", "64373286793e3c8b2b4e3219cbf3544b"),
    "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5": ("md5", "6d6bbae143d832006294945121d1f1fc"),
    "vgg19_weights_tf_dim_ordering_tf_kernels.h5": ("md5", "cbe5617147190e668d6c5d5026f83318"),
    "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5": ("md5", "253f8cb515780f3b799900260a226db6"),
    # openvinotoolkit/open_model_zoo, models/public/vgg16/model.yml and vgg19/model.yml, of the files at robots.ox.ac.uk
    "VGG_ILSVRC_16_layers.caffemodel": ("sha256", "a6196bc498e45ea4cb2637114ae8db9410cf1556fd60a55ae93272371beba197"),
    "VGG_ILSVRC_19_layers.caffemodel": ("sha256", "31b4c627c40c6ee151325f079b7ac557fddbd1f79af932888796127a4f4f6954"),
    # vlfeat/matconvnet, doc/site/docs/pretrained.md, whose later files replaced earlier ones of the same name; the last of
    # 19 is beta16's, by anishathalye/neural-style's README. That of 16 is not known, and must take another name.
    "imagenet-vgg-verydeep-16.mat": (
        "md5",
        "f72d927587ca4c97fbd165ec9cb9997f",
        "7f0f9f01dfd99c7b7088d1c5a26eb483",
        "5a68244cf55c66fea59e23ee63cf56ef",
    ),
    "imagenet-vgg-verydeep-19.mat": (
        "md5",
        "106118b7cf60435e6d8e04f6a6dc3657",
        "49e623de543b207d57fab0f6eaf79a7e",
        "b9b4a9eb1c2fb3b50e1ec1aca6f22342",
        "8ee3263992981a1d26e73b3ca028a123",
    ),
}
# torchvision's files have the first digits of their sha256 in their names, where others have a date
_DATE = r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_TORCHVISION = re.compile(rf"^vgg\d+(?:_bn|_features-amdegroot)?-(?!{_DATE}\.)([0-9a-f]{{8}})\.pth$")


# Hugging Face's names of one of several files that hold a net together, and of their list
_PART = re.compile(r"-\d{5}-of-(?!00001\.)\d{5}\.|\.(safetensors|bin)\.index\.json$")


def ending_of(path: Path) -> str:
    """The ending of a file's name, which chooses its format.

    Raises:
        UserError: none of the known ones, or a part of a net.
    """
    if _PART.search(path.name):
        raise UserError(
            f"Weights come from one file. Received: {path}, of a net in several. Save the tensors of all in one: "
            "safetensors.torch.save_file(tensors, 'net.safetensors')."
        )
    ending = next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), None)
    if ending is None:
        near = nearest(str(path), [IMAGENET])
        hint = f" {near}" if near.startswith("Did") else ""
        raise UserError(
            f"Weights come from a run's folder, 'imagenet', or a file that ends in {', '.join(ENDINGS)}, or a KerasHub preset's "
            f"folder. Received: {path}{'' if path.exists() else ', which does not exist'}.{hint}"
        )
    return ending


def path_of(source: str | Path) -> Path:
    """The path of a source.

    Raises:
        UserError: it is of another type, or an address.
    """
    if not isinstance(source, str | os.PathLike):
        raise UserError(f"A source of weights is a path or 'imagenet'. Received: {type(source).__name__}.")
    return local_path(source, "Weights")


def require_source(source: str | Path) -> None:
    """Refuses what is neither `imagenet`, nor a run's folder, nor an existing file with a known ending.

    Raises:
        UserError: it is none of these, or a file that belongs to a run, whose folder is named.
    """
    path = path_of(source)
    if str(source) == IMAGENET:
        return
    if path.is_dir():
        if not presets.is_preset(path):
            require_run(path)
            weights_digest(path)  # that there is a net
        return
    _require_no_part_of_a_run(path)
    ending_of(path)
    if not path.exists():
        raise UserError(f"A file of weights must exist. Received: {source}, which does not.")
    if not path.is_file():  # reading a FIFO would wait, and a device would fill the memory
        raise UserError(f"Weights come from a file or a run's folder. Received: {source}, which is neither.")


def require_run(folder: Path) -> None:
    """Refuses a folder that is no run's where a file of weights lies in it, as in one of Hugging Face: the file is named.

    What else is wrong with a folder is for the reader of runs, which names it.
    """
    with contextlib.suppress(UserError):  # a config.json of something else
        if not folder.is_dir() or (folder / MANIFEST).exists() or read_config(folder) is not None:
            return
    files = sorted(str(path) for path in folder.iterdir() if path.name.lower().endswith(ENDINGS) and path.is_file())
    if files:
        raise UserError(
            "Weights come from a run's folder or a file. "
            f"Received: {folder}, which is no run's. Name a file in it: {', '.join(files[:3])}."
        )


def _require_no_part_of_a_run(path: Path) -> None:
    """Refuses a run's own files: its folder has their digests, the mean and the classes. Another file in it passes."""
    run = run_of(path)
    if run is None:
        return
    own = path.name in _RUNS_FILES or path.relative_to(run).parts[0] == CHECKPOINTS
    if own or not path.exists() or not path.name.lower().endswith(ENDINGS):
        raise UserError(
            f"A run's net is named by the run's folder. Received: {path}, a path in it. Give the run's folder, {run}."
        )


def digest_of(source: str | Path, name: str, sha256: str | None = None) -> str:
    """The digest that identifies a source: a file's sha256, that of a run's weights, or what `imagenet`'s file must have.

    Args:
        source: as in `load_weights`.
        name: of the net, which chooses the file of `imagenet`.
        sha256: that the file must have; that of `imagenet` is checked once the file is downloaded.

    Raises:
        UserError: no such source, another sha256, or another file under a public name.
    """
    require_source(source)
    path = user_path(source)
    if str(source) == IMAGENET:
        return " ".join(PINNED[application(name)])
    if path.is_dir():
        found = presets.digest(path) if presets.is_preset(path) else weights_digest(path)
        require_digest(sha256, found, source)
        return found
    found = file_sha256(path)
    require_digest(sha256, found, source)
    _require_pinned(path, found)
    return found


def application(name: str) -> str:
    """Keras Applications' file of a net.

    Raises:
        UserError: it has none.
    """
    if name not in APPLICATIONS:
        raise UserError(f"'imagenet' has weights of D and E, the authors' two. Received: {name}. Give --config=D or E.")
    return APPLICATIONS[name]


def require_digest(expected: str | None, found: str, source: str | Path) -> None:
    """Refuses another sha256 than the expected one, if one is expected."""
    if expected and expected.lower() != found:
        raise UserError(
            f"A file of weights must have the expected sha256, {expected}. Received: {source} with {found}."
        )


def is_public(path: Path) -> bool:
    """Whether a file has a public name, which implies a digest and a preprocessing."""
    return path.name in PINNED or _TORCHVISION.search(path.name) is not None


def _require_pinned(path: Path, found: str) -> None:
    """Refuses another file under a public name; `found` is its sha256."""
    named = _TORCHVISION.search(path.name)
    if named and named[1] != found[:8]:
        raise UserError(
            f"torchvision's files have the first digits of their sha256 in their names. Received: {path} with {found}. "
            "Rename it, if it is another."
        )
    if path.name in PINNED:
        kind, *known = PINNED[path.name]
        with open(path, "rb") as file:
            theirs = hashlib.file_digest(file, kind).hexdigest()
        if theirs not in known:
            raise UserError(
                f"{path.name} is a public file, with {kind} {' or '.join(known)}. Received: {path} with {theirs}. "
                "Rename it, if it is another."
            )
