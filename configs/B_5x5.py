"""B-5x5: the paper's recipe at S=256 from random weights.

4.1's control: B with each pair of 3x3 layers replaced by one 5x5 layer.

python -m vgg_keras.train --config=B_5x5 --data=imagenet2012 --set=data.micro_batch=32 --workdir=runs/B_5x5

Every value is `vgg_keras/config.py`'s default, with its section of the paper beside it.
"""

from vgg_keras.config import Architecture, Config


def config() -> Config:
    return Config(architecture=Architecture("B-5x5"))
