/* extract/protocol.h: messages between coordinator and worker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "extract/protocol.h"
#include "fixture.h"

static struct reader body_of(const char *bytes, size_t len)
{
    return (struct reader){.p = bytes, .left = len};
}

static bool get_config(const char *bytes, size_t len)
{
    struct reader r = body_of(bytes, len);
    struct msg_config m;
    bool ok = msg_get_config(&r, &m);

    if (ok) {
        assert_int_equal(m.number, 3);
        assert_string_equal(m.target.source, "service=erp");
        assert_string_equal(m.target.host, "db1");
        assert_string_equal(m.target.hostaddr, "");
        assert_string_equal(m.target.port, "5432");
        assert_string_equal(m.timezone, "UTC");
        assert_string_equal(m.snapshot_id, "00000003-0000001B-1");
        assert_string_equal(m.lock_sql, "LOCK TABLE a");
        assert_int_equal(m.timeout_ms, (uint64_t)1 << 40);
        assert_int_equal(m.debug, 1);
    }
    msg_config_free(&m);
    return ok;
}

static bool get_chunk(const char *bytes, size_t len)
{
    struct reader r = body_of(bytes, len);
    struct msg_chunk m;
    bool ok = msg_get_chunk(&r, &m);

    if (ok) {
        assert_int_equal(m.chunk, 12);
        assert_int_equal(m.flags, CHUNK_BINARY | CHUNK_LAST | CHUNK_DIRECT);
        assert_int_equal(m.offset, (uint64_t)1 << 50);
        assert_int_equal(m.room, UINT64_MAX);
        assert_string_equal(m.lock_sql, "LOCK");
        assert_string_equal(m.copy_sql, "COPY");
        assert_string_equal(m.place.target.source, "service=report");
        assert_string_equal(m.place.name, "erp");
        assert_string_equal(m.place.table, "t");
        assert_string_equal(m.place.copy_sql, "COPY FROM");
        assert_string_equal(m.place.lc_monetary, "de_DE");
        assert_int_equal(m.place.run, 17);
        assert_int_equal(m.place.lock_timeout_ms, 10000);
        assert_int_equal(m.place.chunk, 4);
        assert_int_equal(m.place.part, 3);
    }
    msg_chunk_free(&m);
    return ok;
}

static bool get_answer(const char *bytes, size_t len)
{
    struct reader r = body_of(bytes, len);
    struct msg_answer m;
    bool ok = msg_get_answer(&r, &m);

    if (ok) {
        assert_int_equal(m.chunk, 12);
        assert_int_equal(m.bytes, UINT64_MAX);
        assert_int_equal(m.rows, 5);
        assert_int_equal(m.checksum, 0x0123456789abcdef);
        assert_int_equal(m.code, EIO);
        assert_string_equal(m.text, "no\nway");
    }
    msg_answer_free(&m);
    return ok;
}

static void put_config(struct buf *frame)
{
    struct msg_config m = {.number = 3, .timeout_ms = (uint64_t)1 << 40, .debug = 1};

    pg_target_init(&m.target, "service=erp");
    m.target.host = mem_strdup("db1");
    m.target.port = mem_strdup("5432");
    m.timezone = mem_strdup("UTC");
    m.snapshot_id = mem_strdup("00000003-0000001B-1");
    m.lock_sql = mem_strdup("LOCK TABLE a");
    msg_put_config(frame, &m);
    msg_config_free(&m);
}

static void put_chunk(struct buf *frame)
{
    struct msg_chunk m = {.chunk = 12,
                          .flags = CHUNK_BINARY | CHUNK_LAST | CHUNK_DIRECT,
                          .offset = (uint64_t)1 << 50,
                          .room = UINT64_MAX,
                          .place = {.run = 17, .lock_timeout_ms = 10000, .chunk = 4, .part = 3}};

    m.lock_sql = mem_strdup("LOCK");
    m.copy_sql = mem_strdup("COPY");
    pg_target_init(&m.place.target, "service=report");
    m.place.name = mem_strdup("erp");
    m.place.table = mem_strdup("t");
    m.place.copy_sql = mem_strdup("COPY FROM");
    m.place.lc_monetary = mem_strdup("de_DE");
    msg_put_chunk(frame, &m);
    msg_chunk_free(&m);
}

static void put_answer(struct buf *frame)
{
    struct msg_answer m = {
        .chunk = 12, .bytes = UINT64_MAX, .rows = 5, .checksum = 0x0123456789abcdef, .code = EIO};

    m.text = mem_strdup("no\nway");
    msg_put_answer(frame, MSG_FAILED, &m);
    msg_answer_free(&m);
}

static const struct {
    uint32_t type;
    void (*put)(struct buf *frame);
    bool (*get)(const char *bytes, size_t len);
} messages[] = {
    {MSG_CONFIG, put_config, get_config},
    {MSG_CHUNK, put_chunk, get_chunk},
    {MSG_FAILED, put_answer, get_answer},
};

enum { MESSAGES = sizeof(messages) / sizeof(*messages) };

static void messages_come_back_as_they_were_put(void **state)
{
    struct buf frame = {0};
    uint32_t type;
    size_t i;

    (void)state;
    for (i = 0; i < MESSAGES; i++) {
        messages[i].put(&frame);
        memcpy(&type, frame.data + 4, sizeof(type));
        assert_int_equal(type, messages[i].type);
        assert_true(messages[i].get(frame.data + MSG_HEADER, frame.len - MSG_HEADER));
    }
    buf_free(&frame);
}

static void message_to_freeze_has_no_body(void **state)
{
    struct buf frame = {0};
    uint32_t type;

    (void)state;
    msg_put_freeze(&frame);
    assert_int_equal(frame.len, MSG_HEADER);
    memcpy(&type, frame.data + 4, sizeof(type));
    assert_int_equal(type, MSG_FREEZE);
    buf_free(&frame);
}

static void messages_that_are_cut_or_too_long_are_refused(void **state)
{
    struct buf frame = {0};
    size_t i, n;

    (void)state;
    for (i = 0; i < MESSAGES; i++) {
        messages[i].put(&frame);
        for (n = 0; n < frame.len - MSG_HEADER; n++) {
            char *exact = mem_array(n, 1); /* so that the sanitizer sees a read beyond it */

            memcpy(exact, frame.data + MSG_HEADER, n);
            assert_false(messages[i].get(exact, n));
            free(exact);
        }
        buf_putc(&frame, '\0');
        assert_false(messages[i].get(frame.data + MSG_HEADER, frame.len - MSG_HEADER));
    }
    buf_free(&frame);
}

