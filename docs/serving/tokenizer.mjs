// A text to the ids of its tokens, by the rules beside an exported model.
export function makeTokenizer({ tokenizer, vocabulary, limits }) {
  const pattern = new RegExp(tokenizer.pattern, 'gv');
  const ids = new Map(vocabulary.map((token, id) => [token, id]));
  return (text) => {
    if (tokenizer.lowercase) text = text.toLowerCase();
    text = text.normalize(tokenizer.normalize);
    for (const [old, by] of tokenizer.replace) text = text.replaceAll(old, by);
    text = text.normalize(tokenizer.normalize);
    for (const [old, by] of tokenizer.replace_patterns)
      text = text.replace(new RegExp(old, 'gv'), by);
    const tokens = text.match(pattern) ?? ['<unk>'];
    // This is the default, keep=head. Id 1 is an unknown token.
    return tokens.slice(0, limits.max_length).map((t) => ids.get(t) || 1);
  };
}
