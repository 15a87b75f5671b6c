"""No field of the configuration is ever ignored.

`CHANGES` has for every field another value than the default, in a run in which
it has an effect; the test compares what is built of both configurations. A new
field fails until it is there. `IGNORED` has the runs in which a field would
have no effect, and what is said then.
"""

import contextlib
import dataclasses
import functools
import re
import shutil
import types

import jax
import numpy as np
import pandas
import pytest
import tokenizers

import bigru_jax
from bigru_jax import parallel
from bigru_jax.config import Config
from bigru_jax.data.class_weights import weigh_classes
from bigru_jax.data.prepare import prepare
from bigru_jax.data.texts import prepare_texts
from bigru_jax.models.build import make_classifier
from bigru_jax.rundir import files as run_files
from bigru_jax.rundir.source import prepare_from
from bigru_jax.tasks import SingleLabel
from bigru_jax.training import (
  effects,
  final_evaluation,
  fit,
  trainer as trainer_module,
)
from bigru_jax.training.program import (
  Program,
  build_language_model,
  build_program,
  task_of,
)

# Small, of a file of two labels a text, and of several.
SMALL = {'embedding_size': 4, 'hidden_size': 4, 'batch_size': 8}
ONE = {**SMALL, 'train': 'one.csv'}
SEVERAL = {**SMALL, 'train': 'several.csv', 'task': 'multi_label'}
JSON = {'tokenizer': 'tokenizer.json'}
HIERARCHICAL = {'model': 'hierarchical'}
TREES = {'train': '', 'dataset': 'sst1', 'data_dir': 'trees'}
SETS = {'embeddings': 'vectors.txt,names.txt', 'embedding_size': 0}
HEADS = {'pooling': 'structured'}
_TERMS = 'virtual_adversarial or entropy_weight or language_model_weight'
LANGUAGE_MODEL = {'task': 'language_model'}
SOURCE_SIZES = {'embedding_size': 16, 'hidden_size': 16}  # Of `run_directory`.

# Field: another value, and the fields beside it that differ from `ONE`.
CHANGES = {
  'dataset': ('sst2', TREES),
  'data_dir': ('more_trees', TREES),
  'train': ('more.csv', {}),
  'validation': ('more.csv', {}),
  'test': ('more.csv', {}),
  'unlabelled': ('more.csv', {'entropy_weight': 0.1}),
  'text_column': ('title', {}),
  'label_column': ('title', {}),
  'weight_column': ('weight', {'train': 'weighted.csv'}),
  'id_column': ('title', {}),
  'encoding': ('latin-1', {}),
  'delimiter': (';', {'train': 'both.csv'}),
  'task': ('multi_label', {}),
  'label_separator': (';', SEVERAL),
  'label_names': ('a,b', {**SEVERAL, 'train': 'multi_hot.csv'}),
  'sst_phrases': (True, TREES),
  'split_seed': (1, {}),
  'folds': (3, {}),
  'fold': (1, {'folds': 3}),
  'tokenizer': ('characters', {}),
  'replace_urls_and_users': (True, {'train': 'tweets.csv'}),
  'max_length': (3, {}),
  'max_sentences': (1, HIERARCHICAL),
  'keep': ('tail', {'max_length': 3}),
  'max_sentence_length': (2, HIERARCHICAL),
  'max_vocabulary': (3, {}),
  'min_count': (99, {}),
  'embeddings': ('vectors.txt', {}),
  'init_from': ('source', SOURCE_SIZES),
  'embeddings_join': ('mean', SETS),
  'word_forms': (False, {'embeddings': 'vectors.txt'}),
  'freeze_embeddings': ('names.txt', SETS),
  'char_embeddings': (True, {}),
  'embedding_size': (6, {}),
  'model': ('hierarchical', {}),
  'encoder': ('average', {}),
  'hidden_size': (6, {}),
  'num_layers': (2, {}),
  'pooling': ('dot', {}),
  'num_heads': (2, HEADS),
  'dropout': (0.1, {}),
  'dropout_after_pooling': (0.1, {}),
  'embedding_dropout': (0.1, {}),
  'spatial_dropout': (0.1, {}),
  'word_dropout': (0.1, {}),
  'recurrent_dropout': (0.1, {}),
  'sampled_words': (9, LANGUAGE_MODEL),
  'weight_drop': (0.1, {}),
  'dtype': ('bfloat16', {}),
  'loss': ('sigmoid', {}),
  'focal_gamma': (1.0, {'loss': 'focal'}),
  'label_smoothing': (0.1, {}),
  'class_weights': ('1,2', {}),
  'attention_penalty': (0.1, HEADS),
  'adversarial': (0.1, {}),
  'virtual_adversarial': (0.1, {}),
  'entropy_weight': (0.1, {}),
  'language_model_weight': (0.1, {}),
  'r_drop': (0.1, {}),
  'mixup': (0.1, {}),
  'threshold': ('tuned', {}),
  'threshold_metric': ('youden', {'threshold': 'tuned'}),
  'positive_label': ('a', {}),
  'optimizer': ('sgd', {}),
  'learning_rate': (0.1, {}),
  'weight_decay': (0.1, {}),
  'embedding_learning_rate_factor': (0.1, {}),
  'init_learning_rate_factor': (0.1, {**SOURCE_SIZES, 'init_from': 'source'}),
  'schedule': ('linear', {}),
  'warmup': (0.5, {}),
  'clip_norm': (0.1, {}),
  'ema_decay': (0.9, {}),
  'batch_size': (4, {}),
  'epochs': (7, {}),
  'patience': (1, {}),
  'select_by': ('accuracy', {}),
  'seed': (1, {}),
  'checkpoint_every': (3, {}),
  'max_nonfinite_steps': (3, {}),
}
# The first is JAX's number of devices, which is set once a process. Without
# the second, labels that need it are refused. The third is what the files have.
# The others choose what is shown.
ELSEWHERE = {
  'cpu_devices', 'soft_labels', 'embedding_sizes', 'metrics', 'explain',
}  # fmt: skip


