"""Configuration D of Table 1 by the paper's whole recipe (3.1): net A, then D at S=256, at S=384 and at S in [256, 512].

16 weight layers, known as VGG-16.

python -m vgg_keras.train --config=D --data=imagenet2012 --set=data.micro_batch=32 --workdir=runs/D
python -m vgg_keras.train --config=D --data=imagenet2012 --workdir=runs/D --dry_run
python -m vgg_keras.train --config=D --data=photos/ --workdir=runs/D --set=stages=  # one training, from random weights

What is not named here is `vgg_keras/config.py`'s default, with its section of the paper beside it.
"""

from vgg_keras.config import Architecture, Config, Stage


def config() -> Config:
    return Config(
        architecture=Architecture("D"),
        stages=(
            Stage("A", architecture="A"),  # 3.1: shallow enough to train from random weights
            Stage("S256", start="A"),  # 3.1: four convolutions and three FC layers of A, the rest random; rate 1e-2
            Stage("S384", start="S256", scale=(384,), learning_rate=1e-3),  # 3.1
            # 3.1: all layers, from the net of S=384; its rate is not stated, this is the one before
            Stage("jitter", start="S384", scale=(256, 512), learning_rate=1e-3),
        ),
    )
