-- Bytes of the poster, and of the thumbnails with their index, which count as stored. Of pictures from before it is
-- not known how many they are.
ALTER TABLE contents ADD COLUMN poster_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE contents ADD COLUMN thumbnail_bytes BIGINT NOT NULL DEFAULT 0;
