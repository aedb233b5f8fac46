/*
 * pg/: PostgreSQL's programs as children, what a data directory says of itself, the private server.
 * With real clusters below TMPDIR; skipped where there is no PostgreSQL. The test program takes the
 * part of `asofs child` too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/io.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "common/proc.h"
#include "pg/control.h"
#include "pg/internal.h"
#include "pg/private.h"
#include "pg/programs.h"

/* ---- what all tests share ---- */

static char *top;      /* everything is below it */
static char *template; /* a cluster that was just made */
static struct pg_programs programs;
static int major; /* 0: no PostgreSQL here */
static const char *why_not = "";
static int counter;

static void need_postgres(void)
{
    if (major)
        return;
    print_message("skipped: %s\n", why_not);
    skip();
}

static void own(const char *path)
{
    if (programs.as.change)
        assert_int_equal(lchown(path, programs.as.uid, programs.as.gid), 0);
}

static char *new_dir(const char *what)
{
    char *dir = mem_printf("%s/%s%d", top, what, counter++);

    assert_int_equal(mkdir(dir, 0700), 0);
    own(dir);
    return dir;
}

static void shell(const char *fmt, ...)
{
    char command[8192];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(command, sizeof(command), fmt, ap);
    va_end(ap);
    if (system(command) != 0)
        fail_msg("this failed: %s", command);
}

static int make_cluster(const char *dir, const char *user, struct err *err)
{
    char *argv[] = {"initdb",
                    "-D",
                    (char *)(uintptr_t)dir,
                    "-U",
                    (char *)(uintptr_t)user,
                    "-A",
                    "trust",
                    "--no-sync",
                    "--no-instructions",
                    "-E",
                    "UTF8",
                    NULL};

    return pg_program_run(&programs, "initdb", argv, NULL, NULL, -1, NULL, err);
}

static char *copy_cluster(const char *from)
{
    char *dir = mem_printf("%s/data%d", top, counter++);

    shell("cp -a '%s' '%s'", from, dir);
    return dir;
}

