// The table of a content's renditions, each with its progress.

import type { Content, Rendition } from "../api/types";
import { bitrate, frameRate } from "../lib/format";
import { inOneLine, soundName } from "../lib/tracks";
import { Slats } from "../ui/slats";

export function Renditions({ content }: { content: Content }) {
  if (content.renditions.length === 0) return null;
  const rows = [...content.renditions].sort(
    (a, b) =>
      a.kind.localeCompare(b.kind) * -1 ||
      (b.height ?? 0) - (a.height ?? 0) ||
      (a.track ?? 0) - (b.track ?? 0) ||
      (b.target_bitrate ?? 0) - (a.target_bitrate ?? 0),
  );
  const expected = expectedSegments(content);
  return (
    <section aria-labelledby="renditions-title" className="mt-4">
      <h2 id="renditions-title" className="wide">
        Renditions
      </h2>
      <div className="mt-2 overflow-x-auto">
        <table className="digits w-full text-left text-sm" data-testid="renditions">
          <thead className="narrow border-line border-b text-soft">
            <tr>
              <th className="py-2 pr-4 font-[inherit]">Name</th>
              <th className="py-2 pr-4 font-[inherit]">Form</th>
              <th className="py-2 pr-4 font-[inherit] max-sm:hidden">Codec</th>
              <th className="py-2 pr-4 font-[inherit]">Bitrate</th>
              <th className="py-2 font-[inherit]">Segments</th>
            </tr>
          </thead>
          <tbody className="divide-y divide-line">
            {rows.map((rendition) => (
              <tr key={rendition.name}>
                <th className="py-2 pr-4 font-semibold">{rendition.name}</th>
                <td className="whitespace-nowrap py-2 pr-4">
                  {form(rendition)}
                  {soundOf(rendition) && (
                    <span className="block max-w-64 whitespace-normal text-soft wrap-anywhere">
                      {soundOf(rendition)}
                    </span>
                  )}
                </td>
                <td className="py-2 pr-4 text-soft max-sm:hidden">{rendition.codec}</td>
                <td
                  className="whitespace-nowrap py-2 pr-4"
                  title={`Asked for: ${bitrate(rendition.target_bitrate)}`}
                >
                  {bitrate(rendition.bitrate)}
                </td>
                <td className="w-1/4 py-2 sm:w-2/5">
                  <div className="flex items-center gap-3">
                    <Slats
                      value={rendition.complete ? 1 : share(rendition, expected)}
                      tone={rendition.complete ? "good" : "busy"}
                      label={`${rendition.name}: ${rendition.segments} segments${rendition.complete ? ", complete" : ""}`}
                      className="h-2.5 min-w-10 flex-1"
                    />
                    <span className="w-9 text-right text-soft">{rendition.segments}</span>
                  </div>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

const SEGMENT_S = 2;

/** How much of the time line a rendition covers so far; `null` while the length is unknown. */
export function share(rendition: Pick<Rendition, "segments">, expected: number | null): number {
  return expected === null ? 0 : Math.min(0.99, rendition.segments / expected);
}

/** How many segments a rendition will have: by the length, or else by the progress; `null`: unknown. */
export function expectedSegments(
  content: Pick<Content, "duration" | "progress" | "renditions">,
): number | null {
  const most = Math.max(1, ...content.renditions.map((rendition) => rendition.segments));
  if (content.duration) return Math.max(most, Math.ceil(content.duration / SEGMENT_S));
  if (content.progress <= 0) return null;
  const videos = content.renditions.filter((rendition) => rendition.kind === "video");
  const furthest = Math.max(0, ...videos.map((rendition) => rendition.segments)) || most;
  return Math.max(most, Math.ceil(furthest / content.progress));
}

/** The name of its sound, if known: `English, commentary`. */
export function soundOf(rendition: Rendition): string {
  return rendition.kind === "audio" ? inOneLine(soundName(rendition, "")) : "";
}

function form(rendition: Rendition): string {
  if (rendition.kind === "audio") {
    const sound =
      rendition.channels === 2 ? "stereo" : rendition.channels === 1 ? "mono" : `${rendition.channels} ch`;
    return rendition.sample_rate ? `${sound}, ${rendition.sample_rate / 1000} kHz` : sound;
  }
  return [`${rendition.width}×${rendition.height}`, frameRate(rendition.fps)].filter(Boolean).join(", ");
}
