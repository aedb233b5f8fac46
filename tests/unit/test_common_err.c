/* common/err.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "common/ask.h"
#include "common/err.h"

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
    };

    return cmocka_run_group_tests_name("common/err", tests, NULL, NULL);
}