static void append(const char *dir, const char *name, const char *text)
{
    char *path = mem_printf("%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    own(path);
    free(path);
}

static bool exists(const char *dir, const char *name)
{
    char *path = mem_printf("%s/%s", dir, name);
    bool there = access(path, F_OK) == 0;

    free(path);
    return there;
}

/* A newer major version than any; as a number it exists only in the name of a directory. */
static int find_any(void)
{
    static struct err err;
    struct pg_identity id;
    int v;

    if (getenv("UNDER_VALGRIND")) {
        why_not = "asofs starts programs through itself, which would be valgrind";
        return 0;
    }
    if (pg_identity_find(NULL, geteuid(), &id, &err) < 0) {
        why_not = err.text;
        return 0;
    }
    for (v = 30; v >= 14; v--)
        if (pg_programs_find(v, NULL, &id, &programs, &err) == 0)
            return v;
    why_not = err.text;
    return 0;
}

static int make_all(void **state)
{
    const char *tmp = getenv("TMPDIR");
    struct err err;

    (void)state;
    top = mem_printf("%s/unit-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(top) || chmod(top, 0711) < 0)
        return -1;
    major = find_any();
    if (!major)
        return 0;
    own(top);
    template = mem_printf("%s/template", top);
    if (make_cluster(template, "postgres", &err) < 0) {
        print_error("%s\n", err.text);
        return -1;
    }
    return 0;
}

static int remove_all(void **state)
{
    int rc = io_remove_tree(top);

    (void)state;
    free(top);
    free(template);
    pg_programs_free(&programs);
    return rc;
}

static void assert_says(const struct err *err, const char *what)
{
    if (!strstr(err->text, what))
        fail_msg("\"%s\" does not say \"%s\"", err->text, what);
}

/* ---- who and where ---- */

static void identity_is_never_root(void **state)
{
    struct pg_identity id;
    struct err err;

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(pg_identity_find("root", 0, &id, &err), -EPERM);
    assert_says(&err, "must not run as root");
    assert_int_equal(pg_identity_find("nobody", 0, &id, &err), 0);
    assert_true(id.change);
    assert_int_equal(id.uid, getpwnam("nobody")->pw_uid);
    assert_int_equal(pg_identity_find(NULL, id.uid, &id, &err), 0);
    assert_int_equal(id.uid, getpwnam("nobody")->pw_uid);
    assert_int_equal(pg_identity_find(NULL, 4000000, &id, &err), -EPERM);
    assert_says(&err, "--run-as");
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
    assert_says(&err, "no such user");
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

static void programs_of_another_version_are_refused(void **state)
{
    struct pg_programs p;
    struct err err;

    (void)state;
    need_postgres();
    assert_int_equal(pg_programs_find(99, NULL, &programs.as, &p, &err), -ENOENT);
    assert_says(&err, "/usr/lib/postgresql/99/bin");
    assert_says(&err, "--bindir");
    assert_int_equal(pg_programs_find(99, programs.bindir, &programs.as, &p, &err), -ENOENT);
    assert_says(&err, programs.bindir);
    assert_says(&err, "has version");
    assert_int_equal(pg_programs_find(major, top, &programs.as, &p, &err), -ENOENT);
    assert_int_equal(pg_programs_find(major, "/nowhere at all", &programs.as, &p, &err), -ENOENT);
    assert_says(&err, "/nowhere at all");
    assert_int_equal(pg_programs_find(major, programs.bindir, &programs.as, &p, &err), 0);
    assert_int_equal(p.major, major);
    pg_programs_free(&p);
}

static void version_is_that_of_the_data_directory(void **state)
{
    struct err err;
    char *dir;

    (void)state;
    need_postgres();
    assert_int_equal(pg_version_of(template, &err), major);
    dir = new_dir("empty");
    assert_int_equal(pg_version_of(dir, &err), -ENOENT);
    assert_says(&err, "no data directory");
    append(dir, "PG_VERSION", "9.6\n");
    assert_int_equal(pg_version_of(dir, &err), 9);
    append(dir, "PG_VERSION", "garbage\n");
    assert_int_equal(pg_version_of(dir, &err), 9);
    free(dir);
    dir = new_dir("empty");
    append(dir, "PG_VERSION", "banana\n");
    assert_int_equal(pg_version_of(dir, &err), -EINVAL);
    free(dir);
}

/* ---- running ---- */

/* "Programs" of PostgreSQL that are shell scripts. */
static struct pg_programs scripts(const char *name, const char *text)
{
    struct pg_programs p = {.major = major, .as = programs.as, .bindir = new_dir("bin")};
    char *path = mem_printf("%s/%s", p.bindir, name);

    append(p.bindir, name, "#!/bin/sh\n");
    append(p.bindir, name, text);
    assert_int_equal(chmod(path, 0700), 0);
    free(path);
    return p;
}

static void programs_run_with_a_bare_environment(void **state)
{
    struct pg_programs p;
    char *argv[] = {"print", NULL}, *env[] = {"GIVEN=a b=c", "TZ=Mars", NULL};
    struct buf out = {0};
    struct err err;

    (void)state;
    need_postgres();
    p = scripts("print", "env; id -u; umask; cat");
    setenv("SECRET", "x", 1);
    assert_int_equal(pg_program_run(&p, "print", argv, env, "some input", -1, &out, &err), 0);
    unsetenv("SECRET");
    assert_null(strstr(out.data, "SECRET"));
    assert_non_null(strstr(out.data, "GIVEN=a b=c\n"));
    assert_non_null(strstr(out.data, "TZ=Mars\n"));
    assert_null(strstr(out.data, "TZ=UTC\n"));
    assert_non_null(strstr(out.data, "HOME=/nonexistent\n"));
    assert_non_null(strstr(out.data, "LC_ALL=C\n"));
    assert_non_null(strstr(out.data, "PATH="));
    assert_non_null(strstr(out.data, "0077\nsome input"));
    if (programs.as.change)
        assert_null(strstr(out.data, "\n0\n0077"));
    buf_free(&out);
    pg_programs_free(&p);
}

static void programs_that_fail_say_why(void **state)
{
    struct pg_programs p;
    char *argv[] = {"x", NULL};
    struct buf out = {0};
    struct err err;

    (void)state;
    need_postgres();
    p = scripts("x", "echo out; echo 'this is why' >&2; exit 3");
    assert_int_equal(pg_program_run(&p, "x", argv, NULL, NULL, -1, &out, &err), -EIO);
    assert_string_equal(err.text, "x exited with status 3: this is why");
    assert_string_equal(out.data, "out\n");
    assert_int_equal(pg_program_run(&p, "missing", argv, NULL, NULL, -1, NULL, &err), -EIO);
    assert_says(&err, "missing: No such file");
    buf_free(&out);
    pg_programs_free(&p);
}

static void programs_end_when_asked_to_stop(void **state)
{
    struct pg_programs p;
    char *argv[] = {"slow", NULL};
    int64_t begin = clock_ms();
    struct err err;
    int fds[2];

    (void)state;
    need_postgres();
    p = scripts("slow", "exec sleep 60");
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(pg_program_run(&p, "slow", argv, NULL, NULL, fds[0], NULL, &err), -EINTR);
    assert_true(clock_ms() - begin < 5000);
    close(fds[0]);
    close(fds[1]);
    pg_programs_free(&p);
}

/* A zombie that nobody has waited for yet has ended too. */
static bool runs(pid_t pid)
{
    char path[64], text[512] = "";
    const char *state;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY);
    if (fd < 0)
        return false;
    io_pread_full(fd, text, sizeof(text) - 1, 0);
    close(fd);
    state = strrchr(text, ')');
    return state && state[2] != 'Z';
}

static bool ends_within(pid_t pid, int ms)
{
    int64_t deadline = clock_ms() + ms;

    while (runs(pid) && clock_ms() < deadline)
        poll(NULL, 0, 10);
    return !runs(pid);
}

static void child_refuses_what_nobody_meant(void **state)
{
    char *none[] = {"child", NULL},
         *no_parent[] = {"child", "--user=-", "--end-with=9", "--", "/bin/true", NULL};
    char *relative[] = {"child", "--user=-", "--end-with=9", "--parent=1", "--", "true", NULL};
    char *odd[] = {"child", "--odd", NULL};

    (void)state;
    assert_int_equal(pg_child_main(1, none), 2);
    assert_int_equal(pg_child_main(5, no_parent), 2);
    assert_int_equal(pg_child_main(6, relative), 2);
    assert_int_equal(pg_child_main(2, odd), 2);
}

/* As if the parent had ended before the child asked for a signal. */
static void child_ends_when_its_parent_is_gone_already(void **state)
{
    char *user = programs.as.change ? mem_printf("--user=%u:%u", programs.as.uid, programs.as.gid)
                                    : mem_strdup("--user=-");
    char *argv[] = {"asofs", "child", user, "--end-with=9", "--parent=1", "--", "/bin/true", NULL};
    char *parent = mem_printf("--parent=%d", (int)getpid());
    struct err err;
    pid_t pid;
    int status;

    (void)state;
    need_postgres();
    assert_int_equal(proc_spawn(proc_self(), argv, NULL, NULL, 0, &pid, &err), 0);
    status = proc_wait(pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 127);
    argv[4] = parent;
    assert_int_equal(proc_spawn(proc_self(), argv, NULL, NULL, 0, &pid, &err), 0);
    assert_int_equal(proc_wait(pid), 0);
    free(user);
    free(parent);
}

/* ---- LSN, control file, label ---- */

static void control_file_is_read(void **state)
{
    struct pg_control c;
    struct err err;

    (void)state;
    need_postgres();
    assert_int_equal(pg_control_read(&programs, template, &c, &err), 0);
    assert_true(c.system_identifier > 0);
    assert_int_equal(c.state, PG_STATE_SHUT_DOWN);
    assert_string_equal(c.state_text, "shut down");
    assert_true(c.checkpoint >= 0x1000000 && c.checkpoint == c.redo);
    assert_int_equal(c.timeline, 1);
    assert_true(c.checkpoint_time > time(NULL) - 600 && c.checkpoint_time <= time(NULL));
    assert_int_equal(c.min_recovery, 0);
    assert_int_equal(c.backup_start, 0);
    assert_false(c.backup_end_required);
    assert_int_equal(c.max_prepared, 0);
    assert_int_equal(c.segment_bytes, 16 << 20);
    assert_int_equal(c.block_bytes, 8192);
    assert_int_equal(c.checksums, major >= 18);
}

static void control_file_that_is_damaged_is_refused(void **state)
{
    char *dir, *path, byte = 0x5a;
    struct pg_control c;
    struct err err;
    int fd;

    (void)state;
    need_postgres();
    dir = copy_cluster(template);
    path = mem_printf("%s/global/pg_control", dir);
    fd = open(path, O_RDWR);
    assert_int_equal(io_pwrite_all(fd, &byte, 1, 100), 0);
    assert_int_equal(pg_control_read(&programs, dir, &c, &err), -EIO);
    assert_says(&err, "damaged");
    assert_int_equal(ftruncate(fd, 100), 0);
    assert_int_equal(pg_control_read(&programs, dir, &c, &err), -EIO);
    assert_says(&err, "pg_controldata");
    close(fd);
    assert_int_equal(pg_control_read(&programs, "/nowhere at all", &c, &err), -ENOENT);
    free(path);
    free(dir);
}

/* A pg_controldata of some other version. */
static void control_lines_that_are_missing_are_named(void **state)
{
    static const struct {
        const char *edit, *says;
    } cases[] = {
        {"/^Latest checkpoint.s REDO/d", "\"Latest checkpoint's REDO location\" is missing"},
        {"s/^\\(Bytes per WAL segment:\\).*/\\1 12x/", "no such number: 12x"},
        {"s/^\\(Bytes per WAL segment:\\).*/\\1 12/", "no size of a segment"},
        {"s/^\\(Minimum recovery ending location:\\).*/\\1 0-1/", "no place on the log: 0-1"},
        {"s/^\\(Time of latest checkpoint:\\).*/\\1 yesterday/", "holds no time: yesterday"},
        {"s/^\\(End-of-backup record required:\\).*/\\1 perhaps/", "neither yes nor no: perhaps"},
        {"s/^\\(Database cluster state:\\).*/\\1 in a state that has a very long name indeed/",
         "is too long"},
    };
    struct pg_programs p;
    struct pg_control c;
    struct err err;
    char *text;
    size_t i;

    (void)state;
    need_postgres();
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        text =
            mem_printf("'%s/pg_controldata' \"$@\" | sed \"%s\"", programs.bindir, cases[i].edit);
        p = scripts("pg_controldata", text);
        assert_int_equal(pg_control_read(&p, template, &c, &err), -EINVAL);
        assert_says(&err, cases[i].says);
        pg_programs_free(&p);
        free(text);
    }
}

#define LABEL_HEAD                                                                                 \
    "START WAL LOCATION: 1A/2000028 (file 000000030000001A00000002)\n"                             \
    "CHECKPOINT LOCATION: 1A/2000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\n"
#define LABEL_TAIL "LABEL: pg_basebackup base backup\nSTART TIMELINE: 3\n"

static int read_label(const char *text, struct pg_backup_label *l, struct err *err)
{
    char *dir = new_dir("label");
    int rc;

    append(dir, "backup_label", text);
    rc = pg_backup_label_read(dir, l, err);
    free(dir);
    return rc;
}

static void backup_label_is_read(void **state)
{
    struct pg_backup_label l;
    struct err err;
    char *dir = new_dir("label");

    (void)state;
    assert_int_equal(pg_backup_label_read(dir, &l, &err), 0);
    free(dir);
    assert_int_equal(
        read_label(LABEL_HEAD "START TIME: 2026-11-22 19:00:00 UTC\n" LABEL_TAIL, &l, &err), 1);
    assert_true(l.start == 0x1A02000028);
    assert_true(l.checkpoint == 0x1A02000060);
    assert_int_equal(l.timeline, 3);
    assert_int_equal(l.start_time, 1795374000);
    assert_int_equal(
        read_label(LABEL_HEAD "START TIME: 2026-11-22 19:00:00 -0330\n" LABEL_TAIL, &l, &err), 1);
    assert_int_equal(l.start_time, 1795374000 + 12600);
    assert_int_equal(
        read_label(LABEL_HEAD "START TIME: 2026-11-22 19:00:00 +03\n" LABEL_TAIL, &l, &err), 1);
    assert_int_equal(l.start_time, 1795374000 - 10800);
    assert_int_equal(
        read_label(LABEL_HEAD "START TIME: 2001-11-22 19:00:00 IST\n" LABEL_TAIL, &l, &err), 1);
    assert_true(l.start_time > time(NULL) - 60);
}

/* The server's own file of a backup that ended: names with the segment and the place in it. */
static void the_end_of_a_backup_is_read(void **state)
{
    static const char name[] = "00000003000000680000000A.00000028.backup"; /* segments of 4 MiB */
    struct pg_backup_label l = {.timeline = 3};
    struct pg_backup_stop stop;
    char *dir = new_dir("label");

    (void)state;
    l.start = (UINT64_C(0x68) << 32) + 10 * (UINT64_C(4) << 20) + 0x28;
    assert_int_equal(pg_backup_stop_read(dir, &l, 4 << 20, &stop), 0);
    append(dir, name,
           "START WAL LOCATION: 68/2800028 (file 00000003000000680000000A)\n"
           "STOP WAL LOCATION: 68/2C00100 (file 00000003000000680000000B)\n"
           "CHECKPOINT LOCATION: 68/2800060\nSTART TIME: 2026-11-22 19:00:00 UTC\n"
           "LABEL: STOP TIME: none\nSTART TIMELINE: 3\nSTOP TIME: 2026-11-22 19:00:07 UTC\n"
           "STOP TIMELINE: 3\n");
    assert_int_equal(pg_backup_stop_read(dir, &l, 4 << 20, &stop), 1);
    assert_true(stop.lsn == UINT64_C(0x6802C00100));
    assert_int_equal(stop.time, 1795374007);
    assert_int_equal(pg_backup_stop_read(dir, &l, 16 << 20, &stop), 0);
    l.start += 8; /* another backup */
    assert_int_equal(pg_backup_stop_read(dir, &l, 4 << 20, &stop), 0);
    free(dir);
}

static void backup_label_that_is_odd_is_refused(void **state)
{
    struct pg_backup_label l;
    struct err err;

    (void)state;
    assert_int_equal(read_label("", &l, &err), -EINVAL);
    assert_says(&err, "START WAL LOCATION");
    assert_int_equal(read_label(LABEL_HEAD, &l, &err), -EINVAL);
    assert_says(&err, "START TIME");
    assert_int_equal(read_label(LABEL_HEAD "START TIME: 2026-11-22 19:00:00 UTC\n"
                                           "START TIMELINE: x\n",
                                &l, &err),
                     -EINVAL);
    assert_says(&err, "START TIMELINE");
    assert_int_equal(read_label(LABEL_HEAD "START TIME: soon\n" LABEL_TAIL, &l, &err), -EINVAL);
    assert_int_equal(read_label("INCREMENTAL FROM LSN: 0/2000028\n" LABEL_HEAD, &l, &err),
                     -ENOTSUP);
    assert_says(&err, "pg_combinebackup");
}

/* ---- the private server ---- */

struct server {
    char *data, *run;
    struct pg_private *s;
    int64_t began;
    const char *likely; /* database */
    bool quick_end;
};

/* As the user of its programs, whose files they are. */
static int start_private(const struct pg_private_request *req, struct pg_private **s,
                         struct err *err)
{
    int rc;

    assert_int_equal(pg_identity_enter(&req->programs->as), 0);
    rc = pg_private_start(req, s, err);
    pg_identity_leave(&req->programs->as);
    return rc;
}

static int try_server(struct server *v, char *data, const struct pg_setting *settings, int stop_fd,
                      struct err *err)
{
    struct pg_private_request req = {.programs = &programs,
                                     .data = data,
                                     .settings = settings,
                                     .connections = 3,
                                     .database = v->likely,
                                     .quick_end = v->quick_end,
                                     .stop_fd = stop_fd};
    int rc;

    v->data = data;
    req.run_dir = v->run = new_dir("r");
    v->began = clock_ms();
    rc = start_private(&req, &v->s, err);
    if (rc < 0)
        return rc;
    rc = pg_private_wait(v->s, err);
    if (rc < 0)
        pg_private_abandon(v->s);
    return rc;
}

static void start_server(struct server *v, char *data, const struct pg_setting *settings)
{
    struct err err;

    if (try_server(v, data, settings, -1, &err) < 0)
        fail_msg("%s", err.text);
}

static void free_server(struct server *v)
{
    free(v->data);
    free(v->run);
}

static void stop_server(struct server *v)
{
    struct err err;

    if (pg_private_stop(v->s, &err) < 0)
        fail_msg("%s", err.text);
}

/* The one value, to be freed; fails with the server's words. */
static char *query(struct server *v, const char *database, const char *sql)
{
    char *conninfo = mem_printf("%s dbname='%s'", pg_private_conninfo(v->s), database), *value;
    PGconn *pq = PQconnectdb(conninfo);
    PGresult *r = PQexec(pq, sql);

    if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(pq));
    value = mem_strdup(PQntuples(r) ? PQgetvalue(r, 0, 0) : "");
    PQclear(r);
    PQfinish(pq);
    free(conninfo);
    return value;
}

