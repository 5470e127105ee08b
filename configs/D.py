"""Configuration D of Table 1 by the paper's whole recipe (3.1): net A, then D at S=256, at S=384 and at S in [256, 512].

16 weight layers, known as VGG-16.

python -m vgg_keras.train --config=D --data=imagenet2012 --set=data.micro_batch=32 --workdir=runs/D
python -m vgg_keras.train --config=D --data=imagenet2012 --workdir=runs/D --dry_run
python -m vgg_keras.train --config=D --data=photos/ --workdir=runs/D --set=stages=  # one training, from random weights

What is not named here is `vgg_keras/config.py`'s default, with its section of the paper beside it.
"""

from vgg_keras.config import Architecture, Config, paper_chain


def config() -> Config:
    return Config(architecture=Architecture("D"), stages=paper_chain())
