"""Configuration A-LRN of Table 1: the paper's recipe at S=256 from random weights.

11 weight layers, A with local response normalisation.

python -m vgg_keras.train --config=A_LRN --data=imagenet2012 --set=data.micro_batch=32 --workdir=runs/A_LRN

Every value is `vgg_keras/config.py`'s default, with its section of the paper beside it.
"""

from vgg_keras.config import Architecture, Config


def config() -> Config:
    return Config(architecture=Architecture("A-LRN"))