@pytest.fixture(autouse=True, scope='module')
def corpus(tmp_path_factory, run_directory):
  """The files of the configurations, in the working directory."""
  tmp_path = tmp_path_factory.mktemp('corpus')
  words = (
    'A fine film. The plot is slow. A café scene; An old song. So.'.split()
  )
  rng = np.random.default_rng(0)
  texts = [' '.join(rng.choice(words, 9)) for _ in range(40)]
  one = [[x, 'ab'[i % 2], 'xyz'[i % 3]] for i, x in enumerate(texts)]
  several = [[x, 'a|b;c' if i % 2 else 'b;c', 'x'] for i, x in enumerate(texts)]
  multi_hot = [[x, f'"[{i % 2}, 1]"', 'x'] for i, x in enumerate(texts)]
  corpora = {
    'one': one,
    'several': several,
    'multi_hot': multi_hot,
    'more': one[:30],
    'tweets': [[f'@ann {x}', *others] for x, *others in one],
  }
  for name, rows in corpora.items():
    lines = [','.join(row) for row in [['text', 'label', 'title'], *rows]]
    (tmp_path / f'{name}.csv').write_text('\n'.join(lines), 'utf-8')
  weighted = [['text', 'label', 'weight']]
  weighted += [[x, y, str(1 + i % 3)] for i, (x, y, _) in enumerate(one)]
  (tmp_path / 'weighted.csv').write_text('\n'.join(map(','.join, weighted)))
  # Its columns are there with a comma, and others with a semicolon.
  lines = ['text,label,x;text;label']
  lines += [
    f'film {i},{"ab"[i % 2]},x;plot {i};{"ba"[i % 2]}' for i in range(40)
  ]
  (tmp_path / 'both.csv').write_text('\n'.join(lines))
  for folder, sentences in (('trees', 30), ('more_trees', 40)):
    (tmp_path / folder).mkdir()
    for i, name in enumerate(('train', 'dev', 'test')):
      lines = [
        f'({j % 5} (2 a) ({(i + j) % 5} (4 film) (1 w{j})))'
        for j in range(sentences)
      ]
      (tmp_path / folder / f'{name}.txt').write_text('\n'.join(lines))
  vectors = [f'{word} 1 2 3 4' for word in ('film.', 'plot', 'slow')]
  (tmp_path / 'vectors.txt').write_text('\n'.join([*vectors, 'Fine 4 3 2 1']))
  (tmp_path / 'names.txt').write_text('film 1 2 3')
  words = ['[PAD]', '[UNK]', *words]
  model = tokenizers.models.WordLevel(
    {x: i for i, x in enumerate(words)}, '[UNK]'
  )
  tokenizer = tokenizers.Tokenizer(model)
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
  tokenizer.save(str(tmp_path / 'tokenizer.json'))
  (tmp_path / 'source').symlink_to(run_directory)
  with contextlib.chdir(tmp_path):
    yield


