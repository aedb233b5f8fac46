#include "view/tablespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "view/segment.h"

#define PAGE 8192u       /* of the log */
#define PAGE_HEADER 24u  /* in front of every page; */
#define FIRST_HEADER 40u /* of every segment's first */
#define HEADER 24u       /* of a record */
#define INFO 16u         /* in it: flags, resource manager, 2 bytes of nothing, checksum */
#define TABLESPACES 5    /* the resource manager */
#define PATH_ROOM 1024u
#define FATAL_TO_RECOVERY 130

/* `n` bytes of a record from `at` on, as if there were no page headers; how many there are. */
static size_t gather(const uint8_t *bytes, size_t len, size_t at, uint8_t *out, size_t n)
{
    size_t got = 0;

    while (got < n && at < len) {
        if (at % PAGE == 0) {
            at += PAGE_HEADER;
            continue;
        }
        out[got++] = bytes[at++];
    }
    return got;
}

/* What follows the record's header: 255 and a length, or 254 and a longer one; number; path. */
static const char *path_in(const uint8_t *data, size_t len)
{
    size_t skip = data[0] == 255 ? 2 : 5;

    if (len < 1 || (data[0] != 255 && data[0] != 254))
        return NULL;
    skip += 4;
    return len <= skip || data[skip] == '/' ? (const char *)data + skip : NULL;
}

/* The header without its first `missing` bytes, which the segment in front of this one has. */
static char *record_at(const uint8_t *bytes, size_t len, size_t at, unsigned missing)
{
    uint8_t r[HEADER + 9 + PATH_ROOM + 1] = {0};
    size_t n = gather(bytes, len, at, r + missing, HEADER + 9 + PATH_ROOM - missing);
    const char *path;

    n += missing;
    if (n < INFO + 4 || r[INFO + 1] != TABLESPACES || (r[INFO] & 0xf0) || r[INFO + 2] ||
        r[INFO + 3])
        return NULL;
    if (n <= HEADER) /* the rest is in the next segment */
        return mem_strdup("(not known)");
    path = path_in(r + HEADER, n - HEADER);
    if (!path)
        return NULL;
    return mem_strdup(path < (const char *)r + n ? path : "(not known)");
}

/* The bytes that tell, where they do not lie behind a page's end. */
static bool is_worth_it(const uint8_t *bytes, size_t len, size_t at)
{
    return at % PAGE > PAGE - (INFO + 4) || at + INFO + 4 > len ||
           (bytes[at + INFO + 1] == TABLESPACES && (bytes[at + INFO] & 0xf0) == 0);
}

char *tablespaces_find(const uint8_t *bytes, size_t len)
{
    char *path = NULL;
    size_t at;

    /* Of a record that began 8 or 16 bytes before the end of the segment in front. */
    if (len > FIRST_HEADER && (path = record_at(bytes, len, FIRST_HEADER, 8)))
        return path;
    if (len > FIRST_HEADER && (path = record_at(bytes, len, FIRST_HEADER, 16)))
        return path;
    for (at = 0; at < len && !path; at += 8)
        if (is_worth_it(bytes, len, at))
            path = record_at(bytes, len, at, 0);
    return path;
}

int tablespaces_look(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
    struct stat st;
    void *bytes = MAP_FAILED;
    char *place = NULL;

    if (fd < 0 || fstat(fd, &st) < 0) {
        rc = err_errno(err, "cannot read the log %s", path);
        goto out;
    }
    if (!st.st_size)
        goto out;
    bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        rc = err_errno(err, "cannot read the log %s", path);
        goto out;
    }
    place = tablespaces_find(bytes, (size_t)st.st_size);
    if (place)
        rc = err_set(err, ENOTSUP,
                     "a tablespace is created in the log, at %s: replay would write there; "
                     "moments behind it need a base that was taken later",
                     place);
out:
    if (bytes != MAP_FAILED)
        munmap(bytes, (size_t)st.st_size);
    if (fd >= 0)
        close(fd);
    free(place);
    return rc;
}

char *tablespaces_guarded(const char *command)
{
    return mem_printf(
        "( %s ); r=$?; f=\"%%p\"; [ $r -eq 0 ] || f=\"pg_wal/%%f\"; "
        "if [ -e \"$f\" ]; then \"$ASOFS_PROGRAM\" guard \"$f\" \"%%f\" || exit %d; fi; exit $r",
        command, FATAL_TO_RECOVERY);
}

/* Histories have no headers. */
static int look_at_system(const char *path, const char *name, struct err *err)
{
    const char *system = getenv(SEGMENT_SYSTEM_ENV);

    if (!system || strlen(name) != 24)
        return 0;
    return segment_check_system(path, strtoull(system, NULL, 10), err);
}

int tablespaces_guard_main(int argc, char **argv)
{
    struct err err;

    if (argc == 3 && look_at_system(argv[1], argv[2], &err) == 0 &&
        tablespaces_look(argv[1], &err) == 0)
        return 0;
    fprintf(stderr, "segment %s: %s\n", argc == 3 ? argv[2] : "?",
            argc == 3 ? err.text : "a file and its name are needed");
    return FATAL_TO_RECOVERY;
}
