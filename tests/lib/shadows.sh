# shellcheck shell=bash
# Copies through shadows (tests/model/copyshadow), and a schema with everything that a table can have.
# Sourced behind common.sh.

copyshadow=$BUILD/tests/model/copyshadow

# What publishing needs of schema asofs.
make_asofs() {
	psql_do <<-'SQL'
		CREATE SCHEMA asofs;
		COMMENT ON SCHEMA asofs IS 'asofs: format 1';
		CREATE TABLE asofs.label (name text PRIMARY KEY, state text, moment timestamptz, lsn pg_lsn, source text,
			tables int, rows bigint, published_at timestamptz, marker oid);
		CREATE UNLOGGED TABLE asofs.marker (made_at timestamptz);
		CREATE VIEW asofs.view AS SELECT name, state, moment, lsn, source, tables, rows, published_at FROM asofs.label;
		CREATE TABLE asofs."table" (view text, target_schema text, name text, run bigint, unlogged boolean);
		GRANT USAGE ON SCHEMA asofs TO PUBLIC;
		GRANT SELECT ON asofs.view, asofs."table" TO PUBLIC;
	SQL
}

# A table all whose parts have settings of their own, one in partitions two levels deep, and names that hurt.
make_everything() {
	psql_do <<-'SQL'
		SELECT current_setting('server_version_num')::int >= 150000 AS newer \gset
		CREATE ROLE owner_; CREATE ROLE reader; CREATE ROLE "We""ird R'ole"; CREATE ROLE writer;
		CREATE SCHEMA erp AUTHORIZATION owner_; CREATE SCHEMA "we""ird.na'me"; CREATE SCHEMA parts; CREATE SCHEMA stat;
		GRANT USAGE ON SCHEMA erp TO reader;
		GRANT ALL ON SCHEMA "we""ird.na'me", parts, stat TO owner_;

		CREATE TYPE erp.state AS ENUM ('new', 'old');
		CREATE FUNCTION erp.touch() RETURNS trigger LANGUAGE plpgsql AS
			$$BEGIN RAISE EXCEPTION 'the trigger fired'; END$$;
		CREATE FUNCTION erp.ok(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';

		CREATE TABLE erp.country (code text PRIMARY KEY, name text); -- not in the list
		INSERT INTO erp.country VALUES ('de', 'Germany'), ('at', 'Austria');

		CREATE TABLE erp.customer (
			gone int,
			id bigint GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME erp."Cust'omer ids" START 10 INCREMENT 5 CACHE 3),
			name varchar(40) COLLATE "C" NOT NULL DEFAULT 'no''body',
			no serial,
			country text REFERENCES erp.country ON DELETE CASCADE,
			state erp.state DEFAULT 'new',
			total numeric(12,2) CHECK (total >= 0),
			twice numeric GENERATED ALWAYS AS (total * 2) STORED,
			during tstzrange,
			note text,
			tags text[] DEFAULT '{a,b}',
			boss bigint,
			CONSTRAINT customer_key PRIMARY KEY (id) INCLUDE (name) WITH (fillfactor = 90),
			CONSTRAINT "name ""uni""que" UNIQUE (name) DEFERRABLE INITIALLY DEFERRED,
			CONSTRAINT no_overlap EXCLUDE USING gist (during WITH &&) WITH (fillfactor = 80) WHERE (id > 100),
			CONSTRAINT boss_fk FOREIGN KEY (boss) REFERENCES erp.customer DEFERRABLE,
			CONSTRAINT whole CHECK (customer.* IS DISTINCT FROM NULL) NO INHERIT
		) WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_vacuum_threshold = 77);
		ALTER TABLE erp.customer DROP gone;
		ALTER TABLE erp.customer ADD CONSTRAINT unchecked CHECK (erp.ok(no) AND name <> 'Bad') NOT VALID;
		ALTER TABLE erp.customer ADD late int DEFAULT 7;
		ALTER TABLE erp.customer ALTER note SET STATISTICS 500, ALTER name SET (n_distinct = -0.5, n_distinct_inherited = 3);
		ALTER TABLE erp.customer ALTER note SET COMPRESSION pglz, ALTER note SET STORAGE EXTERNAL;
		CREATE INDEX customer_expr ON erp.customer ((lower(name)), state) WHERE state = 'new';
		ALTER INDEX erp.customer_expr ALTER COLUMN 1 SET STATISTICS 300;
		CREATE INDEX customer_late ON erp.customer USING brin (late int4_minmax_multi_ops (values_per_range = 16))
			WITH (pages_per_range = 32);
		CREATE UNIQUE INDEX customer_ident ON erp.customer (no);
		\if :newer
			CREATE UNIQUE INDEX customer_nulls ON erp.customer (late, id) NULLS NOT DISTINCT;
		\endif
		CREATE INDEX customer_total ON erp.customer (total DESC NULLS LAST, name COLLATE "POSIX" text_pattern_ops);
		ALTER TABLE erp.customer CLUSTER ON customer_total;
		ALTER TABLE erp.customer REPLICA IDENTITY USING INDEX customer_ident;
		CREATE STATISTICS stat."Stat's" (dependencies, mcv) ON name, state FROM erp.customer;
		ALTER STATISTICS stat."Stat's" SET STATISTICS 77;
		ALTER STATISTICS stat."Stat's" OWNER TO owner_;
		CREATE STATISTICS erp.expr ON (lower(name)), late FROM erp.customer;
		GRANT SELECT, INSERT ON erp.customer TO reader WITH GRANT OPTION;
		GRANT SELECT ON erp.customer TO "We""ird R'ole", PUBLIC;
		REVOKE DELETE ON erp.customer FROM postgres;
		GRANT UPDATE (name, note), REFERENCES (id) ON erp.customer TO "We""ird R'ole";
		GRANT USAGE ON SEQUENCE erp."Cust'omer ids", erp.customer_no_seq TO reader;
		CREATE TRIGGER touch BEFORE INSERT OR UPDATE OF name, note ON erp.customer
			FOR EACH ROW WHEN (NEW.name <> 'x') EXECUTE FUNCTION erp.touch('a', 'b''c');
		CREATE TRIGGER "Off" AFTER DELETE OR TRUNCATE ON erp.customer EXECUTE FUNCTION erp.touch();
		ALTER TABLE erp.customer DISABLE TRIGGER "Off";
		CREATE TRIGGER news AFTER UPDATE ON erp.customer REFERENCING OLD TABLE AS o NEW TABLE AS n EXECUTE FUNCTION erp.touch();
		ALTER TABLE erp.customer ENABLE REPLICA TRIGGER news;
		CREATE CONSTRAINT TRIGGER later AFTER INSERT ON erp.customer DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW EXECUTE FUNCTION erp.touch();
		ALTER TABLE erp.customer ENABLE ALWAYS TRIGGER later;
		CREATE POLICY mine ON erp.customer AS RESTRICTIVE FOR SELECT TO reader, "We""ird R'ole" USING (name = current_user);
		CREATE POLICY "all's" ON erp.customer USING (true) WITH CHECK (EXISTS (SELECT FROM erp.country c WHERE c.code = country));
		ALTER TABLE erp.customer ENABLE ROW LEVEL SECURITY;
		COMMENT ON TABLE erp.customer IS 'it''s the "customers"';
		COMMENT ON COLUMN erp.customer.name IS 'a name';
		COMMENT ON CONSTRAINT whole ON erp.customer IS 'all of it';
		COMMENT ON CONSTRAINT boss_fk ON erp.customer IS 'key';
		COMMENT ON CONSTRAINT customer_key ON erp.customer IS 'primary';
		COMMENT ON INDEX erp.customer_total IS 'index';
		COMMENT ON TRIGGER touch ON erp.customer IS 'trigger';
		COMMENT ON POLICY mine ON erp.customer IS 'policy';
		COMMENT ON STATISTICS stat."Stat's" IS 'statistics';
		COMMENT ON SEQUENCE erp."Cust'omer ids" IS 'sequence';
		ALTER INDEX erp.customer_late DEPENDS ON EXTENSION plpgsql;
		ALTER TRIGGER touch ON erp.customer DEPENDS ON EXTENSION plpgsql;

		CREATE TABLE "we""ird.na'me"."Or""der's of $1 and %s" (
			"Cust""omer" bigint, "n o" int, "select" text, day date NOT NULL,
			PRIMARY KEY (day, "n o") WITH (fillfactor = 60),
			FOREIGN KEY ("Cust""omer") REFERENCES erp.customer (id) ON DELETE RESTRICT ON UPDATE CASCADE
		) PARTITION BY RANGE (day);
		CREATE TABLE parts.y1 (day date NOT NULL, "select" text, "n o" int NOT NULL, "Cust""omer" bigint,
			CONSTRAINT y1_rows CHECK ("n o" > 0)) WITH (fillfactor = 50);
		ALTER TABLE "we""ird.na'me"."Or""der's of $1 and %s" ATTACH PARTITION parts.y1 FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
		CREATE TABLE "we""ird.na'me".y2 PARTITION OF "we""ird.na'me"."Or""der's of $1 and %s"
			FOR VALUES FROM ('2002-01-01') TO ('2003-01-01') PARTITION BY HASH ("n o");
		CREATE TABLE parts.y2_0 PARTITION OF "we""ird.na'me".y2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE parts."Y2 1" ("select" text, "Cust""omer" bigint, day date NOT NULL, "n o" int NOT NULL);
		ALTER TABLE "we""ird.na'me".y2 ATTACH PARTITION parts."Y2 1" FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		CREATE TABLE parts.rest PARTITION OF "we""ird.na'me"."Or""der's of $1 and %s" DEFAULT;
		CREATE INDEX "by ""text" ON "we""ird.na'me"."Or""der's of $1 and %s" ("select") WITH (fillfactor = 40);
		CREATE INDEX only_y1 ON parts.y1 (("n o" + 1));
		CREATE UNIQUE INDEX ON "we""ird.na'me"."Or""der's of $1 and %s" ("n o", day);
		ALTER TABLE parts.y1 CLUSTER ON only_y1;
		ALTER TABLE parts.y1 REPLICA IDENTITY FULL;
		ALTER TABLE parts.y2_0 REPLICA IDENTITY NOTHING;
		ALTER TABLE parts.rest ALTER "select" SET DEFAULT 'x';
		CREATE TRIGGER "t of parts" BEFORE INSERT ON "we""ird.na'me"."Or""der's of $1 and %s" FOR EACH ROW EXECUTE FUNCTION erp.touch();
		ALTER TABLE parts.y1 DISABLE TRIGGER "t of parts";
		GRANT SELECT ON parts.y1 TO reader;
		COMMENT ON TABLE parts.y1 IS 'a partition';

		CREATE UNLOGGED TABLE erp.fleeting (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, customer bigint,
			t timestamptz DEFAULT now());
		ALTER TABLE erp.fleeting ADD CONSTRAINT fleeting_fk FOREIGN KEY (customer) REFERENCES erp.customer
			ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED NOT VALID;
		ALTER TABLE erp.fleeting FORCE ROW LEVEL SECURITY;
		ALTER TABLE erp.fleeting OWNER TO owner_;

		CREATE TABLE erp.a23456789012345678901234567890123456789012345678901234567890123 (
			"größe" int UNIQUE,
			b23456789012345678901234567890123456789012345678901234567890123 text,
			UNIQUE (b23456789012345678901234567890123456789012345678901234567890123));
		CREATE TABLE erp."Größe" (k text, v text);
		REVOKE ALL ON erp."Größe" FROM postgres;
		CREATE TABLE erp.nothing (x int);
		ALTER TABLE erp.nothing DROP x;
		CREATE TABLE erp.line (no int, day date, pos int PRIMARY KEY,
			FOREIGN KEY (no, day) REFERENCES "we""ird.na'me"."Or""der's of $1 and %s" ("n o", day) MATCH FULL);

		CREATE PUBLICATION whole FOR TABLE erp.customer, parts.y1 WITH (publish = 'insert');
		\if :newer
			CREATE PUBLICATION part FOR TABLE erp.customer (no, name) WHERE (no > 5 AND name <> '') WITH (publish = 'insert');
			CREATE PUBLICATION schemas FOR TABLES IN SCHEMA parts WITH (publish = 'insert');
		\endif
		CREATE PUBLICATION every FOR ALL TABLES WITH (publish = '');
		ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO writer, PUBLIC;
		ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO writer;
	SQL
}

