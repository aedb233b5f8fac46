/* store/check.h: what is found in a store, and maps of its files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/mem.h"
#include "pages/datadir.h"
#include "pages/inflight.h"
#include "pages/page.h"
#include "pages/pagefile.h"
#include "store/check.h"
#include "store/internal.h"
#include "store/store.h"
#include "storeplace.h"

/* ---- check ---- */

static char *kept;

static int keep_path(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)flag, (void)ftw;
    if (S_ISREG(st->st_mode)) {
        assert_null(kept);
        kept = mem_strdup(path);
    }
    return 0;
}

/* The path of the only file below a directory; freed by the caller. */
static char *only_file(const struct place *p, const char *dir)
{
    char *path = place_path(p, "%s", dir), *found;

    kept = NULL;
    assert_int_equal(nftw(path, keep_path, 16, FTW_PHYS), 0);
    assert_non_null(kept);
    found = kept;
    kept = NULL;
    free(path);
    return found;
}

static void flip_byte(const char *path, off_t at)
{
    int fd = open(path, O_RDWR);
    char c;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &c, 1, at), 1);
    c = (char)(c ^ 0x40);
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    close(fd);
}

static void nothing_is_found_in_a_store_that_is_right(void **state)
{
    struct place *p = *state;
    struct place_lines l;

    place_add_base(p, "1");
    place_make_written_view(p, "v", NULL);
    place_make_written_view(p, "w", NULL);
    l = place_check(p);
    assert_string_equal(l.text.data, "");
    assert_int_equal(l.report.findings, 0);
    assert_int_equal(l.report.bases, 1);
    assert_int_equal(l.report.views, 2);
    assert_int_equal(l.report.files, 2);
    assert_int_equal(l.report.pages, 4);
    buf_free(&l.text);
}

static void a_damaged_page_is_told_by_file_and_number(void **state)
{
    struct place *p = *state;
    struct store_view *v;
    char *diff;

    place_add_base(p, "1");
    place_make_written_view(p, "v", NULL);
    diff = only_file(p, "store/view/v/diff");
    flip_byte(diff, 4 * PAGE_BYTES + 5000);
    place_check_says(p, 1, "view v: base/5/1259, page 4:", "diff/");
    flip_byte(diff, 3 * PAGE_BYTES);
    place_check_says(p, 1, "view v: base/5/1259, pages 3 to 4:", "checksum");
    free(diff);
    place_make_written_view(p, "w", NULL);
    v = place_open_view(p, "w", 0);
    place_write_pages(v, 'w', 7, 1);
    place_close_view(p, v);
    diff = only_file(p, "store/view/w/diff");
    flip_byte(diff, 3 * PAGE_BYTES);
    flip_byte(diff, 7 * PAGE_BYTES);
    place_check_says(p, 3, "view w: base/5/1259, page 3:", "view w: base/5/1259, page 7:");
    free(diff);
}

static void a_damaged_side_page_table_is_told(void **state)
{
    struct place *p = *state;
    char *side;

    place_add_base(p, "1");
    place_make_written_view(p, "v", NULL);
    side = only_file(p, "store/view/v/side");
    flip_byte(side, offsetof(struct side_block, stored));
    place_check_says(p, 1, "view v: base/5/1259: 1 block of side/", "rebuilt");
    flip_byte(side, offsetof(struct side_block, stored));
    place_check_says(p, 0, "", "");
    flip_byte(side, offsetof(struct side_block, file));
    place_check_says(p, 1, "view v: base/5/1259: side/", "");
    free(side);
}

static void storage_without_a_file_and_a_file_without_storage_are_told(void **state)
{
    struct place *p = *state;
    char *diff;

    place_add_base(p, "1");
    place_make_written_view(p, "v", NULL);
    place_put_text(p, "store/view/v/diff/00000000000ffff1", "x");
    place_check_says(p, 1, "view v: diff/00000000000ffff1 belongs to no file", "");
    place_put_text(p, "store/view/v/side/note", "x");
    place_check_says(p, 2, "view v: side/note belongs to no file", "");
    place_make_written_view(p, "w", NULL);
    diff = only_file(p, "store/view/w/diff");
    assert_int_equal(unlink(diff), 0);
    place_check_says(p, 3, "view w: base/5/1259: cannot open diff/", "");
    free(diff);
}

