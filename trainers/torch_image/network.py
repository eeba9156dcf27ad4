"""The network: three stages of convolutions, then one linear layer over their averages."""

from typing import cast

import torch
from torch import nn


class Network(nn.Module):
    """A small convolutional network.

    Group normalisation and not batch normalisation: it does not depend on how replicas share a batch.

    Args:
        channels: Of the images.
        classes: Number of classes.
        width: Channels of the first stage, a multiple of 8; each later stage has twice as many.
    """

    def __init__(self, channels: int, classes: int, width: int) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for inner in (width, 2 * width, 4 * width):
            for before in (channels, inner):
                stages += [nn.Conv2d(before, inner, 3, padding=1), nn.GroupNorm(8, inner), nn.ReLU()]
            stages.append(nn.MaxPool2d(2))
            channels = inner
        self.features = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits of images: uint8 or float, (images, channels, height, width) in 0 to 255."""
        return cast(torch.Tensor, self.head(self.features(pixels.float() / 127.5 - 1)))


def shifted(pixels: torch.Tensor, most: int) -> torch.Tensor:
    """Each image moved by up to so many pixels each way, black where nothing was: a cheap augmentation."""
    if not most:
        return pixels
    count, _, height, width = pixels.shape
    padded = nn.functional.pad(pixels, (most,) * 4)
    moves = torch.randint(0, 2 * most + 1, (2, count))
    rows = moves[0][:, None] + torch.arange(height)
    columns = moves[1][:, None] + torch.arange(width)
    images = torch.arange(count)[:, None, None]
    return padded.permute(0, 2, 3, 1)[images, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