# shellcheck disable=SC2034
everything=(
	erp customer '' '' "INSERT INTO @ (id, name, no, country, total, during, boss) OVERRIDING SYSTEM VALUE
		SELECT i, 'name ' || i, i, 'de', i, tstzrange(to_timestamp(i), to_timestamp(i + 1)), 1
		FROM generate_series(1, 1000) i"
	"we\"ird.na'me" "Or\"der's of \$1 and %s" '' '' "INSERT INTO @ SELECT i, i, 'row ' || i, '2001-01-01'::date + i
		FROM generate_series(1, 1000) i"
	erp fleeting '' '' 'INSERT INTO @ SELECT i, 77777, now() FROM generate_series(1, 100) i'
	erp a23456789012345678901234567890123456789012345678901234567890123 '' '' 'INSERT INTO @ SELECT i, i FROM generate_series(1, 10) i'
	erp Größe '' '' "INSERT INTO @ VALUES ('ä', 'ö')"
	erp nothing '' '' 'INSERT INTO @ DEFAULT VALUES'
	erp line '' '' "INSERT INTO @ SELECT i, '2001-01-01'::date + i, i FROM generate_series(1, 900) i"
)

# copy MODE NAME MOMENT UNTIL [SCHEMA TABLE COLUMNS FILTER FILL]...
copy() {
	local mode=$1 name=$2 moment=$3 until=$4
	shift 4
	"$copyshadow" "$mode" "$name" "$moment" "${patience_ms:-60000}" "$until" "$CONN" "$@"
}

# What pg_dump says of the schema; the lines \restrict are random.
dump_schema() { pg_dump -s -d "$CONN" | grep -vE '^\\(un)?restrict '; }

no_shadows() {
	[[ $(sql "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'asofs\\_%'") == 0 ]] || fail 'a schema of shadows is left'
}