static void a_damaged_journal_is_told(void **state)
{
    struct place *p = *state;
    char *names = place_path(p, "store/view/v/names");
    struct stat st;

    place_add_base(p, "1");
    place_make_written_view(p, "v", NULL);
    assert_int_equal(stat(names, &st), 0);
    assert_int_equal(truncate(names, st.st_size - 1), 0);
    place_check_says(p, 3, "view v: names holds", "changes of names are lost");
    flip_byte(names, 0);
    place_check_says(p, 1, "view v: names:", "");
    assert_int_equal(unlink(names), 0);
    place_check_says(p, 1, "view v: cannot read names", "");
    free(names);
}

static void damaged_descriptions_and_bases_are_told_one_by_one(void **state)
{
    struct place *p = *state;

    place_add_base(p, "1");
    place_add_base(p, "2");
    place_make_written_view(p, "v", "1");
    place_make_written_view(p, "w", "2");
    place_put_text(p, "store/view/v/view.json", "{}");
    place_put_text(p, "store/base/2/base.json", "{}");
    place_check_says(p, 3, "view v: ", "view/v/view.json: key \"format\" is missing");
    place_check_says(p, 3, "base 2: ", "view w: ");
    place_put_text(p, "data/base/5/1259", "shorter");
    place_check_says(p, 4, "base 1: ", "base/5/1259");
}

static void a_view_in_use_is_told_and_no_finding(void **state)
{
    struct place *p = *state;
    struct store_view *v;
    struct place_lines l;

    place_add_base(p, "1");
    place_create_view(p, "v", NULL);
    v = place_open_view(p, "v", 0);
    place_write_pages(v, 'x', 0, 1);
    l = place_check(p);
    assert_string_equal(l.text.data, "view v: in use, not looked into\n");
    assert_int_equal(l.report.findings, 0);
    assert_int_equal(l.report.views, 0);
    buf_free(&l.text);
    place_close_view(p, v);
}

/* A process that writes and ends without closing, the file neither. */
static void write_and_die(struct place *p, const char *name)
{
    struct store_view *v;
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (place_try_open(p, name, 0, &v) < 0)
            _exit(1);
        place_open_file(v, "base/5/1259");
        place_write_pages(v, 'd', 6, 2);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void a_view_that_was_not_closed_is_told_and_no_finding(void **state)
{
    struct place *p = *state;
    struct store_view *v;
    char *diff;

    place_add_base(p, "1");
    place_make_written_view(p, "v", NULL);
    write_and_die(p, "v");
    place_check_says(p, 0, "view v was not closed", "put right when it is next opened");
    diff = only_file(p, "store/view/v/diff");
    flip_byte(diff, 6 * PAGE_BYTES);
    place_check_says(p, 1, "view v was not closed", "view v: base/5/1259, page 6:");
    flip_byte(diff, 6 * PAGE_BYTES);
    free(diff);
    v = place_open_view(p, "v", 0);
    assert_int_equal(place_letter_at(v, 7), 'd');
    place_close_view(p, v);
    place_check_says(p, 0, "", "");
}

/* As a process leaves it that ends in the middle of a write of pages 3 and 4. */
static void announce_pages(const struct place *p, uint64_t id, const char *page)
{
    uint32_t crc[2] = {page_crc(page, PAGE_BYTES), page_crc(page, PAGE_BYTES)};
    char *path = place_path(p, "store/view/v");
    struct inflight *f;
    struct disk *d;

    assert_int_equal(disk_posix(path, &d), 0);
    assert_int_equal(inflight_open(d, "inflight", true, &f, NULL), 0);
    inflight_begin(f);
    inflight_write(f, id, 3, 2, crc);
    inflight_close(f, false);
    d->ops->free(d);
    free(path);
}

static void a_page_is_right_as_it_was_or_as_it_was_announced(void **state)
{
    struct place *p = *state;
    char page[PAGE_BYTES], *diff;
    struct store_view *v;
    int fd;

    memset(page, 'n', sizeof(page));
    place_add_base(p, "1");
    place_make_written_view(p, "v", NULL);
    diff = only_file(p, "store/view/v/diff");
    announce_pages(p, strtoull(strrchr(diff, '/') + 1, NULL, 16), page);
    fd = open(diff, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, page, sizeof(page), 3 * PAGE_BYTES), PAGE_BYTES);
    place_check_says(p, 0, "view v was not closed", "");
    assert_int_equal(pwrite(fd, page, 512, 4 * PAGE_BYTES), 512);
    place_check_says(p, 1, "view v: base/5/1259, page 4:", "");
    assert_int_equal(pwrite(fd, page, sizeof(page), 4 * PAGE_BYTES), PAGE_BYTES);
    close(fd);
    v = place_open_view(p, "v", 0);
    assert_int_equal(place_letter_at(v, 3), 'n');
    assert_int_equal(place_letter_at(v, 4), 'n');
    place_close_view(p, v);
    place_check_says(p, 0, "", "");
    free(diff);
}

