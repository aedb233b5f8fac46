#include "pg/settings.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/mem.h"

bool pg_settings_without_fsync(const struct pg_programs *p, const char *data)
{
    char *dir = mem_strdup(data), *conf = mem_printf("%s/postgresql.conf", data);
    char *argv[] = {"postgres", "-D", dir, "-C", "fsync", NULL};
    struct buf out = {0};
    struct stat st;
    bool off = stat(conf, &st) == 0 && S_ISREG(st.st_mode) && /* no pipe is waited for */
               pg_program_run(p, "postgres", argv, NULL, NULL, -1, &out, NULL) == 0 &&
               out.len >= 3 && strncmp(out.data, "off", 3) == 0;

    buf_free(&out);
    free(conf);
    free(dir);
    return off;
}
