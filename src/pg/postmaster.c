#include "pg/postmaster.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/mem.h"

#define FILE_MAX (64 << 10)

/* From 1 on; "" where there is none. */
static char *line_of(const char *text, int number)
{
    for (; number > 1 && text; number--) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return text ? mem_printf("%.*s", (int)strcspn(text, "\n"), text) : mem_strdup("");
}

static int64_t number_of(const char *text, int number)
{
    char *line = line_of(text, number);
    long long n = strtoll(line, NULL, 10);

    free(line);
    return n;
}

int pg_postmaster_read(const char *data, struct pg_postmaster *p)
{
    char *path = mem_printf("%s/" PG_POSTMASTER_FILE, data), *text;
    int rc = io_read_text(AT_FDCWD, path, FILE_MAX, &text);
    int64_t pid;

    *p = (struct pg_postmaster){0};
    free(path);
    if (rc < 0)
        return rc;
    pid = number_of(text, 1);
    *p = (struct pg_postmaster){.pid = (pid_t)(pid < 0 ? -pid : pid),
                                .started = number_of(text, 3),
                                .port = line_of(text, 4),
                                .socket_dir = line_of(text, 5),
                                .address = line_of(text, 6)};
    free(text);
    return 0;
}

void pg_postmaster_free(struct pg_postmaster *p)
{
    free(p->port);
    free(p->socket_dir);
    free(p->address);
    *p = (struct pg_postmaster){0};
}
