"""Section 4 by one command: trains and tests a suite's nets, and writes one page with the paper's tables, claims and verdicts.

python -m vgg_keras.reproduce --suite=small --data=cifar10=cifar10_jpeg --data=photographs=flowers17 --out=reports/small
python -m vgg_keras.reproduce --suite=small --out=reports/small --only=table3 --dry_run
python -m vgg_keras.reproduce --suite=small --out=reports/small --merge=other_machine/results.json
python -m vgg_keras.reproduce --suite=smoke --out=reports/smoke
python -m vgg_keras.reproduce --suite=imagenet --data=imagenet2012 --weights=D=vgg16.h5 --weights=E=vgg19.h5 --out=reports/authors

The plan with its hours comes first. Ctrl-C or SIGTERM saves and stops with status 75; the same command resumes, and what is
finished is not run again. `report.html` is renewed after each run, with the runs there are.
"""

from absl import flags

from vgg_keras import cli, stop
from vgg_keras.reproduction import options

FLAGS = flags.FLAGS
flags.DEFINE_enum("suite", "small", options.SUITES, "Which nets, images and claims.")
flags.DEFINE_multi_string(
    "data",
    [],
    "A source as for train, or NAME=SOURCE for a set of the suite: small has cifar10 and photographs. May be repeated.",
)
flags.DEFINE_multi_string(
    "weights",
    [],
    "Of imagenet: given nets that are tested, D=FILE and E=FILE, or imagenet for both of Keras Applications. May be repeated.",
)
flags.DEFINE_list("only", [], "Tables with commas between them: table3, table4, table5, table6, table4.1, tablebeyond.")
flags.DEFINE_list(
    "merge",
    [],
    "results.json files of the same suite from elsewhere, with commas between them: their results count, and their nets are not "
    "trained again.",
)
flags.DEFINE_integer("jobs", 1, "Trainings and tests at the same time.", lower_bound=1)
flags.DEFINE_bool(
    "dry_run", False, "Print the plan and its hours; only the scan's cache and what must be downloaded is written."
)
cli.define("out", "set")
FLAGS["set"].help = "A field of every run that decides no result, such as data.data_dir=/data/tfds. May be repeated."
FLAGS["out"].help = "The folder for runs, logs and the page. Default: reports/ and the suite's name."


def main() -> int:
    asked = options.Options(
        suite=FLAGS.suite,
        data=tuple(FLAGS.data),
        weights=tuple(FLAGS.weights),
        only=tuple(FLAGS.only),
        jobs=FLAGS.jobs,
        dry_run=FLAGS.dry_run,
        out=FLAGS.out or f"reports/{FLAGS.suite}",
        settings=tuple(FLAGS.set),
        merge=tuple(FLAGS.merge),
    )
    suite = options.suite_of(asked)
    stop.listen(hangup=True)
    from vgg_keras.reproduction import job

    return job.reproduce(suite, asked)


if __name__ == "__main__":
    cli.run(main, outlives_output=True)
