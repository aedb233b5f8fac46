/*
 * A copy whose flat files become large objects: nothing is cleared, for each copy has objects of its
 * own; nothing is finished. What a kill leaves behind are rows of asofs.object, of which the next
 * copy of that name unlinks the objects before it begins.
 */
#include "load/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "pg/copyin.h"
#include "pg/largeobject.h"
#include "pg/objects.h"

/* A name is of one kind, so that every copy looks. */
int loading_objects_open(struct loading *l, struct err *err)
{
    bool compatible = false;
    int rc;

    if (l->req.mode != LOADING_OBJECTS)
        return pg_objects_refuse(l->conn, l->req.name, err);
    rc = pg_objects_prepare(l->conn, l->req.name, &compatible, err);
    if (rc == 0 && compatible && !l->req.quiet)
        log_note("with lo_compat_privileges, which is on there, everybody may read and change the "
                 "large objects");
    return rc;
}

/* A statement that unlinks says nothing meanwhile. */
static int sweep(struct loading *l, bool forget, struct err *err)
{
    int rc;

    pg_conn_set_patience(l->conn, 0);
    rc = pg_objects_sweep(l->conn, l->req.name, forget, err);
    pg_conn_set_patience(l->conn, l->req.worker_timeout_ms);
    return rc;
}

int loading_objects_begin(struct loading *l, struct err *err)
{
    struct gate_job job;
    uint32_t i;

    l->gate = gate_new(l->list->n);
    for (i = 0; i < l->list->n; i++)
        gate_add_file(l->gate, &i, 1, l->list->tables[i].nparts);
    while (gate_take(l->gate, GATE_CLEAR, &job))
        gate_done(l->gate, &job);
    return sweep(l, true, err);
}

void loading_objects_end(struct loading *l)
{
    struct err err;

    if (sweep(l, false, &err) < 0)
        log_note("large objects that are of no copy could not be unlinked; the next copy of \"%s\" "
                 "does it: %s",
                 l->req.name, err.text);
}

/* ---- files of .asofs/ ---- */

struct text_source {
    const struct flatfile *text;
    struct hash *hash;
};

static int64_t read_text(void *arg, char *bytes, size_t room, uint64_t at, struct err *err)
{
    struct text_source *s = arg;
    int64_t n = flatfile_read(s->text, bytes, room, at);

    if (n < 0)
        return err_set(err, (int)-n, "cannot read a file of .asofs: %s", strerror((int)-n));
    hash_update(s->hash, bytes, (size_t)n);
    return n;
}

static int write_text(struct loading *l, struct pg_objwrite *w, struct pg_object *o,
                      struct err *err)
{
    struct text_source *s = w->arg;
    char checksum[17];
    int rc = pg_objwrite_run(l->conn, w, err);

    if (rc < 0)
        return rc;
    snprintf(checksum, sizeof(checksum), "%016llx", (unsigned long long)hash_value(s->hash));
    o->oid = w->oid;
    o->bytes = w->bytes;
    o->checksum = checksum;
    rc = pg_objects_add(l->conn, l->req.name, l->run, o, err);
    return rc < 0 ? rc : pg_write_commit(l->conn, err);
}

int loading_text(struct loading *l, const char *name, const struct flatfile *text, struct err *err)
{
    struct pg_object o = {.schema = (char[]){""}, .name = (char *)(uintptr_t)name};
    struct text_source from = {text, hash_new()};
    struct pg_objwrite *w = mem_alloc(sizeof(*w));
    int rc = pg_write_begin(l->conn, l->req.lock_timeout_ms, err);

    w->read = read_text;
    w->arg = &from;
    if (rc == 0) {
        rc = write_text(l, w, &o, err);
        if (rc < 0)
            pg_write_rollback(l->conn);
    }
    hash_free(from.hash);
    free(w);
    return rc;
}
