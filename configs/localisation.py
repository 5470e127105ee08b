"""Appendix A: a net that gives boxes, fine-tuned from a classification run of the same S.

python -m vgg_keras.train --config=localisation --data=list.csv --weights=runs/D/S256 --workdir=runs/boxes
python -m vgg_keras.evaluate --model=runs/boxes --out=evaluations/boxes
python -m vgg_keras.localize --model=runs/boxes --classifier=runs/D/S256 photo.jpg --out=boxes.png

list.csv has the columns path, label, xmin, ymin, xmax, ymax and optionally split, see docs/localisation.md.

PCR is a box for each class, --set=architecture.boxes=scr one for all. --set=training.layers=fc fine-tunes the FC layers alone.
For S=384 add --set=data.scale=384 and the classification run of S=384. The net must be that run's: its name, head, crop and
width are set in the same way. The epochs are not stated by the paper.
"""

from vgg_keras.config import Architecture, Config, Evaluation, Training


def config() -> Config:
    return Config(
        architecture=Architecture(
            "D",  # A
            boxes="pcr",  # A: the better one of the two
            fc_initializer="gaussian_last",  # A: the last layer is random
        ),
        # A: S=256 for a crop of 224, without scale jittering: data.scale follows the crop where it is left out
        training=Training(
            learning_rate=1e-3,  # A
            weight_decay=5e-6,  # 5e-4 * rate / (1 - momentum), as in the default
            epochs=20,
            plateau_metric="loss",
        ),
        evaluation=Evaluation(protocol="center", flip=False),  # A: the centre crop, Table 8
    )
