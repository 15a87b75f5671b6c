"""Four XLA host devices for every test, and a warm compilation cache."""

from bigru_jax import sharding

sharding.use_cpu_devices(4)
