"""The configuration: its checks, its flags and the directory it names."""

import dataclasses
import json
import pathlib

from absl import flags
import numpy as np
import pytest

from bigru_jax.cli import config_flags
from bigru_jax.config import Config
from bigru_jax.rundir import files as run_files, naming


@pytest.mark.parametrize(
  'field, value, message',
  [
    ('learning_rate', -1, 'learning_rate=-1.0 is below 0.0'),
    ('learning_rate', float('nan'), 'learning_rate=nan is not a finite number'),
    ('dropout', 1.0, 'dropout=1.0 is not below 1.0'),
    ('hidden_size', 0, 'hidden_size=0 is below 1'),
    ('hidden_size', 2.0, 'hidden_size=2.0 is not of type int'),
    ('hidden_size', True, 'hidden_size=True is not of type int'),
    ('seed', 4294967295, 'seed=4294967295 is above 2147483647'),
    (
      'pooling',
      'sum',
      "pooling='sum': choose additive, dot, multi_head",
    ),
    ('train', None, "train=None is not of type str: leave it out or give ''"),
    ('train', ['a.csv', 'b.csv'], "not of type str: give 'a.csv,b.csv'"),
    ('text_column', pathlib.Path('a'), 'is not of type str'),
    ('epochs', np.float32(2), 'is not of type int'),
    ('epochs', np.True_, 'is not of type int'),
    ('label_names', 'a,b', 'label_names=a,b needs task=multi_label'),
  ],
)
def test_a_bad_value_is_named(field, value, message):
  with pytest.raises(ValueError, match=message):
    Config(**{field: value})


def test_the_semeval_score_needs_one_label_per_text():
  with pytest.raises(
    ValueError, match='select_by=semeval2010_f1 needs task=sing'
  ):
    Config(select_by='semeval2010', task='multi_label')


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'metrics': 'auc'}, "metrics='auc': choose loss, accuracy, macro_f1"),
    ({'metrics': 'mcc,lrap'}, 'metrics=lrap needs task=multi_label'),
    (
      {'metrics': 'semeval2010_f1'},
      'metrics=semeval2010_f1 needs select_by=semeval2010_f1',
    ),
  ],
)
def test_metrics_that_a_run_lacks_are_named(fields, message):
  with pytest.raises(ValueError, match=f'^{message}'):
    Config(**fields)


def test_a_loss_of_many_labels_is_refused_for_one_label():
  with pytest.raises(ValueError, match='loss=asymmetric needs task=multi_lab'):
    Config(loss='asymmetric')


@pytest.mark.parametrize(
  'fields',
  [{'ema_decay': 0.9}, {'freeze_embeddings': True}, {'char_embeddings': True}],
)
def test_rows_that_wait_exclude_what_reads_or_freezes_all(fields):
  ((name, value),) = fields.items()
  message = f'{name}={value} and optimizer=lazy_adamw exclude each other'
  with pytest.raises(ValueError, match=message):
    Config(optimizer='lazy_adamw', **fields)


def test_r_drop_needs_dropout():
  rates = {'dropout': 0.0, 'embedding_dropout': 0.0}
  with pytest.raises(ValueError, match='r_drop=1.0 needs a rate above 0 of dr'):
    # Weight drop has the same mask in both passes.
    Config(r_drop=1.0, weight_drop=0.1, **rates)
  Config(r_drop=1.0, **{**rates, 'word_dropout': 0.1})


@pytest.mark.parametrize(
  'options, message',
  [
    ({'num_layers': 2}, 'encoder=average needs num_layers=1 and model=flat'),
    ({'model': 'hierarchical'}, 'encoder=average needs num_layers=1 and mod'),
    ({'recurrent_dropout': 0.1}, 'recurrent_dropout=0.1 needs encoder=bigru'),
    ({'weight_drop': 0.1}, 'weight_drop=0.1 needs encoder=bigru'),
  ],
)
def test_the_average_encoder_has_no_recurrence(options, message):
  with pytest.raises(ValueError, match=message):
    Config(encoder='average', **options)


def test_integers_are_accepted_as_floats():
  assert Config(learning_rate=1) == Config(learning_rate=1.0)


def test_numpy_values_and_paths_become_python_values():
  config = Config(
    learning_rate=np.float32(0.5),
    epochs=np.int64(3),
    freeze_embeddings=np.True_,
    text_column=np.str_('review'),
    train=pathlib.Path('~') / 'a.csv',
  )
  assert config == Config(
    learning_rate=0.5,
    epochs=3,
    freeze_embeddings=True,
    text_column='review',
    train='~/a.csv',
  )
  written = json.dumps(dataclasses.asdict(config))
  assert Config(**json.loads(written)) == config


@pytest.mark.parametrize('names', ['a,', 'a,b,a', ','])
def test_label_names_must_be_distinct(names):
  with pytest.raises(ValueError, match='a name is empty or occurs twice'):
    Config(task='multi_label', label_names=names)


