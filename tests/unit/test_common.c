/* common/: escaping, units, CSV, buffers, messages, I/O, processes, errors, checksums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/ask.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/csv.h"
#include "common/err.h"
#include "common/escape.h"
#include "common/hash.h"
#include "common/io.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "common/mounts.h"
#include "common/msg.h"
#include "common/printable.h"
#include "common/proc.h"
#include "common/relay.h"
#include "common/stop.h"
#include "common/units.h"
#include "common/way.h"

/* xorshift: the same numbers on every machine. */
static uint32_t random_below(uint64_t *seed, uint32_t n)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 33) % n;
}

/* A new directory below TMPDIR; free it after remove_dir. */
static char *make_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = mem_printf("%s/unit-XXXXXX", tmp ? tmp : "/tmp");

    assert_non_null(mkdtemp(dir));
    return dir;
}

static void remove_dir(char *dir)
{
    assert_int_equal(io_remove_tree(dir), 0);
    free(dir);
}

/* A child that ends with exit, so that what it ran counts (scripts/coverage): nothing of ours may
 * be left for it to write. */
static pid_t fork_flushed(void)
{
    fflush(NULL);
    return fork();
}

/* As many descriptors as there are numbers below the first free one, and `more`. */
static struct rlimit allow_descriptors(int more)
{
    struct rlimit old, r;
    int first = dup(STDERR_FILENO);

    close(first);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    r = old;
    r.rlim_cur = (rlim_t)(first + more);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &r), 0);
    return old;
}

/* ---- err ---- */

static void err_set_returns_the_negative_code(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(err_set(&err, ENOENT, "no %s", "table"), -ENOENT);
    assert_int_equal(err.code, ENOENT);
    assert_string_equal(err.text, "no table");
}

static void err_set_never_says_success(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(err_set(&err, 0, "odd"), -EIO);
    assert_int_equal(err.code, EIO);
}

static void err_set_takes_no_err(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, EINVAL, "nobody reads this"), -EINVAL);
    errno = ENOENT;
    assert_int_equal(err_errno(NULL, "nor this"), -ENOENT);
}

static void err_errno_appends_the_reason(void **state)
{
    struct err err;

    (void)state;
    errno = ENOSPC;
    assert_int_equal(err_errno(&err, "cannot write %s", "x"), -ENOSPC);
    assert_string_equal(err.text, "cannot write x: No space left on device");
    errno = 0;
    assert_int_equal(err_errno(&err, "odd"), -EIO);
}

static void err_prefix_and_hint_surround_the_text(void **state)
{
    struct err err;

    (void)state;
    err_set(&err, EACCES, "denied");
    assert_int_equal(err_prefix(&err, "table %d", 7), -EACCES);
    assert_int_equal(err_hint(&err, "ask %s", "the owner"), -EACCES);
    assert_string_equal(err.text, "table 7: denied\nask the owner");
}

static void err_texts_that_are_too_long_are_cut(void **state)
{
    char big[2 * ERR_TEXT_MAX];
    struct err err;

    (void)state;
    memset(big, 'a', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    err_set(&err, EIO, "%s", big);
    assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
    err_hint(&err, "no room for it");
    assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
    err_prefix(&err, "before");
    assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
    assert_memory_equal(err.text, "before: aaa", 11);
    err_prefix(&err, "%s", big);
    assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
    errno = EIO;
    err_errno(&err, "%s", big);
    assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
}

static void err_hint_is_cut_at_every_length(void **state)
{
    char text[ERR_TEXT_MAX];
    struct err err;
    size_t n;

    (void)state;
    for (n = ERR_TEXT_MAX - 8; n < ERR_TEXT_MAX; n++) {
        memset(text, 'a', n);
        text[n] = '\0';
        err_set(&err, EIO, "%s", text);
        err_hint(&err, "hint");
        assert_true(strlen(err.text) >= n && strlen(err.text) < ERR_TEXT_MAX);
        assert_memory_equal(err.text, text, n);
    }
}

/* ---- mem ---- */

static void mem_grow_keeps_what_was_there(void **state)
{
    size_t room = 0, n;
    int *a = NULL;

    (void)state;
    for (n = 0; n < 1000; n++) {
        a = mem_grow(a, n, &room, sizeof(*a));
        a[n] = (int)n;
    }
    for (n = 0; n < 1000; n++)
        assert_int_equal(a[n], n);
    free(a);
}

static void mem_gives_zeroed_memory_also_for_nothing(void **state)
{
    char *a = mem_array(0, 8), *b = mem_alloc(16);

    (void)state;
    assert_non_null(a);
    assert_memory_equal(b, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_null(mem_strdup(NULL));
    free(a);
    free(b);
}

/* ---- buf and reader ---- */

static void buf_is_always_a_string(void **state)
{
    struct buf b = {0};
    int i;

    (void)state;
    for (i = 0; i < 1000; i++) {
        buf_putc(&b, 'x');
        assert_int_equal(b.len, i + 1);
        assert_int_equal(b.data[b.len], '\0');
    }
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    buf_printf(&b, "%s-%d", "a", 5);
    assert_string_equal(b.data, "a-5");
    buf_free(&b);
    assert_null(b.data);
}

static void buf_printf_grows_as_needed(void **state)
{
    struct buf b = {0};
    int i;

    (void)state;
    for (i = 0; i < 200; i++) {
        buf_clear(&b);
        buf_printf(&b, "%0*d", i + 1, 0);
        assert_int_equal(strlen(b.data), i + 1);
    }
    buf_free(&b);
}

static void buf_steal_leaves_an_empty_buffer(void **state)
{
    struct buf b = {0};
    char *s;

    (void)state;
    s = buf_steal(&b);
    assert_string_equal(s, "");
    free(s);
    buf_puts(&b, "text");
    s = buf_steal(&b);
    assert_string_equal(s, "text");
    assert_int_equal(b.len, 0);
    assert_null(b.data);
    free(s);
}

static void put_example(struct buf *b)
{
    buf_put_u32(b, 0xdeadbeef);
    buf_put_str(b, "name");
    buf_put_u64(b, UINT64_MAX - 1);
    buf_put_str(b, NULL);
    buf_put_str(b, "");
}

static bool get_example(struct reader *r)
{
    bool ok = reader_u32(r) == 0xdeadbeef;
    char *name = reader_str(r), *null, *empty;

    ok &= reader_u64(r) == UINT64_MAX - 1;
    null = reader_str(r);
    empty = reader_str(r);
    ok &= strcmp(name, "name") == 0 && !*null && !*empty;
    free(name);
    free(null);
    free(empty);
    return ok && reader_done(r);
}

static void reader_gets_what_was_put(void **state)
{
    struct buf b = {0};
    struct reader r;

    (void)state;
    put_example(&b);
    r = (struct reader){.p = b.data, .left = b.len};
    assert_true(get_example(&r));
    buf_free(&b);
}

static void reader_notices_every_truncation(void **state)
{
    struct buf b = {0};
    size_t n;

    (void)state;
    put_example(&b);
    for (n = 0; n < b.len; n++) {
        char *exact = mem_array(n, 1); /* so that the sanitizer sees a read behind it */
        struct reader r = {.p = exact, .left = n};

        memcpy(exact, b.data, n);
        assert_false(get_example(&r));
        assert_true(r.bad);
        free(exact);
    }
    buf_free(&b);
}

static void reader_is_not_done_with_bytes_left(void **state)
{
    struct reader r = {.p = "\0\0\0\0x", .left = 5};

    (void)state;
    assert_int_equal(reader_u32(&r), 0);
    assert_false(reader_done(&r));
    assert_false(r.bad);
}

static void reader_stays_bad_and_gives_nothing(void **state)
{
    struct reader r = {.p = "\1\0\0", .left = 3};
    char *s;

    (void)state;
    assert_int_equal(reader_u32(&r), 0);
    r.p = "\1\0\0\0\0\0\0\0";
    r.left = 8;
    assert_int_equal(reader_u64(&r), 0);
    assert_int_equal(reader_u32(&r), 0);
    s = reader_str(&r);
    assert_string_equal(s, "");
    assert_false(reader_done(&r));
    free(s);
}

static void reader_refuses_lengths_beyond_the_end(void **state)
{
    static const uint32_t lengths[] = {4, 5, 0x7fffffff, 0x80000000, UINT32_MAX - 4, UINT32_MAX};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        struct buf b = {0};
        struct reader r;
        char *s;

        buf_put_u32(&b, lengths[i]);
        buf_puts(&b, "abc");
        r = (struct reader){.p = b.data, .left = b.len};
        s = reader_str(&r);
        assert_string_equal(s, "");
        assert_true(r.bad);
        free(s);
        buf_free(&b);
    }
}

static void reader_refuses_a_nul_inside_a_string(void **state)
{
    struct buf b = {0};
    struct reader r;
    char *s;

    (void)state;
    buf_put_u32(&b, 3);
    buf_put(&b, "a\0b", 3);
    r = (struct reader){.p = b.data, .left = b.len};
    s = reader_str(&r);
    assert_string_equal(s, "");
    assert_true(r.bad);
    free(s);
    buf_free(&b);
}

/* ---- escape ---- */

static void assert_escaped(const char *name, const char *expected)
{
    char *escaped = escape_name(name), *back;

    assert_string_equal(escaped, expected);
    back = escape_undo(escaped);
    assert_non_null(back);
    assert_string_equal(back, name);
    free(escaped);
    free(back);
}

static void escape_leaves_ordinary_names_alone(void **state)
{
    (void)state;
    assert_escaped("orders", "orders");
    assert_escaped("Order Lines", "Order Lines");
    assert_escaped("a.b", "a.b");
    assert_escaped(".hidden", ".hidden");
    assert_escaped("...", "...");
    assert_escaped("größe-数量", "größe-数量");
    assert_escaped("\"quoted\"\\", "\"quoted\"\\");
}

static void escape_replaces_what_a_path_cannot_hold(void **state)
{
    (void)state;
    assert_escaped("a/b", "a%2Fb");
    assert_escaped("100%", "100%25");
    assert_escaped("%2F", "%252F");
    assert_escaped("two\nlines", "two%0Alines");
    assert_escaped("\x01\x1f\x7f", "%01%1F%7F");
}

static void escape_replaces_reserved_names(void **state)
{
    (void)state;
    assert_escaped("", "%");
    assert_escaped(".", "%2E");
    assert_escaped("..", "%2E%2E");
    assert_escaped(".asofs", "%2Easofs");
    assert_escaped(".asofs2", ".asofs2");
}

static void escape_refuses_what_it_would_not_have_made(void **state)
{
    static const char *const wrong[] = {"",     ".",      "..",    ".asofs",    "a/b",   "a\nb",
                                        "%41",  "%2f",    "%2",    "a%",        "%%",    "%zz",
                                        "%G0",  "%00",    "a%00b", "%2E%2E%2E", "a%2Eb", "%2E.",
                                        ".%2E", "%C3%A4", "%2",    "%2Easofs2", "%-1"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        char *name = escape_undo(wrong[i]);

        if (name)
            fail_msg("\"%s\" was taken for the escaped form of \"%s\"", wrong[i], name);
    }
}

/* Coming back whole from every escaped name, no two names can have met. */
static void escape_is_injective_over_all_short_tricky_names(void **state)
{
    static const char letters[] = "%/.2EF\n\xc3";
    enum { LETTERS = sizeof(letters) - 1, LONGEST = 5 };
    size_t n, i, k, count;

    (void)state;
    for (n = 0, count = 1; n <= LONGEST; n++, count *= LETTERS) {
        for (i = 0; i < count; i++) {
            char name[LONGEST + 1] = "", *escaped, *back;
            size_t rest = i;

            for (k = 0; k < n; k++, rest /= LETTERS)
                name[k] = letters[rest % LETTERS];
            escaped = escape_name(name);
            back = escape_undo(escaped);
            assert_string_equal(back, name);
            assert_null(strpbrk(escaped, "/\n"));
            assert_true(*escaped && strcmp(escaped, ".") && strcmp(escaped, ".."));
            free(escaped);
            free(back);
        }
    }
}

static void escape_undo_gives_null_or_the_very_name(void **state)
{
    static const char letters[] = "%%%02EFfga./s";
    uint64_t seed = 42;
    int i, k;

    (void)state;
    for (i = 0; i < 20000; i++) {
        char text[12] = "", *name, *again;
        int n = (int)random_below(&seed, sizeof(text));

        for (k = 0; k < n; k++)
            text[k] = letters[random_below(&seed, sizeof(letters) - 1)];
        name = escape_undo(text);
        if (!name)
            continue;
        again = escape_name(name);
        assert_string_equal(again, text);
        free(again);
        free(name);
    }
}

/* ---- units ---- */

static void units_read_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"4096", 4096},
                {"1B", 1},
                {"8k", 8192},
                {"8kB", 8192},
                {"8KIB", 8192},
                {"256MiB", 256u << 20},
                {"1G", 1u << 30},
                {"1.5GB", 3u << 29},
                {"0.5k", 512},
                {"1.9", 1},
                {"2 TiB", (uint64_t)2 << 40},
                {"1T", (uint64_t)1 << 40},
                {"4194304T", (uint64_t)1 << 62}};
    uint64_t bytes;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_int_equal(units_parse_size(good[i].text, &bytes), 0);
        assert_int_equal(bytes, good[i].bytes);
    }
}

