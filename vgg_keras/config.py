"""What a run is: frozen dataclasses, whose fields name the roles in which they count.

The defaults are the paper's recipe (Simonyan & Zisserman, arXiv 1409.1556v6), with its section behind each value;
a file in `configs/` holds only what differs. This module imports no framework, so every command line can check a
configuration before TensorFlow starts.
"""

import dataclasses
import math
import typing
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any, Literal

from vgg_keras.errors import UserError, nearest_configuration
from vgg_keras.field_types import checked


def _require(holds: bool, rule: str, received: Any) -> None:
    if not holds:
        raise UserError(f"{rule} Received: {received!r}")


# The roles of a field, in its metadata. Every list of fields is derived from them by `fields_with`.
# A resumed run may change it and workers may differ in it: it decides neither the images nor their order.
RESUME = "resume"
LIMIT = "limit"  # what fits in a machine's memory: a resumed run may change it, the workers of a run must agree
TEST = "test"  # an evaluation of a trained net may change it
PREDICT = "predict"  # a prediction by a trained net may change it
EXPORT = "export"  # an export may change it, beside what an evaluation or a prediction may
FEATURES = "features"  # the command features may change it, beside the fields of TEST
MATCH = "match"  # must be the same in two nets for one to start from the other (3.1)
READING = "reading"  # decides which images of a source are read
DIVISION = "division"  # decides which of them are the validation images


def roles(*names: str, needs: tuple[str, ...] = ()) -> dict[str, Any]:
    """The metadata of a field: its roles and its needs, see `setting`. A section's hold for each of its fields."""
    return {"roles": frozenset(names), "needs": needs}


def replacing(path: str, default: Any) -> Any:
    """A field of a stage that replaces the chain's field of this path, where it is not empty."""
    return field(default=default, metadata={"replaces": path})


def setting(default: Any, *names: str, needs: tuple[str, ...] = ()) -> Any:
    """A field with a default and its roles.

    Args:
        default: its value.
        *names: its roles.
        needs: the settings of which one must hold for the field to have an effect; none: it always has. Each is a field with its
            value, as `--set` takes them, a field that is neither 0 nor empty, or a flag of the command, with a value or without.
            In a command without this flag the need does not count.
    """
    return field(default=default, metadata=roles(*names, needs=needs))


_BOXES = ("architecture.boxes=scr", "architecture.boxes=pcr")
_GAUSSIAN = (
    "architecture.initializer=gaussian",
    "architecture.fc_initializer=gaussian",
    "architecture.fc_initializer=gaussian_last",
)
_PLATEAU = ("training.schedule=plateau",)
_STEP = ("training.schedule=step",)
_CHOOSING = (*_PLATEAU, "training.kept_net=best")  # what a validation decides
_CLASSIFY, _PER_CLASS = ("--classify",), ("features.per_class",)
_CLASSIFIER = ("--classifier",)
_TFLITE, _SAVED_MODEL = ("--format=tflite",), ("--format=saved_model",)


class _Checked:
    """A dataclass that checks its values when it is made, from Python as from the command line."""

    def __post_init__(self):
        prefix = "" if type(self).__name__ == "Config" else f"{type(self).__name__.lower()}."
        for name, kind in typing.get_type_hints(type(self)).items():
            object.__setattr__(self, name, checked(getattr(self, name), kind, prefix + name))
        self.check()

    def check(self) -> None:
        """Raises a `UserError` where a value is out of its range."""


CONFIGURATIONS = ("A", "A-LRN", "B", "B-5x5", "C", "D", "E")


