-- The feed of changes for the data plane: each row that it reads carries the number of the transaction
-- that changed it last, and a hint is sent.  Equal hints of a transaction are sent once.
CREATE FUNCTION changed_stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.changed := pg_catalog.pg_current_xact_id();
	PERFORM pg_catalog.pg_notify('warren_changed', '');
	RETURN NEW;
END
$$;
CREATE FUNCTION changed_hint() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_catalog.pg_notify('warren_changed', '');
	RETURN NULL;
END
$$;

CREATE TRIGGER changed BEFORE INSERT OR UPDATE ON tenant FOR EACH ROW EXECUTE FUNCTION changed_stamp();
CREATE TRIGGER changed BEFORE INSERT OR UPDATE ON tenant_user FOR EACH ROW EXECUTE FUNCTION changed_stamp();
CREATE TRIGGER changed BEFORE INSERT OR UPDATE ON lease FOR EACH ROW EXECUTE FUNCTION changed_stamp();
CREATE TRIGGER changed AFTER INSERT ON pool FOR EACH STATEMENT EXECUTE FUNCTION changed_hint();

-- What the gateway writes itself (endpoints, handshakes) is no news to it.
CREATE TRIGGER changed BEFORE INSERT OR UPDATE OF user_id, name, public_key, psk, routes, expires_at, disabled_at,
	removed_at ON peer FOR EACH ROW EXECUTE FUNCTION changed_stamp();
