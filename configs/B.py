"""Configuration B of Table 1 by the paper's whole recipe (3.1): net A, then B at S=256, at S=384 and at S in [256, 512].

13 weight layers.

python -m vgg_keras.train --config=B --data=imagenet2012 --set=data.micro_batch=32 --workdir=runs/B
python -m vgg_keras.train --config=B --data=imagenet2012 --workdir=runs/B --dry_run
python -m vgg_keras.train --config=B --data=photos/ --workdir=runs/B --set=stages=  # one training, from random weights

What is not named here is `vgg_keras/config.py`'s default, with its section of the paper beside it.
"""

from vgg_keras.config import Architecture, Config, paper_chain


def config() -> Config:
    return Config(architecture=Architecture("B"), stages=paper_chain())
