"""The library as a notebook uses it: JAX has started, data are in memory."""

import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

import bigru_jax
from bigru_jax.data import corpora
from bigru_jax.data.corpora import synthetic
from bigru_jax.runtime.preemption import Preempted

CONFIG = bigru_jax.Config(
  epochs=3, embedding_size=8, hidden_size=8, batch_size=16,
  learning_rate=0.02, embedding_dropout=0.1, dropout=0.1, explain=False,
)  # fmt: skip


@pytest.fixture(scope='module')
def corpus():
  """Sentences of four words, in which `not` reverses the label."""
  sentences = [
    (f'{noun} {verb} {adverb} {opinion}', positive != (adverb == 'not'))
    for noun in ('film', 'plot', 'cast', 'score', 'scene')
    for verb in ('is', 'was', 'seems')
    for adverb in ('very', 'not', 'so')
    for opinion, positive in [('good', True), ('bad', False), ('fine', True)]
  ]
  texts = [text for text, _ in sentences]
  labels = [('negative', 'positive')[positive] for _, positive in sentences]
  return {
    'train': (texts * 4, labels * 4),
    'validation': (texts, labels),
    'test': (texts, labels),
  }


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  return tmp_path_factory.mktemp('notebook') / 'run'


@pytest.fixture(scope='module')
def trained(corpus, workdir):
  assert jax.devices()  # JAX has started.
  return bigru_jax.train(CONFIG, workdir, corpus)


def test_a_run_trains_predicts_and_loads_again(trained, corpus, workdir):
  texts = ['film was very good', 'plot is not good', '']
  answers = trained.predict(texts)
  assert [a['label'] for a in answers[:2]] == ['positive', 'negative']
  for text, answer in zip(texts, answers):
    assert answer['tokens'] == (text.split() or ['<unk>'])
    (head,) = answer['attention']['words']
    assert len(head) == len(answer['tokens'])
    assert abs(sum(head) - 1) < 1e-5
    assert abs(sum(answer['probabilities'].values()) - 1) < 1e-5
  loaded = bigru_jax.load(workdir)
  assert loaded.config == CONFIG
  assert loaded.labels == ['negative', 'positive']
  assert loaded.predict(texts) == answers
  same = jax.tree.map(lambda a, b: bool((a == b).all()),
                      loaded.params, trained.params)  # fmt: skip
  assert all(jax.tree.leaves(same))


def test_evaluate_gives_the_test_metrics_of_the_run(trained, corpus, workdir):
  found = trained.evaluate(*corpus['test'])
  tested = json.loads((workdir / 'result.json').read_text())['test']
  assert found['examples'] == tested['examples'] == 135
  assert found['accuracy'] == tested['accuracy'] > 0.9
  assert abs(found['loss'] - tested['loss']) < 1e-5


def test_the_model_and_params_work_alone(trained):
  tokens, ids = trained.tokenizer.encode('film was very good')
  batch = {'tokens': jax.numpy.array([ids]), 'lengths': jax.numpy.array([4])}
  outputs = trained.model.apply({'params': trained.params}, batch)
  answer = trained.predict(['film was very good'])[0]
  probabilities = jax.nn.softmax(outputs.logits)[0].tolist()
  assert answer['probabilities'] == pytest.approx(
    dict(zip(trained.labels, probabilities)), abs=1e-5
  )


def test_wrong_arguments_are_named(trained):
  with pytest.raises(ValueError, match='is one string; give a list'):
    trained.predict('good')
  with pytest.raises(ValueError, match="labels='odd': the run knows 'nega"):
    trained.evaluate(['good'], ['odd'])
  with pytest.raises(ValueError, match='1 texts and 0 labels'):
    trained.evaluate(['good'], [])
  assert trained.predict([]) == []


@pytest.mark.parametrize(
  'batch_size, message',
  [
    (-1, 'batch_size=-1 is below 1'),
    (0, 'batch_size=0 is below 1'),
    (np.int64(-3), 'batch_size=-3 is below 1'),
    (1.5, 'batch_size=1.5 is not of type int'),
    (None, 'batch_size=None is not of type int'),
    ('8', "batch_size='8' is not of type int"),
    (True, 'batch_size=True is not of type int'),
  ],
)
def test_a_batch_size_that_is_not_a_positive_integer_is_refused(
  trained, batch_size, message
):
  texts, labels = ['film is good', 'plot'], ['positive', 'negative']
  for run in (trained, bigru_jax.Ensemble([trained])):
    with pytest.raises(ValueError, match=f'^{message}$'):
      run.predict(texts, batch_size=batch_size)
    with pytest.raises(ValueError, match=f'^{message}$'):
      run.predict([], batch_size=batch_size)
    with pytest.raises(ValueError, match=f'^{message}$'):
      next(run.stream(iter(texts), batch_size))
    with pytest.raises(ValueError, match=f'^{message}$'):
      run.evaluate(texts, labels, batch_size=batch_size)
  assert trained.predict(texts, np.int32(1)) == trained.predict(texts, 1)


