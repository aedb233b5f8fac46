# shellcheck shell=bash
# Tables of every built-in type that a column can have, its arrays, and types of the user's. Source after common.sh.

# "type<tab>literal", several for one type. A type of the server that is missing here fails the case.
samples() {
	sed 's/|/\t/' <<-'END'
		bool|t
		bool|f
		bytea|\x00ff5c2e0a
		bytea|
		char|x
		char|\
		name|a name, "quoted"
		int8|-9223372036854775808
		int2|-32768
		int2vector|1 2 3
		int4|2147483647
		regproc|pg_catalog.now
		regproc|public.f
		regprocedure|pg_catalog.sum(bigint)
		regprocedure|public.f(integer)
		regoper|pg_catalog.#-
		regoperator|pg_catalog.+(integer,integer)
		regproc|4294967295
		regproc|-
		regprocedure|4294967295
		regprocedure|-
		regoper|4294967295
		regoper|0
		regoperator|4294967295
		regoperator|0
		regclass|4294967295
		regclass|-
		regcollation|4294967295
		regcollation|-
		regtype|4294967295
		regtype|-
		regtype|public.pair[]
		regtype|timestamp with time zone
		regconfig|4294967295
		regconfig|-
		regdictionary|4294967295
		regdictionary|-
		regnamespace|4294967295
		regnamespace|-
		regrole|4294967295
		regrole|-
		regclass|pg_catalog.pg_class
		regclass|public."Odd name"
		regcollation|pg_catalog."C"
		regtype|integer
		regtype|public.mood
		regconfig|english
		regdictionary|simple
		regnamespace|public
		regrole|postgres
		text|naïve "text", with \. and \N
		oid|4294967295
		tid|(4294967295,65535)
		xid|4294967295
		xid8|18446744073709551615
		cid|7
		oidvector|1 2
		json|{"a": [1, 2, null], "b":"\u00e9\n"}
		jsonb|{"a": [1, 2.50, null], "b": "\u00e9\n"}
		jsonpath|$.a[*] ? (@ > 1)
		jsonpath|strict $.a."c d".*.**.**{2}.**{1 to 3}.**{last}.**{3 to last}[0, 1 to 3, last - 1]
		jsonpath|$var."x\u00e9\n" + -1 * (2 + 3) - +$.a / 4 % 5
		jsonpath|$ ? (!(@.a == "x") && exists (@.b) || (@.c > null) is unknown && @.d != true)
		jsonpath|$ ? (@.a like_regex "^x\"y" flag "is" || @ starts with $p).datetime("HH24").type()
		jsonpath|(1.50).abs().floor().ceiling().double().keyvalue()
		xml|<a b="1">&lt;é</a>
		point|(1.5,-2.25)
		lseg|[(0,0),(1,1)]
		path|((0,0),(1,1),(2,0))
		path|[(0,0),(1,1)]
		box|(2,2),(1,1)
		polygon|((0,0),(1,1),(2,0))
		line|{1,-1,0}
		circle|<(0,0),1.5>
		float4|3.4028235e+38
		float4|-0
		float4|NaN
		float8|0.1
		float8|1e-300
		float8|-Infinity
		money|-$1,234.56
		macaddr|08:00:2b:01:02:03
		macaddr8|08:00:2b:01:02:03:04:05
		inet|192.168.0.1/24
		inet|::1
		cidr|10.0.0.0/8
		bpchar|pad
		varchar|var
		date|2026-11-22
		date|0044-03-15 BC
		date|infinity
		time|24:00:00
		timetz|12:34:56.789+05:30
		timestamp|2026-11-22 08:00:00.000001
		timestamptz|2026-11-22 08:00:00+05
		timestamptz|-infinity
		interval|1 year -2 months 3 days -04:05:06.789
		numeric|-12345678901234567890.123456789012345678901234567890
		numeric|NaN
		numeric|Infinity
		bit|101
		varbit|0101010
		varbit|
		refcursor|a cursor
		uuid|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11
		pg_lsn|16/B374D848
		tsvector|'a':1A 'fat':2B,4C 'cat':5
		tsvector|'it''s' '\\back' 'with space':3 größe:7A,16383
		tsvector|
		tsquery|'fat' & !'rat':AB
		tsquery|(a | b) & c:* | !(d <-> e) & 'it''s'
		tsquery|a <-> (b <12> !(c & größe)) <-> '\\d':ABCD
		txid_snapshot|10:20:10,14,15
		pg_snapshot|10:20:10,14,15
		pg_snapshot|1:18446744073709551615:
		int2vector|
		int2vector|-32768
		oidvector|4294967295
		aclitem|postgres=r*w/postgres
		int4range|[1,10)
		int4range|empty
		int8range|(,5)
		numrange|[1.5,2.5]
		tsrange|["2026-01-01 00:00:00","2026-01-02 00:00:00")
		tstzrange|["2026-01-01 00:00:00+02",)
		daterange|[2026-01-01,2026-02-01)
		int4multirange|{[1,3),[5,7)}
		int8multirange|{}
		nummultirange|{[1.5,2.5]}
		tsmultirange|{["2026-01-01 00:00:00","2026-01-02 00:00:00")}
		tstzmultirange|{["2026-01-01 00:00:00+02",)}
		datemultirange|{[2026-01-01,2026-02-01)}
		mood|so "so"
		posint|7
		pair|(1,"a ""b"", c")
		spanrange|[1.5,2.5]
	END
}