static void units_refuse_what_is_no_size(void **state)
{
    static const char *const bad[] = {"",     " ",   "x",   "-1",   "+1", " 1",  "1 x",   "1kk",
                                      "0x10", "inf", "nan", "1,5G", "kB", ".5k", "1 kB ", "10s"};
    uint64_t bytes = 77;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (units_parse_size(bad[i], &bytes) != -EINVAL)
            fail_msg("\"%s\" was taken for a size", bad[i]);
    assert_int_equal(units_parse_size("4194305T", &bytes), -ERANGE);
    assert_int_equal(units_parse_size("99999999999999999999999", &bytes), -ERANGE);
    assert_int_equal(units_parse_size("1e400", &bytes), -ERANGE);
    assert_int_equal(bytes, 77);
}

static void units_read_durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0},        {"10", 10000},    {"10s", 10000},   {"10 sec", 10000},
                {"500ms", 500},  {"0.25", 250},    {"5min", 300000}, {"5m", 300000},
                {"2h", 7200000}, {"1d", 86400000}, {"1D", 86400000}, {"2147483647ms", 2147483647}};
    int64_t ms;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_int_equal(units_parse_duration(good[i].text, &ms), 0);
        assert_int_equal(ms, good[i].ms);
    }
    assert_int_equal(units_parse_duration("2147483648ms", &ms), -ERANGE);
    assert_int_equal(units_parse_duration("25d", &ms), -ERANGE);
    assert_int_equal(units_parse_duration("5 weeks", &ms), -EINVAL);
    assert_int_equal(units_parse_duration("1kB", &ms), -EINVAL);
    assert_int_equal(units_parse_duration("", &ms), -EINVAL);
}

static void units_write_sizes(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"},
                 {512, "512 B"},
                 {1023, "1023 B"},
                 {1024, "1.0 KiB"},
                 {1229, "1.2 KiB"},
                 {102348, "99.9 KiB"},
                 {102349, "100 KiB"},
                 {1047552, "1023 KiB"},
                 {1048523, "1.0 MiB"}, /* never "1024 KiB" */
                 {1048575, "1.0 MiB"},
                 {(uint64_t)340 << 20, "340 MiB"},
                 {(uint64_t)1 << 50, "1.0 PiB"},
                 {UINT64_MAX, "16384 PiB"}};
    char out[32];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_string_equal(units_format_size(cases[i].bytes, out, sizeof(out)), cases[i].text);
}

static void units_write_seconds(void **state)
{
    char out[32];

    (void)state;
    assert_string_equal(units_format_seconds(0, out, sizeof(out)), "0:00");
    assert_string_equal(units_format_seconds(7, out, sizeof(out)), "0:07");
    assert_string_equal(units_format_seconds(754, out, sizeof(out)), "12:34");
    assert_string_equal(units_format_seconds(3599, out, sizeof(out)), "59:59");
    assert_string_equal(units_format_seconds(3600, out, sizeof(out)), "1:00:00");
    assert_string_equal(units_format_seconds(3723, out, sizeof(out)), "1:02:03");
    assert_string_equal(units_format_seconds(360000, out, sizeof(out)), "100:00:00");
}

/* ---- csv ---- */

static void assert_csv(const char *field, const char *expected)
{
    struct buf b = {0};

    buf_putc(&b, '|');
    csv_put_field(&b, field);
    assert_string_equal(b.data + 1, expected);
    buf_free(&b);
}

static void csv_quotes_only_what_it_must(void **state)
{
    (void)state;
    assert_csv(NULL, "");
    assert_csv("", "");
    assert_csv("plain text", "plain text");
    assert_csv("tab\tand ; and '", "tab\tand ; and '");
    assert_csv("a,b", "\"a,b\"");
    assert_csv("a\nb", "\"a\nb\"");
    assert_csv("a\rb", "\"a\rb\"");
    assert_csv("\"", "\"\"\"\"");
    assert_csv("say \"hi\", twice", "\"say \"\"hi\"\", twice\"");
}

