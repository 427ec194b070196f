-- The server, its tenants and their users.
--
-- Row-level security is enabled and forced on every table with rows of tenants, so that not even the
-- owner sees any without a policy.  Two roles have some:
--   warren_runtime  sees and writes the rows of the tenant that the transaction named, no others;
--   warren_gateway  sees the few columns of all tenants that the data plane needs.
-- Neither owns anything.  The owner is a member of both, and a policy for a role is one for its members:
-- so those without a tenant ask who it is.  Foreign keys carry the tenant along, since their checks pass row security by.

-- The tenant that this transaction named, or null.  After a transaction that named one the setting
-- reads as an empty text and not as null.
CREATE FUNCTION tenant_now() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
	RETURN nullif(current_setting('warren.tenant', true), '')::bigint;

CREATE TABLE server (
	one        boolean     PRIMARY KEY DEFAULT true CHECK (one),
	ula        cidr        NOT NULL CHECK (family(ula) = 6 AND masklen(ula) = 48),
	created_at timestamptz NOT NULL DEFAULT now()
);

-- RFC 4193: 40 random bits behind fd00::/8, drawn once.
INSERT INTO server (ula)
SELECT ('fd' || substr(r, 1, 2) || ':' || substr(r, 3, 4) || ':' || substr(r, 7, 4) || '::/48')::cidr
FROM replace(gen_random_uuid()::text, '-', '') AS r;

CREATE SEQUENCE tenant_id_seq;

CREATE TABLE tenant (
	id             bigint      PRIMARY KEY CHECK (id > 0),
	name           text        COLLATE "C" NOT NULL UNIQUE
	                           CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
	peers_may_meet boolean     NOT NULL DEFAULT false,
	rest_seconds   bigint      NOT NULL DEFAULT 86400 CHECK (rest_seconds BETWEEN 0 AND 315360000),
	created_at     timestamptz NOT NULL DEFAULT now(),
	changed        xid8        NOT NULL DEFAULT pg_current_xact_id()
);
ALTER TABLE tenant ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_own ON tenant TO warren_runtime USING (id = tenant_now()) WITH CHECK (id = tenant_now());
CREATE POLICY tenant_gateway ON tenant FOR SELECT TO warren_gateway USING (current_user = 'warren_gateway');

CREATE TABLE tenant_user (
	id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	tenant_id   bigint      NOT NULL REFERENCES tenant,
	name        text        COLLATE "C" NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 255),
	created_at  timestamptz NOT NULL DEFAULT now(),
	disabled_at timestamptz,
	changed     xid8        NOT NULL DEFAULT pg_current_xact_id(),
	UNIQUE (tenant_id, name),
	UNIQUE (tenant_id, id)
);
CREATE INDEX tenant_user_changed ON tenant_user (changed);
ALTER TABLE tenant_user ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_user FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_own ON tenant_user TO warren_runtime
	USING (tenant_id = tenant_now()) WITH CHECK (tenant_id = tenant_now());
CREATE POLICY tenant_gateway ON tenant_user FOR SELECT TO warren_gateway USING (current_user = 'warren_gateway');

GRANT USAGE ON SCHEMA warren TO warren_runtime, warren_gateway;
GRANT SELECT ON server TO warren_runtime;
GRANT SELECT, INSERT ON tenant TO warren_runtime;
GRANT UPDATE (peers_may_meet, rest_seconds) ON tenant TO warren_runtime;
GRANT SELECT, INSERT ON tenant_user TO warren_runtime;
GRANT UPDATE (disabled_at) ON tenant_user TO warren_runtime;
GRANT SELECT ON tenant TO warren_gateway;
GRANT SELECT (id, tenant_id, disabled_at, changed) ON tenant_user TO warren_gateway;
GRANT USAGE ON SEQUENCE tenant_id_seq TO warren_gateway;
