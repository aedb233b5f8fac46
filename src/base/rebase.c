#include "base/rebase.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/mem.h"
#include "store/check.h"
#include "pages/page.h"
#include "base/writer.h"

#define BACKUP_MANIFEST "backup_manifest"
#define BACKUP_MANIFEST_MAX ((size_t)1 << 30)
#define PIECE (1u << 20)
#define SECOND_NS 1000000000

struct proof {
    const struct rebase_request *req;
    const char *id;
    json_t *backup; /* checksums by path; empty: there are none */
    const struct manifest *was, *now;
    struct disk *disk;
    char *piece;
    char *first; /* that is unproven */
    uint64_t proved, unproven;
};

/* ---- backup_manifest (PostgreSQL: backup/backup_manifest.c, common/parse_manifest.c) ---- */

/* A name that is not UTF-8 stands there in hexadecimal digits. */
static char *decode_path(const char *hex)
{
    struct buf b = {0};
    unsigned byte;

    for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
        buf_putc(&b, (char)byte);
    return buf_steal(&b);
}

static void take_file(json_t *backup, json_t *file)
{
    const char *path = json_string_value(json_object_get(file, "Path"));
    const char *encoded = json_string_value(json_object_get(file, "Encoded-Path"));
    const char *algorithm = json_string_value(json_object_get(file, "Checksum-Algorithm"));
    json_t *checksum = json_object_get(file, "Checksum");
    char *decoded = encoded ? decode_path(encoded) : NULL;

    if (algorithm && strcmp(algorithm, "CRC32C") == 0 && json_is_string(checksum) &&
        (path || decoded))
        json_object_set_nocheck(backup, path ? path : decoded, checksum);
    free(decoded);
}

static int read_backup_manifest(struct proof *p, struct err *err)
{
    char *bytes = NULL;
    size_t len, i;
    json_t *j, *file;
    int rc = disk_read_file(p->disk, BACKUP_MANIFEST, BACKUP_MANIFEST_MAX, &bytes, &len);

    p->backup = json_object();
    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return err_set(err, -rc, "cannot read " BACKUP_MANIFEST ": %s", strerror(-rc));
    j = json_loadb(bytes, len, 0, NULL);
    free(bytes);
    if (!j)
        return err_set(err, EIO, BACKUP_MANIFEST " is damaged");
    json_array_foreach(json_object_get(j, "Files"), i, file) take_file(p->backup, file);
    json_decref(j);
    return 0;
}

/* ---- one file ---- */

/* As the backup calls it: what lies outside of the directory by the link that leads there. */
static char *path_in_backup(const struct manifest *m, uint32_t i)
{
    static const char spaces[] = MANIFEST_TABLESPACES "/";
    char *path = mem_strdup(manifest_name(m, i)), *longer;

    while ((i = manifest_entry(m, i)->parent) != 0) {
        longer = mem_printf("%s/%s", manifest_name(m, i), path);
        free(path);
        path = longer;
    }
    if (strncmp(path, spaces, sizeof(spaces) - 1) != 0)
        return path;
    longer = mem_printf("pg_tblspc/%s", path + sizeof(spaces) - 1);
    free(path);
    return longer;
}

static int checksum_of(struct proof *p, const char *path, char out[9], struct err *err)
{
    struct disk_file *f;
    uint64_t at = 0;
    uint32_t crc = crc32c("", 0);
    int64_t n = 1;
    const unsigned char *b = (const unsigned char *)&crc; /* as it lies in memory */
    int rc = p->disk->ops->open(p->disk, path, 0, &f);

    if (rc < 0)
        return err_set(err, -rc, "cannot open %s: %s", path, strerror(-rc));
    for (; rc == 0 && n > 0; at += (uint64_t)n) {
        n = f->ops->read(f, p->piece, PIECE, at);
        if (n > 0)
            crc = crc32c_more(crc, p->piece, (size_t)n);
        else if (n < 0)
            rc = (int)n;
    }
    f->ops->close(f);
    snprintf(out, 9, "%02x%02x%02x%02x", b[0], b[1], b[2], b[3]);
    return rc < 0 ? err_set(err, -rc, "cannot read %s: %s", path, strerror(-rc)) : 0;
}

static int prove_contents(struct proof *p, uint32_t i, const char *name, const char *checksum,
                          struct err *err)
{
    char *path = manifest_path(p->now, i), sum[9];
    int rc = checksum_of(p, path, sum, err);