@dataclass(frozen=True)
class Architecture(_Checked):
    """A net of section 2. `nets/architectures.py` holds its layers."""

    name: str = "D"  # Table 1's column, or B-5x5, the control of 4.1
    num_classes: int = 0  # 0: as many as the data has
    # whether an image has any number of the classes: each output is then a sigmoid of its own, trained with binary cross-entropy.
    # With one label the net ends in a soft-max, as the paper's does. A multi-label set makes it true
    multi_label: bool = False
    width: float = setting(1.0, MATCH)  # multiplies every channel count of convolutions and hidden FC layers
    crop: int = setting(224, MATCH)  # 2.1: side of the net's square input; the first FC layer's kernel follows
    # of the images, 1 to 16: 1 is grey, 3 RGB, 4 RGB and alpha; others are read from arrays only
    channels: int = setting(3, MATCH)
    # 2.1: a value for each channel, 0-255, subtracted by the first layer; empty: the training set's
    mean: tuple[float, ...] = ()
    # a value for each channel, by which the first layer then divides; empty: no division, as in 2.1
    std: tuple[float, ...] = setting((), MATCH)
    # what the FC layers take. fc: the whole last map. gap, gmp: its global average or maximum
    head: Literal["fc", "gap", "gmp"] = setting("fc", MATCH)
    # A: what the last layer gives. none: a score for each class. scr: one box for all classes, 4 numbers. pcr: one for each class
    boxes: Literal["none", "scr", "pcr"] = setting("none", MATCH)
    # of a box's 4 numbers, centre x, y, width and height; not stated. crop: shares of the crop's side. pixels: of the crop
    box_unit: Literal["crop", "pixels"] = setting("crop", MATCH, needs=_BOXES)
    # 2.1: of the hidden FC layers, multiplied by width: one number for all of them, or one for each, such as 512,256
    fc_units: tuple[int, ...] = setting((4096,), MATCH)
    # hidden FC layers. -1: as many as fc_units has numbers; where it has one, 2.1's two with head=fc, none with gap and gmp
    fc_layers: int = setting(-1, MATCH)
    dropout: float = 0.5  # 3.1: the rate, behind the ReLU of each hidden FC layer
    batch_norm: bool = setting(False, MATCH)  # between convolution and activation; the convolutions lose their bias
    # 2.1: after each convolution and hidden FC layer
    activation: Literal["relu", "leaky_relu"] = setting("relu", MATCH)
    negative_slope: float = setting(0.2, MATCH, needs=("architecture.activation=leaky_relu",))  # of leaky_relu
    # 3.1: of the weights. glorot: the paper's later finding. he, he_fan_out: He's, by inputs or by outputs. gaussian: normal
    initializer: Literal["glorot", "he", "he_fan_out", "gaussian"] = "glorot"
    # of the FC layers. as_convolutions: by initializer. gaussian: all of them normal. gaussian_last: the last one normal, whose
    # first logits are then near 0, as a new layer behind trained ones needs it
    fc_initializer: Literal["as_convolutions", "gaussian", "gaussian_last"] = "as_convolutions"
    # of gaussian and gaussian_last; the paper's net A has 0.1, variance 1e-2
    initializer_std: float = setting(0.01, needs=_GAUSSIAN)

    @property
    def hidden_units(self) -> tuple[int, ...]:
        """The units of each hidden FC layer, before the width."""
        if len(self.fc_units) > 1:
            return self.fc_units
        count = self.fc_layers if self.fc_layers >= 0 else 2 if self.head == "fc" else 0
        return self.fc_units * count

    def resolved(self, num_classes: int, mean: tuple[float, ...], multi_label: bool = False) -> "Architecture":
        """The net with this number of classes and this mean, where it has none of its own, and for such data."""
        return dataclasses.replace(
            self,
            num_classes=self.num_classes or num_classes,
            mean=self.mean or mean,
            multi_label=self.multi_label or multi_label,
        )

    def require_hidden_layers(self, given: Collection[str]) -> None:
        """Refuses fields of hidden FC layers where a user gives them for a net that has none.

        Args:
            given: the names of the fields that the user gives.

        Raises:
            UserError: one of these has no effect.
        """
        names = [name for name in ("fc_units", "dropout") if name in given and getattr(self, name)]
        if names and not self.hidden_units:
            raise UserError(
                f"architecture.{names[0]} is that of hidden FC layers. Received: it with head={self.head}, which has none unless "
                "fc_layers or several fc_units name them. Set architecture.fc_layers=1, or leave it out."
            )

    @property
    def outputs(self) -> int:
        """The number of outputs of the last layer: a score for each class, or the numbers of its boxes (A)."""
        return {"none": self.num_classes, "scr": 4, "pcr": 4 * self.num_classes}[self.boxes]

    def check(self):
        if self.name not in CONFIGURATIONS:
            hint = nearest_configuration(self.name, CONFIGURATIONS, "batch_norm=True")
            raise UserError(f"architecture.name must be a column of Table 1 or B-5x5. Received: {self.name!r}. {hint}")
        _require(
            self.num_classes >= 0, "architecture.num_classes must be 0 (as the data has) or more.", self.num_classes
        )
        both = "architecture.boxes and architecture.multi_label are two tasks: leave one out."
        _require(self.boxes == "none" or not self.multi_label, both, self.boxes)
        _require(self.width > 0, "architecture.width must be above 0.", self.width)
        _require(self.crop >= 32, "architecture.crop must be 32 or more: five poolings halve it.", self.crop)
        _require(1 <= self.channels <= 16, "architecture.channels must lie in [1, 16].", self.channels)
        values = "three values, R,G,B" if self.channels == 3 else f"a value for each channel, {self.channels}"
        known = (0, self.channels)
        _require(len(self.mean) in known, f"architecture.mean must be empty or {values}.", self.mean)
        std_rule = f"architecture.std must be empty or {values}, each above 0."
        _require(len(self.std) in known and all(value > 0 for value in self.std), std_rule, self.std)
        units_rule = "architecture.fc_units must be numbers of 1 or more."
        _require(bool(self.fc_units) and min(self.fc_units) >= 1, units_rule, self.fc_units)
        few = -1 <= self.fc_layers <= 100  # more would fill the memory before a net is made
        _require(few, "architecture.fc_layers must lie in [0, 100], or be -1.", self.fc_layers)
        one_each = len(self.fc_units) == 1 or self.fc_layers in (-1, len(self.fc_units))
        layers_rule = "architecture.fc_units has one number, or one for each of architecture.fc_layers."
        _require(one_each, layers_rule, f"{self.fc_units} for {self.fc_layers} layers")
        _require(self.negative_slope >= 0, "architecture.negative_slope must be 0 or more.", self.negative_slope)
        _require(0 <= self.dropout < 1, "architecture.dropout must lie in [0, 1).", self.dropout)
        _require(self.initializer_std > 0, "architecture.initializer_std must be above 0.", self.initializer_std)


