-- When the player joined: what people look for who ask why somebody was not let in. The API
-- does not tell it.
ALTER TABLE player_session ADD COLUMN joined_at BIGINT;
