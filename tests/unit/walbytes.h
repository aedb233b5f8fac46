/* Write-ahead log as a server would have written it: records are put one after the other, over
 * pages and segments. For tests of what reads it. */
#ifndef ASOFS_TESTS_WALBYTES_H
#define ASOFS_TESTS_WALBYTES_H

#include "store/walrecord.h"
#include "store/walwalk.h"

#define WALBYTES_SEGMENT 65536u /* eight pages: no server has such small ones */
#define WALBYTES_SYSTEM UINT64_C(7711139641497919867)

struct walbytes {
    uint8_t *bytes;
    uint64_t start;    /* of the first segment */
    size_t n;          /* segments */
    uint64_t at, prev; /* where the next record goes, and where the last one begins; 0: none */
    uint32_t timeline;
    uint16_t magic;
    uint32_t segment_bytes;
};

/* n segments from number `first` on, all zeros; as of major 15. */
void walbytes_make(struct walbytes *w, uint64_t first, size_t n);
void walbytes_make_of(struct walbytes *w, uint64_t first, size_t n, uint32_t segment_bytes);
void walbytes_free(struct walbytes *w);

/* A record of main data alone; its start. */
uint64_t walbytes_put(struct walbytes *w, uint8_t manager, uint8_t info, uint32_t xid,
                      const void *data, size_t len);
/* The same with what is after its head given as it is. */
uint64_t walbytes_put_raw(struct walbytes *w, uint8_t manager, uint8_t info, uint32_t xid,
                          const void *body, size_t len);
uint64_t walbytes_switch(struct walbytes *w);
/* One that lasts until `at`, a multiple of 8 that is at least 48 after where it begins. */
void walbytes_fill(struct walbytes *w, uint64_t at);
/* COMMIT; microseconds since 1970. */
uint64_t walbytes_commit(struct walbytes *w, int64_t time_us);
/* CREATE TABLESPACE at a path. */
uint64_t walbytes_tablespace(struct walbytes *w, const char *path);

uint8_t *walbytes_at(const struct walbytes *w, uint64_t lsn);

/* As a source of a walk; w->n segments. */
struct wal_source walbytes_source(struct walbytes *w);
/* walbytes_make, and a walk from its start; both are the caller's to free. */
struct wal_walk *walbytes_make_walk(struct walbytes *w, uint64_t first, size_t n);

/* WALBYTES_SEGMENT bytes become that segment's file in dir, written over if need be; `more` is put
 * after its name. */
void walbytes_write(const char *dir, uint32_t timeline, uint64_t number, const char *more,
                    const uint8_t *bytes);
/* All of them, of w->timeline. */
void walbytes_write_all(const struct walbytes *w, const char *dir);

#endif