# types_define CONN
types_define() {
	psql_do -d "$1" <<-'SQL'
		CREATE TYPE mood AS ENUM ('glad', 'so "so"');
		CREATE DOMAIN posint AS int CHECK (VALUE > 0);
		CREATE TYPE pair AS (a int, b text);
		CREATE TYPE spanrange AS RANGE (subtype = float8);
		CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
		CREATE VIEW "Odd name" AS SELECT 1 AS a;
	SQL
}

# Types whose values cannot be typed in; they are taken from the catalog.
types_make() {
	types_define "$CONN"
	psql_do <<-'SQL'
		CREATE TABLE samples (type text, value text);
		CREATE TABLE from_catalog AS SELECT a.adbin FROM pg_attrdef a;
		INSERT INTO from_catalog SELECT ev_action FROM pg_rewrite LIMIT 20;
		CREATE TABLE statistics_source AS SELECT i % 10 AS a, i % 20 AS b FROM generate_series(1, 1000) i;
		CREATE STATISTICS s ON a, b FROM statistics_source;
		ANALYZE statistics_source;
		CREATE TABLE statistics AS SELECT stxdndistinct, stxddependencies, stxdmcv FROM pg_statistic_ext_data;
	SQL
}

# One table a type: all samples, NULL, an array of all, enough rows for a few chunks.
types_fill() {
	local format="FORMAT csv, DELIMITER E'\\t', QUOTE E'\\x01', NULL 'never'"
	samples | psql_do -c "\\copy samples FROM pstdin ($format)" || fail 'the samples cannot be loaded'
	psql_do <<-'SQL'
		DO $$
		DECLARE t text; q text; s record;
		BEGIN
			FOR t IN SELECT DISTINCT type FROM samples LOOP
				q := CASE t WHEN 'char' THEN '"char"' WHEN 'bit' THEN 'bit(3)' WHEN 'bpchar' THEN 'char(8)'
					ELSE quote_ident(t) END;
				EXECUTE format('CREATE TABLE %I (id int, v %s, vs %s[])', 'type ' || t, q, q);
				FOR s IN SELECT value FROM samples WHERE type = t LOOP
					EXECUTE format('INSERT INTO %I SELECT i, %L::%s, ARRAY[%L::%s, NULL]
						FROM generate_series(1, 150) i', 'type ' || t, s.value, q, s.value, q);
				END LOOP;
				EXECUTE format('INSERT INTO %I VALUES (0, NULL, NULL), (0, NULL, ''{}'')', 'type ' || t);
			END LOOP;
		END $$;
	SQL
}

# What another would like the text to look like: of the role, and of a database.
types_unsettle() {
	psql_do -v database="$1" <<-'SQL'
		ALTER ROLE postgres SET DateStyle = 'German';
		ALTER ROLE postgres SET IntervalStyle = 'sql_standard';
		ALTER ROLE postgres SET extra_float_digits = -10;
		ALTER ROLE postgres SET bytea_output = 'escape';
		ALTER DATABASE :database SET TimeZone = 'Asia/Tokyo';
		ALTER DATABASE :database SET statement_timeout = '1s';
		ALTER DATABASE :database SET idle_in_transaction_session_timeout = '50ms';
		ALTER DATABASE :database SET search_path = 'nowhere';
		ALTER DATABASE :database SET client_encoding = 'LATIN1';
		ALTER DATABASE :database SET quote_all_identifiers = on;
		ALTER DATABASE :database SET standard_conforming_strings = off;
		ALTER DATABASE :database SET xmloption = 'document';
		ALTER DATABASE :database SET default_transaction_isolation = 'serializable';
		ALTER DATABASE :database SET enable_seqscan = off;
		ALTER DATABASE :database SET min_parallel_table_scan_size = 0;
		SELECT format('ALTER DATABASE %I SET %I = on', :'database', name) FROM pg_settings
			WHERE name IN ('force_parallel_mode', 'debug_parallel_query') \gexec
	SQL
}
