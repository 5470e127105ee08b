# What a type checker sees of `vgg_keras`, whose names are imported when they are first used.
from vgg_keras.config import Architecture as Architecture
from vgg_keras.data.notebook import describe_data as describe_data
from vgg_keras.data.notebook import training_data as training_data
from vgg_keras.data.notebook import validation_data as validation_data
from vgg_keras.errors import UserError as UserError
from vgg_keras.evaluation.prediction import predict_images as predict_images
from vgg_keras.localization.location import localize_images as localize_images
from vgg_keras.nets.builder import build as build
from vgg_keras.nets.dense import to_fully_convolutional as to_fully_convolutional
from vgg_keras.nets.feature_maps import feature_maps as feature_maps
from vgg_keras.nets.model import VGG as VGG
from vgg_keras.training.optimizer import SGDW as SGDW
from vgg_keras.training.optimizer import CoupledSGD as CoupledSGD
from vgg_keras.transfer.activation_maps import class_activation_map as class_activation_map
from vgg_keras.transfer.extraction import extract_features as extract_features
from vgg_keras.transfer.perceptual_distance import PerceptualDistance as PerceptualDistance
from vgg_keras.weights.load import load_net as load_net
from vgg_keras.weights.load import load_weights as load_weights

__version__: str
