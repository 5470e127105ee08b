"""Training from trained weights: the learning rate at which they are not spoiled."""

from vgg_keras.config import Config, Training

# Measured on the authors' convolutions of D under FC layers of random weights (Glorot), flowers at crop 64, momentum 0.9. At
# 1e-2 the loss is not a number at step 4. At 1e-3 it is 1e16 at step 10. At 1e-4 it falls from 20 to 3 in six steps.
HIGH_RATE, SAFE_RATE = 1e-3, 1e-4
DECAY_SHARE = Training.weight_decay / Training.learning_rate  # SGDW's decay at any rate, for the share of 3.1's


def rate_warning(config: Config) -> str | None:
    """What is printed before a training from trained weights at a rate that was made for random ones.

    Returns:
        A line; None where the rate is lower, or the start is another.
    """
    training, fc = config.training, config.architecture.head == "fc"
    adam = training.optimizer == "adam"
    high = HIGH_RATE if fc and not adam else Training.learning_rate
    safe = (config.architecture.batch_norm and not adam) or training.learning_rate < high
    if not training.weights or safe:
        return None
    reason = "the paper's rate is made for random weights and may spoil trained ones"
    advice = f"--set=training.learning_rate={SAFE_RATE:g} --set=training.weight_decay={SAFE_RATE * DECAY_SHARE:g}"
    if adam:
        reason = "Adam takes steps as large as its rate, which is made for SGD and spoils trained weights"
        advice = f"--set=training.learning_rate={SAFE_RATE:g}, or less"
    elif fc:
        reason = "without batch norm, random FC layers behind trained convolutions make the loss rise without end at "
        reason += f"{high:g} and above"
    return f"warning: training.learning_rate={training.learning_rate:g} with --weights: {reason}. Try {advice}"


def too_high(config: Config, before: float, loss: float, step: int, rate: float) -> str:
    """The message of a loss that rises at once.

    Args:
        config: the run's.
        before: the mean loss of the steps before.
        loss: of a step.
        step: updates before it.
        rate: the learning rate.
    """
    lower = rate / 100
    advice = f"--set=training.learning_rate={lower:g}"
    if config.training.optimizer == "sgdw":  # whose decay is a share at this rate
        advice += f" --set=training.weight_decay={config.training.weight_decay / 100:g}"
    if config.training.weights:
        advice += ", or --config=finetune, which needs no rate"
    return (
        f"The loss must not rise a hundredfold in the first epoch. Received: {before:.3g} before and {loss:.3g} at step "
        f"{step + 1}, at learning rate {rate:g}, which is too high for these weights. In a new workdir try {advice}."
    )
