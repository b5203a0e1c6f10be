-- Of auth tokens the sum is kept, as "sha256:" and hexadecimal, and the token itself sealed, to
-- be given out again. NULL: from before, and token is the token.
ALTER TABLE compute_token ADD COLUMN sealed TEXT;