def _plain(value):
  """Converts a value into one that `==` compares."""
  if dataclasses.is_dataclass(value):
    return {
      field.name: _plain(getattr(value, field.name))
      for field in dataclasses.fields(value)
    }
  if isinstance(value, dict):
    return {key: _plain(x) for key, x in value.items()}
  return value.tolist() if isinstance(value, np.ndarray) else value


def _prepared(config):
  if config.task == 'language_model':
    data = prepare_texts(config)
  else:
    data, _ = prepare_from(config, prepare)
  return weigh_classes(data, config.class_weights)


@functools.cache
def _data(config):
  """The prepared data, with the vocabulary instead of the tokenizer."""
  data = _prepared(config)
  identity = data.identity if config.embeddings else {}
  return _plain(
    dataclasses.replace(
      data, tokenizer=data.tokenizer.vocabulary, identity=identity, notes=[]
    )
  )


class _Checkpoints:
  """Checkpoints that keep only the steps at which they were saved."""

  seconds = 0.0

  def __init__(self):
    self.steps = []

  def restore(self, state):
    del state

  def restore_best(self, state, step):
    del step
    return state

  def save(self, state, progress):
    del state
    self.steps.append((progress['epoch'], progress['batch']))

  def close(self):
    pass


@functools.cache
def _training(config):
  """When epochs end and are saved, which one is best, and when a run stops."""
  # Losses, accuracies: the best epochs differ, and each stays the best for two.
  epochs = iter([(3, 0.1), (4, 0.9), (5, 0.1), (2, 0.1)] + [(9, 0.1)] * 20)
  summary = trainer_module.EpochSummary(
    loss=1.0, nonfinite_steps=0, seconds=1.0, examples=1, tokens=1
  )

  def train_epoch(epoch, first):
    for batch in range(1 + first, 5):
      number = 4 * (epoch - 1) + batch
      yield trainer_module.Step(
        number=number,
        epoch=epoch,
        batch=batch,
        summary=summary if batch == 4 else None,
      )

  def evaluate(split, keep_logits):
    del split, keep_logits
    loss, accuracy = next(epochs)
    return {'loss': loss, 'accuracy': accuracy}, None

  trainer = types.SimpleNamespace(
    config=config, task=SingleLabel(2), state=None,
    splits={'validation': types.SimpleNamespace(example_weights=lambda: None)},
    wait=None, steps_per_epoch=4, train_epoch=train_epoch, evaluate=evaluate,
  )  # fmt: skip
  checkpoints = _Checkpoints()
  directory = types.SimpleNamespace(
    open_checkpoints=lambda: checkpoints, restart_log=list, log=dict,
    has_failed=lambda: False,
  )  # fmt: skip
  progress = fit.fit(trainer, directory)
  plan = [(None, np.arange(2))] * 5
  try:
    trainer_module.Trainer._check_finite(trainer, plan, 5, 5)
    is_stopped = False
  except ValueError:
    is_stopped = True
  return progress.best, checkpoints.steps, len(progress.lines), is_stopped


@functools.cache
def _calibration(config):
  """The thresholds and the temperature that validation gives."""
  if config.task == 'language_model':
    return None
  data = _prepared(config)
  task = task_of(config, data)
  split = data.splits['validation']
  shape = len(split), task.num_outputs
  logits = np.random.default_rng(0).normal(-1, 1, shape)
  return final_evaluation._calibrate(config, task, logits, split)


