"""The `vgg-keras` command: `vgg-keras train --config=E` is `python -m vgg_keras.train --config=E`.

vgg-keras --help
vgg-keras --version
vgg-keras train --help
"""

import os
import runpy
import sys
from collections.abc import Sequence

from vgg_keras import __version__
from vgg_keras.commands import COMMANDS, summary
from vgg_keras.errors import NO_ROOM, WRONG_USE, nearest


def main() -> int:
    """Runs the command that the first word names; returns the exit status where none runs."""
    if __name__ != "__main__":  # the script `vgg-keras`, on whose path the working folder is not
        # nor shall it be on that of the processes that it starts by `-m`: a folder keras/ there would come before Keras
        os.environ["PYTHONSAFEPATH"] = "1"
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("--help", "-help", "-h", "help"):
        return _print(usage())
    if name == "--version":
        return _print(version())
    if name not in COMMANDS:
        print(f"error: vgg-keras takes a command. Received: {name!r}. {nearest(name, COMMANDS)}", file=sys.stderr)
        return WRONG_USE
    run(name, arguments)
    return 0


def run(name: str, arguments: Sequence[str]) -> None:
    """Runs `python -m vgg_keras.NAME arguments` in this process; ends it with the command's exit status."""
    module = f"vgg_keras.{name}"
    # A run records its command line, and processes that it starts repeat it: both read this list.
    sys.orig_argv = [sys.executable, "-m", module, *arguments]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def usage() -> str:
    """The commands, each with the first line of its file."""
    lines = ["usage: vgg-keras COMMAND [flags]", ""]
    lines += [f"  {name:<10} {summary(name)}" for name in COMMANDS]
    lines += ["", "vgg-keras COMMAND --help lists the flags of a command; vgg-keras --version prints versions."]
    return "\n".join(lines)


def version() -> str:
    """The package's version, and those of the packages that numbers depend on that are installed. None of them is imported."""
    from vgg_keras import provenance  # here: 20 ms that no other command needs

    found = provenance.versions()
    listed = [f"Python {found['python']}", *(f"{name} {found[name]}" for name in provenance.PACKAGES if name in found)]
    return f"vgg_keras {__version__} ({', '.join(listed)})"


def _print(text: str) -> int:
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own flush at the end
        if not isinstance(error, BrokenPipeError):  # `vgg-keras | head -1`: what the reader wanted is printed
            print(f"error: standard output: {error.strerror}", file=sys.stderr)
            return NO_ROOM
    return 0


if __name__ == "__main__":
    sys.exit(main())
