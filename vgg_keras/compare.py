"""Evaluated runs side by side: those that differ only in their seed make one row, with the mean and spread of its errors.

python -m vgg_keras.compare runs/A-0 runs/A-1 runs/B-0 runs/B-1
python -m vgg_keras.compare runs/* --test=evaluation --out=compared.png

The last line on standard output is the table as JSON. Starts no framework.
"""

import dataclasses
import json
import sys
from pathlib import Path

from absl import flags

from vgg_keras import cli
from vgg_keras.evaluation.comparison import compare, draw, names, table
from vgg_keras.runs import RESULT
from vgg_keras.text_table import text_table

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "test", "final_evaluation", "The folder of the evaluation in each run; that of `evaluate` is evaluation."
)
flags.DEFINE_string("out", None, "A picture of every run's error, such as compared.png.")


def main(*folders: str) -> None:
    out = Path(FLAGS.out) if FLAGS.out else None
    if out:
        cli.require_picture(out)
    rows, images, untested = compare([Path(folder) for folder in folders], FLAGS.test)
    for folder in untested:
        print(f"left out: {folder}, without {FLAGS.test}/{RESULT}", file=sys.stderr)
    print(text_table(table(rows)))
    for name, row in zip(names(rows), rows, strict=True):
        if name != row.label:
            print(f"{name}: {row.label} ({row.test})")
    print(
        f"{images:,} images; mean ± standard deviation over the runs; beside the first row, over the differences between runs of "
        "one seed (their number)"
    )
    if out:
        draw(rows, images, out)
        print(f"{out}: every run's error")
    first = rows[0]
    records = [
        {
            "mean": row.mean,
            "deviation": row.deviation,
            "beside_the_first_row": row.against(first) if row is not first else None,
        }
        for row in rows
    ]
    print(json.dumps([{**dataclasses.asdict(row), **more} for row, more in zip(rows, records, strict=True)]))


if __name__ == "__main__":
    cli.run(main, many="runs' folders")
