/* extract/sink.h: what COPY says, on its way into a spool file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "extract/sink.h"
#include "fixture.h"

#define HEADER "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
#define ROW_A "\0\1\0\0\0\4AAAA"
#define ROW_B "\0\1\377\377\377\377" /* NULL: looks a little like the end */
#define END "\377\377"

struct piece { /* one message of the server */
    const char *bytes;
    size_t len;
};

#define PIECE(literal)                                                                             \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

struct sinking {
    struct sink *sink;
    int fd;
};

static int set_up_sink(void **state)
{
    struct sinking *s = mem_alloc(sizeof(*s));

    s->sink = sink_new();
    s->fd = fixture_memory_file();
    *state = s;
    return 0;
}

static int tear_down_sink(void **state)
{
    struct sinking *s = *state;

    sink_free(s->sink);
    sink_free(NULL);
    close(s->fd);
    free(s);
    return 0;
}

/* What is in the file after `offset` and what the sink says about it are the expected bytes. */
static void assert_sunk(const struct sinking *s, uint64_t offset, const char *expected, size_t len)
{
    assert_int_equal(sink_bytes(s->sink), len);
    assert_int_equal(sink_checksum(s->sink), fixture_checksum(expected, len));
    fixture_assert_size(s->fd, offset + len);
    fixture_assert_holds(s->fd, expected, len, offset);
}

static void sink_pieces(struct sinking *s, struct sink_chunk chunk, const struct piece *pieces,
                        size_t n)
{
    size_t i;

    assert_int_equal(ftruncate(s->fd, 0), 0);
    chunk.fd = s->fd;
    chunk.room = UINT64_MAX;
    sink_begin(s->sink, &chunk);
    for (i = 0; i < n; i++)
        assert_int_equal(sink_put(s->sink, pieces[i].bytes, pieces[i].len, NULL), 0);
    assert_int_equal(sink_end(s->sink, NULL), 0);
}

/* As the server sends it: the header together with what follows it, each row, the end. */
static void sink_rows(struct sinking *s, bool first, bool last)
{
    static const struct piece rows[] = {PIECE(HEADER ROW_A), PIECE(ROW_B), PIECE(END)};

    sink_pieces(s, (struct sink_chunk){.binary = true, .first = first, .last = last}, rows, 3);
}

static void sink_writes_the_binary_header_and_trailer_once(void **state)
{
    sink_rows(*state, true, true);
    assert_sunk(*state, 0, HEADER ROW_A ROW_B END, sizeof(HEADER ROW_A ROW_B END) - 1);
    sink_rows(*state, true, false);
    assert_sunk(*state, 0, HEADER ROW_A ROW_B, sizeof(HEADER ROW_A ROW_B) - 1);
    sink_rows(*state, false, false);
    assert_sunk(*state, 0, ROW_A ROW_B, sizeof(ROW_A ROW_B) - 1);
    sink_rows(*state, false, true);
    assert_sunk(*state, 0, ROW_A ROW_B END, sizeof(ROW_A ROW_B END) - 1);
}

/* Without rows header and end come in one message. */
static void sink_no_rows(struct sinking *s, bool first, bool last)
{
    static const struct piece all[] = {PIECE(HEADER END)};

    sink_pieces(s, (struct sink_chunk){.binary = true, .first = first, .last = last}, all, 1);
}

static void sink_drops_the_trailer_of_chunks_without_rows(void **state)
{
    sink_no_rows(*state, true, true);
    assert_sunk(*state, 0, HEADER END, sizeof(HEADER END) - 1);
    sink_no_rows(*state, false, false);
    assert_sunk(*state, 0, "", 0);
    sink_no_rows(*state, false, true);
    assert_sunk(*state, 0, END, sizeof(END) - 1);
    sink_no_rows(*state, true, false);
    assert_sunk(*state, 0, HEADER, sizeof(HEADER) - 1);
}

static void sink_drops_a_header_that_comes_in_parts(void **state)
{
    static const char all[] = HEADER ROW_A;
    size_t cut;

    for (cut = 0; cut < sizeof(HEADER) - 1; cut++) {
        struct piece pieces[] = {{all, cut}, {all + cut, sizeof(all) - 1 - cut}, PIECE(END)};

        sink_pieces(*state, (struct sink_chunk){.binary = true}, pieces, 3);
        assert_sunk(*state, 0, ROW_A, sizeof(ROW_A) - 1);
    }
}

static void sink_keeps_rows_that_look_like_a_trailer(void **state)
{
    static const struct piece text[] = {PIECE(END), PIECE("\377\377\n"), PIECE("")};
    static const struct piece rows[] = {PIECE(HEADER "\0\0"), PIECE("\0\0"), PIECE(END)};

    sink_pieces(*state, (struct sink_chunk){.first = true}, text, 3); /* is no binary format */
    assert_sunk(*state, 0, END "\377\377\n", 5);
    sink_pieces(*state, (struct sink_chunk){.binary = true}, rows, 3); /* rows of no columns */
    assert_sunk(*state, 0, "\0\0\0\0", 4);
}

