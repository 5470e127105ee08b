"""Multi-scale training: D with S drawn from [256, 512] for each image, from random weights.

Each image is rescaled to S, then cropped at random, flipped at random and shifted in colour, in this order (3.1).

python -m vgg_keras.train --config=multi_scale --data=imagenet2012 --set=data.micro_batch=32 --workdir=runs/multi_scale
python -m vgg_keras.samples --config=multi_scale --data=photos/ --out=samples.png

The paper itself starts S in [256, 512] from the net of S=384: that is the chain of `D`.
"""

from vgg_keras.config import Architecture, Config, Data


def config() -> Config:
    return Config(architecture=Architecture("D"), data=Data(scale=(256, 512)))
