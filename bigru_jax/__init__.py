"""Bidirectional GRUs with attention, in JAX and Flax.

The public names are imported at their first use, so `import bigru_jax` starts
neither JAX nor anything else.

The letters of the axes, in names such as `x_BxTxE`: B batch, T time, E
embedding, F features, H hidden units of one direction, D directions, G gates
(3H), C classes, V vocabulary, K attention heads, N all positions (B * T), S the
sentences of a batch, M those of one document.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from bigru_jax.config import Config
  from bigru_jax.inference.ensemble import Ensemble, load_ensemble
  from bigru_jax.inference.load import load
  from bigru_jax.inference.predictor import Predictor
  from bigru_jax.inference.run import Run
  from bigru_jax.models.bigru import BiGRU
  from bigru_jax.models.classifier import Classifier
  from bigru_jax.models.hierarchical import HierarchicalClassifier
  from bigru_jax.ops.gru import GRUParams, bidirectional_gru
  from bigru_jax.training.pretrain import Pretrained, pretrain
  from bigru_jax.training.train import train

__version__ = '0.3.0'
__all__ = [
  'BiGRU',
  'Classifier',
  'Config',
  'Ensemble',
  'GRUParams',
  'HierarchicalClassifier',
  'Predictor',
  'Pretrained',
  'Run',
  'bidirectional_gru',
  'load',
  'load_ensemble',
  'pretrain',
  'train',
]
_MODULES = {
  'BiGRU': 'models.bigru',
  'Classifier': 'models.classifier',
  'Config': 'config',
  'Ensemble': 'inference.ensemble',
  'GRUParams': 'ops.gru',
  'HierarchicalClassifier': 'models.hierarchical',
  'Predictor': 'inference.predictor',
  'Pretrained': 'training.pretrain',
  'Run': 'inference.run',
  'bidirectional_gru': 'ops.gru',
  'load': 'inference.load',
  'load_ensemble': 'inference.ensemble',
  'pretrain': 'training.pretrain',
  'train': 'training.train',
}


def __getattr__(name: str) -> Any:
  if name not in _MODULES:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  module = importlib.import_module(f'{__name__}.{_MODULES[name]}')
  return getattr(module, name)


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})
