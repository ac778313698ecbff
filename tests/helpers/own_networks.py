"""A package of one's own, with networks as somebody else might write them: they know nothing of this project."""

import torch
from torch import Tensor, nn


class Blocks(nn.Module):
    """Two convolutions with BatchNorm and dropout, and a linear layer: logits (b, classes) of images (b, channels, h, w)."""

    def __init__(self, classes: int, channels: int = 3, width: int = 8, dropout: float = 0.3) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width)
        self.second, self.drop = nn.Conv2d(width, 2 * width, 3, padding=1), nn.Dropout(dropout)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.drop(self.second(self.norm(self.first(images)).relu()).relu())
        return self.head(hidden.mean((2, 3)))


class Maps(nn.Module):
    """Logits (b, classes, h/2, w/2) of images (b, 3, h, w), in a dictionary beside those of an auxiliary classifier."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body, self.norm = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.classifier, self.aux_classifier = nn.Conv2d(8, classes, 1), nn.Conv2d(8, classes, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        hidden = self.norm(self.body(images)).relu()
        return {"out": self.classifier(hidden), "aux": self.aux_classifier(hidden)}


class Tokens(nn.Module):
    """Logits (b, classes) as the mean over tokens (b, tokens, d) of a linear layer; with or without a class token in front."""

    def __init__(self, classes: int, with_class_token: bool) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, 6, 8, stride=8), nn.Linear(6, classes)
        self.class_token = nn.Parameter(torch.ones(1, 1, 6)) if with_class_token else None

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(len(images), -1, -1), tokens], 1)
        return self.head(tokens).mean(1)


def blocks(classes: int, **settings: float) -> Blocks:
    return Blocks(classes, **settings)


def maps(classes: int) -> Maps:
    return Maps(classes)


def tokens(classes: int, with_class_token: bool = False) -> Tokens:
    return Tokens(classes, with_class_token)


def no_network() -> int:
    return 3


def failing() -> nn.Module:
    raise KeyError("no such size")


NUMBER = 7