@dataclass(frozen=True)
class Data(_Checked):
    """Where images come from and what is done to them (3.1)."""

    # digits, a TensorFlow Datasets name, a folder of class folders, or a .csv list
    source: str = setting("digits", RESUME, TEST, READING)
    # where TensorFlow Datasets keeps its sets; empty: its own default
    data_dir: str = setting("", RESUME, TEST, READING)
    # 4: which images validate. own: the source's validation or test split, if it has one, as in the paper, whose validation set
    # is also its test set. held_out: a share of the training images; the source's own split is then the test set of the final
    # evaluation, unseen before
    validation: Literal["own", "held_out"] = setting("own", READING, DIVISION)
    # the share of the training images that is held out, where the set has no validation images of its own, or with
    # validation=held_out: every (1/holdout)-th image
    holdout: float = setting(0.2, READING, DIVISION)
    batch: int = 256  # 3.1: images of a step, over all devices
    # images that a device processes at once, their gradients summed over the batch; 0: its whole share
    micro_batch: int = setting(0, LIMIT)
    # 3.1: S, or Smin,Smax to draw S from for each image; empty: 8/7 of the crop, rounded, as the paper's 256 for 224
    scale: tuple[int, ...] = setting((), PREDICT)
    # black pixels on each side of the rescaled image, before the random crop; 4 for CIFAR (He et al. 2016)
    pad: int = 0
    flip: bool = True  # 3.1: random horizontal flip
    color_shift: float = 0.1  # 3.1: standard deviation of AlexNet's PCA colour shift; 0: none
    # not stated; anti-aliased, except in training with jpeg_decoding=window
    interpolation: Literal["bilinear", "bicubic"] = setting("bilinear", TEST, PREDICT)
    # how a JPEG is decoded in training. window: only the crop's square, rescaled without anti-aliasing, three times as fast.
    # full: the whole image, rescaled with anti-aliasing, as in every evaluation. With bicubic or pad always full
    jpeg_decoding: Literal["window", "full"] = "window"
    # whether a JPEG is turned upright by its EXIF tag
    exif_orientation: bool = setting(True, TEST, PREDICT, READING)
    # an image with more, by its header, is skipped and not decoded. 134 million pixels take 400 MB
    max_pixels: int = setting(2**27, TEST, PREDICT, READING)
    # a larger image file is skipped and not read. 512 MiB: an uncompressed image of max_pixels has 400 MB
    max_file_bytes: int = setting(2**29, TEST, PREDICT, READING)
    statistics_images: int = 10_000  # mean and covariance are measured on at most so many training images
    # unreadable images are skipped and listed; of a net of boxes so are those whose box is missing or wrong. More than this share
    # of all images stops the run
    max_bad_fraction: float = setting(0.01, TEST)
    # A: images with several boxes, of a net of boxes; not stated. left_out: they are not used, in training or in a test. largest:
    # the largest box of the image's class is trained. random: one of the class, drawn in each epoch. in_crop: the crop must show
    # a box drawn like that, and is trained on the box of which it shows most. In a test any box of the class is right
    several_boxes: Literal["left_out", "largest", "random", "in_crop"] = setting("largest", TEST, needs=_BOXES)
    # A: a box that the training crop cuts; not stated. whole: it reaches beyond the crop. clip: it ends at the crop's edge
    cut_boxes: Literal["whole", "clip"] = setting("whole", needs=_BOXES)
    # A: a training crop shows at least this share of the box's width and of its height, or lies inside of it; not stated. 0: any
    # crop that touches it
    visible_box: float = setting(0.5, needs=_BOXES)

    def scale_for(self, crop: int) -> tuple[int, ...]:
        """S, or the ends of its range, for a net of this crop: `scale`, or what follows from the crop where it is empty."""
        return self.scale or (round(crop * 8 / 7),)

    def check(self):
        _require(self.source != "", "data.source must be 'digits', a data set's name or a folder.", self.source)
        _require(0 < self.holdout <= 0.5, "data.holdout must lie in (0, 0.5].", self.holdout)
        _require(self.batch >= 1, "data.batch must be 1 or more.", self.batch)
        _require(self.micro_batch >= 0, "data.micro_batch must be 0 (the whole batch) or more.", self.micro_batch)
        scale_rule = "data.scale must be empty, S, or Smin,Smax with Smin <= Smax."
        _require(len(self.scale) <= 2 and list(self.scale) == sorted(self.scale), scale_rule, self.scale)
        _require(self.pad >= 0, "data.pad must be 0 (none) or more.", self.pad)
        _require(self.color_shift >= 0, "data.color_shift must be 0 (none) or more.", self.color_shift)
        _require(self.max_pixels >= 1, "data.max_pixels must be 1 or more.", self.max_pixels)
        _require(self.max_file_bytes >= 1, "data.max_file_bytes must be 1 or more.", self.max_file_bytes)
        _require(self.statistics_images >= 1, "data.statistics_images must be 1 or more.", self.statistics_images)
        _require(0 <= self.max_bad_fraction <= 1, "data.max_bad_fraction must lie in [0, 1].", self.max_bad_fraction)
        _require(0 <= self.visible_box <= 1, "data.visible_box must lie in [0, 1].", self.visible_box)


