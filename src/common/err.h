/*
 * common/: the lowest room. May be called from everywhere and calls only libc (and xxHash for
 * checksums). Nothing in it knows PostgreSQL, FUSE or views.
 *
 * Errors as values.
 *
 * A function that can fail returns 0 (or a count) on success and a negative errno-like code on
 * failure, and fills one `struct err` where the fault is found, in words a user can act on. Callers
 * pass it up unchanged, or put what they were doing in front of it. It is printed only in cmd/, in
 * a worker's main, or mapped to errno at the FUSE edge.
 */
#ifndef ASOFS_COMMON_ERR_H
#define ASOFS_COMMON_ERR_H

#define ERR_TEXT_MAX 4096

struct err {
    int code;                /* positive errno value; 0 = no error */
    char text[ERR_TEXT_MAX]; /* no prefix, no final newline; may span lines */
};

/* Fill err and return -code. err may be NULL. A code of 0 is turned into EIO. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set with code = errno, and ": strerror" appended. */
int err_errno(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Put "prefix: " in front of the text; returns -err->code. */
int err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Append a further line (a hint) to the text; returns -err->code. */
int err_hint(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
