-- Pools, peers and leases: who has an address, and who had it.

-- No two pools of a server overlap, whosever they are.  (inet_ops by name: the default class of the
-- btree_gist extension degenerates on IPv6.)
CREATE TABLE pool (
	id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	tenant_id  bigint      NOT NULL REFERENCES tenant,
	network    cidr        NOT NULL,
	filled     bigint      NOT NULL DEFAULT 1, -- numbers up to here were put into the free list
	created_at timestamptz NOT NULL DEFAULT now(),
	UNIQUE (tenant_id, id),
	CONSTRAINT pool_size CHECK (CASE family(network) WHEN 4 THEN masklen(network) BETWEEN 8 AND 30
	                                                 ELSE masklen(network) BETWEEN 32 AND 120 END),
	CONSTRAINT pool_overlap EXCLUDE USING gist (network inet_ops WITH &&)
);

CREATE TABLE peer (
	id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	tenant_id      bigint      NOT NULL REFERENCES tenant,
	user_id        bigint      NOT NULL,
	name           text        COLLATE "C" NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 63),
	public_key     bytea       NOT NULL CHECK (octet_length(public_key) = 32),
	psk            bytea       NOT NULL DEFAULT '' CHECK (octet_length(psk) <= 128), -- sealed
	routes         cidr[]      NOT NULL DEFAULT '{}' CHECK (cardinality(routes) <= 32),
	created_at     timestamptz NOT NULL DEFAULT now(),
	expires_at     timestamptz,
	disabled_at    timestamptz,
	removed_at     timestamptz, -- the row stays for the history of its leases
	endpoint_ip    inet,
	endpoint_port  integer     CHECK (endpoint_port BETWEEN 1 AND 65535),
	endpoint_scope bigint      NOT NULL DEFAULT 0,
	handshake_at   timestamptz,
	changed        xid8        NOT NULL DEFAULT pg_current_xact_id(),
	UNIQUE (tenant_id, id),
	FOREIGN KEY (tenant_id, user_id) REFERENCES tenant_user (tenant_id, id)
);
CREATE UNIQUE INDEX peer_name ON peer (tenant_id, name) WHERE removed_at IS NULL;
CREATE UNIQUE INDEX peer_key ON peer (public_key) WHERE removed_at IS NULL;
CREATE INDEX peer_user ON peer (tenant_id, user_id);
CREATE INDEX peer_changed ON peer (changed);

-- The truth of who has an address now is lease_number; lease_time guards the history.
CREATE TABLE lease (
	id          bigint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	tenant_id   bigint    NOT NULL REFERENCES tenant,
	pool_id     bigint    NOT NULL,
	peer_id     bigint    NOT NULL,
	pool_offset bigint    NOT NULL CHECK (pool_offset >= 2),
	address     inet      NOT NULL,
	during      tstzrange NOT NULL CHECK (NOT isempty(during) AND NOT lower_inf(during)),
	changed     xid8      NOT NULL DEFAULT pg_current_xact_id(),
	FOREIGN KEY (tenant_id, pool_id) REFERENCES pool (tenant_id, id),
	FOREIGN KEY (tenant_id, peer_id) REFERENCES peer (tenant_id, id),
	CONSTRAINT lease_time EXCLUDE USING gist (address inet_ops WITH =, during WITH &&)
);
CREATE UNIQUE INDEX lease_number ON lease (pool_id, pool_offset) WHERE upper_inf(during);
CREATE UNIQUE INDEX lease_holder ON lease (peer_id, pool_id) WHERE upper_inf(during);
CREATE INDEX lease_past ON lease (pool_id, pool_offset);
CREATE INDEX lease_peer ON lease (peer_id);
CREATE INDEX lease_changed ON lease (changed);

-- IPv4 numbers that nobody has: those never used with freed_at = -infinity.  It grows with use, and it
-- only proposes: a number that is leased all the same is refused by lease_number.
CREATE TABLE free_address (
	tenant_id   bigint      NOT NULL,
	pool_id     bigint      NOT NULL,
	pool_offset bigint      NOT NULL,
	freed_at    timestamptz NOT NULL,
	PRIMARY KEY (pool_id, pool_offset),
	FOREIGN KEY (tenant_id, pool_id) REFERENCES pool (tenant_id, id)
);
CREATE INDEX free_address_longest ON free_address (pool_id, freed_at, pool_offset);

ALTER TABLE pool ENABLE ROW LEVEL SECURITY;
ALTER TABLE pool FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_own ON pool TO warren_runtime
	USING (tenant_id = tenant_now()) WITH CHECK (tenant_id = tenant_now());
CREATE POLICY tenant_gateway ON pool FOR SELECT TO warren_gateway USING (current_user = 'warren_gateway');

ALTER TABLE peer ENABLE ROW LEVEL SECURITY;
ALTER TABLE peer FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_own ON peer TO warren_runtime
	USING (tenant_id = tenant_now()) WITH CHECK (tenant_id = tenant_now());
CREATE POLICY tenant_gateway ON peer FOR SELECT TO warren_gateway USING (current_user = 'warren_gateway');
CREATE POLICY tenant_observed ON peer FOR UPDATE TO warren_gateway
	USING (current_user = 'warren_gateway') WITH CHECK (current_user = 'warren_gateway');

ALTER TABLE lease ENABLE ROW LEVEL SECURITY;
ALTER TABLE lease FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_own ON lease TO warren_runtime
	USING (tenant_id = tenant_now()) WITH CHECK (tenant_id = tenant_now());
CREATE POLICY tenant_gateway ON lease FOR SELECT TO warren_gateway USING (current_user = 'warren_gateway');

ALTER TABLE free_address ENABLE ROW LEVEL SECURITY;
ALTER TABLE free_address FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_own ON free_address TO warren_runtime
	USING (tenant_id = tenant_now()) WITH CHECK (tenant_id = tenant_now());

GRANT SELECT, INSERT ON pool, peer, lease TO warren_runtime;
GRANT UPDATE (filled) ON pool TO warren_runtime;
GRANT UPDATE (public_key, psk, expires_at, disabled_at, removed_at) ON peer TO warren_runtime;
GRANT UPDATE (during) ON lease TO warren_runtime;
GRANT SELECT, INSERT, UPDATE, DELETE ON free_address TO warren_runtime;
GRANT SELECT (id, tenant_id, network) ON pool TO warren_gateway;
GRANT SELECT (id, tenant_id, user_id, public_key, psk, routes, expires_at, disabled_at, removed_at,
              endpoint_ip, endpoint_port, endpoint_scope, handshake_at, changed) ON peer TO warren_gateway;
GRANT UPDATE (endpoint_ip, endpoint_port, endpoint_scope, handshake_at) ON peer TO warren_gateway;
GRANT SELECT (id, tenant_id, peer_id, address, during, changed) ON lease TO warren_gateway;
