"""PyTorch under torch.compile."""

import functools

import torch

from peers import torch as eager

build = functools.partial(eager.build, compile_module=torch.compile)
