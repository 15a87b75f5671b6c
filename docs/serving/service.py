"""A web service that predicts the labels of texts."""

import contextlib
import os

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

import bigru_jax

run = bigru_jax.load(os.environ['MODEL'])
predictor = run.predictor(fields=['label', 'probabilities'])


@contextlib.asynccontextmanager
async def lifespan(app):
  predictor.warm_up()  # Before the first request, so that none has to wait.
  yield


async def predict(request):
  try:
    texts = (await request.json())['texts']
    answers = await run_in_threadpool(predictor.predict, texts)
  except (KeyError, TypeError, ValueError) as error:
    message = f'send {{"texts": ["a text", ...]}}: {error}'
    return JSONResponse({'error': message}, status_code=400)
  return JSONResponse({'predictions': answers})


async def health(request):
  return JSONResponse({'labels': run.labels})


app = Starlette(
  routes=[
    Route('/predict', predict, methods=['POST']),
    Route('/health', health),
  ],
  lifespan=lifespan,
)
