"""Speed as ratios taken in one run on one machine.

python -m vgg_keras.benchmark evaluate --data=photos/
python -m vgg_keras.benchmark evaluate --config=E --data=photos/ --set=runtime.precision=float32

evaluate: the protocols of 3.2 on photographs, file to posterior, beside `model.predict` on crops that lie in memory and
beside the rate of the net's own convolutions alone. Rounds are interleaved, a first one is left out.
"""

import dataclasses
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from absl import flags

from vgg_keras import cli, provenance, stop
from vgg_keras.config import Config, UserError, load, override

FLAGS = flags.FLAGS
cli.define("data", "set")
flags.DEFINE_string("config", "D", "A name in configs/ or a path to a .py file with config(); its net, untrained.")
flags.DEFINE_integer("repeats", 5, "Rounds that are counted.", lower_bound=1)
flags.DEFINE_integer(
    "images", 32, "Photographs that centre and dense take in a round; the rest an eighth.", lower_bound=4
)
cli.key("config")

CLASSES = 1000
SINGLE, THREE = (256,), (256, 384, 512)  # Q, at crop 224; in proportion at others


@dataclasses.dataclass(frozen=True)
class Row:
    """What is timed: `work` does it for `images` images, with `operations` (twice the multiply-adds) in all."""

    name: str
    images: int
    operations: int
    work: Callable[[], None]


def evaluate(config: Config, repeats: int, images: int) -> dict:
    """Times the protocols, prints the table and returns what the JSON line holds."""
    stop.listen()
    import numpy as np
    import tensorflow as tf
    import tqdm

    from vgg_keras.data.scan import readable
    from vgg_keras.data.sources import open_test
    from vgg_keras.nets.builder import build
    from vgg_keras.training import devices

    precision = devices.one_device(config.runtime)
    description, _, _, split = open_test(config.data, "val")
    split, _ = readable(split, "val", config)
    count = min(images, split.size)
    photographs = split.select(np.linspace(0, split.size, count, endpoint=False).astype(np.int64))
    architecture = dataclasses.replace(config.architecture, num_classes=CLASSES, mean=(123.68, 116.779, 103.939))
    model = build(architecture, dtype=precision, seed=config.seed)
    crops = tf.random.stateless_uniform(
        [config.evaluation.batch, architecture.crop, architecture.crop, 3], [1, 2], 0, 255
    )

    predict = _predict(model, architecture, crops)
    rows = [_convolutions(architecture, precision), *_protocols(model, architecture, config, photographs)]
    rounds = []
    with tqdm.tqdm(
        total=(repeats + 1) * len(rows), desc="rounds, the first to warm up", unit="row", disable=None
    ) as bar:
        for _ in range(repeats + 1):
            rates, before = {}, _rate(predict)
            for row in rows:
                rate, after = _rate(row), _rate(predict)
                rates[row.name] = rate, (before + after) / 2
                before = after
                bar.update()
                if stop.requested():
                    raise stop.Stopped("stopped; of a benchmark nothing is kept")
            rounds.append(rates)
    result = {
        "benchmark": "evaluate",
        "architecture": architecture.name,
        "width": architecture.width,
        "crop": architecture.crop,
        "precision": precision,
        "data": description,
        "repeats": repeats,
        "rows": _medians(predict, rows, rounds[1:]),
        "processor": _processor(),
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
        "command": provenance.command(),
    }
    _tell(result)
    return result


def _convolutions(architecture, precision: str) -> Row:
    """Each convolution of the net alone, on tensors of its own shape: the machine's measured rate."""
    import tensorflow as tf

    from vgg_keras.nets.architectures import costs

    dtype = tf.bfloat16 if precision == "mixed_bfloat16" else tf.float32
    images, channels, operations, calls = 8, 3, 0, []
    for cost in costs(architecture):
        layer, side = cost.layer, cost.output_side
        if layer.kind == "conv":
            x = tf.cast(tf.random.stateless_uniform([images, side, side, channels], [1, 2]), dtype)
            kernel = tf.cast(
                tf.random.stateless_normal([layer.kernel, layer.kernel, channels, layer.units], [3, 4]), dtype
            )
            calls.append((x, kernel))
            operations += 2 * images * cost.multiply_adds
        channels = layer.units

    @tf.function(input_signature=[tf.TensorSpec([None] * 4, dtype)] * 2, jit_compile=False)
    def convolve(x, kernel):
        return tf.nn.conv2d(x, kernel, 1, "SAME")

    def work():
        for x, kernel in calls:
            convolve(x, kernel)[0, 0, 0, 0].numpy()

    return Row("convolutions alone", images, operations, work)


def _predict(model, architecture, crops) -> Row:
    from vgg_keras.nets.architectures import multiply_adds

    operations = 2 * len(crops) * multiply_adds(architecture, architecture.crop, architecture.crop)
    return Row("model.predict", len(crops), operations, lambda: model.predict(crops, len(crops), verbose=0))


