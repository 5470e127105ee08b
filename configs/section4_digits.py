"""Section 4's tables on the embedded digits, in minutes: a trial of the machinery, whose errors mean little.

python -m vgg_keras.reproduce --suite=smoke --out=reports/smoke

An eighth of the width, a crop of 32 and few epochs.
"""

from vgg_keras.config import Architecture, Config, Data, Evaluation, Runtime, Training


def config() -> Config:
    return Config(
        architecture=Architecture("D", width=0.125, crop=32, batch_norm=True),
        data=Data(source="digits", batch=32, scale=(36,), flip=False),
        training=Training(
            learning_rate=0.02, weight_decay=1e-4, epochs=2, schedule="cosine", validation_epochs=2, kept_net="last"
        ),
        evaluation=Evaluation(protocol="center", flip=False, batch=128),
        runtime=Runtime(precision="float32"),
    )
