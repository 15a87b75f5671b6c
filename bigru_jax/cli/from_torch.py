"""Makes a run directory from a PyTorch model and its vocabulary.

  bigru from_torch --weights=model.pt \\
    --vocabulary=vocabulary.txt --labels=negative,positive --output=runs/mine
  bigru predict --workdir=runs/mine --text="A gentle film."

The weights are the state dict of a model with an nn.Embedding, a bidirectional
nn.GRU, an attention v^T tanh(W h_t + b) or v^T h_t, and an nn.Linear. See
docs/from_pytorch.md.
"""

from bigru_jax.cli.command_flags import Flags
from bigru_jax.data import text
from bigru_jax.data.open_files import file_sha256
from bigru_jax.data.tokenizer import JsonTokenizer
from bigru_jax.interop.torch import DEFAULT_MODULES, Modules, read_state_dict
from bigru_jax.interop.torch_run import read_vocabulary, write_run
from bigru_jax.runtime import host

FLAGS = Flags()
_WEIGHTS = FLAGS.path(
  'weights',
  'The state dict: a .safetensors file, or a torch.save file of the state dict '
  'or of a checkpoint.',
)
_VOCABULARY = FLAGS.path(
  'vocabulary',
  'The tokens in the order of their ids, one per line, or a JSON object that '
  'maps tokens to ids. A tokenizer.json includes its vocabulary.',
)
_LABELS = FLAGS.list(
  'labels', 'The names of the classes, in the order of their indices.'
)
_OUTPUT = FLAGS.path('output', 'The new run directory.')
_EMBEDDING = FLAGS.string(
  'embedding', 'The module of the token vectors.', DEFAULT_MODULES.embedding
)
_GRU = FLAGS.string('gru', 'The module of the GRU.', DEFAULT_MODULES.gru)
_ATTENTION = FLAGS.list(
  'attention',
  'The module of the attention; or two, separated by a comma: the module of W '
  'and b, and the module of v.',
  list(DEFAULT_MODULES.attention),
)
_POOLING = FLAGS.string(
  'pooling',
  'The poolings that the program concatenates, in its order, such as '
  'additive+max+mean; empty for the attention alone.',
  '',
)
_DENSE = FLAGS.string(
  'dense', 'The module of the logits.', DEFAULT_MODULES.dense
)
_TOKENIZER = FLAGS.path(
  'tokenizer',
  f'The tokenizer: {", ".join(text.TOKENIZERS)}, or a tokenizer.json.',
  'words',
)
_PADDING = FLAGS.string(
  'padding',
  "The vocabulary's token for padding; empty if it has none.",
  text.PAD,
)
_UNKNOWN = FLAGS.string(
  'unknown',
  "The vocabulary's token for unknown tokens.",
  text.UNK,
)
_MAX_LENGTH = FLAGS.integer(
  'max_length', 'The maximum number of tokens per text.', 512, lower=1
)


def main() -> None:
  """Writes the run directory, and prints its name."""
  FLAGS.require('weights', 'labels', 'output')
  tokenizer, weights = _TOKENIZER.value, _WEIGHTS.value
  if tokenizer not in text.TOKENIZERS:
    if _VOCABULARY.value:
      raise ValueError(
        f'vocabulary: tokenizer={tokenizer} has its own vocabulary'
      )
    vocabulary = JsonTokenizer(tokenizer).tokens()
  else:
    FLAGS.require('vocabulary')
    vocabulary = read_vocabulary(_VOCABULARY.value)
  host.configure_cpu()
  modules = Modules(
    _EMBEDDING.value, _GRU.value, tuple(_ATTENTION.value), _DENSE.value
  )
  write_run(
    _OUTPUT.value,
    read_state_dict(weights),
    vocabulary,
    _LABELS.value,
    modules=modules,
    pooling=_POOLING.value,
    tokenizer=tokenizer,
    padding=_PADDING.value,
    unknown=_UNKNOWN.value,
    max_length=_MAX_LENGTH.value,
    identity={'weights': file_sha256(weights, 'weights')},
  )
  print(_OUTPUT.value)
