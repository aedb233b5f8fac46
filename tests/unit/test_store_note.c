/* store/note.c: notes beside a view: written, read, and not believed when they are damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"
#include "store/internal.h"
#include "store/store.h"
#include "storeplace.h"

static void make_view(struct place *p)
{
    place_add_base(p, "1");
    place_create_view(p, "v", NULL);
}

static char *path_of(struct place *p, const char *name)
{
    return mem_printf("%s/view/v/" STORE_NOTES "/%s", store_path(p->store), name);
}

static int read_note(struct place *p, const char *want, size_t len)
{
    size_t n = 0;
    char *bytes;
    int rc = store_read_note(p->store, "v", "x", &bytes, &n, &p->err);

    if (rc == 0) {
        assert_int_equal(n, len);
        assert_memory_equal(bytes, want, len);
    } else {
        assert_null(bytes);
    }
    free(bytes);
    return rc;
}

static void a_note_is_read_as_it_was_written(void **state)
{
    struct place *p = *state;
    char *view = NULL;

    make_view(p);
    assert_int_equal(read_note(p, NULL, 0), -ENOENT);
    assert_int_equal(store_write_note(p->store, "v", "x", "a\0b", 3, &p->err), 0);
    assert_int_equal(read_note(p, "a\0b", 3), 0);
    assert_int_equal(store_write_note(p->store, "v", "x", "", 0, &p->err), 0);
    assert_int_equal(read_note(p, "", 0), 0);
    assert_int_equal(store_write_note(p->store, "w", "x", "", 0, &p->err), -ENOENT);
    assert_int_equal(store_read_note(p->store, "w", "x", &view, &(size_t){0}, &p->err), -ENOENT);
    assert_int_equal(store_drop_view(p->store, "v", &p->err), 0);
}

static size_t load(const char *path, char *bytes, size_t room)
{
    FILE *f = fopen(path, "rb");
    size_t n;

    assert_non_null(f);
    n = fread(bytes, 1, room, f);
    fclose(f);
    return n;
}

static void save(const char *path, const char *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void a_note_is_not_believed_if_anything_is_wrong(void **state)
{
    struct place *p = *state;
    char bytes[64] = {0}, *path;
    size_t n, i;

    make_view(p);
    assert_int_equal(store_write_note(p->store, "v", "x", "content", 7, &p->err), 0);
    path = path_of(p, "x");
    n = load(path, bytes, sizeof(bytes));
    assert_int_equal(n, 24 + 7);
    for (i = 0; i < n; i++) {
        bytes[i] ^= 4;
        save(path, bytes, n);
        assert_int_equal(read_note(p, NULL, 0), -EINVAL);
        bytes[i] ^= 4;
        save(path, bytes, i);
        assert_int_equal(read_note(p, NULL, 0), -EINVAL);
    }
    save(path, bytes, n + 1);
    assert_int_equal(read_note(p, NULL, 0), -EINVAL);
    save(path, bytes, n);
    assert_int_equal(read_note(p, "content", 7), 0);
    free(path);
}

static void nothing_is_written_while_somebody_else_writes(void **state)
{
    struct place *p = *state;
    char *path;
    int fd;

    make_view(p);
    assert_int_equal(store_write_note(p->store, "v", "x", "old", 3, &p->err), 0);
    path = path_of(p, STORE_LOCK);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && flock(fd, LOCK_EX) == 0);
    assert_int_equal(store_write_note(p->store, "v", "x", "new", 3, &p->err), 0);
    assert_int_equal(read_note(p, "old", 3), 0);
    close(fd);
    assert_int_equal(store_write_note(p->store, "v", "x", "new", 3, &p->err), 0);
    assert_int_equal(read_note(p, "new", 3), 0);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_note_is_read_as_it_was_written, place_set_up,
                                        place_tear_down),
        cmocka_unit_test_setup_teardown(a_note_is_not_believed_if_anything_is_wrong, place_set_up,
                                        place_tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_written_while_somebody_else_writes, place_set_up,
                                        place_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