static void sink_writes_after_its_offset(void **state)
{
    static const struct piece one[] = {PIECE("first\n")}, two[] = {PIECE("second\n")};
    struct sinking *s = *state;

    sink_pieces(s, (struct sink_chunk){.offset = 5000}, one, 1);
    assert_sunk(s, 5000, "first\n", 6);
    sink_pieces(s, (struct sink_chunk){.offset = 0}, two, 1); /* nothing of the one before */
    assert_sunk(s, 0, "second\n", 7);
}

static void sink_fills_its_buffer_to_every_edge(void **state)
{
    static const size_t buffer = 512 << 10;
    struct sinking *s = *state;
    char *bytes = mem_array(2, buffer + 1);
    uint64_t seed = 29;
    size_t i, total;

    for (i = 0; i < 2 * buffer; i++)
        bytes[i] = (char)fixture_random_below(&seed, 256);
    for (total = buffer - 1; total <= 2 * buffer + 1; total += total > buffer ? buffer - 1 : 1) {
        struct piece whole = {bytes, total};
        struct piece halves[] = {{bytes, total - 1}, {bytes + total - 1, 1}};

        sink_pieces(s, (struct sink_chunk){.first = true}, &whole, 1);
        assert_sunk(s, 0, bytes, total);
        sink_pieces(s, (struct sink_chunk){.first = true}, halves, 2);
        assert_sunk(s, 0, bytes, total);
    }
    free(bytes);
}

static void sink_takes_pieces_of_any_size(void **state)
{
    enum { TOTAL = 3000000 };
    struct sinking *s = *state;
    struct sink_chunk chunk = {.fd = s->fd, .room = TOTAL};
    char *bytes = mem_array(TOTAL, 1);
    uint64_t seed = 31;
    size_t done, n;

    for (done = 0; done < TOTAL; done++)
        bytes[done] = (char)(seed = seed * 6364136223846793005u + 1442695040888963407u, seed >> 56);
    sink_begin(s->sink, &chunk);
    for (done = 0; done < TOTAL; done += n) {
        n = (size_t)fixture_random_below(&seed, 100000);
        n = n < TOTAL - done ? n : TOTAL - done;
        assert_int_equal(sink_put(s->sink, bytes + done, n, NULL), 0);
        assert_int_equal(sink_bytes(s->sink), done + n);
    }
    assert_int_equal(sink_end(s->sink, NULL), 0);
    assert_sunk(s, 0, bytes, TOTAL);
    free(bytes);
}

static void sink_tells_a_full_disk(void **state)
{
    struct sinking *s = *state;
    struct sink_chunk chunk = {
        .fd = open("/dev/full", O_WRONLY | O_CLOEXEC), .room = UINT64_MAX, .first = true};
    char *much = mem_array(1, 1 << 20);
    struct err err;

    sink_begin(s->sink, &chunk);
    assert_int_equal(sink_put(s->sink, much, 1 << 20, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "No space left"));
    sink_begin(s->sink, &chunk);
    assert_int_equal(sink_put(s->sink, much, 10, &err), 0);
    assert_int_equal(sink_end(s->sink, &err), -ENOSPC);
    close(chunk.fd);
    free(much);
}

static void sink_writes_no_more_than_its_room(void **state)
{
    struct sinking *s = *state;
    struct sink_chunk chunk = {.fd = s->fd, .offset = 7, .room = 10, .first = true};
    struct err err;

    sink_begin(s->sink, &chunk);
    assert_int_equal(sink_put(s->sink, "12345\n", 6, &err), 0);
    assert_int_equal(sink_put(s->sink, "12345\n", 6, &err), -EOVERFLOW);
    assert_string_equal(err.text, "more than 10 bytes");
    assert_int_equal(sink_put(s->sink, "789\n", 4, &err), 0);
    assert_int_equal(sink_put(s->sink, "", 0, &err), 0);
    assert_int_equal(sink_put(s->sink, "\n", 1, &err), -EOVERFLOW);
    assert_int_equal(sink_end(s->sink, &err), 0);
    assert_sunk(s, 7, "12345\n789\n", 10);
}

#define WITH_SINK(f) cmocka_unit_test_setup_teardown(f, set_up_sink, tear_down_sink)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SINK(sink_writes_the_binary_header_and_trailer_once),
        WITH_SINK(sink_drops_the_trailer_of_chunks_without_rows),
        WITH_SINK(sink_drops_a_header_that_comes_in_parts),
        WITH_SINK(sink_keeps_rows_that_look_like_a_trailer),
        WITH_SINK(sink_writes_after_its_offset),
        WITH_SINK(sink_fills_its_buffer_to_every_edge),
        WITH_SINK(sink_takes_pieces_of_any_size),
        WITH_SINK(sink_tells_a_full_disk),
        WITH_SINK(sink_writes_no_more_than_its_room),
    };

    return cmocka_run_group_tests_name("extract/sink", tests, NULL, NULL);
}
