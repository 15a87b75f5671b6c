"""Trains, selects and tests a BiGRU with attention: the main job.

  python experiments/run.py
  python experiments/run.py --dataset=trec --data_dir=FOLDER --embeddings=FILE

The run directory, --workdir, holds all that comes of it; with an existing one
the run goes on where it stopped.
"""

import contextlib
import logging
import os
import pathlib
import sys
import time

from absl import app, flags, logging as absl_logging
import jax
import numpy as np

from bigru_jax import (
  checkpoints,
  config as configuration,
  preemption,
  runs,
  sharding,
  steps,
  training,
)
from bigru_jax.data import batching, corpora, embeddings, sources, text

_log = logging.getLogger('bigru_jax.run')

configuration.define_flags()
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'The run directory; runs/<dataset> by default.'
)


def make_tokenizer(config, train_texts):
  """The tokeniser and vocabulary of a new run."""
  if config.tokenizer in text.TOKENIZERS:
    tokenize = text.TOKENIZERS[config.tokenizer]
    vocabulary = text.build_vocabulary(
      map(tokenize, train_texts), config.max_vocabulary, config.min_count
    )
    return tokenize, vocabulary, len(vocabulary)
  if not config.tokenizer.endswith('.json'):
    raise ValueError(
      f'--tokenizer={config.tokenizer}: choose '
      f'{", ".join(text.TOKENIZERS)} or a tokenizer.json'
    )
  if not os.path.isfile(config.tokenizer):
    raise FileNotFoundError(f'--tokenizer: no such file: {config.tokenizer}')
  if config.embeddings:
    raise ValueError('--embeddings needs a tokeniser with words')
  tokenize, _, size = text.load_tokenizer_json(config.tokenizer)
  return tokenize, None, size


def pretrained(config, corpus, tokenize, vocabulary):
  """Reads --embeddings; words of the other splits that it knows join in.

  Returns:
    The vocabulary, longer by those words, and word -> vector.
  """
  known = set(vocabulary)
  others = {}  # In order, as a set would not be.
  for name in ('validation', 'test'):
    for example in corpus.splits[name].texts:
      others.update((t, None) for t in tokenize(example) if t not in known)
  vectors = embeddings.load_vectors(
    config.embeddings, known | others.keys(), config.embedding_size
  )
  joined = [word for word in others if word in vectors]
  return vocabulary + joined, vectors


def encode_splits(config, corpus, tokenize, vocabulary):
  """Every split as ids with its buckets; logs what was cut."""
  splits = {}
  for name, split in corpus.splits.items():
    encoded = text.encode(split.texts, tokenize, vocabulary, config.max_length)
    if encoded.cut:
      _log.info(
        '%d texts of %s were cut at --max_length=%d',
        encoded.cut, name, config.max_length,
      )  # fmt: skip
    buckets = batching.choose_buckets(encoded.lengths)
    labels = corpus.label_ids(name)
    splits[name] = training.Split(encoded, labels, buckets)
  return splits


def train(config, workdir, stop):
  """Runs the whole job and returns what result.json holds."""
  mesh = sharding.make_mesh(config.batch_size)
  corpus = sources.load(config)
  for note in corpus.notes:
    _log.info('%s', note)
  tokenize, vocabulary, size = make_tokenizer(
    config, corpus.splits['train'].texts
  )
  vectors = {}
  if config.embeddings:
    vocabulary, vectors = pretrained(config, corpus, tokenize, vocabulary)
    size = len(vocabulary)
  splits = encode_splits(config, corpus, tokenize, vocabulary)
  classes = corpus.classes
  model = steps.make_model(config, size, len(classes))
  params = steps.init_params(model, config.seed)
  if vectors:
    table, coverage = embeddings.embedding_table(
      params['embedding'], vocabulary, vectors
    )
    params = {**params, 'embedding': table}
    _log.info(
      '%.1f %% of the vocabulary have a pretrained vector', 100 * coverage
    )
  parameters = sum(np.size(p) for p in jax.tree.leaves(params))
  _log.info(
    '%s: %s examples, %d classes, %d words, %d parameters, %d devices',
    config.train or config.dataset,
    '/'.join(str(len(s.labels)) for s in splits.values()),
    len(classes), size, parameters, mesh.size,
  )  # fmt: skip
  trainer = training.Trainer(
    config, mesh, params, model.apply, splits, len(classes)
  )
  if (workdir / 'config.json').exists():
    runs.check_same(workdir, config, classes, vocabulary)
  else:
    runs.create(workdir, config, classes, vocabulary)
  _log.info(
    'batches of %s tokens a text; each length is compiled at its first use',
    ', '.join(map(str, splits['train'].buckets)),
  )
  with contextlib.closing(checkpoints.Checkpoints(workdir)) as saved:
    best, log = training.fit(
      trainer, saved, lambda lines: runs.MetricsLog(workdir, lines), stop
    )
  tested = trainer.evaluate('test')
  step = {'step': best['step'], 'epoch': best['epoch']}
  log.add({**step, 'split': 'test', **tested})
  log.close()
  plan = splits['train'].plan(config.batch_size, config.seed)
  seconds = max(trainer.train_seconds, 1e-9)
  result = {
    'dataset': config.train or config.dataset,
    'best_epoch': best['epoch'],
    'validation': {k: best[k] for k in ('loss', 'accuracy', 'macro_f1')},
    'test': tested,
    'train_seconds': round(trainer.train_seconds, 3),
    'examples_per_second': round(trainer.examples_seen / seconds, 1),
    'tokens_per_second': round(trainer.tokens_seen / seconds, 1),
    'compile_seconds': round(trainer.compile_seconds, 3),
    'save_seconds': round(saved.seconds, 3),
    'skipped_steps': sum(line.get('skipped_steps', 0) for line in log.lines),
    'padding_fraction': batching.padding_fraction(
      splits['train'].encoded.lengths, plan, config.batch_size
    ),
    'parameters': parameters,
  }
  runs.write_json(workdir / 'result.json', result)
  _log.info(
    'test accuracy %.4f, macro F1 %.4f (best epoch %d); see %s',
    tested['accuracy'], tested['macro_f1'], best['epoch'], workdir,
  )  # fmt: skip
  return result


def main(argv):
  started = time.perf_counter()
  if len(argv) > 1:
    raise app.UsageError(f'not a flag: {argv[1]}')
  if not flags.FLAGS['verbosity'].present:
    absl_logging.set_verbosity(absl_logging.WARNING)  # For JAX and Orbax.
  logging.getLogger('bigru_jax').setLevel(logging.INFO)
  # What a damaged checkpoint does to Orbax's tasks is reported by ours.
  logging.getLogger('asyncio').setLevel(logging.CRITICAL)
  try:
    config = configuration.from_flags()
    sharding.use_cpu_devices(config.cpu_devices, config.batch_size)
    jax.config.update(
      'jax_compilation_cache_dir', str(corpora.cache_dir() / 'compiled')
    )
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.3)
    name = 'files' if config.train else config.dataset
    workdir = pathlib.Path(
      _WORKDIR.value or pathlib.Path('runs', name.replace(':', '_'))
    )
    stop = preemption.StopSignals()
    with runs.locked(workdir):
      train(config, workdir, stop)
  except preemption.Preempted as reason:
    print(f'run.py: {reason}; the same command goes on', file=sys.stderr)
    sys.exit(preemption.EXIT_STATUS)
  except (ValueError, OSError) as error:
    print(f'run.py: {error}', file=sys.stderr)
    sys.exit(2)
  _log.info('%.1f s in all', time.perf_counter() - started)


if __name__ == '__main__':
  app.run(main)