/* ---- layers of a base ---- */

/* As a later command will do it: what a view holds becomes a base. */
static void make_layer(struct place *p, const char *view, const char *id)
{
    char *from = place_path(p, "store/view/%s", view), *to = place_path(p, "store/base/%s", id);
    char *json = place_path(p, "store/base/%s/view.json", id), *base;

    assert_int_equal(store_read_view(p->store, view, &base, &p->err), 0);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(unlink(json), 0);
    place_put_layer(p, id, base);
    free(base);
    free(json);
    free(to);
    free(from);
}

static void a_layer_that_was_not_completed_is_told(void **state)
{
    struct place *p = *state;
    struct store_view *v;

    place_add_base(p, "1");
    place_create_view(p, "w", "1");
    write_and_die(p, "w");
    make_layer(p, "w", "2");
    place_check_says(p, 1, "base 2 was not completed", "");
    place_create_view(p, "v", "2");
    assert_true(place_try_open(p, "v", 0, &v) < 0);
    place_assert_says(&p->err, "view v", "not completed");
}

static void a_layer_of_a_base_shows_in_views_and_is_checked(void **state)
{
    struct place *p = *state;
    struct store_view *v;
    char *diff;

    place_add_base(p, "1");
    place_make_written_view(p, "w", "1");
    make_layer(p, "w", "2");
    place_create_view(p, "v", NULL);
    v = place_open_view(p, "v", 0);
    assert_int_equal(store_view_base(v)->n_layers, 1);
    assert_int_equal(place_letter_at(v, 3), 'v');
    assert_int_equal(place_letter_at(v, 5), 'b');
    place_write_pages(v, 'x', 4, 2);
    place_close_view(p, v);
    place_check_says(p, 0, "", "");
    diff = only_file(p, "store/base/2/diff");
    flip_byte(diff, 3 * PAGE_BYTES);
    place_check_says(p, 1, "base 2: base/5/1259, page 3:", "");
    free(diff);
}

/* ---- map ---- */

static void add_map_line(void *arg, const struct map_run *run)
{
    buf_printf(arg, "%llu+%llu %s", (unsigned long long)run->first, (unsigned long long)run->count,
               run->place);
    if (run->unreadable)
        buf_printf(arg, " bad %llu", (unsigned long long)run->unreadable);
    buf_putc(arg, ';');
}

static void map_says(struct place *p, const char *view, const char *expected, uint64_t bytes)
{
    struct buf b = {0};
    uint64_t size = 0;

    buf_puts(&b, "");
    if (store_map(p->store, view, "base/5/1259", &size, add_map_line, &b, &p->err) < 0)
        fail_msg("%s", p->err.text);
    assert_string_equal(b.data, expected);
    assert_int_equal(size, bytes);
    buf_free(&b);
}

