"""The paper's test time (3.2, 4): dense, multi-scale, multi-crop, both, fusion; every number in one report.

python -m vgg_keras.evaluate --model=runs/E/jitter
python -m vgg_keras.evaluate --model=runs/E/jitter --data=imagenet2012 --protocol=both --scales=256,384,512 --out=tests/E
python -m vgg_keras.evaluate --weights=imagenet --config=E --data=imagenet2012 --scales=256,384,512 --out=tests/authors_E
python -m vgg_keras.evaluate --fuse=tests/D/posteriors.npz,tests/E/posteriors.npz --out=tests/D+E

Ctrl-C or SIGTERM saves and stops with status 75; the same command goes on where it stood. The last line on standard output
is the result as JSON.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags

from vgg_keras import cli, stop
from vgg_keras.config import (
    DIVISION,
    TEST,
    Config,
    difference,
    every_field,
    fields_with,
    override,
    require_fields,
    to_dict,
    without,
)
from vgg_keras.data.naming import require_source
from vgg_keras.errors import UserError
from vgg_keras.files import require_writable

FLAGS = flags.FLAGS
cli.define("model", "weights", "sha256", "config", "data", "set", "out")
flags.DEFINE_enum(
    "protocol", None, ["center", "dense", "multi_crop", "both"], "Default: the run's evaluation.protocol."
)
flags.DEFINE_string(
    "scales",
    None,
    "Values of Q with commas between them, or multi: {S-32, S, S+32} or {Smin, middle, Smax}. "
    "Default: the run's evaluation.scales, else S or the middle of the jitter range.",
)
flags.DEFINE_enum(
    "split",
    None,
    ["val", "train", "test", "all"],
    "The images of --data that are tested; all: every one. Default: those that close a run, val, or test where "
    "data.validation is held_out.",
)
flags.DEFINE_list("fuse", [], "Saved posteriors whose mean is taken; no net is run.")
flags.DEFINE_string("heatmap", None, "A folder for pictures of the top class's score map over the image.")
flags.DEFINE_integer("heatmap_images", 24, "How many, evenly spaced over the set.", lower_bound=1)

# What a test may set of a run's configuration. The rest is what the net is and how it was trained.
MAY_CHANGE = fields_with(TEST)


def evaluate(
    open_net: Callable,
    config: Config,
    precision: str,
    split: str | None,
    out: Path,
    heatmap: Path | None,
    heatmap_images: int,
) -> dict:
    """Tests the net that `open_net` returns as `config` says, and leaves posteriors, result and report in `out`.

    Raises:
        UserError: a mistake in the run, the data or the folder.
        StoppedError: by SIGTERM or Ctrl-C, with everything saved.
    """
    # ---- the images
    from vgg_keras.data.splits import evenly
    from vgg_keras.evaluation import evaluator
    from vgg_keras.evaluation import heatmap as heatmaps
    from vgg_keras.files import locked

    with locked(out, "--out"):
        run = open_net()
        images, classes = _images(config, split, run)
        run = dataclasses.replace(run, classes=classes)  # ImageNet's may go by their ids in the data
        counts = f"{images.name}: {images.split.size:,} images, {len(images.bad)} skipped"
        print(f"data: {images.data}; {counts}; precision: {precision}", flush=True)

        # ---- the passes
        result = evaluator.evaluate(run, config, images, precision, out)
        if heatmap:
            chosen = evenly(images.split.size, heatmap_images)
            heatmaps.draw(run, config, images.split, chosen.tolist(), heatmap)
    return result


def fuse(paths: list[Path], config: Config | None, split: str | None, out: Path) -> dict:
    """The mean of saved posteriors, with a report in `out`; the images of `config`, if any, are its pictures."""
    stop.listen()
    from vgg_keras.evaluation import evaluator
    from vgg_keras.files import locked

    with locked(out, "--out"):
        images = _images(config, split)[0].split if config else None
        return evaluator.fuse(paths, out, images)


def _images(config: Config, name: str | None, net=None):
    """The readable images of a split, by default of the one that closes a run, and the set's classes, which must be the net's."""
    from vgg_keras.data.scan import readable
    from vgg_keras.data.sources import open_test
    from vgg_keras.evaluation.evaluator import Images
    from vgg_keras.weights.classes import require_classes

    description, classes, name, split = open_test(config.data, name)
    if net is not None:  # before every image is read
        require_classes(net, classes, config.data.source)
    split, bad_images = readable(split, name, config)
    for image in bad_images:
        print(f"skipped: {image}", flush=True)
    for note in split.notes:
        print(f"note: {note}", flush=True)
    return Images(split, name, description, tuple(str(image) for image in bad_images)), classes


def _configuration(stored: Config, may_change: Sequence[str]) -> Config:
    """The run's configuration with the flags' overrides, each of a field that `may_change`."""
    wishes = cli.source_wishes()
    scales = FLAGS.scales
    if scales == "multi":
        scales = ",".join(map(str, stored.multi_scales))
        if min(stored.multi_scales) < stored.architecture.crop:
            raise UserError(
                "--scales=multi is {S-32, S, S+32} or {Smin, middle, Smax}, each the net's crop or more. "
                f"Received: {scales} for the crop of {stored.architecture.crop}. Name the scales."
            )
    elif scales is not None and not all(part.strip().isdigit() for part in scales.split(",")):
        raise UserError(f"--scales takes sides in pixels with commas between them, or multi. Received: {scales!r}")
    for name, value in (("protocol", FLAGS.protocol), ("scales", scales)):
        if value and any(wish.startswith(f"evaluation.{name}=") for wish in FLAGS.set):
            raise UserError(f"--{name} and --set=evaluation.{name} are one field. Received: both. Leave one out.")
        wishes += [f"evaluation.{name}={value}"] if value else []
    config = override(stored, [*wishes, *FLAGS.set])
    require_source(config.data.source, config.data.data_dir)
    if found := difference(*(without(to_dict(values), may_change) for values in (stored, config))):
        of_data = ", ".join(path.removeprefix("data.") for path in may_change if path.startswith("data."))
        of_test = "evaluation.*, " if "evaluation.protocol" in may_change else ""
        raise UserError(
            f"A test sets {of_test}runtime.* and, of data, {of_data}; the rest is the run's. Received: {found}."
        )
    return config


def _of_run():
    """What opens the net of --model, how it is tested, and in which precision."""
    from vgg_keras.runs import run_config

    config = _configuration(run_config(Path(FLAGS.model)), MAY_CHANGE)
    precision = _start(config)
    from vgg_keras.weights.load import load_net

    return lambda: load_net(FLAGS.model, dtype=precision), config, precision


def _of_weights():
    """The same of --weights, whose net is the file's own or that of --config."""
    if not FLAGS.config:
        require_fields(FLAGS.set)
    wished = cli.configuration() if FLAGS.config else None
    for name in ("data", "out"):
        if not FLAGS[name].value:
            raise UserError(f"--weights needs --data and --out: no run names them. Received: no --{name}.")
    precision = _start(wished or override(Config(), [wish for wish in FLAGS.set if wish.startswith("runtime.")]))
    from vgg_keras.weights.load import load_net

    net = load_net(FLAGS.weights, wished, precision, FLAGS.sha256)
    return lambda: net, _configuration(net.config, every_field() if wished else MAY_CHANGE), precision


