"""Checks of the documentation that `mkdocs build --strict` does not make."""

import pathlib
import re

import pytest

import bigru_jax

ROOT = pathlib.Path(__file__).parents[1]


def _anchors(page):
  """The anchors of a page's headings, as GitHub makes them."""
  headings = re.findall(r'^#+ (.+)$', page.read_text('utf-8'), re.MULTILINE)
  return {
    re.sub(r'[^\w -]', '', heading).lower().replace(' ', '-')
    for heading in headings
  }


@pytest.mark.parametrize(
  'name, pattern',
  [
    ('CITATION.cff', r'^version: (.+)$'),
    ('CHANGELOG.md', r'^## \[(.+?)\]'),  # The topmost one.
  ],
)
def test_the_version_is_that_of_the_package(name, pattern):
  text = (ROOT / name).read_text('utf-8')
  match = re.search(pattern, text, re.MULTILINE)
  assert match and match[1] == bigru_jax.__version__


@pytest.mark.parametrize('name', ['README.md', 'CONTRIBUTING.md'])
def test_every_link_outside_of_the_site_leads_somewhere(name):
  links = re.findall(r'\]\(([^)]+)\)', (ROOT / name).read_text('utf-8'))
  assert links
  for link in links:
    if not link.startswith('https://'):
      path, _, anchor = link.partition('#')
      assert (ROOT / path).exists(), link
      assert not anchor or anchor in _anchors(ROOT / path), link


def test_the_api_has_every_public_name():
  page = (ROOT / 'docs' / 'api.md').read_text('utf-8')
  directives = re.findall(r'^::: bigru_jax\.(.+)$', page, re.MULTILINE)
  public = {f'{module}.{name}' for name, module in bigru_jax._MODULES.items()}
  assert set(directives) == public | {'interop.torch'}


def test_every_page_is_named_in_the_table_of_the_first_one():
  index = (ROOT / 'docs' / 'index.md').read_text('utf-8')
  pages = {
    str(path.relative_to(ROOT / 'docs'))
    for path in (ROOT / 'docs').rglob('*.md')
  } - {'index.md'}
  assert {page for page in pages if f']({page}' not in index} == set()
