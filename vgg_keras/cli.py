"""The flags that commands share, each defined once, and how a command starts: no TensorFlow before the flags are right."""

import itertools
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags
from absl import logging as absl_logging

from vgg_keras import startup, streams, synonyms
from vgg_keras.config import Config, load
from vgg_keras.errors import (
    INTERRUPTED,
    LOST,
    NO_ROOM,
    UNREAD,
    WRONG_USE,
    DiskFullError,
    StoppedError,
    UserError,
    WorkerLostError,
    nearest,
)
from vgg_keras.files import FULL, require_writable, user_path
from vgg_keras.overrides import fields_called, override, parse, parse_assignments

_PATHS = ("config", "data", "fuse", "heatmap", "init_from", "model", "out", "profile", "weights", "workdir")  # flags
_ONE_LINE = {place: repr(chr(place))[1:-1] for place in range(32)}  # a path may hold line breaks

_NETS = {
    "model": "--model=RUN is a run's net",
    "weights": "--weights=SOURCE another's",
    "fuse": "--fuse=A.npz,B.npz the mean of saved posteriors",
}
_FIELDS = {"data": "data.source", "strategy": "runtime.strategy"}  # that these flags set

_FLAGS = flags.FLAGS
_SHARED = {
    "config": lambda: flags.DEFINE_string("config", None, "A name in configs/ or a path to a .py file with config()."),
    "set": lambda: flags.DEFINE_multi_string(
        "set", [], "field.path=value of the configuration, such as training.learning_rate=1e-3. May be repeated."
    ),
    "data": lambda: flags.DEFINE_string(
        "data", None, "digits (embedded), a TensorFlow Datasets name such as cifar10, or a folder of class folders."
    ),
    "model": lambda: flags.DEFINE_string("model", None, "A run's folder: the --workdir of its training."),
    "weights": lambda: flags.DEFINE_string(
        "weights",
        None,
        "The weights of another net, which train starts from and the other commands ask instead of --model: imagenet (Keras "
        "Applications' VGG16, or with --config=E VGG19), a run's folder, or a file: .h5, .pth, .safetensors, .caffemodel, .mat, "
        ".keras; with --config also .weights.h5.",
    ),
    "sha256": lambda: flags.DEFINE_string("sha256", None, "That the file of --weights must have."),
    "out": lambda: flags.DEFINE_string(
        "out", None, "The folder for the results. Default: evaluation/ in the run's folder; --fuse needs one."
    ),
    "strategy": lambda: flags.DEFINE_string(
        "strategy",
        None,
        "one device, mirrored over those of this machine, multi_worker over the machines of TF_CONFIG, or auto, the default: "
        "sets runtime.strategy.",
    ),
    "workdir": lambda: flags.DEFINE_string(
        "workdir", None, "The run's folder. Default: runs/ and the configuration's name."
    ),
}


def define(*names: str) -> None:
    """Defines these shared flags, as flags of the command that runs."""
    for name in names:
        _SHARED[name]()
        key(name)


def key(name: str) -> None:
    """Lists a flag in the running command's `--help`."""
    _FLAGS.register_key_flag_for_module(sys.argv[0], _FLAGS[name])


def configuration(**fields: str) -> Config:
    """The configuration of `--config` with the `overrides` of the command line.

    Raises:
        UserError: no `--config`, or what is wrong with it or with an override.
    """
    require_config(_FLAGS)
    return override(load(_FLAGS.config), overrides(**fields))


def overrides(read: Callable[[str, str], Any] = parse, **fields: str) -> dict[str, Any]:
    """What the flags and `--set` change of a configuration: values by the paths of their fields.

    Args:
        read: a flag's value from its field's path and its text.
        fields: the fields that the command's own flags set, by flag, beside those of `--data` and `--strategy`.

    Raises:
        UserError: no such field or value, or a field that a flag and `--set` both set.
    """
    found = parse_assignments(_FLAGS.set)
    for flag, field in {**_FIELDS, **fields}.items():
        text = _FLAGS[flag].value if flag in _FLAGS else None
        if text is None:
            continue
        if field in found:
            raise UserError(
                f"--{flag} and --set={field} are one field. Received: both, --{flag}={text}. Leave one out."
            )
        found[field] = read(field, text)
    return found


