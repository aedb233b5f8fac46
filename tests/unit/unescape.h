/* The reverse of escape_name (common/escape.h), as any percent-decoder has it. */
#ifndef ASOFS_UNIT_UNESCAPE_H
#define ASOFS_UNIT_UNESCAPE_H

/* NULL: not every "%" has its two digits. The caller frees it. */
char *unescape(const char *escaped);

#endif
