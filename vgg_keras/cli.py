"""The flags that commands share, each defined once, and how a command starts: no TensorFlow before the flags are right."""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags
from absl import logging as absl_logging

from vgg_keras import startup, streams
from vgg_keras.config import Config
from vgg_keras.errors import NO_ROOM, UNREAD, StoppedError, UserError, WorkerLostError, nearest
from vgg_keras.exit_status import refused, status_of
from vgg_keras.flag_hints import refused_value, unknown_flag
from vgg_keras.huge_pages import restart_with_huge_pages
from vgg_keras.overrides import override, parse, parse_assignments
from vgg_keras.paths import require_folder, require_writable, user_path
from vgg_keras.recipes import load

_NETS = {
    "model": "--model=RUN is a run's net",
    "weights": "--weights=SOURCE another's",
    "fuse": "--fuse=A.npz,B.npz the mean of saved posteriors",
}
_FIELDS = {"data": "data.source", "strategy": "runtime.strategy"}  # that these flags set

_FLAGS = flags.FLAGS
del _FLAGS.log_dir  # absl's, which nothing here reads: `train --log_dir=runs/x` is refused instead, and --workdir named
_SHARED = {
    "config": lambda: flags.DEFINE_string("config", None, "A name in configs/ or a path to a .py file with config()."),
    "set": lambda: flags.DEFINE_multi_string(
        "set", [], "field.path=value of the configuration, such as training.learning_rate=1e-3. May be repeated."
    ),
    "data": lambda: flags.DEFINE_string(
        "data",
        None,
        "digits (embedded), a TensorFlow Datasets name such as cifar10, a folder of class folders, or a .csv list.",
    ),
    "model": lambda: flags.DEFINE_string("model", None, "A run's folder: the --workdir of its training."),
    "weights": lambda: flags.DEFINE_string(
        "weights",
        None,
        "The weights of another net. train starts from them; other commands use them instead of --model. imagenet (Keras "
        "Applications' VGG16, or with --config=E VGG19), the folder of a run or of a KerasHub preset, or a file: .keras, .h5, "
        ".hdf5, .weights.h5, .pth, .pt, .pth.tar, .ckpt, .bin, .safetensors, .caffemodel, .mat.",
    ),
    "sha256": lambda: flags.DEFINE_string("sha256", None, "The digest that the file of --weights must have."),
    "out": lambda: flags.DEFINE_string("out", None, "The folder for the results."),
    "strategy": lambda: flags.DEFINE_string(
        "strategy",
        None,
        "runtime.strategy: one device, mirrored over those of this machine, multi_worker over the machines of TF_CONFIG, or "
        "auto, the default.",
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
    if path:
        require_folder(path, f"--{name}")
        require_writable(path / "picture.png", f"--{name}", received=path)
    return path


def require_read(*names: str) -> None:
    """Refuses `--set` of a field that the command does not read: it reads these fields and sections."""
    for path in parse_assignments(_FLAGS.set):
        if path not in names and path.partition(".")[0] not in names:
            listed = ", ".join(name if "." in name or name in ("seed", "stages") else f"{name}.*" for name in names)
            raise UserError(f"This command reads {listed}. Received: --set={path}. Leave it out.")


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
    huge_pages: bool = False,
    inner: str = "",
) -> None:
    """Parses the flags, runs a command and ends the process with its exit status.

    Args:
        main: the command; called with the arguments that are no flags.
        words: the command takes exactly one of these.
        many: the command takes one or more arguments, which a message calls so: `runs' folders`.
        outlives_output: whether the command goes on when nobody reads its output any more.
        any_backend: whether Keras's backend may be another than TensorFlow.
        huge_pages: whether the command computes so long that memory in huge pages is worth another start of Python.
        inner: the command that this one starts, whose flags stand behind its name.
    """
    streams.prepare(goes_on=outlives_output)
    startup.command_settings(any_backend)

    def guarded(arguments: list[str]) -> int | None:
        if huge_pages:
            restart_with_huge_pages()
        absl_logging.set_verbosity(absl_logging.WARNING)  # absl raises it to INFO once the flags are parsed
        try:
            _require_working_folder()
            _require_arguments(arguments[1:], words, many)
            status = main(*_expanded(arguments[1:]))
            sys.stdout.flush()
            return status
        except (UserError, OSError, StoppedError, WorkerLostError, KeyboardInterrupt) as error:
            return status_of(error)

    app.run(guarded, flags_parser=functools.partial(_parse, inner))


def _require_working_folder() -> None:
    """Refuses a working folder that was removed: the system's errors would name no file."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UserError(
            "A command needs a working folder. Received: one that was removed. Change to another: cd FOLDER."
        ) from None


def _require_arguments(arguments: Sequence[str], words: Sequence[str], many: str) -> None:
    """Refuses other arguments beside the flags than a command takes."""
    received = " ".join(arguments)
    if many and not arguments:
        raise UserError(f"This command takes {many} beside its flags. Received: none. See --help.")
    if words and received not in words:
        hint = nearest(received, words)
        raise UserError(f"This command takes one word beside its flags. Received: {received or 'none'}. {hint}")
    if arguments and not words and not many:
        hint = f"Did you mean --set={arguments[0]}?" if "=" in arguments[0] and "set" in _FLAGS else "See --help."
        raise UserError(f"This command takes flags only. Received: {arguments[0]!r}. {hint}")


def _expanded(arguments: Sequence[str]) -> list[str]:
    """The arguments with `~` at their start expanded, as it is in the flags: none takes another text that begins so."""

    def expanded(text):  # others stay as they are typed: a slash at the end of a name makes it a folder's
        return str(user_path(text)) if text.startswith("~") else text

    for name in _FLAGS:
        value = _FLAGS[name].value
        if isinstance(value, str):
            _FLAGS[name].value = expanded(value)
        elif isinstance(value, list):
            _FLAGS[name].value = [expanded(item) if isinstance(item, str) else item for item in value]
    return [expanded(word) for word in arguments]


def _parse(inner: str, arguments: list[str]) -> list[str]:
    if {"--help", "-help", "-h"} & set(arguments[1:]):
        sys.exit(_print_help())
    try:
        words = _FLAGS(arguments)
        _require_lists_once()
        return words
    except flags.UnrecognizedFlagError as error:
        sys.exit(refused(unknown_flag(error, _FLAGS, arguments, inner)))
    except flags.IllegalFlagValueError as error:
        sys.exit(refused(refused_value(error, _FLAGS)))
    except (flags.Error, UserError) as error:
        sys.exit(refused(str(error)))


def _require_lists_once() -> None:
    """Refuses a list in two flags, of which absl would keep the second: `--query=a.jpg --query=b.jpg`."""
    for name in _FLAGS:
        is_list = isinstance(_FLAGS[name].parser, flags.ListParser) or name == "scales"  # a text, which may be `multi`
        if is_list and _FLAGS[name].present > 1:
            raise UserError(
                f"--{name} takes several values with commas between them. Received: it {_FLAGS[name].present} times. "
                "Give it once."
            )


def _print_help() -> int:
    try:
        app.usage(shorthelp=True, writeto_stdout=True)
        sys.stdout.flush()
    except BrokenPipeError:
        return UNREAD
    except OSError as error:
        return refused(f"{error.filename or 'standard output'}: {error.strerror}", NO_ROOM)
    return 0
