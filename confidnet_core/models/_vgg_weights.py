"""Initialisation of VGG16's 13 convolutions with ImageNet weights.

torchvision's plain VGG16, without BatchNorm: Simonyan and Zisserman 2015, arXiv:1409.1556.
"""

from http.client import HTTPException
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

CONVOLUTION_POSITIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # positions in the `features` of torchvision's vgg16
VGG16_CHANNELS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
RANDOM_WEIGHTS_HINT = "set model.pretrained: false for random weights"


def load_imagenet_encoder(convolutions: list[nn.Conv2d], pretrained: bool | str) -> None:
    """Copy ImageNet's weights and biases into the 13 convolutions, in place, and check that each one was changed.

    pretrained: False does nothing, True uses torchvision's weights (downloaded once), a string is the path of such a state dict
    Raises ValueError for convolutions of another shape, for weights that are unavailable, and for a copy that changes nothing.
    """
    if pretrained is False:
        return
    _require_vgg16_shapes(convolutions)
    pretrained_tensors = _download_vgg16_weights() if pretrained is True else _read_state_dict(Path(pretrained))
    convolutions_and_positions = zip(convolutions, CONVOLUTION_POSITIONS, strict=True)
    for convolution_number, (convolution, convolution_position) in enumerate(convolutions_and_positions, start=1):
        for parameter, parameter_name in (
            (convolution.weight, f"features.{convolution_position}.weight"),
            (convolution.bias, f"features.{convolution_position}.bias"),
        ):
            _copy_into_parameter(
                parameter, pretrained_tensors.get(parameter_name), f"convolution {convolution_number} of 13 ({parameter_name})"
            )


def _require_vgg16_shapes(convolutions: list[nn.Conv2d]) -> None:
    expected_shapes = [(out_channels, in_channels, 3, 3) for in_channels, out_channels in pairwise(VGG16_CHANNELS)]
    actual_shapes = [tuple(convolution.weight.shape) for convolution in convolutions]
    if actual_shapes != expected_shapes:
        raise ValueError(
            f"model.pretrained needs VGG16's 13 convolutions at model.width 1.0 on images of 3 channels, from {expected_shapes[0]} "
            f"to {expected_shapes[-1]}; got {len(actual_shapes)}, from {actual_shapes[:1]} to {actual_shapes[-1:]}. "
            f"Otherwise {RANDOM_WEIGHTS_HINT}"
        )


def _download_vgg16_weights() -> dict[str, Tensor]:
    from torchvision.models import VGG16_Weights  # imported here, because it takes seconds and every stage imports the models

    weights = VGG16_Weights.IMAGENET1K_V1
    try:
        return weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, HTTPException, RuntimeError) as error:  # a wrong hash raises RuntimeError
        remedy_text = f"give the path of that file, or {RANDOM_WEIGHTS_HINT}"
        raise ValueError(f"model.pretrained: true needs {weights.url}, which could not be had ({error}); {remedy_text}") from error


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    remedy_text = f"give the state dict of torchvision's vgg16, or {RANDOM_WEIGHTS_HINT}"
    try:
        state_dict = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"model.pretrained is {str(path)!r}, which could not be read ({type(error).__name__}); {remedy_text}") from error
    if not isinstance(state_dict, dict):
        raise ValueError(f"model.pretrained is {str(path)!r}, which holds no state dict but a {type(state_dict).__name__}; {remedy_text}")
    return state_dict


@torch.no_grad()
def _copy_into_parameter(parameter: Tensor | None, pretrained_tensor: Tensor | None, parameter_name: str) -> None:
    if parameter is None:
        raise ValueError(f"{parameter_name} has no such parameter, which VGG16's have")
    if pretrained_tensor is None or pretrained_tensor.shape != parameter.shape:
        found_shape = "nothing" if pretrained_tensor is None else tuple(pretrained_tensor.shape)
        raise ValueError(
            f"{parameter_name}: expected {tuple(parameter.shape)}, the file has {found_shape}; it must be torchvision's vgg16, not vgg16_bn"
        )
    previous_values = parameter.clone()
    parameter.copy_(pretrained_tensor)
    if torch.equal(parameter, previous_values) or not torch.equal(parameter, pretrained_tensor.to(parameter)):
        raise ValueError(
            f"{parameter_name} did not take the pretrained weights: the file holds non-finite numbers, or they were there before"
        )
