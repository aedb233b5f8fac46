#include "replay/viewcontrol.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/io.h"
#include "common/mem.h"
#include "pages/pagefile.h"
#include "replay/serverdir.h"

#define CONTROL "global/pg_control"
#define CONTROL_BYTES 8192 /* PG_CONTROL_FILE_SIZE */

static int read_file(struct datadir *d, char bytes[CONTROL_BYTES])
{
    struct dirtree_node node;
    struct pagefile *f;
    int64_t n;
    int rc = dirtree_walk(datadir_tree(d), CONTROL, &node);

    if (rc == 0)
        rc = datadir_open_file(d, node.id, &f);
    if (rc < 0)
        return rc;
    n = pagefile_read(f, bytes, CONTROL_BYTES, 0);
    datadir_close_file(d, f);
    return n < 0 ? (int)n : n < CONTROL_BYTES ? -EIO : 0;
}

/* pg_controldata wants a data directory: it gets one with nothing else in it. */
static int lay_out(const struct serverdir *dir, const char *bytes, struct err *err)
{
    char *global = mem_printf("%s/global", dir->data), *file = mem_printf("%s/" CONTROL, dir->data);
    int rc = 0;

    if (mkdir(global, 0700) < 0)
        rc = err_errno(err, "cannot make %s", global);
    if (rc == 0)
        rc = io_write_file(AT_FDCWD, file, bytes, CONTROL_BYTES, err);
    free(file);
    free(global);
    return rc;
}

int viewcontrol_read(struct datadir *d, const struct pg_programs *p, struct pg_control *c,
                     struct err *err)
{
    struct serverdir dir = {.lock_fd = -1};
    char bytes[CONTROL_BYTES];
    int rc = read_file(d, bytes);

    if (rc < 0)
        return err_set(err, -rc, "cannot read " CONTROL " of the view: %s", strerror(-rc));
    rc = serverdir_make(&dir, &p->as, err);
    if (rc == 0)
        rc = lay_out(&dir, bytes, err);
    if (rc == 0)
        rc = pg_control_read(p, dir.data, c, err);
    serverdir_remove(&dir);
    return rc;
}
