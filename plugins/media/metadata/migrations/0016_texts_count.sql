-- Captions count as stored: contents with captions are counted again. Of an upload that failed nothing is left to count.
UPDATE contents SET bytes = NULL, source_bytes = NULL WHERE texts IS NOT NULL AND state <> 6;