static void assert_query(struct server *v, const char *sql, const char *expected)
{
    char *value = query(v, "postgres", sql);

    assert_string_equal(value, expected);
    free(value);
}

static void run_sql(struct server *v, const char *sql)
{
    free(query(v, "postgres", sql));
}

static void assert_logged(struct server *v, const char *text)
{
    char *log = pg_private_log(v->s);

    if (!strstr(log, text))
        fail_msg("the log does not say \"%s\": %s", text, log);
    free(log);
}

static void server_starts_on_a_clean_directory(void **state)
{
    char *const *names;
    struct server v = {0};
    struct pg_control c;
    struct err err;

    (void)state;
    need_postgres();
    start_server(&v, copy_cluster(template), NULL);
    print_message("clean directory: ready after %d ms\n", (int)(clock_ms() - v.began));
    run_sql(&v, "CREATE DATABASE zoo");
    run_sql(&v, "CREATE DATABASE \"A b\"");
    run_sql(&v, "CREATE DATABASE closed ALLOW_CONNECTIONS false");
    stop_server(&v);
    free(v.run);
    start_server(&v, v.data, NULL);
    names = pg_private_databases(v.s);
    assert_string_equal(names[0], "A b");
    assert_string_equal(names[1], "postgres");
    assert_string_equal(names[2], "zoo");
    assert_null(names[3]);
    assert_query(&v, "SHOW listen_addresses", "");
    assert_query(&v, "SHOW archive_mode", "off");
    assert_query(&v, "SHOW max_connections", "5");
    assert_query(&v, "SELECT current_user", "postgres");
    stop_server(&v);
    assert_int_equal(pg_control_read(&programs, v.data, &c, &err), 0);
    assert_int_equal(c.state, PG_STATE_SHUT_DOWN);
    assert_false(exists(v.data, "postmaster.pid"));
    free_server(&v);
}