def test_changed_data_are_refused_and_no_checkpoint_is_touched(
  trained, corpus, workdir
):
  def contents():
    return {
      p: p.read_bytes()
      for p in (workdir / 'checkpoints').rglob('*')
      if p.is_file()
    }

  before = contents()
  texts, labels = corpus['train']
  corrected = list(labels)
  corrected[7] = 'positive' if labels[7] == 'negative' else 'negative'
  with pytest.raises(ValueError, match='started on other data: train'):
    bigru_jax.train(CONFIG, workdir, {**corpus, 'train': (texts, corrected)})
  assert contents() == before


def test_a_run_whose_texts_have_other_tokens_is_not_resumed(
  trained, corpus, workdir, tmp_path
):
  shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
  path = tmp_path / 'vocabulary.txt'
  words = path.read_text().splitlines()
  path.write_text('\n'.join([*words[:-2], words[-1], words[-2]]) + '\n')
  before = sorted(tmp_path.rglob('*'))
  with pytest.raises(ValueError, match='vocabulary.txt differs'):
    bigru_jax.train(CONFIG, tmp_path, corpus)
  assert sorted(tmp_path.rglob('*')) == before


def test_a_pooling_without_weights_trains_and_predicts(corpus, tmp_path):
  config = bigru_jax.Config(**{**vars(CONFIG), 'pooling': 'max'})
  run = bigru_jax.train(config, tmp_path, corpus)
  (answer,) = run.predict(['film was very good'])
  assert answer['label'] == 'positive'
  assert answer['attention'] == {}


def test_entity_attention_tells_the_order_of_the_entities(
  tmp_path, monkeypatch
):
  # The label is which of the two entities is the vessel.
  vessels, drinks = ('cup', 'jar', 'pot', 'glass'), ('tea', 'milk', 'ale')
  pairs = [(v, d) for v in vessels for d in drinks]
  texts = [f'the <e1>{v}</e1> with some <e2>{d}</e2> .' for v, d in pairs]
  texts += [f'the <e1>{d}</e1> with some <e2>{v}</e2> .' for v, d in pairs]
  labels = ['first'] * len(pairs) + ['second'] * len(pairs)
  corpus = {
    'train': (texts * 5, labels * 5),
    'validation': (texts, labels),
    'test': (texts, labels),
  }
  config = bigru_jax.Config(**{**vars(CONFIG), 'pooling': 'entity'})
  run = bigru_jax.train(config, tmp_path, corpus)
  assert run.evaluate(texts, labels)['accuracy'] > 0.9
  spaced = 'the <e1> cup </e1> with some <e2> tea </e2> .'
  answer, other = bigru_jax.load(tmp_path).predict([texts[0], spaced])
  assert answer['label'] == 'first'
  assert answer['tokens'] == spaced.split()
  # The positions of the tokens differ.
  assert {**other, 'spans': answer['spans']} == answer
  with pytest.raises(ValueError, match='^text 2: pooling=entity needs one'):
    run.predict([texts[0], 'the cup with some tea .'])
  monkeypatch.setattr(bigru_jax.inference.predictor, 'CHUNK', 4)  # Texts.
  with pytest.raises(ValueError, match='^text 7: pooling=entity needs one'):
    run.predict([*texts[:6], 'the cup with some tea .'])
  with pytest.raises(ValueError, match='^mine.csv, row 9: pooling=entity'):
    run.evaluate(['the cup .'], ['first'], origins=['mine.csv, row 9'])


