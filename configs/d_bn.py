"""D with batch norm behind each convolution, as in the nets with batch norm that came after the paper.

16 weight layers; 138,361,768 trainable parameters at 1000 classes. The convolutions have no bias, which batch norm's shift
replaces, and start from He's normal distribution by their outputs; the FC layers start from N(0, 0.01). The rest is the
paper's recipe at S=256.

python -m vgg_keras.train --config=d_bn --data=imagenet2012 --set=data.micro_batch=32 --workdir=runs/d_bn

Batch norm sees a device's micro-batch. Sources that keep the convolutions' biases have 4,224 parameters more.
"""

from vgg_keras.config import Architecture, Config


def config() -> Config:
    return Config(architecture=Architecture("D", batch_norm=True, initializer="he_fan_out", fc_initializer="gaussian"))