/* The records of a text as "field|field|;", and what ended the reading. */
static int read_records(const char *text, size_t len, struct buf *out, int max)
{
    char *exact = mem_array(len, 1); /* so that the sanitizer sees a read behind it */
    const char *p = exact, *end = exact + len;
    char *fields[4];
    int n, i;

    memcpy(exact, text, len);
    while ((n = csv_read_record(&p, end, fields, max)) > 0) {
        for (i = 0; i < n; i++) {
            buf_printf(out, "%s|", fields[i]);
            free(fields[i]);
        }
        buf_putc(out, ';');
    }
    assert_true(n < 0 || p == end);
    free(exact);
    return n;
}

static void assert_records(const char *text, const char *expected)
{
    struct buf b = {0};

    buf_puts(&b, "");
    if (read_records(text, strlen(text), &b, 4) != 0)
        fail_msg("refused: %s", text);
    assert_string_equal(b.data, expected);
    buf_free(&b);
}

static void csv_reads_records(void **state)
{
    (void)state;
    assert_records("", "");
    assert_records("a,b\n", "a|b|;");
    assert_records("a,b", "a|b|;");
    assert_records("a,b\r\nc,d\r\n", "a|b|;c|d|;");
    assert_records("a,b\r", "a|b|;");
    assert_records("\n", "|;");
    assert_records(",\n,,\n", "||;|||;");
    assert_records("a,\n", "a||;");
    assert_records("\"a,b\",\"c\nd\"\n", "a,b|c\nd|;");
    assert_records("\"say \"\"hi\"\"\",\"\"\n", "say \"hi\"||;");
    assert_records("in\"side,b\n", "in\"side|b|;");
    assert_records("\"a\"", "a|;");
}

static void csv_refuses_damaged_records(void **state)
{
    static const char *const bad[] = {"\"open",      "\"open\"\"", "a,\"open\n",
                                      "\"a\"b\n",    "\"a\" ,b\n", "a\rb\n",
                                      "1,2,3,4,5\n", "1,2,3,4,\n", "\""};
    struct buf b = {0};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (read_records(bad[i], strlen(bad[i]), &b, 4) != -EINVAL)
            fail_msg("taken for CSV: %s", bad[i]);
    assert_int_equal(b.len, 0);
    assert_int_equal(read_records("a\0b\n", 4, &b, 4), -EINVAL);
    buf_free(&b);
}

/* Three random fields: as CSV, and as read_records shows them. */
static void put_random_record(uint64_t *seed, struct buf *written, struct buf *shown)
{
    static const char letters[] = "ab,\"\n\r '|";
    int i, k;

    for (i = 0; i < 3; i++) {
        char field[8] = "";

        for (k = (int)random_below(seed, sizeof(field)); k > 0; k--)
            field[k - 1] = letters[random_below(seed, sizeof(letters) - 1)];
        buf_printf(shown, "%s|", field);
        csv_put_field(written, field);
        buf_putc(written, i < 2 ? ',' : '\n');
    }
    buf_putc(shown, ';');
}

static void csv_reads_what_it_wrote(void **state)
{
    uint64_t seed = 3;
    int round;

    (void)state;
    for (round = 0; round < 3000; round++) {
        struct buf written = {0}, expected = {0}, got = {0};

        put_random_record(&seed, &written, &expected);
        assert_int_equal(read_records(written.data, written.len, &got, 4), 0);
        assert_string_equal(got.data, expected.data);
        buf_free(&written);
        buf_free(&expected);
        buf_free(&got);
    }
}

/* ---- msg ---- */