@pytest.mark.slow
def test_the_semeval_score_chooses_the_best_epoch(tmp_path):
  fixture = pathlib.Path(__file__).parents[1] / 'fixtures' / 'semeval2010'
  config = bigru_jax.Config(
    **{
      **vars(CONFIG),
      'dataset': 'semeval2010',
      'data_dir': str(fixture),
      'select_by': 'semeval2010',
      'batch_size': 4,
    }
  )
  run = bigru_jax.train(config, tmp_path)
  result = json.loads((tmp_path / 'result.json').read_text())
  lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  validated = [
    line['semeval2010_f1']
    for line in map(json.loads, lines)
    if line['split'] == 'validation'
  ]
  assert validated[result['best_epoch'] - 1] == max(validated)
  assert result['validation']['semeval2010_f1'] == max(validated)
  split = corpora.CORPORA['semeval2010'].read(config)['test']
  texts, labels = zip(*[example[:2] for example in split])
  found = bigru_jax.load(tmp_path).evaluate(texts, labels)
  assert found['semeval2010_f1'] == result['test']['semeval2010_f1']
  assert run.evaluate(texts[:1], labels[:1])['semeval2010_f1'] in (0.0, 1.0)


def test_labels_without_relations_are_refused_before_training(corpus, tmp_path):
  config = bigru_jax.Config(**{**vars(CONFIG), 'select_by': 'semeval2010'})
  with pytest.raises(ValueError, match='select_by=semeval2010_f1: the label'):
    bigru_jax.train(config, tmp_path, corpus)
  assert {path.name for path in tmp_path.iterdir()} <= {'lock'}


@pytest.fixture(scope='module')
def documents():
  """Reviews in which one sentence, at any position, gives the verdict."""
  rng = np.random.default_rng(0)
  fillers = [
    'We saw it on Friday.', 'The seats were red!', 'Mr. Lee came, too.',
    'Was it long?', 'A film of two hours.',
  ]  # fmt: skip
  texts, labels = [], []
  for i in range(240):
    sentences = list(rng.choice(fillers, rng.integers(1, 6)))
    verdict = f'It was {("bad", "good")[i % 2]}.'
    sentences.insert(rng.integers(0, len(sentences) + 1), verdict)
    texts.append(' '.join(sentences))
    labels.append(('negative', 'positive')[i % 2])
  return {
    'train': (texts[:160], labels[:160]),
    'validation': (texts[160:200], labels[160:200]),
    'test': (texts[200:], labels[200:]),
  }


def test_a_hierarchical_model_trains_resumes_and_predicts(documents, tmp_path):
  config = dataclasses.replace(
    CONFIG, model='hierarchical', epochs=5, max_sentences=5, keep='both',
    max_sentence_length=6,
  )  # fmt: skip
  asked = 0

  def stop():
    nonlocal asked
    asked += 1
    return asked > 14

  with pytest.raises(Preempted, match='epoch 2, batch'):
    bigru_jax.train(config, tmp_path, documents, stop=stop)
  run = bigru_jax.train(config, tmp_path, documents)
  result = json.loads((tmp_path / 'result.json').read_text())
  # A verdict that is the one of six sentences that is dropped is not seen.
  assert result['test']['accuracy'] > 0.9
  assert 0 < result['padding_fraction'] < 1
  found = run.evaluate(*documents['test'])
  assert found['accuracy'] == result['test']['accuracy']
  assert abs(found['loss'] - result['test']['loss']) < 1e-5
  texts = [
    'It was good. Was it long? We saw it.',
    'One. Two. Three. Four. Five. Six. Seven.',
    'A sentence of more than six words.',
    '',
  ]
  answers = run.predict(texts)
  assert answers[0]['label'] == 'positive'
  assert [x['sentences'] for x in answers] == [
    [4, 4, 4], [2] * 5, [6, 2], [1],
  ]  # fmt: skip
  assert [x['truncated'] for x in answers] == [False, True, False, False]
  assert ' '.join(answers[1]['tokens']) == 'one . two . three . six . seven .'
  for answer in answers:
    (words,), (sentences,) = (
      answer['attention'][name] for name in ('words', 'sentences')
    )
    assert len(words) == len(answer['tokens'])
    assert len(sentences) == len(answer['sentences'])
    assert abs(sum(sentences) - 1) < 1e-5
    of_sentences = np.split(words, np.cumsum(answer['sentences'])[:-1])
    np.testing.assert_allclose([w.sum() for w in of_sentences], 1, atol=1e-5)
  assert bigru_jax.load(tmp_path).predict(texts) == answers
  # Neighbors and the sizes of batches change nothing.
  several = run.predict([*documents['test'][0], *texts], batch_size=4)[-4:]
  for answer, again in zip(answers, several):
    assert answer['tokens'] == again['tokens']
    assert answer['probabilities'] == pytest.approx(
      again['probabilities'], abs=1e-5
    )