/* A cluster that was killed with work that is only in its log. */
static char *crashed_cluster(void)
{
    struct server v = {0};
    char *data;

    start_server(&v, copy_cluster(template), NULL);
    run_sql(&v, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS i");
    run_sql(&v, "SET synchronous_commit = on; INSERT INTO t VALUES (0)");
    pg_private_abandon(v.s);
    data = v.data;
    free(v.run);
    return data;
}

static void server_recovers_what_crashed(void **state)
{
    struct pg_control c;
    struct server v = {0};
    struct err err;
    char *data;

    (void)state;
    need_postgres();
    data = crashed_cluster();
    assert_int_equal(pg_control_read(&programs, data, &c, &err), 0);
    assert_int_equal(c.state, PG_STATE_IN_PRODUCTION);
    start_server(&v, data, NULL);
    print_message("crashed directory: ready after %d ms\n", (int)(clock_ms() - v.began));
    assert_query(&v, "SELECT count(*) FROM t", "1001");
    assert_logged(&v, "redo done");
    stop_server(&v);
    free_server(&v);
}

/* A directory with log that goes on from the template; target: a place in it, before a row. */
static char *make_archive(char **target)
{
    char *archive = new_dir("archive");
    struct server v = {0};

    start_server(&v, copy_cluster(template), NULL);
    run_sql(&v, "CREATE TABLE t AS SELECT 1 AS i");
    *target = query(&v, "postgres", "SELECT pg_current_wal_insert_lsn()");
    run_sql(&v, "INSERT INTO t VALUES (2)");
    run_sql(&v, "SELECT pg_switch_wal()");
    shell("cp '%s'/pg_wal/0*1 '%s' && chmod 755 '%s' && chmod 644 '%s'/*", v.data, archive, archive,
          archive);
    stop_server(&v);
    free_server(&v);
    return archive;
}

static void server_replays_up_to_a_target(void **state)
{
    char *data, *archive, *target, *restore;
    struct server v = {0};

    (void)state;
    need_postgres();
    archive = make_archive(&target);
    restore = mem_printf("cp '%s/%%f' %%p", archive);
    data = copy_cluster(template);
    append(data, "recovery.signal", "");
    struct pg_setting settings[] = {{"restore_command", restore},
                                    {"recovery_target_lsn", target},
                                    {"recovery_target_inclusive", "off"},
                                    {"recovery_target_action", "promote"},
                                    {0}};
    start_server(&v, data, settings);
    assert_query(&v, "SELECT count(*) FROM t", "1");
    assert_query(&v, "SELECT pg_is_in_recovery()", "f");
    assert_logged(&v, "recovery stopping before");
    assert_logged(&v, "restored log file");
    stop_server(&v);
    free_server(&v);
    free(archive);
    free(target);
    free(restore);
}

/* What was asked for as soon as recovery began must not end it early. */
static void server_goes_on_to_its_target_without_a_checkpoint_there(void **state)
{
    struct server v = {.quick_end = true, .likely = "there is none"};
    char *data, *archive, *target, *restore, *redo;
    struct pg_control c;
    struct err err;

    (void)state;
    need_postgres();
    archive = make_archive(&target);
    restore = mem_printf(": >" PG_PRIVATE_PROMOTE "; cp '%s/%%f' %%p", archive);
    data = copy_cluster(template);
    append(data, "recovery.signal", "");
    struct pg_setting settings[] = {{"restore_command", restore},
                                    {"recovery_target_lsn", target},
                                    {"recovery_target_inclusive", "off"},
                                    {"recovery_target_action", "promote"},
                                    {0}};
    assert_int_equal(pg_control_read(&programs, data, &c, &err), 0);
    redo = mem_printf("%u", (unsigned)c.redo);
    start_server(&v, data, settings);
    assert_query(&v, "SELECT count(*) FROM t", "1");
    assert_logged(&v, "received promote request");
    assert_logged(&v, "recovery stopping before");
    assert_query(&v, "SELECT (redo_lsn - '0/0')::text FROM pg_control_checkpoint()", redo);
    stop_server(&v);
    assert_int_equal(pg_control_read(&programs, data, &c, &err), 0);
    assert_int_equal(c.state, PG_STATE_SHUT_DOWN);
    free_server(&v);
    free(archive);
    free(target);
    free(restore);
    free(redo);
}

static void server_that_shuts_down_at_its_target_is_waited_for(void **state)
{
    struct pg_private_request req = {.programs = &programs, .stop_fd = -1};
    char *data, *run, *archive, *target, *restore;
    struct pg_private *s;
    struct err err;

    (void)state;
    need_postgres();
    archive = make_archive(&target);
    restore = mem_printf("cp \"$ARCHIVE/%%f\" %%p");
    char *env[] = {mem_printf("ARCHIVE=%s", archive), NULL};
    struct pg_setting settings[] = {{"restore_command", restore},
                                    {"recovery_target_lsn", target},
                                    {"recovery_target_action", "shutdown"},
                                    {0}};
    req.settings = settings;
    req.env = env;
    req.data = data = copy_cluster(template);
    req.run_dir = run = new_dir("r");
    append(data, "recovery.signal", "");
    assert_int_equal(start_private(&req, &s, &err), 0);
    if (pg_private_wait_end_or(s, NULL, NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(pg_private_stop(s, &err), -EIO);
    assert_says(&err, "does not run");
    assert_true(exists(data, "recovery.signal"));
    free(data);
    free(run);
    free(archive);
    free(target);
    free(restore);
    free(env[0]);
}

static void server_that_cannot_recover_says_why(void **state)
{
    static const struct pg_setting settings[] = {
        {"restore_command", "false"}, {"recovery_target_lsn", "7/0"}, {0}};
    char *data;
    struct server v = {0};
    struct err err;

    (void)state;
    need_postgres();
    data = copy_cluster(template);
    append(data, "recovery.signal", "");
    assert_int_equal(try_server(&v, data, settings, -1, &err), -EIO);
    assert_says(&err, "FATAL:  recovery ended before configured recovery target was reached");
    free_server(&v);
    data = copy_cluster(template);
    shell("rm -f '%s'/pg_wal/0*", data);
    assert_int_equal(try_server(&v, data, NULL, -1, &err), -EIO);
    assert_says(&err, "could not locate a valid checkpoint record");
    free_server(&v);
}

static void server_gives_up_when_asked_to_stop(void **state)
{
    struct server v = {0};
    struct err err;
    int fds[2];

    (void)state;
    need_postgres();
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(try_server(&v, copy_cluster(template), NULL, fds[0], &err), -EINTR);
    assert_false(exists(v.run, ".s.PGSQL.5432"));
    close(fds[0]);
    close(fds[1]);
    free_server(&v);
}

static void server_refuses_a_run_directory_that_will_not_do(void **state)
{
    struct pg_private_request req = {.programs = &programs, .data = template, .stop_fd = -1};
    static const struct pg_setting broken[] = {{"cluster_name", "a\nport = 1"}, {0}};
    struct pg_private *s;
    struct err err;
    char *dir, *longer;

    (void)state;
    need_postgres();
    dir = new_dir("open");
    assert_int_equal(chmod(dir, 0755), 0);
    req.run_dir = dir;
    assert_int_equal(start_private(&req, &s, &err), -EPERM);
    assert_int_equal(chmod(dir, 0700), 0);
    req.settings = broken;
    assert_int_equal(start_private(&req, &s, &err), -EINVAL);
    assert_says(&err, "cluster_name");
    longer = mem_printf("%s/%0100d", dir, 0);
    assert_int_equal(mkdir(longer, 0700), 0);
    own(longer);
    req.run_dir = longer;
    assert_int_equal(start_private(&req, &s, &err), -ENAMETOOLONG);
    assert_says(&err, "too long for a socket");
    req.run_dir = "/nowhere at all";
    assert_int_equal(start_private(&req, &s, &err), -ENOENT);
    free(longer);
    free(dir);
}

static void server_settings_may_hold_quotes_and_backslashes(void **state)
{
    static const struct pg_setting settings[] = {{"cluster_name", "it's a \\ back"}, {0}};
    struct server v = {0};

    (void)state;
    need_postgres();
    start_server(&v, copy_cluster(template), settings);
    assert_query(&v, "SHOW cluster_name", "it's a \\ back");
    assert_query(&v,
                 "SELECT setting FROM pg_file_settings WHERE name = 'cluster_name'"
                 " ORDER BY seqno DESC LIMIT 1",
                 "it's a \\ back");
    stop_server(&v);
    free_server(&v);
}

static void server_finds_a_superuser_of_another_name(void **state)
{
    char *data;
    struct server v = {0};
    struct err err;

    (void)state;
    need_postgres();
    data = mem_printf("%s/boss", top);
    if (make_cluster(data, "boss", &err) < 0)
        fail_msg("%s", err.text);
    start_server(&v, data, NULL);
    print_message("another superuser: ready after %d ms\n", (int)(clock_ms() - v.began));
    assert_query(&v, "SELECT current_user", "boss");
    run_sql(&v, "CREATE ROLE postgres LOGIN SUPERUSER");
    run_sql(&v, "SET SESSION AUTHORIZATION postgres;"
                "ALTER ROLE boss RENAME TO \"the \"\"boss\\'s größte \"");
    stop_server(&v);
    free(v.run);
    start_server(&v, data, NULL);
    assert_query(&v, "SELECT current_user", "postgres"); /* any superuser will do */
    run_sql(&v, "CREATE ROLE other LOGIN SUPERUSER");
    run_sql(&v, "ALTER ROLE postgres NOSUPERUSER");
    stop_server(&v);
    free(v.run);
    start_server(&v, data, NULL);
    assert_query(&v, "SELECT current_user", "the \"boss\\'s größte ");
    run_sql(&v, "UPDATE pg_authid SET rolcanlogin = false WHERE oid = 10");
    stop_server(&v);
    free(v.run);
    start_server(&v, data, NULL);
    assert_query(&v, "SELECT current_user", "other");
    run_sql(&v, "UPDATE pg_authid SET rolcanlogin = false");
    stop_server(&v);
    free(v.run);
    start_server(&v, data, NULL);
    assert_query(&v, "SELECT current_user", "the \"boss\\'s größte ");
    stop_server(&v);
    free_server(&v);
}

/* ---- a base that means harm ---- */

static void server_ignores_the_settings_of_the_base(void **state)
{
    struct server v = {0};
    char *data, *hostile, *seen;

    (void)state;
    need_postgres();
    data = copy_cluster(template);
    seen = new_dir("seen");
    hostile = mem_printf("listen_addresses = '*'\nport = 1\nssl = on\n"
                         "ssl_passphrase_command = 'touch %1$s/ssl'\n"
                         "shared_preload_libraries = 'no_such_library'\n"
                         "session_preload_libraries = 'no_such_library'\n"
                         "local_preload_libraries = 'no_such_library'\n"
                         "archive_mode = on\narchive_command = 'touch %1$s/archive'\n"
                         "restore_command = 'touch %1$s/restore; false'\n"
                         "archive_cleanup_command = 'touch %1$s/cleanup'\n"
                         "recovery_end_command = 'touch %1$s/end'\n"
                         "recovery_target_time = '2001-01-01'\n"
                         "external_pid_file = '%1$s/pid'\nlogging_collector = on\n"
                         "unix_socket_directories = '%1$s'\ndata_directory = '%1$s'\n"
                         "hba_file = '%1$s/hba'\nfsync = on\nwal_level = minimal\n",
                         seen);
    append(data, "postgresql.auto.conf", hostile);
    append(data, "postgresql.conf", hostile);
    append(data, "pg_hba.conf", "local all all reject\n");
    start_server(&v, data, NULL);
    assert_query(&v, "SHOW listen_addresses", "");
    assert_query(&v, "SHOW shared_preload_libraries", "");
    assert_query(&v, "SHOW session_preload_libraries", "");
    assert_query(&v, "SHOW fsync", "off");
    run_sql(&v, "CREATE TABLE t (); SELECT pg_switch_wal(); CHECKPOINT");
    stop_server(&v);
    assert_int_equal(rmdir(seen), 0);
    free(v.run);
    append(data, "recovery.signal", "");
    assert_true(mkdir(seen, 0777) == 0 && chmod(seen, 0777) == 0);
    static const struct pg_setting settings[] = {
        {"restore_command", "false"}, {"recovery_target_action", "promote"}, {0}};
    start_server(&v, data, settings);
    stop_server(&v);
    assert_int_equal(rmdir(seen), 0);
    free_server(&v);
    free(seen);
    free(hostile);
}

static void server_sessions_ignore_settings_of_roles_and_databases(void **state)
{
    struct server v = {0};
    char *data;

    (void)state;
    need_postgres();
    start_server(&v, copy_cluster(template), NULL);
    run_sql(&v, "ALTER ROLE postgres SET session_preload_libraries = 'no_such_library'");
    run_sql(&v, "ALTER DATABASE postgres SET local_preload_libraries = 'no_such_library'");
    run_sql(&v, "ALTER ROLE ALL SET session_preload_libraries = 'no_such_library'");
    run_sql(&v, "CREATE ROLE nobody_special");
    run_sql(&v, "ALTER ROLE postgres SET role = 'nobody_special'");
    run_sql(&v, "ALTER ROLE postgres SET search_path = evil, pg_catalog");
    stop_server(&v);
    data = v.data;
    free(v.run);
    start_server(&v, data, NULL);
    assert_query(&v, "SHOW session_preload_libraries", "");
    assert_query(&v, "SHOW local_preload_libraries", "");
    assert_query(&v, "SELECT current_user", "postgres");
    assert_query(&v, "SHOW search_path", "public");
    stop_server(&v);
    free_server(&v);
}

/* ---- the end of asofs ---- */

/* In another process: starts a server, tells that it is ready, waits to be killed. */
static void live_with_a_server(char *data, int fd)
{
    struct server v = {0};
    struct err err;

    if (try_server(&v, data, NULL, -1, &err) < 0)
        _exit(1);
    if (write(fd, "x", 1) != 1)
        _exit(1);
    pause();
    _exit(0);
}

static pid_t postmaster_of(const char *data)
{
    char *path = mem_printf("%s/postmaster.pid", data), text[32] = "";
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0);
    io_pread_full(fd, text, sizeof(text) - 1, 0);
    close(fd);
    free(path);
    return (pid_t)strtol(text, NULL, 10);
}

static void server_ends_when_its_parent_is_killed(void **state)
{
    char *data, byte;
    pid_t pid, postmaster;
    int fds[2];

    (void)state;
    need_postgres();
    data = copy_cluster(template);
    assert_int_equal(pipe(fds), 0);
    pid = fork();
    if (pid == 0)
        live_with_a_server(data, fds[1]);
    close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    postmaster = postmaster_of(data);
    assert_true(postmaster > 1 && runs(postmaster));
    proc_kill(pid);
    assert_true(ends_within(postmaster, 5000));
    close(fds[0]);
    counter += 10; /* the names that the other process took */
    free(data);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity_is_never_root),
        cmocka_unit_test(identity_without_root_is_oneself),
        cmocka_unit_test(identity_without_a_name_is_refused),
        cmocka_unit_test(identity_is_taken_on_by_root),
        cmocka_unit_test(programs_of_another_version_are_refused),
        cmocka_unit_test(version_is_that_of_the_data_directory),
        cmocka_unit_test(programs_run_with_a_bare_environment),
        cmocka_unit_test(programs_that_fail_say_why),
        cmocka_unit_test(programs_end_when_asked_to_stop),
        cmocka_unit_test(child_refuses_what_nobody_meant),
        cmocka_unit_test(child_ends_when_its_parent_is_gone_already),
        cmocka_unit_test(control_file_is_read),
        cmocka_unit_test(control_file_that_is_damaged_is_refused),
        cmocka_unit_test(control_lines_that_are_missing_are_named),
        cmocka_unit_test(backup_label_is_read),
        cmocka_unit_test(the_end_of_a_backup_is_read),
        cmocka_unit_test(backup_label_that_is_odd_is_refused),
        cmocka_unit_test(server_starts_on_a_clean_directory),
        cmocka_unit_test(server_recovers_what_crashed),
        cmocka_unit_test(server_replays_up_to_a_target),
        cmocka_unit_test(server_goes_on_to_its_target_without_a_checkpoint_there),
        cmocka_unit_test(server_that_shuts_down_at_its_target_is_waited_for),
        cmocka_unit_test(server_that_cannot_recover_says_why),
        cmocka_unit_test(server_gives_up_when_asked_to_stop),
        cmocka_unit_test(server_refuses_a_run_directory_that_will_not_do),
        cmocka_unit_test(server_settings_may_hold_quotes_and_backslashes),
        cmocka_unit_test(server_finds_a_superuser_of_another_name),
        cmocka_unit_test(server_ignores_the_settings_of_the_base),
        cmocka_unit_test(server_sessions_ignore_settings_of_roles_and_databases),
        cmocka_unit_test(server_ends_when_its_parent_is_killed),
    };

    if (argc > 1 && strcmp(argv[1], "child") == 0)
        return pg_child_main(argc - 1, argv + 1);
    return cmocka_run_group_tests_name("pg programs", tests, make_all, remove_all);
}