static void open_pair(int pair[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
}

static void put_frame(struct buf *frame, uint32_t type, const char *body, size_t len)
{
    msg_begin(frame, type);
    buf_put(frame, body, len);
}

/* What msg_send writes for three messages: of no, of a few and of many bytes. */
static void three_frames(struct buf *stream)
{
    struct buf frame = {0};
    char many[300], bytes[1024];
    struct msg_conn c;
    int pair[2];
    ssize_t n;

    open_pair(pair);
    msg_conn_init(&c, pair[0]);
    memset(many, 'm', sizeof(many));
    put_frame(&frame, 1, "", 0);
    assert_int_equal(msg_send(&c, &frame, NULL), 0);
    put_frame(&frame, 2, "a\0b", 3);
    assert_int_equal(msg_send(&c, &frame, NULL), 0);
    put_frame(&frame, 3, many, sizeof(many));
    assert_int_equal(msg_send(&c, &frame, NULL), 0);
    n = read(pair[1], bytes, sizeof(bytes));
    assert_int_equal(n, 3 * MSG_HEADER + 303);
    buf_put(stream, bytes, (size_t)n);
    buf_free(&frame);
    close(pair[0]);
    close(pair[1]);
}

/* Takes what is whole; *taken says how many messages came so far, and they have to come in order.
 */
static void take_frames(struct msg_conn *c, int *taken)
{
    static const size_t lengths[] = {0, 3, 300};
    struct msg m;
    int rc;

    while ((rc = msg_next(c, &m, NULL)) == 1) {
        assert_in_range(*taken, 0, 2);
        assert_int_equal(m.type, *taken + 1);
        assert_int_equal(m.body.left, lengths[*taken]);
        assert_false(m.body.bad);
        if (*taken == 1)
            assert_memory_equal(m.body.p, "a\0b", 3);
        ++*taken;
    }
    assert_int_equal(rc, 0);
}

static void msg_frames_come_whole_however_they_are_cut(void **state)
{
    struct buf stream = {0};
    size_t cut;

    (void)state;
    three_frames(&stream);
    for (cut = 0; cut <= stream.len; cut++) {
        struct msg_conn c;
        int pair[2], taken = 0;

        open_pair(pair);
        msg_conn_init(&c, pair[1]);
        assert_int_equal(write(pair[0], stream.data, cut), cut);
        assert_int_equal(msg_receive(&c, NULL), cut ? 1 : -EAGAIN);
        take_frames(&c, &taken);
        assert_int_equal(taken, (cut >= 8) + (cut >= 19) + (cut >= stream.len));
        assert_int_equal(write(pair[0], stream.data + cut, stream.len - cut), stream.len - cut);
        assert_int_equal(msg_receive(&c, NULL), cut < stream.len ? 1 : -EAGAIN);
        take_frames(&c, &taken);
        assert_int_equal(taken, 3);
        close(pair[0]);
        assert_int_equal(msg_receive(&c, NULL), 0);
        close(pair[1]);
        msg_conn_free(&c);
    }
    buf_free(&stream);
}

static void msg_frames_come_whole_byte_by_byte(void **state)
{
    struct buf stream = {0};
    struct msg_conn c;
    int pair[2], taken = 0;
    size_t i;

    (void)state;
    three_frames(&stream);
    open_pair(pair);
    msg_conn_init(&c, pair[1]);
    for (i = 0; i < stream.len; i++) {
        assert_int_equal(write(pair[0], stream.data + i, 1), 1);
        assert_int_equal(msg_receive(&c, NULL), 1);
        take_frames(&c, &taken);
    }
    assert_int_equal(taken, 3);
    close(pair[0]);
    close(pair[1]);
    msg_conn_free(&c);
    buf_free(&stream);
}

static void msg_end_inside_a_frame_is_an_error(void **state)
{
    struct buf stream = {0};
    size_t cut;

    (void)state;
    three_frames(&stream);
    for (cut = 0; cut <= stream.len; cut++) {
        bool between = cut == 0 || cut == 8 || cut == 19 || cut == stream.len;
        struct msg_conn c;
        int pair[2], taken = 0;

        open_pair(pair);
        msg_conn_init(&c, pair[1]);
        assert_int_equal(write(pair[0], stream.data, cut), cut);
        close(pair[0]);
        if (cut)
            assert_int_equal(msg_receive(&c, NULL), 1);
        take_frames(&c, &taken);
        assert_int_equal(msg_receive(&c, NULL), between ? 0 : -EPROTO);
        close(pair[1]);
        msg_conn_free(&c);
    }
    buf_free(&stream);
}

/* msg_next after nothing but a header that announces `len` bytes. */
static int announce(uint32_t len)
{
    uint32_t header[2] = {len, 1};
    struct msg_conn c;
    struct msg m;
    int pair[2], rc;

    open_pair(pair);
    msg_conn_init(&c, pair[1]);
    assert_int_equal(write(pair[0], header, sizeof(header)), sizeof(header));
    assert_int_equal(msg_receive(&c, NULL), 1);
    rc = msg_next(&c, &m, NULL);
    assert_true(c.in.room < 1u << 20); /* believed, but nothing allocated on its word */
    close(pair[0]);
    close(pair[1]);
    msg_conn_free(&c);
    return rc;
}

static void msg_refuses_announced_lengths_beyond_the_limit(void **state)
{
    (void)state;
    assert_int_equal(announce(MSG_BODY_MAX), 0);
    assert_int_equal(announce(MSG_BODY_MAX + 1), -EPROTO);
    assert_int_equal(announce(UINT32_MAX), -EPROTO);
}

static void msg_send_refuses_bodies_beyond_the_limit(void **state)
{
    struct msg_conn c = {.fd = -1, .passed_fd = -1};
    struct buf frame = {0};
    char *body = mem_array(1, MSG_BODY_MAX + 1);
    struct err err;

    (void)state;
    put_frame(&frame, 1, body, MSG_BODY_MAX + 1);
    assert_int_equal(msg_send(&c, &frame, &err), -EMSGSIZE);
    buf_free(&frame);
    free(body);
}

static void msg_send_to_the_dead_is_an_error_and_no_signal(void **state)
{
    struct buf frame = {0};
    struct msg_conn c;
    struct err err;
    int pair[2];

    (void)state;
    open_pair(pair);
    close(pair[1]);
    msg_conn_init(&c, pair[0]);
    put_frame(&frame, 1, "x", 1);
    assert_int_equal(msg_send(&c, &frame, &err), -EPIPE);
    assert_int_equal(err.code, EPIPE);
    buf_free(&frame);
    close(pair[0]);
}

static void *send_largest(void *arg)
{
    struct msg_conn c = {.fd = *(int *)arg, .passed_fd = -1};
    struct buf frame = {0};
    char *body = mem_array(1, MSG_BODY_MAX);
    intptr_t rc;

    body[MSG_BODY_MAX - 1] = 'z';
    put_frame(&frame, 9, body, MSG_BODY_MAX);
    rc = msg_send(&c, &frame, NULL); /* has to wait: a socket holds far less */
    buf_free(&frame);
    free(body);
    return (void *)rc;
}

static void msg_of_the_largest_size_passes(void **state)
{
    struct msg_conn c;
    pthread_t sender;
    struct msg m;
    void *sent;
    int pair[2];

    (void)state;
    open_pair(pair);
    msg_conn_init(&c, pair[1]);
    assert_int_equal(pthread_create(&sender, NULL, send_largest, &pair[0]), 0);
    while (!c.in.data || msg_next(&c, &m, NULL) == 0) {
        struct pollfd p = {.fd = pair[1], .events = POLLIN};

        assert_int_equal(poll(&p, 1, 10000), 1);
        assert_int_equal(msg_receive(&c, NULL), 1);
    }
    assert_int_equal(m.type, 9);
    assert_int_equal(m.body.left, MSG_BODY_MAX);
    assert_int_equal(m.body.p[MSG_BODY_MAX - 1], 'z');
    pthread_join(sender, &sent);
    assert_null(sent);
    close(pair[0]);
    close(pair[1]);
    msg_conn_free(&c);
}

/* Whether two descriptors are the same open file. */
static bool same_file(int a, int b)
{
    struct stat x, y;

    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void send_with_fd(int socket, uint32_t type, int fd)
{
    struct buf frame = {0};
    struct msg_conn c;

    msg_conn_init(&c, socket);
    put_frame(&frame, type, "body", 4);
    assert_int_equal(msg_send_fd(&c, &frame, fd, NULL), 0);
    buf_free(&frame);
    msg_conn_free(&c);
}

static void msg_passes_a_descriptor(void **state)
{
    int pair[2], file = memfd_create("unit", MFD_CLOEXEC), got;
    struct msg_conn c;
    struct msg m;

    (void)state;
    open_pair(pair);
    msg_conn_init(&c, pair[1]);
    assert_int_equal(msg_take_fd(&c), -1);
    send_with_fd(pair[0], 1, -1);
    send_with_fd(pair[0], 2, file);
    while (msg_receive(&c, NULL) == 1)
        ;
    assert_int_equal(msg_next(&c, &m, NULL), 1);
    assert_int_equal(msg_next(&c, &m, NULL), 1);
    assert_int_equal(m.type, 2);
    assert_int_equal(m.body.left, 4);
    got = msg_take_fd(&c);
    assert_true(got != file && same_file(got, file));
    assert_int_equal(fcntl(got, F_GETFD), FD_CLOEXEC);
    assert_int_equal(msg_take_fd(&c), -1);
    close(got);
    close(file);
    close(pair[0]);
    close(pair[1]);
    msg_conn_free(&c);
}

/* The number that the next descriptor will get: one that is not closed makes it grow. */
static int next_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    close(fd);
    return fd;
}

static void msg_closes_descriptors_that_nobody_takes(void **state)
{
    int before = next_fd(), pair[2], file = memfd_create("unit", MFD_CLOEXEC);
    struct msg_conn c;

    (void)state;
    open_pair(pair);
    msg_conn_init(&c, pair[1]);
    send_with_fd(pair[0], 1, file);
    assert_int_equal(msg_receive(&c, NULL), 1);
    send_with_fd(pair[0], 2, file);
    assert_int_equal(msg_receive(&c, NULL), 1); /* in the place of the first */
    close(file);
    close(pair[0]);
    close(pair[1]);
    msg_conn_free(&c);
    assert_int_equal(next_fd(), before);
}

/* ---- io ---- */

static void io_reads_back_what_it_wrote(void **state)
{
    int fd = memfd_create("unit", MFD_CLOEXEC);
    char got[8];

    (void)state;
    assert_int_equal(io_pwrite_all(fd, "hello", 5, 3), 0);
    assert_int_equal(io_pread_full(fd, got, 8, 0), 8);
    assert_memory_equal(got, "\0\0\0hello", 8);
    close(fd);
}

static void io_reads_less_only_at_the_end(void **state)
{
    int fd = memfd_create("unit", MFD_CLOEXEC);
    char got[8];

    (void)state;
    assert_int_equal(io_pwrite_all(fd, "hello", 5, 0), 0);
    assert_int_equal(io_pread_full(fd, got, 8, 0), 5);
    assert_int_equal(io_pread_full(fd, got, 8, 4), 1);
    assert_int_equal(io_pread_full(fd, got, 8, 5), 0);
    assert_int_equal(io_pread_full(fd, got, 8, 1000), 0);
    assert_int_equal(io_pread_full(fd, got, 0, 0), 0);
    close(fd);
}

static void io_tells_errors_as_they_come(void **state)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), closed = dup(full);
    char c = 'x';

    (void)state;
    close(closed);
    assert_int_equal(io_pwrite_all(full, &c, 1, 0), -ENOSPC);
    assert_int_equal(io_pwrite_all(full, &c, 0, 0), 0);
    assert_int_equal(io_pwrite_all(closed, &c, 1, 0), -EBADF);
    assert_int_equal(io_pread_full(closed, &c, 1, 0), -EBADF);
    assert_int_equal(io_pread_full(full, &c, 1, 0), -EBADF);
    close(full);
}

