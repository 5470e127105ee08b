"""A net for use elsewhere: SavedModel, TFLite or ONNX, compared with the net before it is written.

python -m vgg_keras.export --model=runs/E/jitter --format=saved_model --out=exported/E
python -m vgg_keras.export --model=runs/E/jitter --format=tflite --out=exported/E_tflite
python -m vgg_keras.export --weights=imagenet --data=photos/ --format=onnx --out=exported/D_onnx

--out is the SavedModel's own folder, or that of model_*.tflite or model.onnx; labels.txt and export.json are beside them.
docs/export/ has a script for each format that opens it. An export that differs by more than its limit (export.*) is
not written.
"""

import dataclasses
import json
import os
from pathlib import Path

from absl import flags

from vgg_keras import cli, stop
from vgg_keras.config import EXPORT, PREDICT, READING, TEST, without_protocols
from vgg_keras.data.naming import require_source, require_source_of_run
from vgg_keras.errors import UserError
from vgg_keras.exports.packages import require_packages
from vgg_keras.paths import require_writable
from vgg_keras.text_table import text_table
from vgg_keras.weights import open_model

FLAGS = flags.FLAGS
cli.define("model", "weights", "sha256", "config", "data", "set")
flags.DEFINE_enum("format", None, ["saved_model", "tflite", "onnx"], "What is written.")
flags.DEFINE_string("out", None, "The folder that is made; it must be new.")

# a SavedModel's test is the dense one, and no box is merged
MAY_CHANGE = tuple(
    path
    for path in without_protocols(EXPORT, PREDICT, TEST, READING)
    if not path.startswith("localization.") or path == "localization.iou"
)


def main() -> None:
    cli.require_one_net()
    cli.require("format", "out", rule="--format=saved_model, tflite or onnx and --out=FOLDER are needed.")
    out = Path(FLAGS.out)
    if os.path.lexists(out):  # a link to nowhere too, which no folder can replace
        raise UserError(f"--out is a new folder. Received: {out}, which exists.")
    require_writable(out, "--out")
    require_packages(FLAGS.format)
    if not (FLAGS.model or FLAGS.config):
        cli.require("data", rule="--weights needs --data, whose images the export is compared on.")
    source = (FLAGS.model, FLAGS.weights, FLAGS.config)
    overrides = cli.overrides()
    flags = {"--format": FLAGS.format}
    config, open_net = open_model.resolve(*source, overrides, FLAGS.sha256, MAY_CHANGE, flags=flags)
    require_source_of_run(FLAGS.model, overrides, config.data.source, config.data.data_dir)
    require_source(config.data.source, config.data.data_dir)

    # ---- the net, in float32 whatever it was trained in
    stop.listen()
    from vgg_keras.exports.export import export

    net, config = open_net("float32")
    found = export(net, config, FLAGS.format, out)

    # ---- how near it is to the net
    multi_label = net.config.architecture.multi_label
    answers = ("same classes found", "Hamming loss") if multi_label else ("same top class", "top-1 error")
    answers = ("same box", "box error") if config.predicts_boxes else answers
    header = ["", "largest difference", *answers, "the net's", "MB", "ms per image", "the net's"]
    rows = [
        [
            parity.form,
            f"{parity.difference:.2g}",
            f"{parity.agreement:.1%}",
            f"{parity.error:.2f} %",
            f"{parity.net_error:.2f} %",
            f"{parity.size / 1e6:.1f}",
            f"{1e3 * parity.seconds:.1f}",
            f"{1e3 * parity.net_seconds:.1f}",
        ]
        for parity in found
    ]
    print(text_table([header, *rows]))
    print(f"{out}: compared with the net on {found[0].images} images of {config.data.source}, one at a time")
    print(json.dumps([dataclasses.asdict(parity) for parity in found]))


if __name__ == "__main__":
    cli.run(main)
