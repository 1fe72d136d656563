// Lines of a text, as error messages name them.

/** The line that a sentence is about: 12 of `Line 12: the end is before the start.` */
export function lineIn(message: string): number | null {
  const found = /\bline (\d{1,9})\b/i.exec(message)?.[1];
  return found && Number(found) > 0 ? Number(found) : null;
}

/** The range of a line, from 1; after the last one: the text's end. */
export function rangeOfLine(text: string, line: number): [start: number, end: number] {
  const before = text.split("\n").slice(0, line - 1);
  if (before.length < line - 1) return [text.length, text.length];
  const start = Math.min(
    text.length,
    before.reduce((sum, each) => sum + each.length + 1, 0),
  );
  const end = text.indexOf("\n", start);
  return [start, end < 0 ? text.length : end];
}