@dataclass(frozen=True)
class Training(_Checked):
    """The optimisation of 3.1."""

    stage: str = "single"  # the run's label in metrics.jsonl
    # 3.1: the run whose kept net this one starts from; empty: random weights
    init_from: str = setting("", RESUME)
    # instead of init_from: a source of `vgg_keras.load_weights` to fine-tune, of any classes
    weights: str = setting("", RESUME)
    weights_sha256: str = setting("", RESUME)  # the digest that the source must have; empty: any
    # the trained layers. all. fc: the FC layers only, as in one net of the ILSVRC submission. new: those that the start has no
    # weights for. A block or a layer, such as block5: the net from there on
    layers: str = "all"
    # factors of the rate and the decay of a layer, of a block, or of all FC layers (fc), such as predictions:10,block5:0.1
    rate_factors: tuple[str, ...] = ()
    # sgdw: SGD with decoupled decay. l2: SGD with the paper's L2. adam: Adam without decay. See docs/weight_decay.md
    optimizer: Literal["sgdw", "l2", "adam"] = "sgdw"
    learning_rate: float = 1e-2  # 3.1: the first rate
    momentum: float = 0.9  # 3.1: with adam its beta_1
    nesterov: bool = False  # Nesterov momentum (Sutskever et al. 2013), with sgdw or l2
    clip_norm: float = 0.0  # the largest norm of a batch's gradient, over all layers (Pascanu et al. 2013); 0: no limit
    # the share of a label that is divided among all classes (Szegedy et al. 2016, section 7). Of a multi-label set the label of
    # each class moves by this share towards 1/2
    label_smoothing: float = 0.0
    # what multiplies the loss of a class's images. none. balanced: as scikit-learn's compute_class_weight, images / (classes x
    # images of the class). Or a weight for each class, in the classes' order. Of a multi-label set balanced does this for each
    # class with and without it, and weights are those of images with the class
    class_weights: tuple[float | str, ...] = ("none",)
    # 3.1: with sgdw, the share by which a step shrinks a weight. 3.1's L2 multiplier shrinks it by 1e-2 * 5e-4 / (1 - 0.9)
    weight_decay: float = setting(5e-5, needs=("training.optimizer=sgdw",))
    l2: float = setting(5e-4, needs=("training.optimizer=l2",))  # 3.1: with l2, its multiplier
    epochs: int = 74  # 3.1: at most, unless min_steps needs more
    min_steps: int = 0  # the least number of updates: a small set then has more epochs than `epochs`
    # how the rate falls. plateau: 3.1's rule. step: by step_factor after each of step_epochs. cosine: along half a cosine to 0
    # at the last step (Loshchilov & Hutter 2017, without restarts). constant: not at all
    schedule: Literal["plateau", "step", "cosine", "constant"] = "plateau"
    warmup_steps: int = 0  # the first updates, in which the rate rises linearly (Goyal et al. 2017, section 2.2)
    # with schedule=step: the epochs after which the rate is multiplied by step_factor
    step_epochs: tuple[int, ...] = setting((), needs=_STEP)
    step_factor: float = setting(0.1, needs=_STEP)  # with schedule=step: what the rate is multiplied by
    # 3.1: the measure of validation that divides the rate and selects the best net. top1_error: of a multi-label set 100 - mean
    # average precision, of a net of boxes the share of wrong boxes (A). balanced_error: the mean of the classes' errors
    plateau_metric: Literal["top1_error", "balanced_error", "loss"] = setting("top1_error", needs=_CHOOSING)
    plateau_patience: int = setting(5, needs=_PLATEAU)  # epochs without a lower value before a division; not stated
    plateau_factor: float = setting(0.1, needs=_PLATEAU)  # 3.1: what the rate is multiplied by at a plateau, a tenth
    plateau_divisions: int = setting(3, needs=_PLATEAU)  # 3.1: how often the rate is divided
    # whether the plateau after the last division ends the run; not stated
    plateau_ends: bool = setting(True, needs=_PLATEAU)
    validation_epochs: int = 1  # a validation after every so many epochs, and after the last one
    # the net that a run results in: that of the lowest error (3.1), or of the last epoch
    kept_net: Literal["best", "last"] = "best"
    # of an exponential moving average of the weights (Polyak & Juditsky 1992); 0: none. The average is validated and kept in
    # place of the weights. Its decay begins lower: min(average_decay, (1 + steps) / (10 + steps))
    average_decay: float = 0.0

    @property
    def start(self) -> str:
        """What the net starts from; empty: random weights."""
        return self.init_from or self.weights

    def check(self):
        both = f"{self.init_from} and {self.weights}"
        one = "training.init_from (3.1's rule) and training.weights (fine-tuning) are two starts: leave one out."
        _require(not (self.init_from and self.weights), one, both)
        pinned = "training.weights_sha256 belongs to training.weights."
        _require(bool(self.weights) or not self.weights_sha256, pinned, self.weights_sha256)
        _require(self.learning_rate > 0, "training.learning_rate must be above 0.", self.learning_rate)
        _require(0 <= self.momentum < 1, "training.momentum must lie in [0, 1).", self.momentum)
        _require(0 <= self.weight_decay < 1, "training.weight_decay must lie in [0, 1).", self.weight_decay)
        _require(0 <= self.l2 < 1, "training.l2 must lie in [0, 1).", self.l2)
        adam = self.nesterov and self.optimizer == "adam"
        _require(not adam, "training.nesterov belongs to sgdw and l2.", "training.optimizer=adam")
        _require(self.clip_norm >= 0, "training.clip_norm must be 0 (any) or more.", self.clip_norm)
        _require(0 <= self.label_smoothing < 1, "training.label_smoothing must lie in [0, 1).", self.label_smoothing)
        _require(0 <= self.average_decay < 1, "training.average_decay must lie in [0, 1).", self.average_decay)
        named = self.class_weights in (("none",), ("balanced",))
        numbers = [value for value in self.class_weights if isinstance(value, float) and value >= 0]
        weighted = bool(numbers) and len(numbers) == len(self.class_weights) and max(numbers) > 0
        rule = "training.class_weights must be none, balanced, or a weight of 0 or more for each class, one of them above 0."
        _require(named or weighted, rule, self.class_weights)
        self._check_schedule()
        _require(self.epochs >= 1, "training.epochs must be 1 or more.", self.epochs)
        _require(self.min_steps >= 0, "training.min_steps must be 0 (any) or more.", self.min_steps)
        _require(self.plateau_patience >= 1, "training.plateau_patience must be 1 or more.", self.plateau_patience)
        _require(0 < self.plateau_factor < 1, "training.plateau_factor must lie in (0, 1).", self.plateau_factor)
        _require(self.plateau_divisions >= 0, "training.plateau_divisions must be 0 or more.", self.plateau_divisions)

    def validates_after(self, epoch: int, last: int) -> bool:
        """Whether a validation follows this epoch of a run whose last one is `last`."""
        return epoch % self.validation_epochs == 0 or epoch == last

    def _check_schedule(self):
        _require(self.warmup_steps >= 0, "training.warmup_steps must be 0 (none) or more.", self.warmup_steps)
        rising = list(self.step_epochs) == sorted(set(self.step_epochs)) and all(one >= 1 for one in self.step_epochs)
        _require(rising, "training.step_epochs must be numbers of epochs, each above the one before.", self.step_epochs)
        if self.schedule == "step":
            last = self.epochs if not self.min_steps else math.inf
            within = self.step_epochs and self.step_epochs[-1] < last
            rule = "training.schedule=step needs training.step_epochs before the last of training.epochs."
            _require(within, rule, f"{self.step_epochs} of {self.epochs} epochs")
        _require(0 < self.step_factor < 1, "training.step_factor must lie in (0, 1).", self.step_factor)
        _require(self.validation_epochs >= 1, "training.validation_epochs must be 1 or more.", self.validation_epochs)
        every = self.validation_epochs == 1 or self.schedule != "plateau"
        rule = "training.schedule=plateau needs a validation after every epoch."
        _require(every, rule, f"training.validation_epochs={self.validation_epochs}")