def _protocols(model, architecture, config: Config, photographs) -> list[Row]:
    import numpy as np
    import tensorflow as tf

    from vgg_keras.data.preprocessing import decode, rescaled_size
    from vgg_keras.evaluation.protocols import Crops, Dense
    from vgg_keras.nets.architectures import multiply_adds

    rules, crop = config.evaluation, architecture.crop
    fewer = photographs.select(np.arange(0, photographs.size, 8))
    center, dense = Crops(model, architecture, rules, 1), Dense(model, architecture, rules)
    grid = Crops(model, architecture, rules, rules.grid)
    views = 1 + rules.flip
    at_crop = multiply_adds(architecture, crop, crop)

    def q(scales):
        return tuple(round(side * crop / 224) for side in scales)

    def whole(split, scales):
        total = 0
        for image in range(split.size):
            height, width = decode(split.read(tf.constant(image, tf.int64))[0]).shape[:2]
            for side in scales:
                total += views * multiply_adds(
                    architecture, *(int(size) for size in rescaled_size(height, width, side))
                )
        return 2 * total

    def cropped(split, count):
        return 2 * split.size * views * count * at_crop

    def through(split, *asked):
        def work():
            for protocol, scales in asked:
                for side in scales:
                    for _ in protocol(split, config.data, side):
                        pass

        return work

    one, three = q(SINGLE), q(THREE)
    many = cropped(fewer, rules.grid**2)
    names = ", ".join(map(str, three))
    return [
        Row(f"centre crop, Q={one[0]}", photographs.size, cropped(photographs, 1), through(photographs, (center, one))),
        Row(f"dense, Q={one[0]}", photographs.size, whole(photographs, one), through(photographs, (dense, one))),
        Row(f"dense, Q={names}", fewer.size, whole(fewer, three), through(fewer, (dense, three))),
        Row(f"multi-crop, Q={one[0]}", fewer.size, many, through(fewer, (grid, one))),
        Row(f"both, Q={one[0]}", fewer.size, many + whole(fewer, one), through(fewer, (dense, one), (grid, one))),
    ]


def _rate(row: Row) -> float:
    """Does the row's work once; operations a second."""
    began = time.perf_counter()
    row.work()
    return row.operations / (time.perf_counter() - began)


def _medians(predict: Row, rows: list[Row], rounds: list[dict[str, tuple[float, float]]]) -> list[dict]:
    """Medians over the rounds. The ratio to `model.predict` is to its runs just before and after the row's."""
    ideal = statistics.median(rates[rows[0].name][0] for rates in rounds)
    lines = []
    for row in [rows[0], predict, *rows[1:]]:
        if row is predict:
            pairs = [(other, other) for rates in rounds for _, other in rates.values()]
        else:
            pairs = [rates[row.name] for rates in rounds]
        rate = statistics.median(rate for rate, _ in pairs)
        ratios = [rate / other for rate, other in pairs]
        operations = row.operations / row.images
        lines.append(
            {
                "name": row.name,
                "images": row.images,
                "images_per_second": rate / operations,
                "gflop_per_image": operations / 1e9,
                "gflops": rate / 1e9,
                "ideal_images_per_second": ideal / operations,
                "of_the_ideal": rate / ideal,
                "of_predict": statistics.median(ratios),
                "of_predict_range": [min(ratios), max(ratios)],
            }
        )
    return lines


def _tell(result: dict) -> None:
    print(f"{result['architecture']}, width {result['width']:g}, {result['precision']}, {result['processor']}")
    print(f"{result['data']}; medians of {result['repeats']} rounds, the spread in brackets\n")
    header = [
        "",
        "images",
        "images/s",
        "GFLOP an image",
        "GFLOP/s",
        "ideal images/s",
        "of the ideal",
        "of model.predict",
    ]
    cells = [
        [
            row["name"],
            str(row["images"]),
            f"{row['images_per_second']:.3g}",
            f"{row['gflop_per_image']:.4g}",
            f"{row['gflops']:.3g}",
            f"{row['ideal_images_per_second']:.3g}",
            f"{row['of_the_ideal']:.2f}",
            f"{row['of_predict']:.2f} ({row['of_predict_range'][0]:.2f}-{row['of_predict_range'][1]:.2f})",
        ]
        for row in result["rows"]
    ]
    print(cli.table([header, *cells]))
    print(json.dumps(result), flush=True)


def _processor() -> str:
    """The machine, in words."""
    import os

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor() or platform.machine()}"


def main(suite: str) -> None:
    config = load(FLAGS.config)
    config = override(config, [*cli.source_wishes(), *FLAGS.set])
    if config.architecture.num_classes not in (0, CLASSES):
        raise UserError(f"The benchmark's nets have {CLASSES} classes. Received: {config.architecture.num_classes}.")
    {"evaluate": evaluate}[suite](config, FLAGS.repeats, FLAGS.images)


if __name__ == "__main__":
    cli.run(main, words=("evaluate",))