@functools.cache
def _step(config):
  """The program of a training step."""
  data = _prepared(config)
  if config.task == 'language_model':
    program = build_language_model(config, data)
  elif config.language_model_weight:
    program = build_program(config, data)
  else:
    task = task_of(config, data)
    model = make_classifier(
      config, data.tokenizer.size, task.num_outputs, data.tokenizer.vocabulary
    )
    copied = ('embedding', 'encoder') if config.init_from else ()
    program = Program(task=task, model=model, params=None, copied=copied)
  mesh = parallel.make_mesh(config.batch_size)
  batch = next(iter(data.splits['train'].plan(config.batch_size)))
  batch = data.splits['train'].batch(batch[1], batch[0], config.batch_size)
  init = program.model.init
  shapes = program.params
  if shapes is None:
    shapes = jax.eval_shape(init, jax.random.key(0), batch)['params']
  params = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
  program = dataclasses.replace(program, params=params)
  trainer = trainer_module.Trainer(config, program, data.splits, mesh)
  trainer.close()
  step = trainer._train_step._function
  program_text = str(step.trace(trainer.state, batch).jaxpr)
  return re.sub('0x[0-9a-f]+', '', program_text)


PARTS = _data, _training, _calibration, _step


def _differ(config, other):
  """Whether any part of two runs differs; cheap parts are compared first."""
  return any(part(config) != part(other) for part in PARTS)


def test_changes_has_every_field():
  names = {field.name for field in dataclasses.fields(Config)}
  assert CHANGES.keys() | ELSEWHERE == names


@pytest.mark.parametrize('name', CHANGES)
def test_every_field_changes_the_run(name):
  value, others = CHANGES[name]
  config = Config(**{**ONE, **others})
  changed = Config(**{**ONE, **others, name: value})
  for each in (config, changed):
    effects.check_effects(each)
    effects.check_split_seed(each, ['train'])
  assert _differ(config, changed)


# Runs in which other fields have an effect than in `ONE`.
KINDS = {
  'flat': {},
  'several labels': SEVERAL,
  'hierarchical': HIERARCHICAL,
  'average': {'encoder': 'average'},
  'heads': HEADS,
  'max': {'pooling': 'max'},
  'joined': {'pooling': 'structured+max', 'dropout_after_pooling': 0.3},
  'label-wise': {'pooling': 'label_wise'},
  'two layers': {'num_layers': 2},
  'trees': TREES,
  'generated': {'train': '', 'dataset': 'synthetic'},
  'its own splits': {'validation': 'more.csv', 'test': 'more.csv'},
  'vectors': {'embeddings': 'vectors.txt'},
  'tokenizer.json': {'tokenizer': 'tokenizer.json'},
  'sgd': {'optimizer': 'sgd', 'schedule': 'constant'},
  'adam': {'optimizer': 'adam'},
  'lazy_adamw': {'optimizer': 'lazy_adamw'},
  'language model': LANGUAGE_MODEL,
}


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS)
def test_no_field_is_ignored_in_any_run(kind):
  config = Config(**{**ONE, 'max_length': 2, **KINDS[kind]})
  if config.model == 'hierarchical':
    config = dataclasses.replace(config, max_length=512, max_sentences=1)
  ignored = []
  for name, (value, _) in CHANGES.items():
    try:
      changed = dataclasses.replace(config, **{name: value})
      if changed == config:
        continue
      effects.check_effects(changed)
      data = _prepared(changed)
      effects.check_split_seed(changed, data.identity)
      effects.check_labels(changed, data.labels)
      if not _differ(config, changed):
        ignored.append(name)
    except (ValueError, FileNotFoundError) as error:
      assert len(str(error).splitlines()) == 1
  # These texts have neither URLs nor user names. Several labels have a sigmoid
  # cross entropy under both of its names.
  harmless = {'replace_urls_and_users'}
  if config.task == 'multi_label':
    harmless.add('loss')
  assert set(ignored) <= harmless


