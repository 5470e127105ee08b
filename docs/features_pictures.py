"""Draws docs/images/activation_maps.png and docs/images/perceptual_distance.png.

python -m vgg_keras.features --weights=vgg16_notop.h5 --data=flowers17 --layer=block5_pool --scales=256 --out=features
python docs/features_pictures.py vgg16_notop.h5 features/features.npz flowers17

Arguments: the convolutions of net D, their descriptors of 17 Flowers, and the folder of 17 Flowers.
"""

import io
import sys
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression

import vgg_keras
from vgg_keras.evaluation import plots

IMAGES = Path(__file__).parent / "images"
SHOWN = ("c01/image_0027.jpg", "c03/image_0206.jpg", "c07/image_0484.jpg")
LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")


def with_linear_head(weights: str, descriptors: str) -> tuple[keras.Model, np.ndarray]:
    """Net D with the given convolutions, and logistic regression on block5_pool's means as its last layer; its classes."""
    found = np.load(descriptors)
    train = np.char.startswith(found["ids"], "train/")
    head = LogisticRegression(C=100, fit_intercept=False, max_iter=1000)
    head.fit(found["descriptors"][train], found["labels"][train])
    print(f"linear head: {train.sum()} photographs of {len(head.classes_)} classes")
    model = vgg_keras.load_weights(vgg_keras.build("D", head="gap", num_classes=len(head.classes_)), weights)
    # descriptors have length 1, the means of this net about 80
    model.get_layer("predictions").set_weights([head.coef_.T / 80, np.zeros(len(head.classes_))])
    return model, head.classes_


def square(path: Path, side: int = 224) -> np.ndarray:
    """The middle of a photograph, (side, side, 3) uint8."""
    with Image.open(path) as picture:
        factor = 256 / min(picture.size)
        picture = picture.convert("RGB").resize(
            [round(size * factor) for size in picture.size], Image.Resampling.LANCZOS
        )
        left, top = ((size - side) // 2 for size in picture.size)
        return np.asarray(picture.crop((left, top, left + side, top + side)))


def draw_activation_maps(model: keras.Model, folder: Path, classes: list[str]) -> None:
    photographs = [square(folder / "val" / name) for name in SHOWN]
    figure, axes = plots.pyplot().subplots(3, 4, figsize=(8, 6.2), layout="constrained")
    columns = {"gradcam": "Grad-CAM", "gradcam++": "Grad-CAM++", "scores": "class score map"}
    for place, photograph in enumerate(photographs):
        axes[place, 0].imshow(photograph)
    for column, (method, title) in enumerate(columns.items(), start=1):
        axes[0, column].set_title(title, fontsize=10)
        side = 448 if method == "scores" else 224
        for place, seen in enumerate(vgg_keras.class_activation_map(model, photographs, method=method, side=side)):
            axes[place, column].imshow(photographs[place])
            axes[place, column].imshow(seen.over_image(), cmap="inferno", alpha=0.55, vmin=0, vmax=1)
            if method == "gradcam":
                name = classes[int(seen.class_name)]
                axes[place, 0].set_title(f"{name} ({seen.probability:.0%})", fontsize=10)
    save(figure, axes, IMAGES / "activation_maps.png")


def draw_distances(model: keras.Model, folder: Path) -> None:
    first, other = (square(folder / "val" / name).astype(np.float32) for name in SHOWN[:2])
    noise = np.random.default_rng(0).normal(0, 25, first.shape)
    seconds = {
        "blurred": gaussian_filter(first, (2, 2, 0)),
        "noisy": np.clip(first + noise, 0, 255),
        "4 pixels to the right": np.roll(first, 4, axis=1),
        "another photograph": other,
    }
    distance = vgg_keras.PerceptualDistance(model, layers=LAYERS)
    batch = np.array(list(seconds.values()), np.float32)
    by_layer = distance.by_layer(np.repeat(first[None], len(batch), axis=0), batch)
    shares = {name: np.asarray(values) / np.asarray(values)[-1] for name, values in by_layer.items()}
    figure = plots.pyplot().figure(figsize=(9, 4.8), layout="constrained")
    above, below = figure.subfigures(2, 1)
    axes, chart = above.subplots(1, 4), below.subplots()
    shown = {"a photograph": first, **dict(list(seconds.items())[:3])}
    for place, (title, image) in zip(axes, shown.items(), strict=True):
        place.imshow(image.astype(np.uint8))
        place.set_title(title, fontsize=9)
    for place, title in enumerate(list(seconds)[:3]):
        chart.bar(np.arange(5) + 0.27 * (place - 1), [shares[name][place] for name in LAYERS], 0.25, label=title)
    chart.set_xticks(range(5), LAYERS)
    chart.set_ylabel("content distance,\n1: another photograph", fontsize=9)
    chart.legend(fontsize=9)
    save(figure, axes, IMAGES / "perceptual_distance.png")


def save(figure, axes, path: Path) -> None:
    """In 256 colours, so that a picture stays small."""
    for place in np.ravel(axes):
        place.set_axis_off()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=90)
    Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size:,} bytes")


def main(weights: str, descriptors: str, flowers: str) -> None:
    folder = Path(flowers)
    model, classes = with_linear_head(weights, descriptors)
    names = [line.split()[1].replace("_", " ") for line in (folder / "classes.txt").read_text().splitlines()]
    draw_activation_maps(model, folder, [names[place] for place in classes])
    draw_distances(model, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