def require_config(values: flags.FlagValues) -> None:
    """Refuses a command without `--config`."""
    if not values.config:
        raise UserError(
            "--config is needed: a name in configs/ or a path to a .py file. Received: none. Try quickstart."
        )


def workdir(values: flags.FlagValues) -> Path:
    """The folder of a training: `--workdir`, or the configuration's name in runs/."""
    return user_path(values.workdir or Path("runs") / Path(values.config).stem)


def require_one_net(*others: str) -> None:
    """Refuses all but one of `--model`, `--weights` and the `others`, and beside another what belongs to `--weights`."""
    given = [name for name in _NETS if name in _FLAGS and _FLAGS[name].value]
    if len(given) != 1:
        choices = ", ".join(_NETS[name] for name in ("model", "weights", *others))
        received = " and ".join(f"--{name}" for name in given) or "none of them"
        raise UserError(f"{choices}: give one. Received: {received}. Try --weights=imagenet.")
    if not _FLAGS.weights:
        refuse("config", "sha256", rule="--config and --sha256 belong to --weights: a run has its own.")


def require(*names: str, rule: str) -> None:
    """Refuses a command without one of these flags."""
    for name in names:
        if not _FLAGS[name].value:
            raise UserError(f"{rule} Received: no --{name}.")


def refuse(*names: str, rule: str) -> None:
    """Refuses each of these flags."""
    for name in names:
        if _FLAGS[name].present:
            raise UserError(f"{rule} Received: --{name}.")


def folder(name: str) -> Path | None:
    """The folder of a flag, in which files can be written; None where the flag is not given."""
    path = Path(_FLAGS[name].value) if _FLAGS[name].value else None
    if path and path.exists() and not path.is_dir():
        raise UserError(f"--{name} must be a folder. Received: {path}, which is a file.")
    if path:
        require_writable(path / "picture.png", f"--{name}", received=path)
    return path


def require_picture(path: Path) -> None:
    """Refuses an `--out` that is no picture's name, or a place where none can be written."""
    if path.suffix.lower() not in (".png", ".jpg", ".pdf", ".svg"):
        raise UserError(f"--out must be a picture, such as picture.png. Received: {path}")
    require_writable(path, "--out")


def run(
    main: Callable[..., int | None],
    words: Sequence[str] = (),
    many: str = "",
    outlives_output: bool = False,
    any_backend: bool = False,
) -> None:
    """Parses the flags and runs a command; a user's mistake becomes one line and status 2, a lost worker 69, a full disk 74,
    SIGTERM and Ctrl-C 75, an output that nobody reads 141.

    Args:
        main: the command; called with what stands behind it without a flag.
        words: one of these may, and must.
        many: what others may, one or more, as a message names them: `runs' folders`.
        outlives_output: whether the command goes on when nobody reads its output any more.
        any_backend: that Keras's backend may be another than TensorFlow.
    """
    streams.prepare(goes_on=outlives_output)
    if os.environ.get("HOME") == "" or os.path.expanduser("~") == "~":  # else Keras makes a folder of the name ~ here
        os.environ.setdefault("KERAS_HOME", os.path.join(tempfile.gettempdir(), ".keras"))
    startup.command_settings(any_backend)
    logging.getLogger("tensorflow").setLevel(logging.WARNING)  # its strategies' notes
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # that it lists the fonts, once on a machine

    def guarded(arguments: list[str]) -> int | None:
        absl_logging.set_verbosity(absl_logging.WARNING)  # absl raises it to INFO once the flags are parsed
        if many and len(arguments) < 2:
            return _refuse(f"This command takes {many} beside its flags. Received: none. See --help.")
        if not words and not many and len(arguments) > 1:
            return _refuse(f"This command takes flags only. Received: {arguments[1]!r}. See --help.")
        if words and (len(arguments) != 2 or arguments[1] not in words):
            received = " ".join(arguments[1:])
            hint = nearest(received, words)
            return _refuse(f"This command takes one word beside its flags. Received: {received or 'none'}. {hint}")
        try:
            status = main(*_expanded(arguments[1:]))
            sys.stdout.flush()
            return status
        except UserError as error:
            return _refuse(str(error))
        except OSError as error:
            if isinstance(error, BrokenPipeError) and error.filename == streams.STREAM:
                return UNREAD
            if error.errno is None:  # not the system's word, but some library's
                raise
            if isinstance(error, DiskFullError) or error.errno in FULL:
                return _refuse(
                    f"There must be room for what is written. Received: {error.filename or 'a file'}: {error.strerror}. "
                    "What was saved before stands: make room, and the same command goes on.",
                    NO_ROOM,
                )
            return _refuse(
                f"Files and folders must be there and allow their use. Received: {error.filename or 'a file'}: {error.strerror}"
            )
        except (StoppedError, KeyboardInterrupt) as stopped:
            print(str(stopped) or "stopped", file=sys.stderr)
            return INTERRUPTED
        except WorkerLostError as error:
            print(f"lost: {error}", file=sys.stderr)
            return LOST

    app.run(guarded, flags_parser=_parse)