# A field, another value, the fields beside it, and what it needs.
IGNORED = [
  ('dataset', 'trec', {}, 'a run without train'),
  ('data_dir', 'trees', {}, 'a dataset that is read from files, without train'),
  ('data_dir', 'trees', {'train': ''}, 'a dataset that is read from files'),
  *(
    (name, 'title', {'train': ''}, needs)
    for name, needs in (
      ('text_column', 'train, unlabelled, a dataset of tfds, or a table'),
      ('label_column', 'train, a dataset of tfds, or a table in memory'),
    )
  ),
  ('unlabelled', 'one.csv', {}, _TERMS),
  ('encoding', 'latin-1', {'train': ''}, 'a text file as train'),
  ('delimiter', ';', {'train': 'vectors.txt'}, 'a .csv file as train'),
  ('sst_phrases', True, {}, 'dataset=sst1 or sst2'),
  ('sst_phrases', True, {**TREES, 'dataset': 'mr'}, 'dataset=sst1 or sst2'),
  ('label_separator', ';', {}, 'task=multi_label'),
  ('threshold_metric', 'mcc', {}, 'threshold=tuned or per_label'),
  ('positive_label', 'a', SEVERAL, 'task=single_label'),
  ('threshold', 'per_label', {}, 'task=multi_label'),
  ('focal_gamma', 1.0, {}, 'loss=focal'),
  ('focal_gamma', 1.0, {**SEVERAL, 'loss': 'asymmetric'}, 'loss=focal'),
  ('sampled_words', 9, {}, 'language_model_weight, or task=language_model'),
  ('optimizer', 'lazy_adamw', LANGUAGE_MODEL, 'a task with labels'),
  ('max_length', 9, HIERARCHICAL, 'model=flat'),
  ('max_sentences', 9, {}, 'model=hierarchical'),
  ('max_sentence_length', 9, {}, 'model=hierarchical'),
  (
    'max_vocabulary',
    9,
    {'tokenizer': 'x.json'},
    'a vocabulary made from train',
  ),
  ('min_count', 9, {'tokenizer': 'x.json'}, 'a vocabulary made from train'),
  *(
    ('num_heads', 2, {'pooling': name}, 'pooling=multi_head or structured')
    for name in ('additive', 'dot', 'mean', 'max', 'last', 'entity')
  ),
  ('mixup', 0.1, {'batch_size': 1}, 'batch_size above 1'),
  ('word_forms', False, {}, 'embeddings'),
  ('init_learning_rate_factor', 0.1, {}, 'init_from'),
  ('embeddings_join', 'mean', {}, 'several files in embeddings'),
  ('dropout', 0.1, {'dropout_after_pooling': 0.3}, 'num_layers above 1, or no'),
  ('num_heads', 2, {'pooling': 'additive+max'}, 'pooling=multi_head or struct'),
  ('weight_decay', 0.1, {'optimizer': 'adam'}, 'optimizer=adamw'),
  ('weight_decay', 0.1, {'optimizer': 'sgd'}, 'optimizer=adamw'),
]


@pytest.mark.parametrize('name, value, others, needs', IGNORED)
def test_settings_that_would_be_ignored_are_refused(name, value, others, needs):
  config = Config(**{**ONE, **others})
  effects.check_effects(config)
  config = dataclasses.replace(config, **{name: value})
  message = f'{name}={value} needs {needs}'
  with pytest.raises(ValueError, match=f'^{re.escape(message)}'):
    effects.check_effects(config)


def test_only_two_classes_have_a_positive_label_and_its_threshold():
  two, three = ['a', 'b'], ['x', 'y', 'z']
  tuned, named = Config(threshold='tuned'), Config(positive_label='a')
  for config in (Config(), tuned, named):
    effects.check_labels(config, two)
  effects.check_labels(Config(), three)
  effects.check_labels(dataclasses.replace(tuned, task='multi_label'), three)
  for config, labels, message in (
    (Config(positive_label='c'), two, 'positive_label=c is not a label of the '
     'data: a, b'),
    (named, three, 'positive_label=a needs two classes, and there are 3'),
    (tuned, three, 'threshold=tuned needs two classes, and there are 3, or '
     'task=multi_label'),
  ):  # fmt: skip
    with pytest.raises(ValueError, match=f'^{re.escape(message)}$'):
      effects.check_labels(config, labels)


@pytest.mark.parametrize(
  'corpus',
  [(['a'], ['x']), [('a', 'x')], 'text', {'a', 'b'}, iter('ab'), np.eye(2), 3],
)
def test_an_object_that_is_not_a_corpus_is_named(corpus, tmp_path):
  with pytest.raises(
    ValueError, match=r'^corpus is an? \w+; give \{.train.: X'
  ):
    bigru_jax.train(Config(text_column='title'), tmp_path, corpus)


@pytest.mark.compare('datasets')
def test_a_dataset_is_not_a_corpus(tmp_path):
  import datasets

  corpus = datasets.Dataset.from_dict({'text': ['a'], 'label': ['x']})
  with pytest.raises(ValueError, match="corpus is a Dataset; give {'train': X"):
    bigru_jax.train(Config(label_column='kind'), tmp_path, corpus)