@pytest.mark.slow
def test_a_hierarchical_multi_label_model_without_weights_trains(tmp_path):
  config = bigru_jax.Config(
    dataset='synthetic_multi_label', task='multi_label', model='hierarchical',
    pooling='max', epochs=1, embedding_size=8, hidden_size=8, batch_size=64,
  )  # fmt: skip
  run = bigru_jax.train(config, tmp_path)
  (answer,) = run.predict(['One. Two.'])
  assert answer['attention'] == {} and answer['sentences'] == [2, 2]


@pytest.mark.parametrize(
  'keep', [pytest.param('tail', marks=pytest.mark.slow), 'both']
)
def test_keep_chooses_the_tokens_of_a_long_text(keep, corpus, tmp_path):
  config = dataclasses.replace(CONFIG, epochs=1, max_length=3, keep=keep)
  run = bigru_jax.train(config, tmp_path, corpus)
  first, second, short = run.predict(
    ['film was very good', 'film was not so good', 'so bad']
  )
  kept = {
    'tail': ('was very good', 'not so good'),
    'both': ('film was good', 'film was good'),
  }[keep]
  assert (' '.join(first['tokens']), ' '.join(second['tokens'])) == kept
  assert (first['probabilities'] == second['probabilities']) == (keep == 'both')
  assert first['truncated'] and not short['truncated']
  assert run.evaluate(*corpus['test'])['loss'] == pytest.approx(
    json.loads((tmp_path / 'result.json').read_text())['test']['loss'], abs=1e-5
  )


def test_stopping_saves_and_resuming_ends_with_the_same_metrics(
  trained, corpus, workdir, tmp_path, capsys
):
  asked = 0

  def stop():
    nonlocal asked
    asked += 1
    return asked > 5

  with pytest.raises(Preempted, match='epoch 1, batch'):
    bigru_jax.train(CONFIG, tmp_path, corpus, stop=stop)
  assert list((tmp_path / 'checkpoints').iterdir())
  assert not capsys.readouterr().out
  bigru_jax.train(CONFIG, tmp_path, corpus, verbose=True)
  printed = capsys.readouterr().out.splitlines()
  epochs = [
    line.split('  train loss')[0] for line in printed if '  train' in line
  ]
  assert epochs == ['epoch  1', 'epoch  2', 'epoch  3']
  assert printed[-2].startswith('test accuracy')

  def metrics(folder):
    lines = (folder / 'metrics.jsonl').read_text().splitlines()
    return [
      {k: v for k, v in json.loads(line).items() if 'second' not in k}
      for line in lines
    ]

  assert metrics(tmp_path) == metrics(workdir)


def _stop(config, folder, corpus, steps):
  """Stops the run `folder/a` after these steps of its first epoch."""
  stops = iter([False] * steps + [True])
  with pytest.raises(Preempted, match='epoch 1, batch'):
    bigru_jax.train(config, folder / 'a', corpus, stop=lambda: next(stops))


def _resume(config, folder, corpus):
  """Resumes `folder/a`; returns its like that was not stopped, also loaded."""
  resumed = bigru_jax.train(config, folder / 'a', corpus)
  whole = bigru_jax.train(config, folder / 'b', corpus)
  loaded = bigru_jax.load(folder / 'b')
  for run in (resumed, loaded):
    jax.tree.map(np.testing.assert_array_equal, run.params, whole.params)
  return whole, loaded


@pytest.mark.slow
def test_rows_that_wait_resume_to_the_same_bits(corpus, tmp_path):
  config = dataclasses.replace(CONFIG, optimizer='lazy_adamw', epochs=2)
  _stop(config, tmp_path, corpus, steps=5)
  _resume(config, tmp_path, corpus)


@pytest.mark.slow
def test_texts_without_labels_resume_to_the_same_bits(corpus, tmp_path):
  config = dataclasses.replace(
    CONFIG,
    optimizer='lazy_adamw',
    virtual_adversarial=1.0,
    entropy_weight=0.1,
    epochs=2,
  )
  texts = [f'{text} indeed' for text in corpus['train'][0]]
  corpus = {**corpus, 'unlabelled': texts}
  _stop(config, tmp_path, corpus, steps=5)
  other_texts = {**corpus, 'unlabelled': texts[1:]}
  with pytest.raises(ValueError, match='other data: unlabelled .digest'):
    bigru_jax.train(config, tmp_path / 'a', other_texts)
  whole, _ = _resume(config, tmp_path, corpus)
  assert 'indeed' in whole.tokenizer.vocabulary


