"""Configuration E of Table 1: the paper's recipe at S=256 from random weights.

19 weight layers, known as VGG-19.

python -m vgg_keras.train --config=E --data=imagenet2012 --set=data.micro_batch=32 --workdir=runs/E

Every value is `vgg_keras/config.py`'s default, with its section of the paper beside it.
"""

from vgg_keras.config import Architecture, Config


def config() -> Config:
    return Config(architecture=Architecture("E"))