@dataclass(frozen=True)
class Stage(_Checked):
    """One training of a chain (3.1): what differs from the configuration of the chain."""

    name: str  # of the stage's folder in the workdir, and in --stages
    # the stage whose net it starts from; empty: training.init_from's or training.weights', or random weights
    start: str = ""
    architecture: str = replacing("architecture.name", "")  # another net of Table 1; empty: the chain's own
    scale: tuple[int, ...] = replacing("data.scale", ())  # 3.1: S; empty: data.scale
    learning_rate: float = replacing("training.learning_rate", 0.0)  # 3.1; 0: training.learning_rate
    layers: str = replacing("training.layers", "")  # the trained layers; empty: training.layers
    epochs: int = replacing("training.epochs", 0)  # 0: training.epochs
    min_steps: int = replacing("training.min_steps", 0)  # 0: training.min_steps
    # empty: training.schedule
    schedule: Literal["", "plateau", "step", "cosine", "constant"] = replacing("training.schedule", "")
    final_evaluation: bool = True  # whether its net is evaluated at its end; that of the last stage always is

    def check(self):
        _require(self.epochs >= 0, "stage.epochs must be 0 (training's) or more.", self.epochs)
        _require(self.min_steps >= 0, "stage.min_steps must be 0 (training's) or more.", self.min_steps)
        _require(self.name != "single", "stage.name must be another than that of a run without a chain.", self.name)
        _require(self.learning_rate >= 0, "stage.learning_rate must be 0 (training's) or more.", self.learning_rate)
        known = self.name.replace("_", "").replace("-", "")
        _require(known.isalnum(), "stage.name must be letters, digits, - and _, as a folder's name.", self.name)


@dataclass(frozen=True)
class Evaluation(_Checked):
    """The evaluation of 3.2: the final one of a run, and that of `evaluate`, whose flags override it."""

    protocol: Literal["center", "dense", "multi_crop", "both"] = "dense"  # both: the mean of dense and multi_crop
    scales: tuple[int, ...] = ()  # 3.2: Q; empty: S, or the middle of the jitter range
    flip: bool = True  # 3.2: posteriors averaged with the mirror image's
    # 3.2: multi_crop takes grid x grid crops per scale, with their mirror images 50
    grid: int = setting(5, needs=("evaluation.protocol=multi_crop", "evaluation.protocol=both"))
    # images of the crop's size in one pass, also in validation; of larger images as many as have the same pixels
    batch: int = setting(32, LIMIT)
    # of one image rescaled to Q; a larger one is refused before the first step
    max_pixels: int = setting(2**24, LIMIT)

    def check(self):
        _require(self.batch >= 1, "evaluation.batch must be 1 or more.", self.batch)
        _require(self.grid >= 1, "evaluation.grid must be 1 or more.", self.grid)
        _require(self.max_pixels >= 1, "evaluation.max_pixels must be 1 or more.", self.max_pixels)
        _require(all(q >= 1 for q in self.scales), "evaluation.scales must be sides in pixels.", self.scales)
        unique = len(set(self.scales)) == len(self.scales)
        _require(unique, "evaluation.scales must differ from each other.", self.scales)


