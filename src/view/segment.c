#include "view/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

/* Headers of pages of the log, the longer one at the beginning of a segment
 * (access/xlog_internal.h). */
struct page_header {
    uint16_t magic, info;
    uint32_t timeline;
    uint64_t address;
    uint32_t rest; /* of a record that began in front of the page */
};
struct segment_header {
    struct page_header page;
    uint64_t system_identifier;
    uint32_t segment_bytes, page_bytes;
};

#define RECORD_GOES_ON 1u
#define LONG_HEADER 2u

uint64_t segment_find_page(int fd, uint64_t start, uint64_t end, uint64_t *from)
{
    struct page_header page;

    while (*from < end) {
        if (pread(fd, &page, sizeof(page), (off_t)(*from - start)) != (ssize_t)sizeof(page))
            return 0;
        if (page.address == *from && !(page.info & RECORD_GOES_ON))
            return *from;
        *from += SEGMENT_PAGE;
    }
    return 0;
}

int segment_check_system(const char *path, uint64_t system_identifier, struct err *err)
{
    struct segment_header h;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = 0;
    ssize_t n;

    if (fd < 0)
        return err_errno(err, "cannot read the log %s", path);
    n = pread(fd, &h, sizeof(h), 0);
    if (n == (ssize_t)sizeof(h) && h.page.magic && (h.page.info & LONG_HEADER) &&
        h.system_identifier != system_identifier)
        rc = err_set(err, EINVAL,
                     "it is of another cluster (its system identifier is %" PRIu64
                     ", that of the store is %" PRIu64 ")",
                     h.system_identifier, system_identifier);
    close(fd);
    return rc;
}
