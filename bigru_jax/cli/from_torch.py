"""Makes a run directory from a PyTorch classifier and its vocabulary.

  python experiments/from_torch.py --weights=model.pt \\
    --vocabulary=vocabulary.txt --labels=negative,positive --output=runs/mine
  python experiments/predict.py --workdir=runs/mine --text="A gentle film."

The weights are those of model.state_dict(): an nn.Embedding, a bidirectional
nn.GRU, an attention v^T tanh(W h_t + b) or v^T h_t, and an nn.Linear. See
docs/from_pytorch.md.
"""

import os

from absl import flags

from bigru_jax.data import text
from bigru_jax.data.open_files import file_sha256
from bigru_jax.interop.torch import DEFAULT_MODULES, Modules, read_state_dict
from bigru_jax.interop.torch_run import read_vocabulary, write_run
from bigru_jax.runtime import host

FLAGS = flags.FlagValues()
_WEIGHTS = flags.DEFINE_string(
  'weights',
  '',
  'The state dict: a .safetensors file, or one of torch.save, alone or in a '
  'checkpoint.',
  flag_values=FLAGS,
)
_VOCABULARY = flags.DEFINE_string(
  'vocabulary',
  '',
  'The tokens by id: one per line, or a JSON object of tokens and ids. A '
  'tokenizer.json has its own.',
  flag_values=FLAGS,
)
_LABELS = flags.DEFINE_list(
  'labels',
  [],
  'The names of the classes, in the order of their indices.',
  flag_values=FLAGS,
)
_OUTPUT = flags.DEFINE_string(
  'output', '', 'The run directory that is made.', flag_values=FLAGS
)
_EMBEDDING = flags.DEFINE_string(
  'embedding',
  DEFAULT_MODULES.embedding,
  'The module of the token vectors.',
  flag_values=FLAGS,
)
_GRU = flags.DEFINE_string(
  'gru', DEFAULT_MODULES.gru, 'The module of the GRU.', flag_values=FLAGS
)
_ATTENTION = flags.DEFINE_list(
  'attention',
  list(DEFAULT_MODULES.attention),
  'The module of the attention, or two with a comma between: the module of W '
  'and b, and the module of v.',
  flag_values=FLAGS,
)
_DENSE = flags.DEFINE_string(
  'dense', DEFAULT_MODULES.dense, 'The module of the logits.', flag_values=FLAGS
)
_TOKENIZER = flags.DEFINE_string(
  'tokenizer',
  'words',
  f'How texts become tokens: {", ".join(text.TOKENIZERS)}, or a '
  'tokenizer.json.',
  flag_values=FLAGS,
)
_PADDING = flags.DEFINE_string(
  'padding',
  text.PAD,
  "The vocabulary's token for padding; empty if it has none.",
  flag_values=FLAGS,
)
_UNKNOWN = flags.DEFINE_string(
  'unknown',
  text.UNK,
  "The vocabulary's token for all tokens that it does not have.",
  flag_values=FLAGS,
)
_MAX_LENGTH = flags.DEFINE_integer(
  'max_length',
  512,
  'How many tokens of a text are kept.',
  lower_bound=1,
  flag_values=FLAGS,
)


def main() -> None:
  """Writes the run directory, and prints its name."""
  for flag in (_WEIGHTS, _LABELS, _OUTPUT):
    if not flag.value:
      raise ValueError(f'{flag.name} is not given')
  tokenizer = os.path.expanduser(_TOKENIZER.value)
  if tokenizer not in text.TOKENIZERS:
    if _VOCABULARY.value:
      raise ValueError(f'vocabulary: tokenizer={tokenizer} has its own')
    vocabulary = text.JsonTokenizer(tokenizer).tokens()
  elif not _VOCABULARY.value:
    raise ValueError('vocabulary is not given')
  else:
    vocabulary = read_vocabulary(os.path.expanduser(_VOCABULARY.value))
  host.configure_cpu()
  weights = os.path.expanduser(_WEIGHTS.value)
  modules = Modules(
    _EMBEDDING.value, _GRU.value, tuple(_ATTENTION.value), _DENSE.value
  )
  write_run(
    _OUTPUT.value,
    read_state_dict(weights),
    vocabulary,
    _LABELS.value,
    modules=modules,
    tokenizer=tokenizer,
    padding=_PADDING.value,
    unknown=_UNKNOWN.value,
    max_length=_MAX_LENGTH.value,
    identity={'weights': file_sha256(weights, 'weights')},
  )
  print(_OUTPUT.value)
