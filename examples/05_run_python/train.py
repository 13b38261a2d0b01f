"""Trains a small convolutional network on made-up images. It knows nothing of Thermocline: see README.md beside it.

    python3 train.py [--steps N] [--batch N] [--width N]
"""
import argparse
import time

import torch
from torch import nn


def make_net(width: int) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 1
    for stage in range(3):
        for block in range(3):
            stride = 2 if stage > 0 and block == 0 else 1
            layers += [
                nn.Conv2d(channels, width << stage, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(width << stage),
                nn.ReLU(),
            ]
            channels = width << stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains a small convolutional network on made-up images.")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--width", type=int, default=32, help="channels of the first stage")
    flags = parser.parse_args()

    torch.manual_seed(1)
    net = make_net(flags.width)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    labels = torch.arange(flags.batch) % 10
    # Each class is a bar at a place of its own, under noise.
    images = 0.5 * torch.randn(flags.batch, 1, 28, 28)
    for image, label in zip(images, labels):
        image[0, 2 * int(label) + 4] += 1
    for step in range(flags.steps):
        start = time.monotonic()
        loss = nn.functional.cross_entropy(net(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        # float.hex() prints every bit.
        print(f"step {step}: loss {loss.item().hex()} ({loss.item():.4f}), {time.monotonic() - start:.2f} s", flush=True)


if __name__ == "__main__":
    main()
