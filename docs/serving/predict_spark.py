"""Predicts the texts of Parquet files with Spark."""

import functools
import os
import sys

from pyspark.sql import SparkSession


@functools.cache  # One model per Python worker.
def load(run):
  os.environ['PJRT_NPROC'] = '1'  # The threads of JAX, before it starts.
  import bigru_jax

  return bigru_jax.load(run)


def predict(run, batches):
  return map(load(run).predict_table, batches)


def main(run, source, target):
  spark = SparkSession.builder.getOrCreate()
  spark.sparkContext.addPyFile(__file__)
  texts = spark.read.parquet(source)
  no_rows = load(run).predict_table(texts.limit(0).toArrow())
  schema = spark.createDataFrame(no_rows).schema
  predicted = texts.mapInArrow(functools.partial(predict, run), schema)
  predicted.write.parquet(target)


if __name__ == '__main__':
  import predict_spark  # By its name, so that a worker keeps its model.

  predict_spark.main(*sys.argv[1:])
