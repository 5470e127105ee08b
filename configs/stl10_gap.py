"""D's convolutions with leaky ReLU, global average pooling and one FC layer, on STL-10 enlarged to 224: Adam at 1e-5.

python -m vgg_keras.train --config=stl10_gap --workdir=runs/stl10_gap
python -m vgg_keras.train --config=stl10_gap --data=photos/ --workdir=runs/photos_gap --dry_run

13 convolutions and the last layer: 14,719,818 parameters at 10 classes, where D with its FC layers has 134,301,514. The
7x7 average pool takes the FC layers' place, so there is no dropout. Accuracy per class is in `final_evaluation/report.html`.
With other --data than squares: each image's smaller side becomes 224, and a random 224 crop is taken.

The recipe follows code of others, its source. As there, STL-10's 8,000 test images validate, and are the final
evaluation's; for an error on unseen images, add --set=data.validation=held_out. The source does not state its initial
weights: He's initialisation suits inputs from -1 to 1.
"""

from vgg_keras.config import Architecture, Config, Data, Evaluation, Training


def config() -> Config:
    return Config(
        architecture=Architecture(
            "D",
            head="gap",
            activation="leaky_relu",
            negative_slope=0.2,
            initializer="he",
            mean=(127.5, 127.5, 127.5),  # 0.5 of values in 0-1
            std=(127.5, 127.5, 127.5),
        ),
        data=Data(
            source="stl10",
            batch=64,
            scale=(224,),  # the whole image is the crop
            flip=False,
            color_shift=0.0,
        ),
        training=Training(
            optimizer="adam",
            learning_rate=1e-5,
            epochs=100,
            plateau_divisions=0,  # one rate throughout
            plateau_ends=False,
        ),
        evaluation=Evaluation(protocol="center", flip=False),
    )
