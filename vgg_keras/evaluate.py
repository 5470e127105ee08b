"""The paper's evaluation (3.2, 4): dense, multi-scale, multi-crop, both, fusion; every number in one report.

python -m vgg_keras.evaluate --model=runs/E/jitter
python -m vgg_keras.evaluate --model=runs/E/jitter --data=imagenet2012 --protocol=both --scales=256,384,512 --out=evaluations/E
python -m vgg_keras.evaluate --weights=imagenet --config=E --set=data.scale=256,512 --data=imagenet2012 --scales=multi --out=E
python -m vgg_keras.evaluate --model=runs/boxes --protocol=dense --scales=352,384 --classifier=runs/D/S384 --out=evaluations/boxes
python -m vgg_keras.evaluate --fuse=evaluations/D/posteriors.npz,evaluations/E/posteriors.npz --out=evaluations/D+E

Ctrl-C or SIGTERM saves and stops with status 75; the same command resumes. The last line on standard output
is the result as JSON.
"""

import functools
from pathlib import Path

from absl import flags

from vgg_keras import cli
from vgg_keras.data.naming import require_source_of_run
from vgg_keras.evaluation import job
from vgg_keras.localization import job as box_job
from vgg_keras.overrides import choices
from vgg_keras.weights import open_model

FLAGS = flags.FLAGS
cli.define("model", "weights", "sha256", "config", "data", "set")
flags.DEFINE_string(
    "out",
    None,
    "The folder for the results. Default: evaluation/ in the run's folder; none for --weights and --fuse.",
)
flags.DEFINE_enum("protocol", None, choices("evaluation.protocol"), "Default: the run's evaluation.protocol.")
flags.DEFINE_string(
    "scales",
    None,
    "Values of Q with commas between them, or multi: {S-32, S, S+32} or {Smin, middle, Smax}. "
    "Default: the run's evaluation.scales, else S or the middle of the jitter range.",
)
_SPLIT = "The images of --data; all: every one. Default: test if the data has such a split, else val."
flags.DEFINE_enum("split", None, ["val", "train", "test", "all"], _SPLIT)
flags.DEFINE_list("fuse", [], "Saved posteriors whose mean is taken, or saved boxes that are merged; no net is run.")
flags.DEFINE_string("classifier", None, "A classification run whose scores rate the boxes of a box run's dense test.")
flags.DEFINE_string("heatmap", None, "A folder for pictures of the top class's score map over the image.")
flags.DEFINE_string("cam", None, "A folder for pictures of the report's mistakes with Grad-CAM.")
flags.DEFINE_integer("heatmap_images", 24, "How many, evenly spaced over the set.", lower_bound=1)


def _draw_mistakes(*evaluated, out: Path, folder: Path) -> None:
    from vgg_keras.transfer import activation_maps

    activation_maps.draw_mistakes(*evaluated, out, folder)


def main() -> None:
    cli.require_one_net("fuse")
    overrides = cli.overrides(job.parse_flag, protocol="evaluation.protocol", scales="evaluation.scales")
    out = Path(FLAGS.out) if FLAGS.out else Path(FLAGS.model or "") / "evaluation"
    if FLAGS.fuse:
        rule = "--fuse takes --data, --split and --out; no net is run."
        cli.refuse("protocol", "scales", "heatmap", "heatmap_images", "cam", "classifier", rule=rule)
        cli.require("out", rule="--fuse needs --out, the folder for its posteriors and report.")
        paths = [Path(path) for path in FLAGS.fuse if path]
        of_boxes = box_job.holds_boxes(paths)
        if not FLAGS.data:  # the merging of boxes has fields
            refused = ["split"] if of_boxes else ["split", "set"]
            cli.refuse(*refused, rule="--fuse takes --split and --set for the pictures of --data alone.")
        result = (box_job if of_boxes else job).fuse(paths, overrides, FLAGS.split, out)
    else:
        if FLAGS.weights:
            cli.require("data", "out", rule="--weights needs --data and --out: no run names them.")
        heatmap, cam = cli.folder("heatmap"), cli.folder("cam")
        if not heatmap:
            cli.refuse("heatmap_images", rule="--heatmap_images needs --heatmap, the folder of the pictures.")
        source = (FLAGS.model, FLAGS.weights, FLAGS.config)
        flags = {"--classifier": FLAGS.classifier}
        config, open_net = open_model.resolve(*source, overrides, FLAGS.sha256, job.MAY_CHANGE, flags=flags)
        require_source_of_run(FLAGS.model, overrides, config.data.source, config.data.data_dir)
        multi_scales = FLAGS.scales == job.MULTI
        if config.predicts_boxes:
            cli.refuse("heatmap", "cam", rule="A net of boxes has no score maps.")
            result = box_job.evaluate(config, open_net, FLAGS.split, out, multi_scales, FLAGS.classifier)
            return job.print_result(result, out)
        cli.refuse("classifier", rule="--classifier rates the boxes of a net of boxes, this one gives classes.")
        draw = functools.partial(_draw_mistakes, out=out, folder=cam) if cam else None
        result = job.evaluate(config, open_net, FLAGS.split, out, multi_scales, heatmap, FLAGS.heatmap_images, draw)
    job.print_result(result, out)


if __name__ == "__main__":
    cli.run(main, huge_pages=True)
