# SPDX-License-Identifier: MIT
"""Trains a small transformer to predict the next byte of a text, with AdamW. The lines that end in "# +" add
intelligent gradient amplification. Usage: train.py TEXT [EPOCHS]; TEXT is a file of at least 10,000 bytes."""

import pathlib
import sys

import torch
from torch import nn

import gradamp.torch  # +

LENGTH, WIDTH = 64, 96


class Transformer(nn.Module):
    """Its input and output share one weight, which is measured and amplified as a part of `embedding`."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(256, WIDTH)
        self.position = nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
        block = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.output = nn.Linear(WIDTH, 256, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.output.weight = self.embedding.weight

    def forward(self, text):
        mask = nn.Transformer.generate_square_subsequent_mask(text.shape[1])
        return self.output(self.blocks(self.embedding(text) + self.position[: text.shape[1]], mask, is_causal=True))


def loss_of(model, pieces):
    logits = model(pieces[:, :-1])
    return nn.functional.cross_entropy(logits.flatten(0, 1), pieces[:, 1:].flatten())


if len(sys.argv) not in (2, 3):
    print("usage: train.py TEXT [EPOCHS]", file=sys.stderr)
    sys.exit(2)
path, epochs = pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10
pieces = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8).long().unfold(0, LENGTH + 1, LENGTH)
torch.manual_seed(1)
pieces = pieces[torch.randperm(len(pieces))]
test, train = pieces[: len(pieces) // 10], pieces[len(pieces) // 10 :]
model = Transformer()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
strategy = "3:2e-3, 8:2e-3:2, 10:5e-4"  # epochs 4 to 8 amplify; the fourth selects # +
amplifier = gradamp.torch.Amplifier(model, optimizer, strategy, threshold=1.0, epochs=epochs)  # +

for epoch in range(1, epochs + 1):
    amplifier.begin_epoch(epoch)  # +
    for batch in torch.randperm(len(train)).split(32):
        optimizer.zero_grad()
        loss_of(model, train[batch]).backward()
        amplifier.accumulate()  # statistics are of gradients before clipping # +
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    if (measures := amplifier.end_epoch()) is not None:  # +
        print(measures)  # +
    with torch.no_grad():
        print(f"epoch {epoch}/{epochs}  test loss {loss_of(model, test):.4f}", flush=True)
