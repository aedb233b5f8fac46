# shellcheck shell=bash disable=SC2154,SC2034
# Tables rendered from the pages of a view: accounts of pgbench, lineitem as in TPC-H, a mix of types, long texts in TOAST.

# --- what is rendered ---

render_scale=$(bench_at_scale 100 10)   # of pgbench: 13 MB of text each, and the others are about as large
render_tables=(pgbench_accounts lineitem mix long)

render_psql() {
	psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 "$@"
}

# Texts that pglz makes a third as long, of 10 to 100 kB; words in an order that looks like none.
render_fill_long() {
	render_psql <<-END
		CREATE TABLE long AS SELECT i AS id, (
			SELECT string_agg(w, ' ') FROM (SELECT (string_to_array('the of and to in is that it was for on are as with
				his they be at one have this from or had by hot but some what there we can out other were all your when up use word
				how said an each she which do their time if will way about many then them would write like so these her long make
				thing see him two has look more day could go come did my sound no most number who over know water than call first
				people may down side been now find', ' '))[1 + abs(hashint4(i * 100000 + k)) % 100] AS w
				FROM generate_series(1, (2000 + i::int8 * 7919 % 18000)::int) k) x) AS remark
			FROM generate_series(1, $1) i;
	END
}

render_fill_mix() {
	render_psql <<-END
		CREATE TABLE mix AS SELECT i::int8 AS id, timestamptz '2020-01-01 00:00+00' + i * interval '7.123457 s' AS at,
			jsonb_build_object('id', i, 'name', 'name ' || i % 1000, 'active', i % 3 = 0, 'score', (i % 10000) / 100.0,
				'address', jsonb_build_object('street', 'Street ' || i % 500, 'number', i % 100, 'town', NULL),
				'tags', jsonb_build_array('a', 'b' || i % 10, 7)) AS doc,
			ARRAY['tag ' || i % 100, 'other'] AS tags, ARRAY[i, i % 10, -i] AS numbers, (i::int8 * 7919 % 1000000)::numeric / 100 AS amount,
			md5(i::text)::uuid AS key FROM generate_series(1, $1) i;
	END
}