@dataclass(frozen=True)
class Localization(_Checked):
    """The boxes of appendix A: their merging, which is OverFeat's, and when one is right. The test itself is `evaluation`'s."""

    # the dense test's windows. map: those of the whole image's last map (A, 3.2), where convolutions see the pixels beyond a
    # window. crops: the net on each window by itself, with zeros beyond it as in training; a pass for each window. Not stated
    windows: Literal["map", "crops"] = setting("map", PREDICT, needs=("evaluation.protocol=dense",))
    iou: float = 0.5  # A: a box is right where its intersection over union with a true box is above this
    # A: how many of the classifier's most probable classes get a box; the answer is right where one of these is
    answers: int = setting(5, PREDICT, needs=_CLASSIFIER)
    # k: how many classes' boxes are taken at each scale, those with the highest score anywhere on the map; not stated
    best_classes: int = setting(5, PREDICT, needs=_CLASSIFIER)
    # t: two boxes are merged while their match score is at most this, see localization/merging.py; not stated
    threshold: float = setting(0.6, PREDICT)

    def check(self):
        _require(0 <= self.iou < 1, "localization.iou must lie in [0, 1).", self.iou)
        _require(self.answers >= 1, "localization.answers must be 1 or more.", self.answers)
        _require(self.best_classes >= 1, "localization.best_classes must be 1 or more.", self.best_classes)
        _require(self.threshold >= 0, "localization.threshold must be 0 (equal boxes) or more.", self.threshold)


@dataclass(frozen=True)
class Features(_Checked):
    """Appendix B: descriptors of other sets' images, and the linear SVM on them. Q and mirror images are `evaluation`'s."""

    layer: str = "fc2"  # B: the last hidden layer, read after its ReLU; or any that feature_maps takes
    pooling: Literal["mean", "max"] = "mean"  # B: over the positions of the layer's map
    combine: Literal["stack", "average"] = "stack"  # B: of several Q, stacked for Caltech-101 and 256, averaged for VOC
    # the values of the SVM's C that are tried; not stated. The lowest error on held-out training images decides
    svm_c: tuple[float, ...] = setting((0.1, 1.0, 10.0, 100.0), needs=_CLASSIFY)
    holdout: float = setting(0.2, needs=_CLASSIFY)  # B: the share of the training images that chooses C
    # B: training images of each class in a random division, 30 for Caltech-101; 0: the set's own division
    per_class: int = setting(0, needs=_CLASSIFY)
    # B: test images of each class at most in a random division, 50 for Caltech-101; 0: all others
    test_per_class: int = setting(0, needs=_PER_CLASS)
    splits: int = setting(3, needs=_PER_CLASS)  # B: how many random divisions

    def check(self):
        _require(bool(self.svm_c) and min(self.svm_c) > 0, "features.svm_c must be values above 0.", self.svm_c)
        _require(0 < self.holdout <= 0.5, "features.holdout must lie in (0, 0.5].", self.holdout)
        _require(self.per_class >= 0, "features.per_class must be 0 (the set's own division) or more.", self.per_class)
        _require(self.test_per_class >= 0, "features.test_per_class must be 0 (the rest) or more.", self.test_per_class)
        _require(self.splits >= 1, "features.splits must be 1 or more.", self.splits)


@dataclass(frozen=True)
class Export(_Checked):
    """The limits of an export's differences from its net, which are measured before it is written."""

    # B: the layer of a SavedModel's signature `features`, any that feature_maps takes; empty: the layer before the last
    features: str = setting("", needs=_SAVED_MODEL)
    images: int = 256  # validation images on which the export and the net are compared
    representative_images: int = setting(200, needs=_TFLITE)  # training images from which int8 takes its ranges
    max_difference: float = 1e-4  # the largest difference of a probability from the net's, in float32
    max_difference_float16: float = setting(2e-2, needs=_TFLITE)  # the same in float16
    # of model_int8 and model_dynamic: the least share of images with the same top class. Of a multi-label net: of the classes
    # that it or its export finds in an image, the share that both find
    min_agreement: float = setting(0.9, needs=_TFLITE)

    def check(self):
        _require(self.images >= 1, "export.images must be 1 or more.", self.images)
        least = self.representative_images
        _require(least >= 1, "export.representative_images must be 1 or more.", least)
        for name in ("max_difference", "max_difference_float16"):
            _require(getattr(self, name) >= 0, f"export.{name} must be 0 or more.", getattr(self, name))
        _require(0 <= self.min_agreement <= 1, "export.min_agreement must lie in [0, 1].", self.min_agreement)


@dataclass(frozen=True)
class Checkpoint(_Checked):
    """How often the whole state is saved; each epoch's end saves it too. May change when a run is resumed."""

    every_steps: int = 0  # updates between two saves; 0: not by steps
    every_minutes: float = 10.0  # between two saves; 0: not by time
    keep: int = 2  # how many of the newest checkpoints are kept

    def check(self):
        _require(self.every_steps >= 0, "checkpoint.every_steps must be 0 (never) or more.", self.every_steps)
        _require(self.every_minutes >= 0, "checkpoint.every_minutes must be 0 (never) or more.", self.every_minutes)
        _require(self.keep >= 1, "checkpoint.keep must be 1 or more.", self.keep)


