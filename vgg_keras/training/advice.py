"""What to try after a training whose numbers ran away: the words of its last line."""

from vgg_keras.config import Config


def too_high(config: Config, first: float, loss: float, step: int, rate: float) -> str:
    """The message of a loss that rises at once.

    Args:
        config: the run's.
        first: the mean loss of the first step.
        loss: of this step.
        step: updates, this one included.
        rate: its learning rate.
    """
    return (
        f"The loss must not rise a hundredfold in the first steps. Received: {first:.3g} at step 1 and {loss:.3g} at step "
        f"{step}, learning rate {rate:g}, which is too high for these weights. In a new workdir try {_lower(config, 100)}."
    )


def not_finite(config: Config, precision: str, what: str, step: int, rate: float) -> str:
    """The message of a number that is not finite.

    Args:
        config: the run's.
        precision: the Keras dtype policy.
        what: the number.
        step: updates.
        rate: the learning rate.
    """
    wider = ", or --set=runtime.precision=float32, whose range is wider" if precision == "mixed_float16" else ""
    return (
        f"{what} must stay finite. Received: not a number or infinite at step {step}, learning rate {rate:g}. "
        f"A checkpoint from before it, if there was one, is kept. In a new workdir try {_lower(config, 10)}{wider}."
    )


def _lower(config: Config, times: float) -> str:
    """The assignments of a rate so many times lower; the decay of SGDW is the share at this rate."""
    training = config.training
    rate = training.learning_rate / times
    if training.stage != "single":
        return rate_of_stage(training.stage, rate)
    lower = f"--set=training.learning_rate={rate:g}"
    if training.optimizer == "sgdw":
        lower += f" --set=training.weight_decay={training.weight_decay / times:g}"
    if training.weights:
        lower += ", or --config=finetune, which needs no rate"
    return lower


def rate_of_stage(stage: str, rate: float) -> str:
    """The assignment of another rate to a stage of a chain; its decay follows."""
    return f"--set=stages.N.learning_rate={rate:g}, where N is the place of {stage} in the chain, from 0"