def test_a_field_may_be_given_by_its_former_name(tmp_path):
  config = Config(keep='tail')
  assert Config(truncate='tail') == config
  with pytest.raises(ValueError, match='former name of keep: give keep'):
    Config(truncate='tail', keep='head')
  values = flags.FlagValues()
  config_flags.define_flags(values)
  values(['run.py', '--truncate=tail'])
  assert config_flags.from_flags(values) == config
  fields = dataclasses.asdict(config)
  fields['truncate'] = fields.pop('keep')
  run_files.write_json(tmp_path / 'config.json', fields)
  assert run_files.read_config(tmp_path) == config


def test_the_fixed_threshold_may_be_given_by_its_former_name():
  assert Config(threshold='0.5') == Config(threshold='fixed') == Config()


def test_each_field_has_a_flag():
  values = flags.FlagValues()
  config_flags.define_flags(values)
  values(['run.py', '--hidden_size=7', '--sst_phrases', '--pooling=max'])
  config = config_flags.from_flags(values)
  assert config == Config(hidden_size=7, sst_phrases=True, pooling='max')
  assert config.differing_fields() == ['sst_phrases', 'hidden_size', 'pooling']


@pytest.mark.parametrize(
  'options, name',
  [
    ({}, 'rotten_tomatoes'),
    (
      {'embeddings': 'data/glove.6B.100d.txt.gz', 'learning_rate': 2e-3},
      'rotten_tomatoes,embeddings=glove.6B.100d,learning_rate=0.002',
    ),
    (
      {'embeddings': 'a/x.vec.gz,b/y.txt', 'embedding_sizes': '3,2'},
      'rotten_tomatoes,embeddings=x+y',
    ),
    ({'dataset': 'tfds:glue/sst2', 'seed': 3}, 'tfds_glue_sst2,seed=3'),
    ({'train': '/a/b/reviews.csv'}, 'reviews'),
    ({'train': 'x.csv', 'test': 'y.csv'}, 'x,test=y'),
  ],
)
def test_a_configuration_names_its_run(options, name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert str(naming.default_workdir(Config(**options))) == f'runs/{name}'


def test_a_run_in_a_directory_with_a_former_name_resumes(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  config = Config(pooling='max', keep='tail')
  workdir = naming.default_workdir(config)
  assert str(workdir) == 'runs/rotten_tomatoes,keep=tail,pooling=max'
  former = workdir.with_name('rotten_tomatoes,truncate=tail,attention=max')
  former.mkdir(parents=True)
  run_files.write_json(former / 'config.json', dataclasses.asdict(config))
  assert naming.default_workdir(config) == former


@pytest.mark.parametrize('embeddings', ['', 'x.txt'])
def test_an_older_run_with_vectors_has_no_word_forms(tmp_path, embeddings):
  values = dataclasses.asdict(Config(embeddings=embeddings))
  del values['word_forms']
  run_files.write_json(tmp_path / 'config.json', values)
  assert run_files.read_config(tmp_path).word_forms == (not embeddings)


@pytest.mark.parametrize(
  'argument, value',
  [
    ('--freeze_embeddings', True),
    ('--freeze_embeddings=true', True),
    ('--nofreeze_embeddings', False),
    ('--freeze_embeddings=glove.6B.50d', 'glove.6B.50d'),
  ],
)
def test_embeddings_are_frozen_as_a_whole_or_by_name(argument, value):
  values = flags.FlagValues()
  config_flags.define_flags(values)
  two = '--embeddings=glove.6B.50d,glove.6B.50d'
  values(['run', two, argument])
  config = config_flags.from_flags(values)
  assert config.freeze_embeddings == value
  written = json.dumps(dataclasses.asdict(config))
  assert Config(**json.loads(written)) == config


def test_runs_with_the_same_name_have_two_directories(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  first = Config(train='a/x.csv')
  workdir = naming.default_workdir(first)
  workdir.mkdir(parents=True)
  run_files.write_json(workdir / 'config.json', dataclasses.asdict(first))
  assert naming.default_workdir(first) == workdir
  other = naming.default_workdir(Config(train='b/x.csv'))
  assert other != workdir
  assert other == naming.default_workdir(Config(train='b/x.csv'))


def test_a_long_name_is_shortened_for_file_systems(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  config = Config(train='x' * 300 + '.csv')
  naming.default_workdir(config).mkdir(parents=True)


@pytest.mark.parametrize(
  'fields',
  [
    {},
    {'train': "it's.csv", 'sst_phrases': True, 'learning_rate': 2e-3},
    {'embeddings': 'glove.6B.50d'},  # The name implies the size.
    {'embeddings': 'vectors.txt', 'embedding_size': 30},
    {'embeddings': 'glove.6B.50d,glove.6B.50d', 'embeddings_join': 'mean'},
  ],
)
def test_a_configuration_is_shown_by_the_fields_that_were_set(fields):
  config = Config(**fields)
  assert repr(config) == (
    f'Config({", ".join(f"{name}={x!r}" for name, x in fields.items())})'
  )
  rows = config._repr_html_()
  assert all(f'>{name}</th>' in rows for name in fields)
  assert rows.count('<tr>') == len(fields)


def test_a_notebook_shows_the_characters_of_a_field():
  assert '<td style="text-align: left">&lt;b&gt;</td>' in (
    Config(label_column='<b>')._repr_html_()
  )
