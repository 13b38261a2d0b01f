"""Trains on images that forked workers of a DataLoader read out of large tensors of the parent's. It knows nothing of
Thermocline: under `thermocline run` the images are evicted while the workers read them, and the losses must be the same.
"""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main() -> None:
    torch.manual_seed(1)
    images = torch.randn(256, 3, 64, 64)  # 12 MiB
    labels = torch.arange(256) % 10
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    step = 0
    for _ in range(2):
        # New workers for each epoch: they are forked in the middle of the training.
        loader = DataLoader(TensorDataset(images, labels), batch_size=64, num_workers=2, shuffle=False)
        for batch, wanted in loader:
            loss = nn.functional.cross_entropy(net(batch), wanted)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            images.mul_(0.999)  # what the workers read was copied for them at the fork
            print(f"step {step}: loss {loss.item().hex()} ({loss.item():.4f})", flush=True)
            step += 1


if __name__ == "__main__":
    main()
