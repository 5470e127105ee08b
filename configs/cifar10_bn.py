"""D with batch norm on CIFAR-10's 50,000 training images, by a recent recipe; no choice depends on the test images.

python -m vgg_keras.train --config=cifar10_bn --workdir=runs/cifar10_bn
python -m vgg_keras.train --config=cifar10_bn --set=architecture.name=E --workdir=runs/cifar10_bn_E

The recipe of the training logs of chenyaofo/pytorch-cifar-models: crops of images padded by 4, batch 256, Nesterov momentum, rate
0.1 along half a cosine to 0, L2 decay 5e-4. Published test accuracies of the last of 200 epochs: A 92.79, B 93.93, D 94.06,
E 93.78 %. Here only kernels decay; there biases and batch norm's scales and shifts do too.
"""

from vgg_keras.config import Architecture, Config, Data, Evaluation, Training

EPOCHS = 200


def config() -> Config:
    return Config(
        architecture=Architecture(
            "D",
            crop=32,
            fc_units=(512,),
            batch_norm=True,
            std=(62.99, 62.09, 66.70),  # of CIFAR-10's training pixels
            initializer="he_fan_out",
            fc_initializer="gaussian",
            initializer_std=0.01,
        ),
        data=Data(source="cifar10", batch=256, scale=(32,), pad=4, color_shift=0.0),
        training=Training(
            optimizer="l2",
            learning_rate=0.1,
            nesterov=True,
            l2=5e-4,
            epochs=EPOCHS,
            schedule="cosine",
            validation_epochs=EPOCHS,
            kept_net="last",
        ),
        evaluation=Evaluation(protocol="center", flip=False),
    )
