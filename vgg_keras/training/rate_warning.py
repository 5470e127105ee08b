"""Training from trained weights: the learning rate at which they are not spoiled."""

from vgg_keras.config import Config, Training
from vgg_keras.training.advice import rate_of_stage

# Measured on the authors' convolutions of D under FC layers of random weights (Glorot), flowers at crop 64, momentum 0.9. At
# 1e-2 the loss is not a number at step 4. At 1e-3 it is 1e16 at step 10. At 1e-4 it falls from 20 to 3 in six steps.
HIGH_RATE, SAFE_RATE = 1e-3, 1e-4
DECAY_SHARE = Training.weight_decay / Training.learning_rate  # SGDW's decay at any rate, for the share of 3.1's


def rate_warning(config: Config) -> str | None:
    """What is printed before a training from trained weights at a rate that was made for random ones.

    Returns:
        A line; None where the rate is lower, or the start is another.
    """
    training, architecture = config.training, config.architecture
    fc = architecture.head == "fc" or bool(architecture.hidden_units)
    adam = training.optimizer == "adam"
    plain_fc = fc and not adam and not config.architecture.batch_norm
    high = HIGH_RATE if plain_fc else Training.learning_rate
    of_appendix_a = config.predicts_boxes and training.learning_rate <= HIGH_RATE  # from a trained classifier
    if not training.weights or training.learning_rate < high or of_appendix_a:
        return None
    received = f"training.learning_rate={training.learning_rate:g}"
    reason = "the paper's rate is made for random weights and may spoil trained ones"
    advice = f"--set=training.learning_rate={SAFE_RATE:g}"
    if training.stage != "single":
        received = f"learning_rate={training.learning_rate:g} of the stage {training.stage}"
        advice = rate_of_stage(training.stage, SAFE_RATE)
    elif training.optimizer == "sgdw":
        advice += f" --set=training.weight_decay={SAFE_RATE * DECAY_SHARE:g}"
    if adam:
        reason = "Adam takes steps as large as its rate, which is made for SGD and spoils trained weights"
        advice += ", or less"
    elif plain_fc:
        reason = "without batch norm, random FC layers behind trained convolutions make the loss rise without end at "
        reason += f"{high:g} and above"
    return f"warning: {received} with --weights: {reason}. Try {advice}"