/* Whatever a damaged message says, reading it ends and leaks nothing. */
static void messages_with_damaged_bytes_do_no_harm(void **state)
{
    struct msg_config config;
    struct msg_chunk chunk;
    struct msg_answer answer;
    struct buf frame = {0};
    uint64_t seed = 23;
    size_t i, n;

    (void)state;
    for (i = 0; i < MESSAGES * 1000; i++) {
        struct reader r;

        messages[i % MESSAGES].put(&frame);
        for (n = 1 + fixture_random_below(&seed, 4); n; n--)
            frame
                .data[MSG_HEADER + fixture_random_below(&seed, (uint32_t)frame.len - MSG_HEADER)] ^=
                (char)(1u << fixture_random_below(&seed, 8));
        r = body_of(frame.data + MSG_HEADER, frame.len - MSG_HEADER);
        msg_get_config(&r, &config);
        msg_config_free(&config);
        r = body_of(frame.data + MSG_HEADER, frame.len - MSG_HEADER);
        msg_get_chunk(&r, &chunk);
        msg_chunk_free(&chunk);
        r = body_of(frame.data + MSG_HEADER, frame.len - MSG_HEADER);
        msg_get_answer(&r, &answer);
        msg_answer_free(&answer);
    }
    buf_free(&frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_back_as_they_were_put),
        cmocka_unit_test(message_to_freeze_has_no_body),
        cmocka_unit_test(messages_that_are_cut_or_too_long_are_refused),
        cmocka_unit_test(messages_with_damaged_bytes_do_no_harm),
    };

    return cmocka_run_group_tests_name("extract/protocol", tests, NULL, NULL);
}