def test_a_corpus_in_memory_excludes_fields_of_files():
  pairs = {'train': (['a', 'b'], ['x', 'y'])}
  effects.check_effects(Config(), pairs)
  for name, value in (
    ('train', 'one.csv'),
    ('dataset', 'trec'),
    ('encoding', 'latin-1'),
  ):
    with pytest.raises(ValueError, match=f'{name}={value} needs a run without'):
      effects.check_effects(Config(**{name: value}), pairs)
  named = Config(text_column='title')
  with pytest.raises(ValueError, match='text_column=title needs train'):
    effects.check_effects(named, pairs)
  effects.check_effects(named, {'train': pandas.DataFrame({'title': ['a']})})


def test_texts_without_labels_in_memory_are_not_ignored():
  corpus = {'train': (['a', 'b'], ['x', 'y']), 'unlabelled': ['a b']}
  effects.check_effects(Config(entropy_weight=0.1), corpus)
  for options, needs in (
    ({}, _TERMS),
    ({'entropy_weight': 0.1, 'model': 'hierarchical'}, 'model=flat'),
  ):
    message = f"unlabelled=corpus['unlabelled'] needs {needs}"
    with pytest.raises(ValueError, match=f'^{re.escape(message)}$'):
      effects.check_effects(Config(**options), corpus)


def test_split_seed_needs_a_split_to_draw():
  every = ['train', 'validation', 'test']
  drawn = Config(split_seed=1)
  effects.check_split_seed(drawn, every[:2])
  effects.check_split_seed(Config(), every)
  effects.check_split_seed(Config(split_seed=1, dataset='synthetic'), every)
  with pytest.raises(ValueError, match='split_seed=1 needs data without'):
    effects.check_split_seed(drawn, every)


def test_more_devices_than_jax_has_are_refused():
  effects.check_devices(Config(cpu_devices=len(jax.devices())))
  with pytest.raises(ValueError, match='cpu_devices=7 needs .* JAX has 4 cpu'):
    effects.check_devices(Config(cpu_devices=7))


def test_a_table_without_labels_has_no_column_of_labels():
  corpus = {
    'train': (['a', 'b'], ['x', 'y']),
    'unlabelled': pandas.DataFrame({'body': ['a b']}),
  }
  config = Config(entropy_weight=0.1, text_column='body')
  effects.check_effects(config, corpus)
  with pytest.raises(ValueError, match='label_column=title needs train'):
    effects.check_effects(
      dataclasses.replace(config, label_column='title'), corpus
    )


def test_mixup_of_one_text_for_each_device_is_refused():
  effects.check_devices(Config(mixup=1.0, batch_size=8))
  with pytest.raises(
    ValueError, match='mixup=1.0 .* one text to each of the 4'
  ):
    effects.check_devices(Config(mixup=1.0, batch_size=4))


def test_a_new_run_refuses_settings_that_it_would_ignore(tmp_path):
  corpus = {'train': (['good', 'bad'] * 20, ['1', '0'] * 20)}
  with pytest.raises(ValueError, match='num_heads=8 needs pooling='):
    bigru_jax.train(Config(num_heads=8), tmp_path, corpus)
  splits = dict.fromkeys(('train', 'validation', 'test'), corpus['train'])
  with pytest.raises(ValueError, match='split_seed=1 needs data without'):
    bigru_jax.train(Config(split_seed=1), tmp_path, splits)
  assert not (tmp_path / 'config.json').exists()


def test_an_older_run_is_opened_and_resumes(
  run_directory, tmp_path, monkeypatch
):
  workdir = shutil.copytree(run_directory, tmp_path / 'run')
  # As it was written before there was this check.
  config = dataclasses.replace(run_files.read_config(workdir), num_heads=8)
  run_files.write_json(workdir / 'config.json', dataclasses.asdict(config))
  assert bigru_jax.load(workdir).config == config

  def read(*arguments):
    del arguments
    raise ValueError('the data are read')

  monkeypatch.setattr('bigru_jax.training.train.prepare_shared', read)
  with pytest.raises(ValueError, match='the data are read'):
    bigru_jax.train(config, workdir)
  with pytest.raises(ValueError, match='num_heads=8 needs pooling='):
    bigru_jax.train(config, tmp_path / 'new')