static void a_map_tells_which_layer_holds_which_page(void **state)
{
    struct place *p = *state;
    struct store_view *v;

    place_add_base(p, "1");
    place_create_view(p, "v", NULL);
    map_says(p, "v", "0+10 base;", 10 * PAGE_BYTES);
    assert_int_equal(store_drop_view(p->store, "v", &p->err), 0);
    place_make_written_view(p, "w", "1");
    map_says(p, "w", "0+3 base;3+2 view;5+5 base;", 10 * PAGE_BYTES);
    make_layer(p, "w", "2");
    place_create_view(p, "v", NULL);
    v = place_open_view(p, "v", 0);
    place_write_pages(v, 'x', 4, 2);
    place_write_pages(v, 'x', 9, 1);
    place_close_view(p, v);
    map_says(p, "v", "0+3 base;3+1 layer 2;4+2 view;6+3 base;9+1 view;", 10 * PAGE_BYTES);
    make_layer(p, "v", "3");
    place_create_view(p, "u", NULL);
    map_says(p, "u", "0+3 base;3+1 layer 2;4+2 layer 3;6+3 base;9+1 layer 3;", 10 * PAGE_BYTES);
}

static void a_map_shows_what_was_cut_off_and_what_cannot_be_read(void **state)
{
    struct place *p = *state;
    struct store_view *v;
    struct pagefile *f;
    char *diff;

    place_add_base(p, "1");
    place_make_written_view(p, "v", NULL);
    v = place_open_view(p, "v", 0);
    f = place_open_file(v, "base/5/1259");
    assert_int_equal(pagefile_truncate(f, 6 * PAGE_BYTES), 0);
    assert_int_equal(pagefile_truncate(f, 8 * PAGE_BYTES + 100), 0);
    datadir_close_file(store_view_datadir(v), f);
    place_close_view(p, v);
    map_says(p, "v", "0+3 base;3+2 view;5+1 base;6+3 zero;", 8 * PAGE_BYTES + 100);
    diff = only_file(p, "store/view/v/diff");
    flip_byte(diff, 3 * PAGE_BYTES);
    map_says(p, "v", "0+3 base;3+2 view bad 1;5+1 base;6+3 zero;", 8 * PAGE_BYTES + 100);
    free(diff);
}

static void a_map_of_what_is_no_file_is_refused(void **state)
{
    struct place *p = *state;
    uint64_t size;

    place_add_base(p, "1");
    place_create_view(p, "v", NULL);
    assert_int_equal(store_map(p->store, "v", "base/5/1", &size, add_map_line, NULL, &p->err),
                     -ENOENT);
    place_assert_says(&p->err, "view v", "base/5/1");
    assert_int_equal(store_map(p->store, "v", "base/5", &size, add_map_line, NULL, &p->err),
                     -EINVAL);
    assert_int_equal(store_map(p->store, "w", "base/5/1259", &size, add_map_line, NULL, &p->err),
                     -ENOENT);
    place_put_text(p, "data/base/5/1259", "other");
    assert_int_equal(store_map(p->store, "v", "base/5/1259", &size, add_map_line, NULL, &p->err),
                     -EIO);
    place_assert_says(&p->err, "base/5/1259", "changed");
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, place_set_up, place_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACED(nothing_is_found_in_a_store_that_is_right),
        PLACED(a_damaged_page_is_told_by_file_and_number),
        PLACED(a_damaged_side_page_table_is_told),
        PLACED(storage_without_a_file_and_a_file_without_storage_are_told),
        PLACED(a_damaged_journal_is_told),
        PLACED(damaged_descriptions_and_bases_are_told_one_by_one),
        PLACED(a_view_in_use_is_told_and_no_finding),
        PLACED(a_view_that_was_not_closed_is_told_and_no_finding),
        PLACED(a_page_is_right_as_it_was_or_as_it_was_announced),
        PLACED(a_layer_that_was_not_completed_is_told),
        PLACED(a_layer_of_a_base_shows_in_views_and_is_checked),
        PLACED(a_map_tells_which_layer_holds_which_page),
        PLACED(a_map_shows_what_was_cut_off_and_what_cannot_be_read),
        PLACED(a_map_of_what_is_no_file_is_refused),
    };

    return cmocka_run_group_tests_name("store/check", tests, NULL, NULL);
}
