"""SGD with momentum and one of two weight decays: decoupled (SGDW) or the paper's, coupled through the gradient; and Adam.

"Weight decay 5e-4" means four different things in four codebases. With learning rate r and momentum m, a step in which
the loss has no gradient shrinks a weight, at steady state, by the share

    SGDW(weight_decay=d), tfa.optimizers.SGDW   d at the first rate (ours then follows the schedule)
    CoupledSGD(weight_decay=l), Caffe, torch    r * l / (1 - m): the paper's 5e-4 at rate 1e-2 is 5e-5
    keras.optimizers.SGD(weight_decay=w)        r * w, biases too
    keras.regularizers.L2(l)                    2 * r * l / (1 - m), since its gradient is 2 * l * w
"""

import inspect
import numbers
from collections.abc import Mapping

import keras
from keras import ops

from vgg_keras.config import Training
from vgg_keras.errors import unknown_argument
from vgg_keras.nets.builder import require_float32

_OF_KERAS = tuple(inspect.signature(keras.optimizers.SGD.__init__).parameters)[1:]  # without self


class _DecayingSGD(keras.optimizers.SGD):
    """Keras's SGD with momentum. It does not see `weight_decay`, since Keras's own rule is neither of ours."""

    def __init__(self, weight_decay, learning_rate, momentum, nesterov, name, **kwargs):
        require_float32()
        for argument, value in kwargs.items():
            if argument not in _OF_KERAS:
                raise unknown_argument(f"{type(self).__name__}()", argument, value, ["weight_decay", *_OF_KERAS])
        if not isinstance(weight_decay, numbers.Real) or not 0 <= weight_decay < 1:
            raise ValueError(f"weight_decay must lie in [0, 1). Received: weight_decay={weight_decay}")
        super().__init__(learning_rate=learning_rate, momentum=float(momentum), nesterov=nesterov, name=name, **kwargs)
        self._decay = float(weight_decay)

    def decays(self, variable) -> bool:
        """Kernels decay, unless `exclude_from_weight_decay` names them; vectors, as biases and batch norm's scales, do not."""
        return self._decay > 0 and len(variable.shape) > 1 and self._use_weight_decay(variable)

    def get_config(self):
        return {**super().get_config(), "weight_decay": self._decay}


@keras.saving.register_keras_serializable(package="vgg_keras")
class SGDW(_DecayingSGD):
    """SGD with momentum and decoupled weight decay (Loshchilov & Hutter, "Decoupled weight decay regularization", alg. 1).

    With gradient g, velocity v, the rate's schedule r(t) and d = weight_decay, each step does, in this order:

        w <- w * (1 - d * r(t) / r(0))        kernels only
        v <- momentum * v - r(t) * g
        w <- w + v                            Nesterov: w + momentum * v - r(t) * g

    d is the share of a weight that a step at the first rate takes away. It is not multiplied by the learning rate, and it
    follows the schedule: when the rate is divided by 10, so is the decay. At a constant rate this is
    `tensorflow_addons.optimizers.SGDW`; under a schedule it is that class with the same schedule on both, as its
    documentation requires. The paper's L2 multiplier l = 5e-4 corresponds to d = r(0) * l / (1 - momentum) = 5e-5.

    Args:
        weight_decay: d, in [0, 1).
        learning_rate: a float, or a `keras.optimizers.schedules.LearningRateSchedule`.
        momentum: in [0, 1].
        nesterov: whether Nesterov momentum is used.
        name: of the optimizer.
        initial_learning_rate: r(0); by default the given rate, or the schedule's at step 0. A saved optimizer keeps it. A
            schedule that begins with a warm-up needs the rate after it here, since d is the share at this rate.
        **kwargs: the other arguments of `keras.optimizers.Optimizer`.

    `exclude_from_weight_decay(var_list=[layer.kernel])`, before the first step, exempts more than vectors.

    Raises:
        ValueError: a decay outside [0, 1), a first rate that is not above 0, or a `CosineDecay` with a warm-up without
            `initial_learning_rate`.
    """

    def __init__(
        self,
        weight_decay: float,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.001,
        momentum: float = 0.0,
        nesterov: bool = False,
        name: str = "SGDW",
        initial_learning_rate: float | None = None,
        **kwargs,
    ) -> None:
        super().__init__(weight_decay, learning_rate, momentum, nesterov, name, **kwargs)
        if initial_learning_rate is None:
            initial_learning_rate = learning_rate
            if isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
                _require_no_warm_up(learning_rate)
                initial_learning_rate = learning_rate(0)
            elif callable(learning_rate):
                initial_learning_rate = learning_rate()
        self.initial_learning_rate = float(initial_learning_rate)
        if not self.initial_learning_rate > 0:
            raise ValueError(
                "initial_learning_rate must be above 0: the decay is the share at this rate. "
                f"Received: initial_learning_rate={self.initial_learning_rate}"
            )

    def update_step(self, gradient, variable, learning_rate):
        if self.decays(variable):
            share = self._decay / self.initial_learning_rate * ops.cast(learning_rate, variable.dtype)
            self.assign_sub(variable, ops.multiply(variable, share))
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        return {**super().get_config(), "initial_learning_rate": self.initial_learning_rate}