def test_averaged_parameters_are_evaluated_resumed_and_loaded(
  trained, corpus, tmp_path
):
  config = dataclasses.replace(CONFIG, ema_decay=0.9, epochs=2)
  _stop(config, tmp_path, corpus, steps=20)
  whole, loaded = _resume(config, tmp_path, corpus)
  tested = json.loads((tmp_path / 'b/result.json').read_text())['test']
  found = loaded.evaluate(*corpus['test'])
  assert found['accuracy'] == tested['accuracy']
  assert np.isclose(found['loss'], tested['loss'], rtol=1e-5)
  # They are not those without an average.
  assert not np.array_equal(
    whole.params['embedding'], trained.params['embedding']
  )


@pytest.mark.parametrize(
  'pooling',
  ['label_wise', pytest.param('additive', marks=pytest.mark.slow)],
)
def test_a_multi_label_run_trains_evaluates_and_loads(pooling, tmp_path):
  config = bigru_jax.Config(
    dataset='synthetic_multi_label', task='multi_label', pooling=pooling,
    epochs=6, embedding_size=16, hidden_size=16, batch_size=32,
    learning_rate=0.02, embedding_dropout=0.1, dropout=0.1,
    threshold='per_label', select_by='macro_f1', class_weights='balanced',
  )  # fmt: skip
  run = bigru_jax.train(config, tmp_path)
  result = json.loads((tmp_path / 'result.json').read_text())
  assert result['test']['micro_f1'] >= 0.98
  assert result['test']['lrap'] >= 0.98
  texts, labels, deciding = synthetic.topics(300, seed=5)
  found = run.evaluate(texts, labels)
  assert found['micro']['f1'] >= 0.98
  loaded = bigru_jax.load(tmp_path)
  assert loaded.calibration == run.calibration
  answers = loaded.predict(texts[:50])
  assert answers == run.predict(texts[:50])
  assert [a['label'] for a in run.predict(texts[:50], calibrated=True)] == [
    a['label'] for a in answers
  ]
  if pooling == 'label_wise':
    heads = [
      (head, places[label])
      for answer, places in zip(answers, deciding)
      for label, head in zip(
        answer['attention_labels'], answer['attention']['words']
      )
      if label in places
    ]
    at = [int(np.argmax(head)) in places for head, places in heads]
    assert np.mean(at) > 0.9  # Each label looks at its own word.


def test_a_model_that_predicts_a_single_class_is_reported(
  corpus, tmp_path, caplog
):
  config = dataclasses.replace(CONFIG, epochs=1, class_weights='0,1')
  bigru_jax.train(config, tmp_path / 'run', corpus)
  assert "every test text is predicted as 'positive'" in caplog.text


def test_a_run_that_never_began_leaves_no_directory(tmp_path):
  config = bigru_jax.Config(train=f'{tmp_path}/missing.csv')
  for workdir in (tmp_path / 'run', tmp_path / 'own'):
    (tmp_path / 'own').mkdir(exist_ok=True)
    with pytest.raises(FileNotFoundError, match='missing.csv: no such file'):
      bigru_jax.train(config, workdir)
  assert not (tmp_path / 'run').exists()
  assert (tmp_path / 'own').exists()  # The user made it.
  with pytest.raises(FileNotFoundError, match='not a run: it does not exist'):
    bigru_jax.load(tmp_path / 'run')


def test_soft_labels_are_learned_as_probabilities(tmp_path):
  rows = [f'a film {i},0.3,0.7' for i in range(60)]
  path = tmp_path / 'soft.csv'
  path.write_text('\n'.join(['text,no,yes', *rows]))
  files = dict.fromkeys(('train', 'validation', 'test'), str(path))
  config = dataclasses.replace(
    CONFIG, **files, soft_labels=True, label_column='no,yes', epochs=8
  )
  run = bigru_jax.train(config, tmp_path / 'run')
  answer = run.predict(['a film 3'])[0]
  assert answer['probabilities']['yes'] == pytest.approx(0.7, abs=0.02)
  result = json.loads((tmp_path / 'run' / 'result.json').read_text())
  entropy = -(0.3 * np.log(0.3) + 0.7 * np.log(0.7))
  assert result['test']['loss'] == pytest.approx(entropy, abs=1e-3)
  # Hard labels, all of which are yes, would make it as small as possible.
  assert result['temperature'] == pytest.approx(1, abs=0.1)


def test_a_temperature_at_its_bound_is_reported(corpus, tmp_path, caplog):
  bigru_jax.train(CONFIG, tmp_path / 'run', corpus)
  result = json.loads((tmp_path / 'run' / 'result.json').read_text())
  assert result['validation']['accuracy'] == 1
  assert result['temperature'] == pytest.approx(np.exp(-3))
  assert 'validation has too few texts or mistakes' in caplog.text
