"""The titles and meanings of what the page of a run names."""

# The titles and meanings of what a training costs; see `final_evaluation`.
COSTS = {
  'best_epoch': (
    'Best epoch',
    'The pass over the training texts after which validation was best; the '
    'model is that of this moment.',
  ),
  'parameters': ('Parameters', 'How many numbers the model has learned.'),
  'train_seconds': ('Training, seconds', 'Without compiling and saving.'),
  'compile_seconds': (
    'Compiling, seconds',
    'The time in which the program was translated for this machine.',
  ),
  'examples_per_second': ('Texts per second', 'In training.'),
  'tokens_per_second': ('Tokens per second', 'In training.'),
  'temperature': (
    'Temperature',
    'The divisor of the scores with which validation is calibrated best; above '
    '1, the model is too sure of itself.',
  ),
}
WORDS = COSTS | {'examples': ('Texts', 'The number of texts.')}