def _require_no_warm_up(schedule: keras.optimizers.schedules.LearningRateSchedule) -> None:
    """Refuses Keras's warm-up, whose first rate is near 0: measured by it the decay would erase the weights."""
    if (target := getattr(schedule, "warmup_target", None)) is not None:
        raise ValueError(
            "A schedule that begins with a warm-up needs initial_learning_rate, the rate after it: the decay is the share at "
            f"this rate. Received: {type(schedule).__name__} with warmup_target={target}. Try initial_learning_rate={target}."
        )


@keras.saving.register_keras_serializable(package="vgg_keras")
class CoupledSGD(_DecayingSGD):
    """SGD with momentum and the paper's L2 penalty (3.1), as Caffe applies it: inside the gradient.

    With gradient g, velocity v, rate r(t) and l = weight_decay, each step does, in this order:

        g <- g + l * w                        kernels only
        v <- momentum * v - r(t) * g
        w <- w + v                            Nesterov: w + momentum * v - r(t) * g

    l is the paper's multiplier, 5e-4. The penalty is l / 2 * |w|^2; `keras.regularizers.L2(l / 2)` has the same gradient.

    Args:
        weight_decay: l, in [0, 1).
        learning_rate, momentum, nesterov, name, **kwargs: as in `SGDW`.

    Raises:
        ValueError: a multiplier outside [0, 1).
    """

    def __init__(
        self,
        weight_decay: float,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.001,
        momentum: float = 0.0,
        nesterov: bool = False,
        name: str = "CoupledSGD",
        **kwargs,
    ) -> None:
        super().__init__(weight_decay, learning_rate, momentum, nesterov, name, **kwargs)

    def update_step(self, gradient, variable, learning_rate):
        if self.decays(variable):
            gradient = ops.add(ops.cast(gradient, variable.dtype), ops.multiply(variable, self._decay))
        super().update_step(gradient, variable, learning_rate)


class _RateFactors:
    """A part of an optimizer that gives layers rates of their own; a decay that is measured by the rate follows."""

    def __init__(self, factors: Mapping[str, float], *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._factors = dict(factors)
        self._factor_of_each: list[float] = []

    def build(self, variables):
        # batch norm's scale and shift go by their convolution's name, as in `freeze_others`
        layers = (variable.path.partition("/")[0].removesuffix("_bn") for variable in variables)
        self._factor_of_each = [self._factors.get(layer, 1.0) for layer in layers]
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(
            gradient, variable, learning_rate * self._factor_of_each[self._get_variable_index(variable)]
        )


class _ScaledSGDW(_RateFactors, SGDW):
    pass


class _ScaledCoupledSGD(_RateFactors, CoupledSGD):
    pass


class _ScaledAdam(_RateFactors, keras.optimizers.Adam):
    pass


def build_optimizer(training: Training, factors: Mapping[str, float]) -> keras.optimizers.Optimizer:
    """The optimizer that a configuration names, at the rate from which its schedule falls.

    Args:
        training: of a run.
        factors: of the rates of layers, by their names; those without one have the rate itself. Batch norm has its
            convolution's.
    """
    rate, momentum = training.learning_rate, training.momentum
    if training.optimizer == "adam":
        return _ScaledAdam(factors, rate, beta_1=momentum, name="adam")
    kind, decay = {"sgdw": (_ScaledSGDW, training.weight_decay), "l2": (_ScaledCoupledSGD, training.l2)}[
        training.optimizer
    ]
    return kind(factors, decay, rate, momentum, training.nesterov)
