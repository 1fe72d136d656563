-- Who sent to the upload last, for the audit log: an id of a principal, and the client's address.
ALTER TABLE uploads ADD COLUMN sender TEXT NOT NULL DEFAULT '';
ALTER TABLE uploads ADD COLUMN sender_address TEXT NOT NULL DEFAULT '';
