"""Trains with several processes on one machine, and starts all again when one dies.

python -m vgg_keras.launch --workers=2 train --config=quickstart
python -m vgg_keras.launch --workers=4 --restarts=10 train --config=E --data=imagenet2012 --workdir=runs/E

The GPUs of one machine need only `train`: one process mirrors over all of them. This command restarts all workers when one
dies, and tries on one machine what several will do. The first worker's output is shown, the others' is in files of the
workdir. Ctrl-C, SIGTERM or the end of the terminal is passed on: all save the same step and end with status 75.
"""

from absl import flags

from vgg_keras import cli, stop
from vgg_keras.errors import UserError, nearest
from vgg_keras.paths import require_folder

FLAGS = flags.FLAGS
flags.DEFINE_integer("workers", 2, "Processes. GPUs, where there are any, are dealt out to them.", lower_bound=1)
flags.DEFINE_integer(
    "restarts", 3, "How often all are started again with no checkpoint written in between.", lower_bound=0
)


def main(*words: str) -> int:
    command, arguments = words[0], words[1:]
    if command != "train":
        raise UserError(f"launch starts a training. Received: {command!r}. {nearest(command, ['train'])}")
    for word in arguments:
        if word.partition("=")[0] in ("--workers", "--restarts"):
            raise UserError(f"The flags of launch stand before the word {command}. Received: {word} behind it.")
    theirs = flags.FlagValues()  # the two of the command's flags that decide the run's folder
    flags.DEFINE_string("config", "", "", flag_values=theirs)
    flags.DEFINE_string("workdir", "", "", flag_values=theirs)
    try:
        theirs([command, *arguments], known_only=True)
    except flags.Error as error:
        raise UserError(str(error)) from None
    cli.require_config(theirs)
    workdir = cli.workdir(theirs)
    require_folder(workdir, "--workdir")  # each worker's output is a file in it
    stop.listen(hangup=True)  # the workers are in sessions of their own: a terminal that closes does not reach them
    from vgg_keras.training.launcher import launch

    return launch(arguments, FLAGS.workers, FLAGS.restarts, workdir)


if __name__ == "__main__":
    FLAGS.set_gnu_getopt(False)  # the flags behind `train` are the command's
    cli.run(main, many="the word train and the flags of that command", inner="train")
