#include <errno.h>

#include "live/livestate.h"

static size_t put_name(struct livedir *l, struct epoch *e, const struct node *dir, const char *name,
                       struct journal_record *r)
{
    struct node *n;

    if (past_names_said(&l->names, e->number, node_id(dir), name))
        return 0;
    n = nodes_child(&l->nodes, dir, name);
    *r = (struct journal_record){.type = JOURNAL_ENTRY,
                                 .dir = node_id(dir),
                                 .name = name,
                                 .id = n ? node_id(n) : 0,
                                 .mode = n ? n->mode : 0};
    return 1;
}

int live_note_name(struct livedir *l, struct epoch *e, const struct node *dir, const char *name,
                   uint64_t born)
{
    struct journal_record records[2];
    size_t n, names;
    int rc;

    if (dir->exempt)
        return 0;
    n = names = put_name(l, e, dir, name, &records[0]);
    if (born)
        records[n++] = (struct journal_record){.type = JOURNAL_BORN, .id = born};
    if (n == 0)
        return 0;
    rc = epoch_say(e, records, n);
    if (rc == 0 && names)
        rc = past_names_add(&l->names, e->number, records[0].dir, name, records[0].id,
                            records[0].mode);
    return rc;
}
