"""The tokens of each tokenizer as the matches of a regular expression.

The patterns mean the same in ECMAScript (flag v) and in Python's `regex` (flag
V1), so that a program without this library makes the same tokens.
"""

_WORD = r'\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d'
_NO_SPACES = (
  r'\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}'
)
_LETTER = rf'[[{_WORD}]--[{_NO_SPACES}]]'
_LETTERS = rf'{_LETTER}+'
_END = rf'(?![{_WORD}])'
_CLITIC = rf"'(?:s|m|d|ll|re|ve){_END}"
_MARKER = r'</?e[12]>|<sep>'
# Python's white space, which differs from `\s` of other languages.
NOT_SPACE = (
  r'[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]'
)
WORDS = '|'.join(
  [
    _MARKER,
    rf"{_LETTERS}(?=n't{_END})",
    rf"n't{_END}",
    _CLITIC,
    rf"{_LETTERS}(?:[\-.']{_LETTERS})*?(?={_CLITIC})",
    rf"{_LETTERS}(?:[\-.']{_LETTERS})*",
    r'\.{2,}',
    NOT_SPACE,
  ]
)
WHITESPACE = rf'{_MARKER}|(?:(?!{_MARKER}){NOT_SPACE})+'
CHARACTERS = rf'{_MARKER}|{NOT_SPACE}'

# An address ends before punctuation, and contains only balanced parentheses. A
# user name may follow what twitter-text allows, so not the name of an e-mail
# address.
_ADDRESS = rf'[[\x21-\x7e{_WORD}]--[{_NO_SPACES}\(\)\x3c\x3e\x22]]'
_ADDRESS_END = rf'[{_ADDRESS}--[.,:;!?\x27*\x5b\x5d\x7b\x7d]]'
_IN_PARENTHESES = rf'\({_ADDRESS}*\)'
URL = (
  rf'(?<!{_LETTER}|@)'
  r'(?:(?:[Hh][Tt][Tt][Pp][Ss]?|[Ff][Tt][Pp]):\/\/|[Ww][Ww][Ww]\.)'
  rf'(?:{_ADDRESS}|{_IN_PARENTHESES})*(?:{_ADDRESS_END}|{_IN_PARENTHESES})'
)
USER = rf'(?<!{_LETTER}|[!#$%\&*@\/])@{_LETTERS}'
# The tokens that these become.
REPLACED = r'<(?:url|user)>'
