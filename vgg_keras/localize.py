"""Boxes of objects in photographs (appendix A), by the net's boxes at every window, merged as OverFeat does.

python -m vgg_keras.localize --model=runs/boxes --classifier=runs/D/S256 photo.jpg other.png folder/ --out=boxes.png
python -m vgg_keras.localize --model=runs/boxes --classes=apple,banana photo.jpg
python -m vgg_keras.localize --model=runs/boxes --classifier=runs/D/S256 --set=evaluation.scales=352,384 --json folder/

A net with a box for each class needs --classifier or --classes; one with a box for all classes needs neither.
"""

import dataclasses
import json
from pathlib import Path

from absl import flags

from vgg_keras import cli, stop
from vgg_keras.config import PREDICT, without_protocols
from vgg_keras.paths import printable
from vgg_keras.text_table import text_table
from vgg_keras.weights import open_model

FLAGS = flags.FLAGS
cli.define("model", "weights", "sha256", "config", "set")
flags.DEFINE_string(
    "classifier",
    None,
    "A classification run of the same crop and channels, and of the same classes where each has a box of its own; its most "
    "probable classes get a box.",
)
flags.DEFINE_list("classes", [], "Names of classes that get a box, instead of the most probable ones.")
flags.DEFINE_bool("json", False, "A line of JSON for each photograph instead of a table.")
flags.DEFINE_integer("top", None, "How many classes of each. Default: localization.answers.", lower_bound=1)
flags.DEFINE_string("out", None, "A picture of the photographs with their boxes, such as boxes.png.")

MAY_CHANGE = without_protocols(PREDICT)  # every window is used: the centre crop is a test's


def main(*paths: str) -> None:
    cli.require_one_net()
    if FLAGS.out:
        cli.require_picture(Path(FLAGS.out))
    source = (FLAGS.model, FLAGS.weights, FLAGS.config)
    overrides, flags = cli.overrides(), {"--classifier": FLAGS.classifier}
    if "localization.answers" in overrides:
        cli.refuse("top", rule="--top is instead of localization.answers: give one.")
    config, open_net = open_model.resolve(*source, overrides, FLAGS.sha256, MAY_CHANGE, flags=flags)

    # ---- the nets
    stop.listen()
    from vgg_keras import runtime

    precision = runtime.one_device(config.runtime)
    from vgg_keras.evaluation import prediction
    from vgg_keras.localization import location

    if FLAGS.out:
        prediction.require_drawable(paths)
    net, config = open_net(precision)
    classifier = open_model.open_model(FLAGS.classifier, precision) if FLAGS.classifier else None

    # ---- their boxes
    found = location.localize_images(
        net, paths, classifier=classifier, classes=FLAGS.classes, config=config, top=FLAGS.top
    )
    if FLAGS.out:
        location.draw(found, config, Path(FLAGS.out))
    if FLAGS.json:
        for one in found:
            print(json.dumps(dataclasses.asdict(one)))
        return
    rows = [["", "class", "probability", "score", "xmin", "ymin", "xmax", "ymax"]]
    for one in found:
        for place, located in enumerate(one.objects):
            name = printable(one.path) if place == 0 else ""
            probability = "-" if located.probability is None else f"{located.probability:.1%}"
            box = [f"{value:.0f}" for value in located.box]
            rows.append([name, located.class_name or "-", probability, f"{located.score:.2f}", *box])
    print(text_table(rows))
    if FLAGS.out:
        print(f"{FLAGS.out}: the photographs with their boxes")


if __name__ == "__main__":
    cli.run(main, many="photographs or folders of them")
