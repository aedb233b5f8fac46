#include "pgcluster.h"

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
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "fixture.h"

static char *top; /* everything is below it */
static char *template;
static struct pg_programs programs; /* .major 0: no PostgreSQL here */
static struct err why_not;

void pgcluster_need(void)
{
    if (programs.major)
        return;
    print_message("skipped: %s\n", why_not.text);
    skip();
}

const struct pg_programs *pgcluster_programs(void)
{
    return &programs;
}

const char *pgcluster_template(void)
{
    return template;
}

void pgcluster_own(const char *path)
{
    if (programs.as.change)
        assert_int_equal(lchown(path, programs.as.uid, programs.as.gid), 0);
}

char *pgcluster_new_dir(const char *what)
{
    char *dir = mem_printf("%s/%s-XXXXXX", top, what);

    assert_non_null(mkdtemp(dir));
    pgcluster_own(dir);
    return dir;
}

void pgcluster_shell(const char *fmt, ...)
{
    char command[8192];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(command, sizeof(command), fmt, ap);
    va_end(ap);
    if (system(command) != 0)
        fail_msg("this failed: %s", command);
}

int pgcluster_init(const char *dir, const char *user, struct err *err)
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

char *pgcluster_copy(void)
{
    char *dir = pgcluster_new_dir("data");

    pgcluster_shell("cp -a '%s/.' '%s'", template, dir);
    return dir;
}

void pgcluster_append(const char *dir, const char *name, const char *text)
{
    char *path = mem_printf("%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    pgcluster_own(path);
    free(path);
}

struct pg_programs pgcluster_scripts(const char *name, const char *text)
{
    struct pg_programs p = {
        .major = programs.major, .as = programs.as, .bindir = pgcluster_new_dir("bin")};
    char *path = mem_printf("%s/%s", p.bindir, name);

    pgcluster_append(p.bindir, name, "#!/bin/sh\n");
    pgcluster_append(p.bindir, name, text);
    assert_int_equal(chmod(path, 0700), 0);
    free(path);
    return p;
}

/* The newest; as a number a version exists only in the name of a directory. */
static bool find_any(void)
{
    struct pg_programs p;
    struct pg_identity id;
    int v;

    if (getenv("UNDER_VALGRIND")) {
        err_set(&why_not, ENOTSUP, "asofs starts programs through itself, which would be valgrind");
        return false;
    }
    if (pg_identity_find(NULL, geteuid(), &id, &why_not) < 0)
        return false;
    for (v = 30; v >= 14 && pg_programs_find(v, NULL, &id, &p, &why_not) < 0; v--)
        ;
    if (v < 14)
        return false;
    programs = p;
    return true;
}

int pgcluster_set_up(void **state)
{
    struct err err;

    (void)state;
    top = fixture_make_dir();
    if (chmod(top, 0711) < 0)
        return -1;
    if (!find_any())
        return 0;
    pgcluster_own(top);
    template = pgcluster_new_dir("template");
    if (pgcluster_init(template, "postgres", &err) < 0) {
        print_error("%s\n", err.text);
        return -1;
    }
    return 0;
}

int pgcluster_tear_down(void **state)
{
    (void)state;
    fixture_remove_dir(top);
    free(template);
    pg_programs_free(&programs);
    return 0;
}
