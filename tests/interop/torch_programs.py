"""A classifier as PyTorch programs have it."""

import pytest

torch = pytest.importorskip(
  'torch', reason="torch is missing: pip install -e '.[compare]'"
)
nn, rnn = torch.nn, torch.nn.utils.rnn


def arrays(module):
  """The state dict of a module, as `read_state_dict` gives it."""
  return {name: x.numpy().copy() for name, x in module.state_dict().items()}


class Classifier(nn.Module):
  """Embedding, GRU, masked attention, dense, as PyTorch programs have them."""

  def __init__(
    self, attention, outputs=3, layers=2, bias=True, words=7, joined=False
  ):
    super().__init__()
    self.embedding = nn.Embedding(words, 5, padding_idx=3)
    self.gru = nn.GRU(
      5, 4, layers, bias=bias, batch_first=True, bidirectional=True
    )
    self.attention = attention
    self.joined = joined  # The largest and the mean state follow the attention.
    self.fc = nn.Linear(24 if joined else 8, outputs)

  def forward(self, tokens, lengths):
    return self.classify(self.embedding(tokens), lengths)

  def classify(self, x, lengths):
    packed = rnn.pack_padded_sequence(
      x, lengths, batch_first=True, enforce_sorted=False
    )
    h, _ = rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True)
    padding = torch.arange(h.shape[1]) >= lengths[:, None]
    scores = self.attention(h).squeeze(-1).masked_fill(padding, -torch.inf)
    context = (scores.softmax(1)[..., None] * h).sum(1)
    if self.joined:
      largest = h.masked_fill(padding[..., None], -torch.inf).amax(1)
      context = torch.cat([context, largest, h.sum(1) / lengths[:, None]], 1)
    return self.fc(context)


def additive(units=8, **options):
  """An attention with a matrix of `units` rows."""
  return nn.Sequential(
    nn.Linear(8, units, **options), nn.Tanh(), nn.Linear(units, 1)
  )