def _start(config: Config) -> str:
    """Begins with TensorFlow, on one device; returns the precision."""
    stop.listen()
    from vgg_keras import runtime

    return runtime.one_device(config.runtime)


def main() -> None:
    given = [f"--{name}" for name in ("model", "weights", "fuse") if FLAGS[name].value]
    if len(given) != 1:
        raise UserError(
            "--model=RUN tests a run's net, --weights=SOURCE another's, --fuse=A.npz,B.npz the mean of tests that were made. "
            f"Received: {' and '.join(given) or 'none of them'}."
        )
    for name in ("config", "sha256"):
        if FLAGS[name].value and not FLAGS.weights:
            raise UserError(f"--{name} belongs to --weights: a run has its own. Received: it with {given[0]}.")
    if FLAGS.fuse:
        paths = [Path(path) for path in FLAGS.fuse if path]
        for name in ("protocol", "scales", "heatmap", "heatmap_images"):
            if FLAGS[name].present:
                raise UserError(f"--fuse takes --data, --split and --out; no net is run. Received: --{name} beside it.")
        if not FLAGS.out:
            raise UserError("--fuse needs --out, the folder for its posteriors and report. Received: none.")
        out = Path(FLAGS.out)
        if not FLAGS.data and (FLAGS.set or FLAGS["split"].present):
            raise UserError(
                "--fuse needs --split and --set for the pictures of --data alone. Received: them without --data."
            )
        may_change = [path for path in (*MAY_CHANGE, *fields_with(DIVISION)) if not path.startswith("evaluation.")]
        pictures = _configuration(Config(), may_change) if FLAGS.data else None
        result = fuse(paths, pictures, FLAGS.split, out)
    else:
        if FLAGS["heatmap_images"].present and not FLAGS.heatmap:
            raise UserError("--heatmap_images needs --heatmap, the folder of the pictures. Received: it alone.")
        heatmap = Path(FLAGS.heatmap) if FLAGS.heatmap else None
        if heatmap and heatmap.exists() and not heatmap.is_dir():
            raise UserError(f"--heatmap must be a folder. Received: {heatmap}, which is a file.")
        if heatmap:
            require_writable(heatmap / "picture.png", "--heatmap", received=heatmap)
        open_net, config, precision = (_of_run if FLAGS.model else _of_weights)()
        out = Path(FLAGS.out) if FLAGS.out else Path(FLAGS.model) / "evaluation"
        result = evaluate(open_net, config, precision, FLAGS.split, out, heatmap, FLAGS.heatmap_images)
    _tell(result, out)


def _tell(result: dict, out: Path) -> None:
    print((out / "report.md").read_text().split("\n## ")[0])
    print(f"everything: {out}/report.html")
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    cli.run(main)
