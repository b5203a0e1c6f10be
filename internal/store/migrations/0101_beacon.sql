-- Where clients find the ping beacon of a host, HOST:PORT; '' when it has none.
ALTER TABLE host ADD COLUMN beacon TEXT NOT NULL DEFAULT '';
