-- The audit log: a hash chain per tenant (server/store/audit.h has its form), which only grows.
CREATE TABLE audit (
	tenant_id bigint NOT NULL REFERENCES tenant,
	seq       bigint NOT NULL CHECK (seq > 0),
	at        bigint NOT NULL, -- microseconds since the epoch, as they are hashed
	actor     text   NOT NULL,
	source    text   NOT NULL,
	action    text   NOT NULL,
	object    text   NOT NULL,
	before    text   NOT NULL,
	after     text   NOT NULL,
	request   text   NOT NULL,
	previous  bytea  NOT NULL CHECK (octet_length(previous) = 32),
	hash      bytea  NOT NULL CHECK (octet_length(hash) = 32),
	PRIMARY KEY (tenant_id, seq)
);

-- The end of each chain; its lock puts the tenant's transactions in order.
CREATE TABLE audit_head (
	tenant_id bigint PRIMARY KEY REFERENCES tenant,
	seq       bigint NOT NULL DEFAULT 0,
	hash      bytea  NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (octet_length(hash) = 32)
);

-- A fence, for slips: a superuser can take it down, and then the hashes tell.
CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'the audit log only grows';
END
$$;
CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
	FOR EACH STATEMENT EXECUTE FUNCTION audit_stays();

ALTER TABLE audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_own ON audit TO warren_runtime
	USING (tenant_id = tenant_now()) WITH CHECK (tenant_id = tenant_now());

ALTER TABLE audit_head ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_head FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_own ON audit_head TO warren_runtime
	USING (tenant_id = tenant_now()) WITH CHECK (tenant_id = tenant_now());

GRANT SELECT, INSERT ON audit TO warren_runtime;
GRANT SELECT, INSERT ON audit_head TO warren_runtime;
GRANT UPDATE (seq, hash) ON audit_head TO warren_runtime;
