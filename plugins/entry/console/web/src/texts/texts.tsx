// The text tracks of a content: its captions and chapters. For users who may change them.

import type { Content } from "../api/types";
import { CaptionList } from "./caption-list";
import { ChapterEditor } from "./chapter-editor";

interface TextsProps {
  content: Content;
  /** Something was changed at the server; resolves when the page shows it. */
  onChange(): Promise<void>;
}

export default function Texts({ content, onChange }: TextsProps) {
  // A server that supports neither shows nothing here.
  return (
    <>
      {content.captions && <CaptionList content={content} captions={content.captions} onChange={onChange} />}
      {content.chapters && (
        <ChapterEditor content={content} chapters={content.chapters} onChange={onChange} />
      )}
    </>
  );
}
