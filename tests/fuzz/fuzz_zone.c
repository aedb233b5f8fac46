/* A file of a time zone: any moment has an offset of less than two days, or it is none. */
#include <stdlib.h>

#include "fuzz.h"
#include "render/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t moments[] = {INT64_C(-210866803200),
                                      INT64_C(-5000000000),
                                      -1,
                                      0,
                                      1,
                                      INT64_C(1700000000),
                                      INT64_C(4000000000),
                                      INT64_C(16000000000),
                                      INT64_C(9224318016000)};
    struct render_zone *z = render_zone_parse((const char *)data, size);
    int32_t east;
    size_t i;

    if (!z)
        return 0;
    for (i = 0; i < sizeof(moments) / sizeof(*moments); i++) {
        east = render_zone_offset(z, moments[i]);
        if (east < -2 * 86400 || east > 2 * 86400)
            abort();
    }
    render_zone_free(z);
    return 0;
}
