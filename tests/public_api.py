"""The public names as a caller with a type checker uses them: mypy reads this file, nothing runs it."""

from pathlib import Path
from typing import assert_type

import vgg_keras
from vgg_keras.evaluation.prediction import Prediction
from vgg_keras.localization.location import Localization
from vgg_keras.transfer.activation_maps import ActivationMap
from vgg_keras.weights.formats.run_folder import LoadedModel

architecture = vgg_keras.Architecture("E", num_classes=10, crop=64)
model = vgg_keras.build(architecture, classifier_activation="softmax", dtype="float32", seed=0)
model = vgg_keras.build("D", num_classes=10, width=0.5, head="gap")
dense = vgg_keras.to_fully_convolutional(model)
maps = vgg_keras.feature_maps(model, ["relu3_3", "block5_pool"], pooling="mean")
classes, mean = vgg_keras.describe_data("digits", crop=32)
assert_type(classes, tuple[str, ...])
assert_type(mean, tuple[float, ...])
optimizers = (
    vgg_keras.SGDW(weight_decay=5e-5, learning_rate=1e-2, momentum=0.9),
    vgg_keras.CoupledSGD(weight_decay=5e-4, learning_rate=1e-2, momentum=0.9, nesterov=True),
)
model.fit(vgg_keras.training_data("digits", crop=32), validation_data=vgg_keras.validation_data("digits", crop=32))
vgg_keras.load_weights(None, "vgg16-397923af.pth", sha256="397923af")
net = vgg_keras.load_net(Path("runs/E"))
assert_type(net, LoadedModel)
assert_type(vgg_keras.predict_images(net, ["photo.jpg"]), list[Prediction])
assert_type(vgg_keras.localize_images(net, "photo.jpg", classifier="runs/D", top=1), list[Localization])
descriptors = vgg_keras.extract_features(net, "photo.jpg", "block5_pool", scales=(256, 384), combine="average")
print(descriptors.shape)
distance = vgg_keras.PerceptualDistance(net, layers={"relu2_2": 1.0, "relu3_3": 0.5})
assert_type(vgg_keras.class_activation_map(net, "photo.jpg", method="gradcam++"), list[ActivationMap])
assert_type(vgg_keras.__version__, str)
try:
    vgg_keras.build(3)  # type: ignore[arg-type]
except vgg_keras.UserError as error:
    print(error)