@dataclass(frozen=True)
class Runtime(_Checked):
    """The machine. May change when a run is resumed."""

    # auto: bf16 where the hardware multiplies it; float16 on GPUs of compute capability 7.0 to 7.5; else float32
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = setting("auto", TEST, PREDICT)
    # of a training; all else runs on one device. auto: multi_worker if TF_CONFIG names several workers, mirrored if there are
    # several devices, else one
    strategy: Literal["auto", "one", "mirrored", "multi_worker"] = "auto"
    cpu_devices: int = 1  # in training: logical CPU devices to mirror over if there is no GPU
    start_seconds: float = 300.0  # how long workers of multi_worker wait for each other at the start
    # where the scan for unreadable images keeps its results, by path, size and the times of modification and change
    cache_dir: str = setting("~/.cache/vgg_keras", TEST, PREDICT)

    def check(self):
        _require(self.cpu_devices >= 1, "runtime.cpu_devices must be 1 or more.", self.cpu_devices)
        _require(self.start_seconds > 0, "runtime.start_seconds must be above 0.", self.start_seconds)


@dataclass(frozen=True)
class Config(_Checked):
    """A whole run. On a CPU this and the images decide every bit of it."""

    architecture: Architecture = field(default_factory=Architecture)
    data: Data = field(default_factory=Data)
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation, metadata=roles(TEST, PREDICT, needs=_SAVED_MODEL))
    localization: Localization = field(default_factory=Localization, metadata=roles(RESUME, TEST, needs=_BOXES))
    features: Features = field(default_factory=Features, metadata=roles(RESUME, FEATURES))
    export: Export = field(default_factory=Export, metadata=roles(RESUME, EXPORT))
    checkpoint: Checkpoint = field(default_factory=Checkpoint, metadata=roles(RESUME))
    runtime: Runtime = field(default_factory=Runtime, metadata=roles(RESUME))
    stages: tuple[Stage, ...] = ()  # 3.1: a chain of trainings, in this order; empty: one training
    # of initial weights, order, augmentation and dropout; in `features` of its random divisions and its SVM
    seed: int = setting(0, FEATURES)

    def check(self):
        _require(0 <= self.seed < 2**31, "seed must lie in [0, 2147483648).", self.seed)
        crop = self.architecture.crop
        if min(self.training_scale) < crop:  # often a recipe's, beside a larger crop of the user's
            raise UserError(
                f"data.scale must be architecture.crop ({crop}) or more. Received: {self.data.scale!r}. "
                f"Try {Data().scale_for(crop)[0]}, 8/7 of the crop: the value of an empty field."
            )
        names = [stage.name for stage in self.stages]
        _require(len(set(names)) == len(names), "stages must have names of their own.", names)
        for place, stage in enumerate(self.stages):
            earlier = names[:place]
            rule = f"stages.{place}.start must be empty or an earlier stage ({', '.join(earlier) or 'none'})."
            _require(stage.start in ("", *earlier), rule, stage.start)
            try:
                self.of_stage(stage)  # which is checked too
            except UserError as error:
                raise UserError(f"stages.{place} ({stage.name}): {error}") from None
        if self.predicts_boxes:
            self._check_boxes()
        for q in self.evaluation.scales:
            if q < crop:
                raise UserError(
                    f"evaluation.scales must be architecture.crop ({crop}) or more. Received: {q}. "
                    f"Try {self.middle_scale}, S or the middle of its range: the value of an empty field."
                )

    def _check_boxes(self):
        smoothing = self.training.label_smoothing
        _require(not smoothing, "training.label_smoothing belongs to classes: a box net has boxes.", smoothing)
        weights, metric = self.training.class_weights, self.training.plateau_metric
        _require(weights == ("none",), "training.class_weights belongs to classes: a box net has boxes.", weights)
        _require(metric != "balanced_error", "training.plateau_metric of a box net is top1_error or loss.", metric)
        rule = "evaluation.protocol of a box net is center or dense (A)."
        _require(self.evaluation.protocol in ("center", "dense"), rule, self.evaluation.protocol)

    def of_stage(self, stage: Stage) -> "Config":
        """The configuration of one training of the chain, without the folder that it starts from.

        At another rate a stage's decay changes in proportion: `training.weight_decay` is the share at `training.learning_rate`.
        """
        rate = stage.learning_rate or self.training.learning_rate
        decay = self.training.weight_decay * (rate / self.training.learning_rate)
        changes: dict[str, dict[str, Any]] = {"training": {"stage": stage.name, "weight_decay": decay}}
        for one in dataclasses.fields(Stage):
            value = getattr(stage, one.name)
            if value and "replaces" in one.metadata:
                section, _, name = one.metadata["replaces"].partition(".")
                changes.setdefault(section, {})[name] = value
        sections = {
            section: dataclasses.replace(getattr(self, section), **values) for section, values in changes.items()
        }
        return dataclasses.replace(self, **sections, stages=())

    @property
    def predicts_boxes(self) -> bool:
        """Whether the net gives boxes (A), not scores of classes."""
        return self.architecture.boxes != "none"

    @property
    def training_scale(self) -> tuple[int, ...]:
        """S, or the ends of its range (3.1)."""
        return self.data.scale_for(self.architecture.crop)

    @property
    def middle_scale(self) -> int:
        """S, or the middle of the jitter range: 3.2's single test scale, and that of validation while training."""
        return round(sum(self.training_scale) / len(self.training_scale))

    @property
    def test_scales(self) -> tuple[int, ...]:
        """The values of Q of an evaluation: those of the configuration, or the single scale (3.2)."""
        return self.evaluation.scales or (self.middle_scale,)

    @property
    def multi_scales(self) -> tuple[int, ...]:
        """3.2's three values of Q: around S, or the ends and the middle of the jitter range."""
        scale = self.training_scale
        if len(set(scale)) == 1:
            return (scale[0] - 32, scale[0], scale[0] + 32)
        return (scale[0], self.middle_scale, scale[1])


