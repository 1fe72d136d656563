-- A failed content whose file is why: encoding it again would end the same way.
ALTER TABLE contents ADD COLUMN unusable BIGINT NOT NULL DEFAULT 0;
