// Names of languages for people, and back to their tags (BCP 47).

const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "none" });

/** Suggested first; any other one can be typed. */
const COMMON = [
  ...["ar", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "en-GB", "es", "es-419", "fa", "fi", "fr", "he"],
  ...["hi", "hr", "hu", "id", "it", "ja", "ko", "ms", "nb", "nl", "pl", "pt", "pt-BR", "ro", "ru", "sk"],
  ...["sr", "sv", "ta", "th", "tr", "uk", "ur", "vi", "zh-Hans", "zh-Hant"],
];

/** `pt-BR` -> `Brazilian Portuguese`; a tag without a name stays unchanged; empty: unknown. */
export function languageName(tag: string | null | undefined): string {
  if (!tag || /^(und|zxx|mis|mul)\b/i.test(tag)) return "";
  try {
    return names.of(tag) ?? tag;
  } catch {
    return tag;
  }
}

export const COMMON_LANGUAGES: { tag: string; name: string }[] = COMMON.map((tag) => ({
  tag,
  name: languageName(tag),
})).sort((a, b) => a.name.localeCompare(b.name, "en"));

/** Typed text, a tag or a common name, as a tag; empty stays empty, `null`: it is not a language. */
export function tagOf(typed: string): string | null {
  const text = typed.trim();
  if (!text) return "";
  const named = COMMON_LANGUAGES.find(({ name }) => name.toLowerCase() === text.toLowerCase());
  if (named) return named.tag;
  // Words of five letters and more have the form of a tag, but are not registered languages.
  if (!/^[a-z]{2,3}([-_]|$)/i.test(text)) return null;
  try {
    return Intl.getCanonicalLocales(text.replaceAll("_", "-"))[0] ?? null;
  } catch {
    return null;
  }
}

/** `film.pt-br.srt` -> `pt-BR`: the language in a file's name, if there is one. */
export function languageOfFile(name: string): string {
  const parts = name.split(".").slice(1, -1).reverse();
  for (const part of parts) {
    const tag = tagOf(part);
    if (tag && languageName(tag) !== tag) return tag;
  }
  return "";
}

/** The language without its region or script: `en` of `en-GB`, and of `eng`. */
function primary(tag: string | null | undefined): string {
  return (tagOf(tag ?? "") ?? "").split("-")[0] ?? "";
}

/** Whether both are one language, in any region. So are two without a name. */
export function sameLanguage(a: string | null | undefined, b: string | null | undefined): boolean {
  return primary(a) === primary(b);
}
