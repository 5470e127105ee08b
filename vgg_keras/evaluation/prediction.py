"""What a net says of photographs that have no label: the names of its most probable classes, by the test of 3.2."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from vgg_keras.config import Architecture, Config, Data, UserError
from vgg_keras.data.folders import of_files
from vgg_keras.data.pipeline import picture, readable_images
from vgg_keras.data.scan import looked_at
from vgg_keras.evaluation import protocols
from vgg_keras.files import printable, replacing, user_path
from vgg_keras.nets.builder import architecture_of
from vgg_keras.weights.run import Run

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")  # of the files in a folder that are taken for pictures


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one photograph, the first one first, with their probabilities."""

    path: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


def predict(
    net: Run | keras.Model,
    paths: Sequence[str | Path],
    *,
    config: Config | None = None,
    classes: Sequence[str] = (),
    top: int = 5,
) -> list[Prediction]:
    """The most probable classes of photographs, by the dense test with mirror images or as `config.evaluation` says.

    Args:
        net: of `vgg_keras.load_net`, or a model of `vgg_keras.build` with logits.
        paths: JPEG, PNG, BMP, GIF or WebP files, and folders, whose pictures are taken in the order of their names.
        config: its `evaluation` is followed, and of `data` the interpolation, `exif_orientation` and `max_pixels`; None: the
            run's, or the paper's for a model.
        classes: names in the order of the logits; by default the run's, or numbers.
        top: how many classes of each.

    Returns:
        One prediction for each photograph, in order.

    Raises:
        UserError: a path that is none, or a file that is no picture: all of them are named and nothing is predicted.

    Example:
        vgg_keras.predict(vgg_keras.load_net("runs/E"), ["photo.jpg"])[0].classes
    """
    if isinstance(net, Run):
        model, architecture = net.model, net.config.architecture
        config, classes = config or net.config, classes or net.classes
    else:
        model, architecture = net, architecture_of(net)
        config = config or _paper(architecture)
    classes = tuple(classes) or tuple(map(str, range(architecture.num_classes)))
    files = _files(paths)
    split, bad = looked_at(of_files(files), config.data)
    if bad:
        raise UserError(f"Photographs must be pictures. Received: {'; '.join(map(str, bad))}.")

    asked = [
        (protocols.of(part, model, architecture, config.evaluation), side)
        for part in protocols.parts(config.evaluation.protocol)
        for side in config.test_scales
    ]
    with readable_images(split):
        posteriors = protocols.mean_posteriors(asked, split, config.data, architecture.num_classes, "predicting")
    best = np.argsort(-posteriors, axis=1, kind="stable")[:, :top]
    return [
        Prediction(path, tuple(classes[place] for place in places), tuple(row[places].tolist()))
        for path, row, places in zip(files, posteriors, best, strict=True)
    ]


def draw(predictions: Sequence[Prediction], data: Data, path: Path) -> None:
    """Draws each photograph, as the net was shown it, with its classes as bars beside it."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    split, _ = looked_at(of_files([prediction.path for prediction in predictions]), data)
    size = (8, 2.2 * len(predictions) + 0.3)
    figure, axes = pyplot.subplots(
        len(predictions), 2, figsize=size, layout="constrained", squeeze=False, width_ratios=(1, 1.4)
    )
    for image, (prediction, (left, right)) in enumerate(zip(predictions, axes, strict=True)):
        pixels, _ = picture(split, image)
        left.imshow(pixels.numpy()[:: max(1, pixels.shape[0] // 500), :: max(1, pixels.shape[1] // 500)])
        left.set_axis_off()
        left.set_title(printable(Path(prediction.path).name), fontsize=8, parse_math=False)
        places = range(len(prediction.classes))
        bars = right.barh(places, prediction.probabilities, color="tab:blue")
        right.bar_label(bars, [f"{share:.1%}" for share in prediction.probabilities], padding=3, fontsize=8)
        right.set_yticks(places, prediction.classes, fontsize=8, parse_math=False)
        right.set_xlim(0, 1.15)
        right.invert_yaxis()
        right.xaxis.set_visible(False)
        right.spines[["top", "right", "bottom"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    pyplot.close(figure)


def _paper(architecture: Architecture) -> Config:
    """The paper's test of a net: Q=256 for a crop of 224, and in this relation for others."""
    return Config(architecture=architecture, data=Data(scale=(round(architecture.crop * 8 / 7),)))


def _files(paths: Sequence[str | Path]) -> list[str]:
    found = []
    for path in map(user_path, paths):
        if path.is_dir():
            inside = sorted(
                str(file)
                for file in path.rglob("*")
                if file.suffix.lower() in ENDINGS
                and file.is_file()
                and not any(part.startswith(".") for part in file.relative_to(path).parts)
            )
            if not inside:
                raise UserError(
                    f"A folder to predict holds pictures. Received: {path}, without any {', '.join(ENDINGS)}."
                )
            found += inside
        elif path.exists():
            found.append(str(path))
        else:
            raise UserError(f"Photographs must exist. Received: {path}, which does not.")
    if not found:
        raise UserError("Photographs or folders of them are needed. Received: none.")
    return found