def paper_chain(last_layers: str = "") -> tuple[Stage, ...]:
    """3.1's stages of B, C, D and E; the last one trains `last_layers`."""
    return (
        Stage("A", architecture="A"),  # 3.1: shallow enough to train from random weights
        Stage("S256", start="A"),  # 3.1: four convolutions and three FC layers of A, the rest random; rate 1e-2
        Stage("S384", start="S256", scale=(384,), learning_rate=1e-3),  # 3.1
        # 3.1: all layers, from the net of S=384; its rate is not stated, this is the one before
        Stage("jitter", start="S384", scale=(256, 512), learning_rate=1e-3, layers=last_layers),
    )


def fields_with(role: str, cls: type = Config) -> tuple[str, ...]:
    """The paths of the fields that have a role, as `--set` names them, in their order."""
    paths = []
    for one in dataclasses.fields(cls):
        has = role in one.metadata.get("roles", ())
        if one.default_factory is not MISSING:  # a section
            inside = one.default_factory
            names = [part.name for part in dataclasses.fields(inside)] if has else fields_with(role, inside)
            paths += [f"{one.name}.{name}" for name in names]
        elif has:
            paths.append(one.name)
    return tuple(paths)


_OF_PROTOCOLS = ("evaluation.protocol", "evaluation.grid")


def without_protocols(*used: str) -> tuple[str, ...]:
    """The paths of the fields with one of these roles, for a command to which no protocol of an evaluation is left to choose."""
    return tuple(path for role in used for path in fields_with(role) if path not in _OF_PROTOCOLS)


def memory_limits(config: Config) -> set[str]:
    """The paths of the fields that only limit the memory of this configuration: its results do not depend on them."""
    limits = set(fields_with(LIMIT))
    # a batch norm's mean and variance are those of the micro-batch
    return limits - {"data.micro_batch"} if config.architecture.batch_norm else limits


def needs_of(path: str) -> list[tuple[str, ...]]:
    """The settings that a field needs to have an effect, one of each tuple; none: it always has, or it is a stage's."""
    found: Any = Config
    needs = []
    for name in path.split("."):
        if not dataclasses.is_dataclass(found):
            return []
        one = {part.name: part for part in dataclasses.fields(found)}[name]
        needs.append(one.metadata.get("needs", ()))
        found = one.default_factory
    return [any_of for any_of in needs if any_of]


def value_at(config: Config, path: str) -> Any:
    """The value of a field in a section, such as `training.epochs`."""
    section, _, name = path.partition(".")
    return getattr(getattr(config, section), name)


def unmet_need(
    config: Config, path: str, flags: Mapping[str, Any] | None = None, undecided: Collection[str] = ()
) -> tuple[str, ...]:
    """The settings of which a field needs one and has none, so that it has no effect, whatever its value; (): it has one.

    Args:
        config: of the run.
        path: the field's.
        flags: of the command, with their values, such as `--format`; those that are not given here constrain nothing.
        undecided: the paths of the fields that may still get another value.
    """
    known = flags or {}

    def holds(need: str, found: Any) -> bool:
        _, equals, value = need.partition("=")
        return found == value if equals else bool(found)

    def unmet(need: str, any_of: tuple[str, ...]) -> tuple[str, ...]:
        name = need.partition("=")[0]
        if name.startswith("--"):
            return () if name not in known or holds(need, known[name]) else any_of
        if name not in undecided and not holds(need, value_at(config, name)):
            return any_of
        return unmet_need(config, name, flags, undecided)  # a field that has no effect itself is of no use

    for any_of in needs_of(path):
        if all(missing := [unmet(need, any_of) for need in any_of]):
            # what such a field lacks: features.splits without --classify names --classify, and not features.per_class
            return next((deeper for deeper in missing if deeper != any_of), any_of)
    return ()


def unused_fields(config: Config) -> set[str]:
    """The paths of the fields that have no effect in a training of this configuration, whatever their values."""
    unused = {path for path in every_field() if unmet_need(config, path)}
    return unused if config.architecture.hidden_units else unused | {"architecture.fc_units", "architecture.dropout"}


def every_field(cls: type = Config, prefix: str = "") -> list[str]:
    """The paths of all fields, as `--set` names them."""
    paths = []
    for name, kind in typing.get_type_hints(cls).items():
        paths += every_field(kind, f"{prefix}{name}.") if dataclasses.is_dataclass(kind) else [prefix + name]
    return paths


def label_of_training_scale(scale: tuple[int, ...]) -> str:
    """S in tables and titles: 256, or 256-512 where it is drawn from a range."""
    return "-".join(map(str, dict.fromkeys(scale)))


def label_of_test_scales(scales: tuple[int, ...]) -> str:
    """The values of Q in tables and titles."""
    return ", ".join(map(str, scales))