    free(path);
    if (rc == 0 && strcmp(sum, checksum) != 0)
        rc = err_set(err, EIO, "%s is not as it was backed up: its checksum is %s, and %s in %s",
                     name, sum, checksum, BACKUP_MANIFEST);
    p->proved += rc == 0;
    return rc;
}

/* Only size and time speak for it. */
static int note_unproven(struct proof *p, uint32_t i, const char *name, struct err *err)
{
    int64_t was = manifest_entry(p->was, i)->mtime_ns, now = manifest_entry(p->now, i)->mtime_ns;

    if (!p->unproven++)
        p->first = mem_strdup(name);
    if (p->req->unproven && was / SECOND_NS != now / SECOND_NS)
        return err_set(err, ESTALE, "%s was modified, and no checksum proves what is in it", name);
    return 0;
}

/* Further names of a file are not read again; a record of the log has its own checksum. */
static bool needs_no_proof(const struct manifest *m, uint32_t i, const char *name)
{
    return manifest_entry(m, i)->first != i || strcmp(name, BACKUP_MANIFEST) == 0 ||
           strncmp(name, "pg_wal/", 7) == 0;
}

static int prove_one(struct proof *p, uint32_t i, struct err *err)
{
    char *name = path_in_backup(p->now, i);
    const char *checksum = json_string_value(json_object_get(p->backup, name));
    int rc = 0;

    if (checksum)
        rc = prove_contents(p, i, name, checksum, err);
    else if (!needs_no_proof(p->now, i, name))
        rc = note_unproven(p, i, name, err);
    free(name);
    return rc;
}

/* ---- a base ---- */

static int refuse_unproven(const struct proof *p, struct err *err)
{
    err_set(err, ESTALE,
            "no checksum proves what is in %llu of its files (%s, for one): " BACKUP_MANIFEST
            " of a backup has them",
            (unsigned long long)p->unproven, p->first);
    return err_hint(err, "--unproven takes such files as they are, if their sizes and times are as "
                         "they were");
}

static int prove(void *arg, const struct store_rebased *r, struct err *err)
{
    struct proof *p = arg;
    uint32_t n = manifest_entries(r->now), i;
    int rc;

    p->was = r->was;
    p->now = r->now;
    p->disk = r->disk;
    rc = read_backup_manifest(p, err);
    for (i = 0; rc == 0 && i < n; i++)
        if (S_ISREG(manifest_entry(r->now, i)->mode))
            rc = prove_one(p, i, err);
    if (rc == 0 && p->unproven && !p->req->unproven)
        rc = refuse_unproven(p, err);
    return rc;
}

static int rebase_one(struct store *s, const struct rebase_request *req, const char *id,
                      struct err *err)
{
    struct proof p = {.req = req, .id = id, .piece = mem_alloc(PIECE)};
    int rc = store_rebase_base(s, id, prove, &p, err);

    if (rc < 0)
        err_prefix(err, "base %s", id);
    else if (rc > 0)
        req->rebased(req->arg, id, p.proved, p.unproven);
    json_decref(p.backup);
    free(p.first);
    free(p.piece);
    return rc < 0 ? rc : 0;
}

/* A freeze is nowhere but where its live base is served. */
static bool is_freeze(struct store *s, const char *id)
{
    uint64_t number;
    char *view;
    bool is = store_is_frozen(s, id, &number, &view, NULL) == 1;

    free(view);
    return is;
}

static int rebase_all(struct store *s, const struct rebase_request *req, struct err *err)
{
    char **ids, **id;
    int rc = store_bases(s, &ids, err);

    if (rc < 0)
        return rc;
    for (id = ids; *id && rc == 0; id++)
        if (!is_freeze(s, *id))
            rc = rebase_one(s, req, *id, err);
    store_names_free(ids);
    return rc;
}

/* All pages of layers and views, too. */
static int check_all(struct store *s, const struct rebase_request *req, struct err *err)
{
    struct check_report report = {0};
    int rc = store_check(s, req->finding, req->arg, &report, err);

    if (rc == 0 && report.findings)
        rc = err_set(err, EIO, "the bases are taken as they are, but %llu things are wrong in %s",
                     (unsigned long long)report.findings, store_path(s));
    return rc;
}

int base_rebase(const struct rebase_request *req, struct err *err)
{
    struct writer w = {.path = req->store, .run_as = req->run_as};
    int rc = writer_open(&w, false, err);

    if (rc == 0)
        rc = rebase_all(w.store, req, err);
    if (rc == 0)
        rc = check_all(w.store, req, err);
    writer_close(&w, rc);
    return rc;
}
