"""Fine-tuning of a trained net for photographs of your own: D with a global average pooling as its head, in three stages.

python -m vgg_keras.train --config=finetune --data=photos/ --weights=imagenet --workdir=runs/photos
python -m vgg_keras.train --config=finetune --data=photos/ --weights=vgg16_notop.h5 --workdir=runs/photos --dry_run

`new` trains the layers that the weights lack, `block5` those from block 5 on, `all` every layer, each with Adam at a rate of its
own. A small set has more epochs. Other nets, heads, widths and crops are fields: --set=architecture.name=E. The weights must be
those of the same net; a head of the other kind is left out.
"""

from vgg_keras.config import Architecture, Config, Data, Stage, Training


def config() -> Config:
    return Config(
        architecture=Architecture(
            "D",
            head="gap",
            crop=96,
            # Glorot's logits are in the hundreds behind trained convolutions: the new layer would first have to forget them
            fc_initializer="gaussian_last",
            initializer_std=1e-3,
        ),
        data=Data(batch=16, scale=(128, 224)),
        training=Training(
            optimizer="adam",
            schedule="cosine",
            # of a head with hidden FC layers: Adam moves all 25,088 inputs of fc1 at once, so a tenth of the rate is enough
            rate_factors=("fc1:0.1", "fc2:0.1"),
            kept_net="last",
        ),
        stages=(
            Stage("new", layers="new", learning_rate=1e-3, epochs=1, min_steps=60, final_evaluation=False),
            Stage(
                "block5",
                start="new",
                layers="block5",
                learning_rate=1e-4,
                epochs=2,
                min_steps=120,
                final_evaluation=False,
            ),
            Stage("all", start="block5", layers="all", learning_rate=5e-5, epochs=1, min_steps=60),
        ),
    )
