"""The five most probable classes of photographs, by the run's test: the dense one with mirror images unless it has another.

Of a multi-label net every class of probability 1/2 or more.

python -m vgg_keras.predict --model=runs/E/jitter photo.jpg other.png folder/
python -m vgg_keras.predict --weights=imagenet photo.jpg --out=annotated.png
python -m vgg_keras.predict --weights=imagenet photo.jpg --cam=maps
python -m vgg_keras.predict --weights=vgg16-397923af.pth --json folder/
"""

import json
from pathlib import Path

from absl import flags

from vgg_keras import cli, stop
from vgg_keras.config import PREDICT, fields_with
from vgg_keras.text_table import text_table
from vgg_keras.weights import open_model

FLAGS = flags.FLAGS
cli.define("model", "weights", "sha256", "config", "set")
flags.DEFINE_bool("json", False, "A line of JSON for each photograph instead of a table.")
flags.DEFINE_integer(
    "top",
    None,
    "How many classes of each. Default: 5, and of a multi-label net those of probability 1/2 or more.",
    lower_bound=1,
)
flags.DEFINE_string("out", None, "A picture of the photographs with their classes, such as annotated.png.")
flags.DEFINE_string("cam", None, "A folder for pictures of the photographs with Grad-CAM of their most probable class.")

MAY_CHANGE = fields_with(PREDICT)


def main(*paths: str) -> None:
    cli.require_one_net()
    if FLAGS.out:
        cli.require_picture(Path(FLAGS.out))
    cam = cli.folder("cam")
    source = (FLAGS.model, FLAGS.weights, FLAGS.config)
    config, open_net = open_model.resolve(*source, cli.overrides(), FLAGS.sha256, MAY_CHANGE)

    # ---- the net
    stop.listen()
    from vgg_keras import runtime

    precision = runtime.one_device(config.runtime)
    from vgg_keras.evaluation import prediction

    if FLAGS.out:
        prediction.require_drawable(paths)
    net, config = open_net(precision)

    # ---- its predictions
    found = prediction.predict_images(net, paths, config=config, top=FLAGS.top)
    if FLAGS.out:
        prediction.draw(found, config.data, Path(FLAGS.out))
    if cam:
        from vgg_keras.transfer import activation_maps

        activation_maps.draw_predictions(net, config, found, cam)
    if FLAGS.json:
        for one in found:
            pairs = zip(one.classes, one.probabilities, strict=True)
            print(json.dumps({"path": one.path, "classes": [{"name": n, "probability": p} for n, p in pairs]}))
        return
    print(text_table(prediction.table(found)))
    if FLAGS.out:
        print(f"{FLAGS.out}: the photographs with their classes")
    if cam:
        print(f"{cam}: the photographs with Grad-CAM of their most probable class")


if __name__ == "__main__":
    cli.run(main, many="photographs or folders of them")
