/** `a, #b ,, a` -> `["a", "b"]`: in the order given, each once. */
export function parseTags(text: string): string[] {
  const tags = text.split(",").map((tag) => tag.trim().replace(/^#+/, "").trim());
  return [...new Set(tags.filter(Boolean))];
}
