"""Dynamic loss scaling for float16: gradients too small for it are kept, and a step whose gradients overflow is skipped.

Micikevicius et al. 2018, section 3.2, with the constants of `keras.optimizers.LossScaleOptimizer`. bf16 has float32's range
and needs none.
"""

import tensorflow as tf

FIRST = 2.0**15
GROWTH_STEPS = 2000  # without an overflow, after which the scale is doubled
LOWEST = 2.0**-10  # at which the gradients, and not their scale, are the reason
HIGHEST = 2.0**126  # an infinite one would stay so, and every later step be skipped


class LossScale(tf.Module):
    """The factor by which the loss is multiplied before its gradients are computed in float16; a checkpoint holds it."""

    def __init__(self):
        super().__init__(name="loss_scale")
        self.scale = tf.Variable(FIRST, dtype=tf.float32, trainable=False, name="scale")
        self.good_steps = tf.Variable(0, dtype=tf.int64, trainable=False, name="good_steps")

    def update(self, finite: tf.Tensor) -> None:
        """After a step: halved where its gradients were not finite, doubled after GROWTH_STEPS that were."""
        good_steps = self.good_steps + 1
        grows = good_steps >= GROWTH_STEPS
        self.scale.assign(tf.minimum(self.scale * tf.where(finite, tf.where(grows, 2.0, 1.0), 0.5), HIGHEST))
        self.good_steps.assign(tf.where(finite & ~grows, good_steps, 0))