def _expanded(arguments: Sequence[str]) -> list[str]:
    """The words behind a command with `~` expanded, as it is in the flags that take paths."""

    def expanded(text):  # others stay as they are typed: a slash at the end of a name says that it is a folder
        return str(user_path(text)) if text.startswith("~") else text

    for name in _PATHS:
        if name in _FLAGS and (value := _FLAGS[name].value):
            _FLAGS[name].value = expanded(value) if isinstance(value, str) else [expanded(path) for path in value]
    return [expanded(word) for word in arguments]


def _parse(arguments: list[str]) -> list[str]:
    if {"--help", "-help", "-h"} & set(arguments[1:]):
        try:
            app.usage(shorthelp=True, writeto_stdout=True)
            sys.stdout.flush()
        except BrokenPipeError:
            sys.exit(UNREAD)
        except OSError as error:
            sys.exit(_refuse(f"{error.filename or 'standard output'}: {error.strerror}", NO_ROOM))
        sys.exit(0)
    try:
        return _FLAGS(arguments)
    except flags.UnrecognizedFlagError as error:
        sys.exit(_refuse(_unknown_flag(error, arguments)))
    except flags.Error as error:
        sys.exit(_refuse(str(error)))


def _unknown_flag(error: flags.UnrecognizedFlagError, arguments: Sequence[str]) -> str:
    """What to write instead: a flag of another name, or the field of the configuration that was meant."""
    name = error.flagname
    unknown = f"Unknown command line flag {name!r}."
    ours = [flag for flag in synonyms.flags_of(name) if flag in _FLAGS]
    if ours:
        return f"{unknown} Did you mean --{ours[0]}?"
    fields = fields_called(name) if "set" in _FLAGS else []
    if not fields:
        return str(error)
    values = [
        word.partition("=")[2] or after * (not after.startswith("-"))
        for word, after in itertools.pairwise([*arguments, ""])
        if word.lstrip("-").partition("=")[0] == name
    ]

    def assignment(field):
        try:
            parse(field, values[0])
        except (UserError, IndexError):  # what has another name is often written otherwise
            return f"--set={field}=..."
        return f"--set={field}={values[0] or '...'}"

    what = f"{' and '.join(fields)} {'are fields' if len(fields) > 1 else 'is a field'}"
    return f"{unknown} {what}: {' or '.join(map(assignment, fields))}"


def _refuse(message: str, status: int = WRONG_USE) -> int:
    print(f"error: {message.translate(_ONE_LINE)}", file=sys.stderr)
    return status
