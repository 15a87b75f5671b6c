"""What benchmark.py measures: a module a peer, each run in its own process.

Every module has one function, `build(case)`. It prepares a `task.Case` up to
and with its compilation, and returns a function without arguments that does the
case's work once, waits for it, and returns

  forward:   the states [B, T, 2H],
  backward:  the inputs' gradients [B, T, E] (the parameters' are computed too),
  step:      the loss of one training step,
  epoch:     how many real tokens were trained on,
  inference: a label for every sentence.

A peer runs as its users would run it for speed: all cores, compiled where it
compiles, float32, and without masks in its encoder, which none has for free;
its attention is masked. Ours masks the encoder too.
"""
