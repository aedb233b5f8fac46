/* pg/identity.h: as whom programs and threads run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pwd.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/proc.h"
#include "fixture.h"
#include "pg/identity.h"

static void identity_is_never_root(void **state)
{
    struct pg_identity id;
    struct err err;

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(pg_identity_find("root", 0, &id, &err), -EPERM);
    fixture_assert_says(&err, "must not run as root");
    assert_int_equal(pg_identity_find("nobody", 0, &id, &err), 0);
    assert_true(id.change);
    assert_int_equal(id.uid, getpwnam("nobody")->pw_uid);
    assert_int_equal(pg_identity_find(NULL, id.uid, &id, &err), 0);
    assert_int_equal(id.uid, getpwnam("nobody")->pw_uid);
    assert_int_equal(pg_identity_find(NULL, 4000000, &id, &err), -EPERM);
    fixture_assert_says(&err, "--run-as");
}

static void identity_without_root_is_oneself(void **state)
{
    struct pg_identity id;
    struct err err;
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        if (geteuid() == 0 && setuid(12345) < 0)
            _exit(1);
        if (pg_identity_find(NULL, 0, &id, &err) != 0 || id.change || id.uid != geteuid())
            _exit(2);
        if (pg_identity_find("root", 0, &id, &err) != -EPERM || !strstr(err.text, "only root"))
            _exit(3);
        _exit(0);
    }
    status = proc_wait(pid);
    assert_int_equal(status, 0);
}

static void identity_without_a_name_is_refused(void **state)
{
    struct pg_identity id;
    struct err err;

    (void)state;
    assert_int_equal(pg_identity_find("no such user", 0, &id, &err), -EPERM);
    fixture_assert_says(&err, "no such user");
}

static bool has_ids(uid_t real, uid_t effective, uid_t saved, gid_t group)
{
    uid_t r, e, s;
    gid_t rg, eg, sg;

    return getresuid(&r, &e, &s) == 0 && getresgid(&rg, &eg, &sg) == 0 && r == real &&
           e == effective && s == saved && eg == group;
}

/* Of this thread, as asking for a user that cannot be tells. */
static bool uses_files_as(uid_t uid, gid_t gid)
{
    return (uid_t)setfsuid((uid_t)-1) == uid && (gid_t)setfsgid((gid_t)-1) == gid;
}

static void *look_from_a_thread(void *as_root)
{
    return (void *)(uintptr_t)(uses_files_as(0, 0) ? as_root != NULL : as_root == NULL);
}

static bool thread_is(bool root)
{
    pthread_t thread;
    void *is = NULL;

    return pthread_create(&thread, NULL, look_from_a_thread, root ? "" : NULL) == 0 &&
           pthread_join(thread, &is) == 0 && is;
}

static void *look_later(void *fds)
{
    char byte;

    return read(((int *)fds)[0], &byte, 1) == 1 ? look_from_a_thread("") : NULL;
}

static int sleep_as_root(pthread_t *thread, int fds[2])
{
    return pipe(fds) == 0 ? pthread_create(thread, NULL, look_later, fds) : -1;
}

/* The number of the step that went wrong; 0: none. Of a process that is root. */
static int become_for_a_while(const struct pg_identity *id)
{
    pthread_t other;
    void *other_is = NULL;
    int fds[2], fd;

    if (sleep_as_root(&other, fds) != 0)
        return 1;
    if (pg_identity_enter(id) != 0 || !has_ids(0, 0, 0, 0) || getgroups(0, NULL) != 0 ||
        !uses_files_as(id->uid, id->gid) || !thread_is(false))
        return 2;
    fd = open("/etc/shadow", O_RDONLY);
    if (fd >= 0 || errno != EACCES)
        return 3;
    if (write(fds[1], "", 1) != 1 || pthread_join(other, &other_is) != 0 || !other_is)
        return 4; /* the other thread has not changed */
    pg_identity_leave(id);
    pg_identity_enter_again(id);
    pg_identity_leave(id);
    return !uses_files_as(0, 0) || !thread_is(true) ? 5 : 0;
}

static int become_for_good(const struct pg_identity *id)
{
    gid_t groups[64];
    int i, n;

    if (pg_identity_become(id, true) != 0 || !has_ids(id->uid, id->uid, 0, id->gid))
        return 6;
    n = getgroups(64, groups);
    for (i = 0; i < n; i++)
        if (groups[i] == 0)
            return 7; /* root's */
    if (pg_identity_return(id) != 0 || !has_ids(id->uid, 0, 0, 0))
        return 8;
    if (pg_identity_renounce(id) != 0 || !has_ids(id->uid, id->uid, id->uid, id->gid))
        return 9;
    return seteuid(0) == 0 || pg_identity_return(id) != -EPERM ? 10 : 0;
}

static int become_at_once(const struct pg_identity *id)
{
    if (pg_identity_become(id, false) != 0 || !has_ids(id->uid, id->uid, id->uid, id->gid))
        return 11;
    return pg_identity_enter(id) != -EPERM || !uses_files_as(id->uid, id->gid) ? 12 : 0;
}

static void identity_is_taken_on_by_root(void **state)
{
    const struct passwd *nobody = getpwnam("nobody");
    struct pg_identity id = {.change = true}, nameless = {.change = true, .uid = 4000000};
    struct pg_identity none = {0};
    int rc;

    (void)state;
    if (geteuid() != 0)
        skip();
    id.uid = nobody->pw_uid;
    id.gid = nobody->pw_gid;
    nameless.gid = nobody->pw_gid;
    if (fork() == 0) {
        rc = become_for_a_while(&id);
        _exit(rc ? rc : become_for_good(&id));
    }
    wait(&rc);
    assert_int_equal(rc, 0);
    if (fork() == 0)
        _exit(become_at_once(&nameless));
    wait(&rc);
    assert_int_equal(rc, 0);
    assert_int_equal(pg_identity_enter(&none), 0);
    pg_identity_leave(&none);
    assert_int_equal(pg_identity_become(&none, false), 0);
    assert_int_equal(pg_identity_renounce(&none), 0);
    assert_int_equal(pg_identity_return(&none), 0);
    assert_true(has_ids(0, 0, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity_is_never_root),
        cmocka_unit_test(identity_without_root_is_oneself),
        cmocka_unit_test(identity_without_a_name_is_refused),
        cmocka_unit_test(identity_is_taken_on_by_root),
    };

    return cmocka_run_group_tests_name("pg/identity", tests, NULL, NULL);
}