static void io_write_file_makes_new_files_only(void **state)
{
    char *dir = make_dir(), got[16];
    int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
    mode_t mask = umask(027);
    struct stat st;
    struct err err;

    (void)state;
    assert_int_equal(io_write_file(dirfd, "f", "text", 4, &err), 0);
    umask(mask);
    assert_int_equal(io_write_file(dirfd, "f", "other", 5, &err), -EEXIST);
    assert_string_equal(err.text, "cannot create f: File exists");
    assert_int_equal(io_write_file(dirfd, "no/f", "x", 1, &err), -ENOENT);
    fd = openat(dirfd, "f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(io_pread_full(fd, got, sizeof(got), 0), 4);
    assert_memory_equal(got, "text", 4);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    close(fd);
    close(dirfd);
    remove_dir(dir);
}

static void io_remove_tree_does_not_follow_links(void **state)
{
    char *dir = make_dir(), *kept = make_dir(), *path;
    int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int keptfd = open(kept, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err err;

    (void)state;
    assert_int_equal(mkdirat(dirfd, "a", 0755), 0);
    assert_int_equal(mkdirat(dirfd, "a/b", 0755), 0);
    assert_int_equal(io_write_file(dirfd, "a/b/f", "x", 1, &err), 0);
    assert_int_equal(io_write_file(keptfd, "f", "x", 1, &err), 0);
    assert_int_equal(symlinkat(kept, dirfd, "a/link"), 0);
    assert_int_equal(io_remove_tree(dir), 0);
    assert_int_equal(access(dir, F_OK), -1);
    assert_int_equal(faccessat(keptfd, "f", F_OK, 0), 0);
    assert_int_equal(io_remove_tree(dir), -ENOENT);
    path = mem_printf("%s/f", kept);
    assert_int_equal(io_remove_tree(path), 0); /* a file is a tree too */
    free(path);
    close(dirfd);
    close(keptfd);
    free(dir);
    remove_dir(kept);
}

#define BAIT 8        /* files */
#define EXCHANGES 300 /* removals meanwhile */

struct exchange {
    char *dir, *tree, *below, *link, *victim;
    atomic_bool ends;
};

static void *exchange(void *arg)
{
    struct exchange *x = arg;

    while (!atomic_load(&x->ends))
        renameat2(AT_FDCWD, x->below, AT_FDCWD, x->link, RENAME_EXCHANGE);
    return NULL;
}

static void put_files(const char *dir)
{
    unsigned i;

    for (i = 0; i < BAIT; i++) {
        char *path = mem_printf("%s/%u", dir, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        close(fd);
        free(path);
    }
}

static void all_there(const char *dir)
{
    unsigned i;

    for (i = 0; i < BAIT; i++) {
        char *path = mem_printf("%s/%u", dir, i);

        assert_int_equal(access(path, F_OK), 0);
        free(path);
    }
}

/* A directory of the tree, with files in it, and a link beside the tree to somewhere else. */
static void set_up_exchange(struct exchange *x)
{
    assert_int_equal(mkdir(x->tree, 0700), 0);
    assert_int_equal(mkdir(x->below, 0700), 0);
    put_files(x->below);
    assert_int_equal(symlink(x->victim, x->link), 0);
}

/* Somebody exchanges a directory for a link again and again while it is removed. */
static void io_remove_tree_stays_inside_whatever_is_exchanged(void **state)
{
    struct exchange x = {.dir = make_dir()};
    pthread_t thread;
    unsigned i;

    (void)state;
    x.tree = mem_printf("%s/tree", x.dir);
    x.below = mem_printf("%s/tree/below", x.dir);
    x.link = mem_printf("%s/link", x.dir);
    x.victim = mem_printf("%s/victim", x.dir);
    assert_int_equal(mkdir(x.victim, 0700), 0);
    put_files(x.victim);
    assert_int_equal(pthread_create(&thread, NULL, exchange, &x), 0);
    for (i = 0; i < EXCHANGES; i++) {
        set_up_exchange(&x);
        io_remove_tree(x.tree); /* may fail: what was exchanged is not what it began with */
        all_there(x.victim);
        while (access(x.tree, F_OK) == 0)
            io_remove_tree(x.tree);
        assert_int_equal(io_remove_tree(x.link), 0);
    }
    atomic_store(&x.ends, true);
    pthread_join(thread, NULL);
    free(x.tree);
    free(x.below);
    free(x.link);
    free(x.victim);
    remove_dir(x.dir);
}

static void io_write_file_tells_what_it_cannot_write(void **state)
{
    char *dir = make_dir(), *path = mem_printf("%s/file", dir);
    struct rlimit old, small;
    struct err err;
    int rc;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 4;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    rc = io_write_file(AT_FDCWD, path, "12345", 5, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(rc, -EFBIG);
    assert_non_null(strstr(err.text, path));
    remove_dir(dir);
    free(path);
}

static void io_reads_the_text_of_regular_files_only(void **state)
{
    char *dir = make_dir(), *text;
    int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err err;

    (void)state;
    assert_int_equal(io_write_file(at, "five", "bytes", 5, &err), 0);
    assert_int_equal(symlinkat("five", at, "link"), 0);
    assert_int_equal(mkfifoat(at, "pipe", 0600), 0);
    assert_int_equal(io_read_text(at, "five", 5, &text), 0);
    assert_string_equal(text, "bytes");
    free(text);
    assert_int_equal(io_read_text(at, "five", 4, &text), -EFBIG);
    assert_null(text);
    assert_int_equal(io_read_text(at, "pipe", 5, &text), -EINVAL);
    assert_int_equal(io_read_text(at, ".", 5, &text), -EINVAL);
    assert_int_equal(io_read_text(at, "link", 5, &text), -ELOOP);
    assert_int_equal(io_read_text(at, "absent", 5, &text), -ENOENT);
    close(at);
    remove_dir(dir);
}

static void io_remove_tree_tells_when_it_cannot_go_on(void **state)
{
    char *dir = make_dir(), *below = mem_printf("%s/below", dir);
    struct rlimit old;
    int more, rc;

    (void)state;
    assert_int_equal(mkdir(below, 0700), 0);
    for (more = 0; more < 4; more++) { /* it has come one step further each time */
        old = allow_descriptors(more);
        rc = io_remove_tree(dir);
        setrlimit(RLIMIT_NOFILE, &old);
        assert_int_equal(rc, -EMFILE);
        assert_int_equal(access(below, F_OK), 0);
    }
    remove_dir(dir);
    free(below);
}

/* In a child, which reports by its exit status. */
static int keep_std_fds_when_closed(int first, int last)
{
    int fd;

    for (fd = first; fd <= last; fd++)
        close(fd);
    if (io_keep_std_fds() != 0)
        return 1;
    for (fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            return 2;
    fd = open("/dev/null", O_RDONLY);
    return fd > 2 ? 0 : 3;
}

static void io_keep_std_fds_fills_the_gaps(void **state)
{
    static const int gaps[][2] = {{0, 2}, {0, 0}, {1, 1}, {2, 2}, {0, 1}, {1, 2}, {3, 3}};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(gaps) / sizeof(*gaps); i++) {
        pid_t pid = fork_flushed();

        if (pid == 0)
            exit(keep_std_fds_when_closed(gaps[i][0], gaps[i][1]));
        assert_int_equal(proc_wait(pid), 0);
    }
}

static void io_keep_std_fds_tells_when_it_cannot(void **state)
{
    struct rlimit old = allow_descriptors(0);
    int rc = io_keep_std_fds();

    (void)state;
    setrlimit(RLIMIT_NOFILE, &old);
    assert_int_equal(rc, -EMFILE);
}

/* ---- proc ---- */

static int run_shell(const char *script, char *const env[], const struct proc_fd *fds, size_t nfds)
{
    char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)script,
                    NULL};
    struct err err;
    pid_t pid;

    assert_int_equal(proc_spawn("sh", argv, env, fds, nfds, &pid, &err), 0);
    return proc_wait(pid);
}

static void proc_arguments_are_counted_and_end_with_null(void **state)
{
    struct proc_args a = {0};
    int i;

    (void)state;
    for (i = 0; i < 40; i++) {
        proc_args_add(&a, mem_printf("argument %d", i));
        assert_int_equal(a.n, i + 1);
        assert_null(a.argv[a.n]);
    }
    assert_string_equal(a.argv[0], "argument 0");
    assert_string_equal(a.argv[39], "argument 39");
    assert_int_equal(a.bytes, 10 * sizeof("argument 0") + 30 * sizeof("argument 10"));
    proc_args_free(&a);
}

static void proc_knows_who_has_ended(void **state)
{
    char *argv[] = {"sleep", "600", NULL};
    siginfo_t info;
    struct err err;
    pid_t pid;

    (void)state;
    assert_false(proc_has_ended(getpid()));
    assert_int_equal(proc_spawn("sleep", argv, NULL, NULL, 0, &pid, &err), 0);
    assert_false(proc_has_ended(pid));
    kill(pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_true(proc_has_ended(pid)); /* not waited for */
    proc_wait(pid);
    assert_true(proc_has_ended(pid));
}

static void proc_describes_every_end(void **state)
{
    char out[96];

    (void)state;
    proc_describe(run_shell("exit 0", NULL, NULL, 0), out, sizeof(out));
    assert_string_equal(out, "exited with status 0");
    proc_describe(run_shell("exit 3", NULL, NULL, 0), out, sizeof(out));
    assert_string_equal(out, "exited with status 3");
    proc_describe(run_shell("kill -KILL $$", NULL, NULL, 0), out, sizeof(out));
    assert_string_equal(out, "was killed by signal 9 (Killed)");
    assert_non_null(strstr(proc_describe(0x137f, out, sizeof(out)), "status"));
    assert_int_equal(strlen(proc_describe(0, out, 8)), 7);
}

static void proc_adds_to_the_environment(void **state)
{
    char *env[] = {(char *)(uintptr_t) "UNIT_A=new", (char *)(uintptr_t) "UNIT_B=b", NULL};

    (void)state;
    setenv("UNIT_A", "old", 1);
    setenv("UNIT_C", "c", 1);
    assert_int_equal(run_shell("test $UNIT_A$UNIT_B$UNIT_C = newbc", env, NULL, 0), 0);
    assert_int_equal(run_shell("test $UNIT_A$UNIT_C = oldc", NULL, NULL, 0), 0);
    unsetenv("UNIT_A");
    unsetenv("UNIT_C");
}

static void assert_pipe_holds(int fd, const char *expected)
{
    char got[16];
    ssize_t n = read(fd, got, sizeof(got));

    assert_int_equal(n, strlen(expected));
    assert_memory_equal(got, expected, (size_t)n);
}

static void proc_passes_descriptors_even_crosswise(void **state)
{
    int a[2], b[2];

    (void)state;
    assert_int_equal(pipe2(a, O_CLOEXEC), 0);
    assert_int_equal(pipe2(b, O_CLOEXEC), 0);
    assert_int_equal(dup3(a[1], 8, O_CLOEXEC), 8);
    assert_int_equal(dup3(b[1], 9, O_CLOEXEC), 9);
    struct proc_fd crossed[] = {{8, 9}, {9, 8}};
    assert_int_equal(run_shell("echo to-a >&9; echo to-b >&8", NULL, crossed, 2), 0);
    assert_pipe_holds(a[0], "to-a\n");
    assert_pipe_holds(b[0], "to-b\n");
    assert_int_not_equal(run_shell("echo x 2>/dev/null >&8", NULL, NULL, 0), 0); /* closed */
    struct proc_fd same[] = {{8, 8}};
    assert_int_equal(run_shell("echo same >&8", NULL, same, 1), 0);
    assert_pipe_holds(a[0], "same\n");
    close(8);
    close(9);
    close(a[0]), close(a[1]), close(b[0]), close(b[1]);
}

static void proc_children_have_default_signals(void **state)
{
    sigset_t term, old;
    int status;

    (void)state;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, &old);
    signal(SIGINT, SIG_IGN);
    status = run_shell("kill -TERM $$; exit 0", NULL, NULL, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    status = run_shell("kill -INT $$; exit 0", NULL, NULL, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void proc_that_cannot_start_is_told(void **state)
{
    char *argv[] = {(char *)(uintptr_t) "x", NULL};
    struct proc_fd closed = {.ours = 999, .theirs = 3};
    struct err err;
    pid_t pid;

    (void)state;
    if (getenv("UNDER_VALGRIND"))
        skip(); /* its posix_spawn succeeds even when the program does not exist */
    assert_int_equal(proc_spawn("/no/such/program", argv, NULL, NULL, 0, &pid, &err), -ENOENT);
    assert_string_equal(err.text, "cannot start /no/such/program: No such file or directory");
    assert_int_equal(proc_spawn("sh", argv, NULL, &closed, 1, &pid, &err), -EBADF);
}

static void proc_null_is_an_empty_file(void **state)
{
    struct proc_fd fds[] = {{PROC_NULL, 0}, {PROC_NULL, 1}, {PROC_NULL, 7}};

    (void)state;
    assert_int_equal(
        run_shell("! read -r line && echo x && echo x >&7 && ! [ -t 0 ]", NULL, fds, 3), 0);
}

/* In a child of ours: the signals of the tests stay as they are. */
static void proc_resets_what_would_lose_children(void **state)
{
    sigset_t all, now;
    pid_t pid = fork_flushed();

    (void)state;
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        signal(SIGCHLD, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        proc_reset_signals();
        sigprocmask(SIG_SETMASK, NULL, &now);
        exit(sigismember(&now, SIGTERM) || run_shell("exit 0", NULL, NULL, 0) != 0 ||
             signal(SIGHUP, SIG_DFL) != SIG_IGN);
    }
    assert_int_equal(proc_wait(pid), 0);
}

/* 0: all that narrow limits would prevent is possible. */
static int widen_narrow_limits(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return 1;
    r.rlim_cur = r.rlim_max < 20 ? r.rlim_max : 20;
    if (setrlimit(RLIMIT_NOFILE, &r) < 0)
        return 2;
    umask(0777);
    signal(SIGXFSZ, SIG_DFL);
    proc_widen_limits();
    if (umask(022) != 0077)
        return 3;
    if (signal(SIGXFSZ, SIG_DFL) != SIG_IGN)
        return 4;
    if (getrlimit(RLIMIT_NOFILE, &r) < 0 || (r.rlim_cur < 65536 && r.rlim_cur < r.rlim_max))
        return 5;
    proc_widen_limits(); /* there is enough */
    return 0;
}

static void proc_widens_limits_as_far_as_it_may(void **state)
{
    pid_t pid = fork_flushed();

    (void)state;
    assert_int_not_equal(pid, -1);
    if (pid == 0)
        exit(widen_narrow_limits());
    assert_int_equal(proc_wait(pid), 0);
}

static bool has_terminal(void)
{
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* The leader of a session with a terminal, and a child of it. */
static int leave_terminal(int terminal)
{
    pid_t pid;

    if (setsid() < 0 || ioctl(terminal, TIOCSCTTY, 0) < 0)
        return 1;
    proc_leave_terminal();
    if (!has_terminal())
        return 2;
    pid = fork();
    if (pid == 0) {
        if (!has_terminal())
            exit(1);
        proc_leave_terminal();
        exit(has_terminal() ? 2 : 0);
    }
    if (pid < 0 || proc_wait(pid) != 0)
        return 3;
    return has_terminal() ? 0 : 4;
}

static void proc_leaves_a_terminal_that_is_another_ones(void **state)
{
    int both = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), terminal = -1;
    pid_t pid;

    (void)state;
    if (both >= 0 && grantpt(both) == 0 && unlockpt(both) == 0)
        terminal = open(ptsname(both), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0)
        skip();
    pid = fork_flushed();
    assert_int_not_equal(pid, -1);
    if (pid == 0)
        exit(leave_terminal(terminal));
    assert_int_equal(proc_wait(pid), 0);
    close(terminal);
    close(both);
}

/* What is said while `fd` has the relay's standard error, in place of ours. */
static char *relayed(const char *script)
{
    int saved = dup(STDERR_FILENO), fds[2], child;
    char *said = mem_alloc(4096);
    struct proc_fd given;
    struct relay *r;
    struct err err;

    assert_int_equal(pipe(fds), 0);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    assert_int_equal(relay_start(&r, &child, &err), 0);
    given = (struct proc_fd){child, STDERR_FILENO};
    run_shell(script, NULL, &given, 1);
    relay_end(r); /* we have the other end still: it does not wait for us */
    close(child);
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_true(read(fds[0], said, 4095) >= 0);
    close(fds[0]);
    return said;
}

static void relay_says_what_a_child_says(void **state)
{
    char *said = relayed("printf 'asofs: one\\nasofs: two\\nhas more\\n' >&2; echo three >&2; "
                         "printf 'no end' >&2");

    (void)state;
    assert_non_null(strstr(said, "asofs: one\nasofs: two\n  has more\n"));
    assert_null(strstr(said, "asofs: asofs:"));
    assert_non_null(strstr(said, "three\n"));
    assert_non_null(strstr(said, "no end\n"));
    free(said);
    said = relayed("exit 0");
    assert_string_equal(said, "");
    free(said);
}

static void relay_that_gets_no_descriptors_is_told(void **state)
{
    struct relay *r = NULL;
    int more, child;

    (void)state;
    relay_end(r);
    for (more = 0; more < 4; more += 2) { /* one pipe is there, or none */
        struct rlimit old = allow_descriptors(more);
        struct err err;
        int rc = relay_start(&r, &child, &err), left = dup(STDERR_FILENO);

        setrlimit(RLIMIT_NOFILE, &old);
        assert_int_equal(rc, -EMFILE);
        assert_non_null(strstr(err.text, "cannot make a pipe"));
        assert_int_equal(left >= 0, more > 0); /* it has closed what it had */
        if (left >= 0)
            close(left);
    }
}

static int answer(void *arg, FILE *out)
{
    fprintf(out, "%s\n", (const char *)arg);
    return 7;
}

static int answer_at_length(void *arg, FILE *out)
{
    size_t i;

    (void)arg;
    for (i = 0; i < 100000; i++)
        fputs("0123456789", out);
    return 0;
}

static int never_answer(void *arg, FILE *out)
{
    (void)arg;
    fputs("so far", out);
    fflush(out);
    while (pause() < 0)
        ;
    return 0;
}

static int die(void *arg, FILE *out)
{
    (void)arg, (void)out;
    raise(SIGKILL);
    return 0;
}

static void ask_hears_what_is_answered_in_time(void **state)
{
    struct buf b = {0};
    struct err err;
    struct ask a;

    (void)state;
    assert_int_equal(ask(answer, (char[]){"yes"}, &b, &err), 7);
    assert_string_equal(b.data, "yes\n");
    buf_clear(&b);
    assert_int_equal(ask(answer_at_length, NULL, &b, &err), 0);
    assert_int_equal(b.len, 1000000);
    buf_clear(&b);
    assert_int_equal(ask(die, NULL, &b, &err), -EIO);
    assert_int_equal(ask_start(&a, never_answer, NULL, &err), 0);
    assert_int_equal(ask_wait(&a, clock_ms() + 50, &b), -ETIMEDOUT);
    proc_wait(a.pid); /* it was killed */
    buf_free(&b);
}

static void proc_kill_leaves_no_zombie(void **state)
{
    char *argv[] = {(char *)(uintptr_t) "sleep", (char *)(uintptr_t) "100", NULL};
    struct err err;
    pid_t pid;

    (void)state;
    assert_int_equal(proc_spawn("sleep", argv, NULL, NULL, 0, &pid, &err), 0);
    proc_kill(pid);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(proc_wait(pid), -1);
}

static void proc_self_can_be_started(void **state)
{
    (void)state;
    assert_int_equal(access(proc_self(), X_OK), 0);
}

/* ---- stop and clock ---- */

static void stop_hears_signals(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct stop s;
    struct err err;
    char info[128];
    size_t i;

    (void)state;
    assert_int_equal(stop_open(&s, &err), 0);
    for (i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
        assert_false(stop_requested(&s));
        assert_false(stop_within(s.fd, 1));
        assert_false(stop_within(-1, 1));
        assert_int_equal(kill(getpid(), signals[i]), 0);
        assert_true(stop_requested(&s));
        assert_true(stop_within(s.fd, INT64_MAX));
        assert_int_equal(read(s.signal_fd, info, sizeof(info)), sizeof(info));
    }
    stop_close(&s, true);
}

/* In a child: the signal was heard, so nothing is left of it that could kill when stop ends. */
static void stop_keeps_the_signal_it_heard(void **state)
{
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        struct stop s;
        struct err err;

        if (stop_open(&s, &err) < 0 || kill(getpid(), SIGTERM) < 0 || !stop_requested(&s))
            _exit(1);
        stop_close(&s, true);
        _exit(0);
    }
    assert_int_equal(proc_wait(pid), 0);
}

static void stop_hears_the_end_of_the_peer(void **state)
{
    struct stop s;
    struct err err;
    int pair[2];

    (void)state;
    open_pair(pair);
    assert_int_equal(stop_open(&s, &err), 0);
    assert_int_equal(stop_watch(&s, pair[0], &err), 0);
    assert_false(stop_requested(&s));
    close(pair[1]);
    assert_true(stop_requested(&s));
    stop_close(&s, true);
    close(pair[0]);
}

static void clock_never_goes_back(void **state)
{
    int64_t before = clock_ms();
    int i;

    (void)state;
    for (i = 0; i < 1000; i++) {
        int64_t now = clock_ms();

        assert_true(now >= before);
        before = now;
    }
}

/* ---- hash ---- */

static uint64_t hash_of(const char *text)
{
    struct hash *h = hash_new();
    uint64_t v;

    hash_update(h, text, strlen(text));
    v = hash_value(h);
    hash_free(h);
    return v;
}

/* As `printf %s TEXT | xxhsum -H3` prints them. */
static void hash_is_xxh3(void **state)
{
    (void)state;
    assert_int_equal(hash_of(""), 0x2d06800538d394c2);
    assert_int_equal(hash_of("a"), 0xe6c632b61e964e1f);
    assert_int_equal(hash_of("abc"), 0x78af5f94892f3950);
    assert_int_equal(hash_of("xxhash"), 0xaa4c2b42ae6b13de);
}

static void hash_in_pieces_is_the_same(void **state)
{
    struct hash *h = hash_new();
    char zeros[1000] = {0};
    uint64_t seed = 1;
    size_t done, n;

    (void)state;
    hash_update(h, "what was there before", 21);
    hash_reset(h);
    for (done = 0; done < sizeof(zeros); done += n) {
        n = random_below(&seed, 50);
        if (n > sizeof(zeros) - done)
            n = sizeof(zeros) - done;
        hash_update(h, zeros, n);
    }
    assert_int_equal(hash_value(h), 0x24c1ea6074dd588c); /* head -c 1000 /dev/zero | xxhsum -H3 */
    assert_int_equal(hash_value(h), 0x24c1ea6074dd588c);
    hash_free(h);
}

/* ---- places on the log ---- */

static void lsn_is_read_and_written_as_the_server_does(void **state)
{
    char text[LSN_TEXT_MAX];
    uint64_t lsn = 1;

    (void)state;
    assert_int_equal(lsn_parse("16/B374D848", &lsn), 0);
    assert_true(lsn == 0x16B374D848);
    assert_string_equal(lsn_text(lsn, text), "16/B374D848");
    assert_int_equal(lsn_parse("0/0", &lsn), 0);
    assert_true(lsn == 0);
    assert_string_equal(lsn_text(lsn, text), "0/0");
    assert_int_equal(lsn_parse("ffffffff/FFFFFFFF", &lsn), 0);
    assert_true(lsn == UINT64_MAX);
    assert_string_equal(lsn_text(lsn, text), "FFFFFFFF/FFFFFFFF");
    assert_int_equal(lsn_parse("0000000A/00000b", &lsn), 0);
    assert_true(lsn == 0xA0000000B);
}

static void lsn_refuses_what_is_none(void **state)
{
    static const char *const wrong[] = {
        "",     "/",     "1",           "1/",  "/1",   "1/2/3", "1/2 ",       " 1/2",
        "-1/2", "0x1/2", "1/123456789", "G/1", "1/+2", "1//2",  "123456789/1"};
    uint64_t lsn = 7;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        if (lsn_parse(wrong[i], &lsn) != -EINVAL)
            fail_msg("\"%s\" was taken for a place on the log", wrong[i]);
    assert_true(lsn == 7);
}

/* ---- printable ---- */

static void assert_shown(const char *text, const char *want)
{
    struct buf b = {0};

    printable_put(&b, text, "  ");
    assert_string_equal(b.data, want);
    buf_free(&b);
}

static void what_is_harmless_is_shown_as_it_is(void **state)
{
    (void)state;
    assert_shown("", "");
    assert_shown("a \"b\"\t\\x1b \xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x98",
                 "a \"b\"\t\\x1b \xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x98");
    assert_shown("one\ntwo\n three\n\nfour\n", "one\n  two\n three\n\n  four\n");
}

static void what_moves_the_cursor_is_escaped(void **state)
{
    (void)state;
    assert_shown("\x1b[2J\r\x07\x7f\x01", "\\x1b[2J\\x0d\\x07\\x7f\\x01");
    assert_shown("\xc2\x9b"
                 "31m",
                 "\\xc2\\x9b31m");
    assert_shown("\xe2\x80\xae"
                 "fdp\xe2\x81\xa6\xe2\x80\xa8",
                 "\\xe2\\x80\\xaefdp\\xe2\\x81\\xa6\\xe2\\x80\\xa8");
}

static void what_is_no_utf8_is_escaped(void **state)
{
    (void)state;
    assert_shown("\xff\xfe", "\\xff\\xfe");
    assert_shown("M\xfcller", "M\\xfcller");
    assert_shown("\xc3", "\\xc3");
    assert_shown("\xe2\x82", "\\xe2\\x82");
    assert_shown("\xc0\x8a\xe0\x80\x8a", "\\xc0\\x8a\\xe0\\x80\\x8a");
    assert_shown("\xed\xa0\x80", "\\xed\\xa0\\x80");
    assert_shown("\xf4\x90\x80\x80\xf8", "\\xf4\\x90\\x80\\x80\\xf8");
    assert_shown("\x80"
                 "a",
                 "\\x80"
                 "a");
}

static void what_is_printed_is_printable(void **state)
{
    FILE *saved = stdout;
    char *text = NULL;
    size_t n;
    int rc;

    (void)state;
    stdout = open_memstream(&text, &n);
    rc = printable_out("%s of %d\n", "\x1b[2Jerp", 7);
    fclose(stdout);
    stdout = saved;
    assert_true(rc >= 0);
    assert_string_equal(text, "\\x1b[2Jerp of 7\n");
    free(text);
}

/* ---- mounts ---- */

static void mounts_are_known_by_their_whole_path(void **state)
{
    char *type = mounts_type("/proc");

    (void)state;
    assert_string_equal(type, "proc");
    assert_true(mounts_is("/proc", "proc"));
    assert_false(mounts_is("/proc", MOUNTS_OURS));
    assert_null(mounts_type("/proc/self"));
    assert_false(mounts_is("/no/such/place", "proc"));
    free(type);
}

/* ---- the way to a path ---- */

static int check_way(const char *dir, const char *path, uid_t trusted)
{
    char *whole = mem_printf("%s/%s", dir, path);
    struct err err = {0};
    int rc = way_check(whole, &trusted, 1, &err);

    free(whole);
    return rc;
}

static void own(const char *dir, const char *name, uid_t uid, mode_t mode)
{
    char *path = mem_printf("%s/%s", dir, name);

    mkdir(path, 0700); /* or there */
    assert_int_equal(chmod(path, mode), 0);
    assert_int_equal(chown(path, uid, uid), 0);
    free(path);
}

static void lead(const char *dir, const char *name, uid_t uid, const char *to)
{
    char *path = mem_printf("%s/%s", dir, name);

    assert_int_equal(symlink(to, path), 0);
    assert_int_equal(lchown(path, uid, uid), 0);
    free(path);
}

#define THEIRS 65534
#define SOMEBODY 65533

static void way_is_refused_where_others_can_exchange(void **state)
{
    char *dir;

    (void)state;
    if (geteuid() != 0)
        skip();
    dir = make_dir();
    own(dir, "", THEIRS, 0700);
    own(dir, "sticky", 0, 01777);
    own(dir, "open", 0, 0777);
    own(dir, "else", SOMEBODY, 0755);
    own(dir, "sticky/roots", 0, 0755);
    lead(dir, "else/up", 0, "..");
    lead(dir, "sticky/theirs", THEIRS, "../sticky");
    lead(dir, "sticky/else", SOMEBODY, "../sticky");
    lead(dir, "round", THEIRS, "round");
    assert_int_equal(check_way(dir, "missing", 0), -EPERM);
    assert_int_equal(check_way(dir, "missing", THEIRS), 0);
    assert_int_equal(check_way(dir, "missing/more", THEIRS), 0);
    assert_int_equal(check_way(dir, "sticky/./roots//x", THEIRS), 0);
    assert_int_equal(check_way(dir, "open", THEIRS), 0);
    assert_int_equal(check_way(dir, "open/x", THEIRS), -EPERM);
    assert_int_equal(check_way(dir, "else", THEIRS), 0);
    assert_int_equal(check_way(dir, "else/x", THEIRS), -EPERM);
    assert_int_equal(check_way(dir, "else/../x", THEIRS), 0);
    assert_int_equal(check_way(dir, "else/up/x", THEIRS), -EPERM);
    assert_int_equal(check_way(dir, "sticky/theirs/roots/x", THEIRS), 0);
    assert_int_equal(check_way(dir, "sticky/else/roots/x", THEIRS), -EPERM);
    assert_int_equal(check_way(dir, "round/x", THEIRS), 0);
    remove_dir(dir);
}

static void way_is_not_refused_for_a_group_of_ones_own(void **state)
{
    char *dir;

    (void)state;
    if (geteuid() != 0)
        skip();
    dir = make_dir();
    own(dir, "group", 0, 0770);
    assert_int_equal(check_way(dir, "group/x", 0), 0);
    assert_int_equal(chown(dir, 0, SOMEBODY), 0);
    assert_int_equal(chmod(dir, 0770), 0);
    assert_int_equal(check_way(dir, "x", 0), -EPERM);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_set_returns_the_negative_code),
        cmocka_unit_test(err_set_never_says_success),
        cmocka_unit_test(err_set_takes_no_err),
        cmocka_unit_test(err_errno_appends_the_reason),
        cmocka_unit_test(err_prefix_and_hint_surround_the_text),
        cmocka_unit_test(err_texts_that_are_too_long_are_cut),
        cmocka_unit_test(err_hint_is_cut_at_every_length),
        cmocka_unit_test(mem_grow_keeps_what_was_there),
        cmocka_unit_test(mem_gives_zeroed_memory_also_for_nothing),
        cmocka_unit_test(buf_is_always_a_string),
        cmocka_unit_test(buf_printf_grows_as_needed),
        cmocka_unit_test(buf_steal_leaves_an_empty_buffer),
        cmocka_unit_test(reader_gets_what_was_put),
        cmocka_unit_test(reader_notices_every_truncation),
        cmocka_unit_test(reader_is_not_done_with_bytes_left),
        cmocka_unit_test(reader_stays_bad_and_gives_nothing),
        cmocka_unit_test(reader_refuses_lengths_beyond_the_end),
        cmocka_unit_test(reader_refuses_a_nul_inside_a_string),
        cmocka_unit_test(escape_leaves_ordinary_names_alone),
        cmocka_unit_test(escape_replaces_what_a_path_cannot_hold),
        cmocka_unit_test(escape_replaces_reserved_names),
        cmocka_unit_test(escape_refuses_what_it_would_not_have_made),
        cmocka_unit_test(escape_is_injective_over_all_short_tricky_names),
        cmocka_unit_test(escape_undo_gives_null_or_the_very_name),
        cmocka_unit_test(units_read_sizes),
        cmocka_unit_test(units_refuse_what_is_no_size),
        cmocka_unit_test(units_read_durations),
        cmocka_unit_test(units_write_sizes),
        cmocka_unit_test(units_write_seconds),
        cmocka_unit_test(csv_quotes_only_what_it_must),
        cmocka_unit_test(csv_reads_records),
        cmocka_unit_test(csv_refuses_damaged_records),
        cmocka_unit_test(csv_reads_what_it_wrote),
        cmocka_unit_test(msg_frames_come_whole_however_they_are_cut),
        cmocka_unit_test(msg_frames_come_whole_byte_by_byte),
        cmocka_unit_test(msg_end_inside_a_frame_is_an_error),
        cmocka_unit_test(msg_refuses_announced_lengths_beyond_the_limit),
        cmocka_unit_test(msg_send_refuses_bodies_beyond_the_limit),
        cmocka_unit_test(msg_send_to_the_dead_is_an_error_and_no_signal),
        cmocka_unit_test(msg_of_the_largest_size_passes),
        cmocka_unit_test(msg_passes_a_descriptor),
        cmocka_unit_test(msg_closes_descriptors_that_nobody_takes),
        cmocka_unit_test(io_reads_back_what_it_wrote),
        cmocka_unit_test(io_reads_less_only_at_the_end),
        cmocka_unit_test(io_tells_errors_as_they_come),
        cmocka_unit_test(io_write_file_makes_new_files_only),
        cmocka_unit_test(io_remove_tree_does_not_follow_links),
        cmocka_unit_test(io_remove_tree_stays_inside_whatever_is_exchanged),
        cmocka_unit_test(io_remove_tree_tells_when_it_cannot_go_on),
        cmocka_unit_test(io_write_file_tells_what_it_cannot_write),
        cmocka_unit_test(io_reads_the_text_of_regular_files_only),
        cmocka_unit_test(io_keep_std_fds_fills_the_gaps),
        cmocka_unit_test(io_keep_std_fds_tells_when_it_cannot),
        cmocka_unit_test(proc_arguments_are_counted_and_end_with_null),
        cmocka_unit_test(proc_knows_who_has_ended),
        cmocka_unit_test(proc_describes_every_end),
        cmocka_unit_test(proc_adds_to_the_environment),
        cmocka_unit_test(proc_passes_descriptors_even_crosswise),
        cmocka_unit_test(proc_children_have_default_signals),
        cmocka_unit_test(proc_null_is_an_empty_file),
        cmocka_unit_test(ask_hears_what_is_answered_in_time),
        cmocka_unit_test(proc_resets_what_would_lose_children),
        cmocka_unit_test(proc_widens_limits_as_far_as_it_may),
        cmocka_unit_test(proc_leaves_a_terminal_that_is_another_ones),
        cmocka_unit_test(relay_says_what_a_child_says),
        cmocka_unit_test(relay_that_gets_no_descriptors_is_told),
        cmocka_unit_test(proc_that_cannot_start_is_told),
        cmocka_unit_test(proc_kill_leaves_no_zombie),
        cmocka_unit_test(proc_self_can_be_started),
        cmocka_unit_test(stop_hears_signals),
        cmocka_unit_test(stop_keeps_the_signal_it_heard),
        cmocka_unit_test(stop_hears_the_end_of_the_peer),
        cmocka_unit_test(clock_never_goes_back),
        cmocka_unit_test(lsn_is_read_and_written_as_the_server_does),
        cmocka_unit_test(lsn_refuses_what_is_none),
        cmocka_unit_test(what_is_harmless_is_shown_as_it_is),
        cmocka_unit_test(what_moves_the_cursor_is_escaped),
        cmocka_unit_test(what_is_no_utf8_is_escaped),
        cmocka_unit_test(what_is_printed_is_printable),
        cmocka_unit_test(mounts_are_known_by_their_whole_path),
        cmocka_unit_test(way_is_refused_where_others_can_exchange),
        cmocka_unit_test(way_is_not_refused_for_a_group_of_ones_own),
        cmocka_unit_test(hash_is_xxh3),
        cmocka_unit_test(hash_in_pieces_is_the_same),
    };

    return cmocka_run_group_tests_name("common", tests, NULL, NULL);
}
