/* fuzz_NAME DIR [SEED]: every input in DIR, then mutations of them, from a fixed seed unless another is given. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define LONGEST (64u << 10)

/* Of each input; most where more than a crash is seen. */
#ifdef __SANITIZE_ADDRESS__
#define MUTATIONS 8000
#else
#define MUTATIONS 2000
#endif

static uint32_t state = 1;

static uint32_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static size_t mutate(uint8_t *data, size_t size)
{
    static const char interesting[] = "\"'()!#$;\\-/*%,.\n\r\t\0\xff E";
    size_t at = size ? next_random() % size : 0;

    switch (next_random() % 5) {
    case 0: /* flip a bit */
        if (size)
            data[at] ^= (uint8_t)(1u << (next_random() % 8));
        return size;
    case 1: /* cut */
        return at;
    case 2: /* insert */
        if (size >= LONGEST)
            return size;
        memmove(data + at + 1, data + at, size - at);
        data[at] = (uint8_t)interesting[next_random() % (sizeof(interesting) - 1)];
        return size + 1;
    case 3: /* remove */
        if (!size)
            return 0;
        memmove(data + at, data + at + 1, size - at - 1);
        return size - 1;
    default: /* put a length or number of any kind */
        for (int i = 0; i < 4 && at + (size_t)i < size; i++)
            data[at + (size_t)i] = (uint8_t)next_random();
        return size;
    }
}

/* A copy of exactly the size, so that a sanitizer sees a read beyond it. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (size)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int run_file(const char *path)
{
    static uint8_t original[LONGEST + 1], changed[LONGEST + 1];
    FILE *f = fopen(path, "rb");
    size_t size, n;
    int i, k;

    if (!f)
        return -1;
    size = fread(original, 1, LONGEST, f);
    fclose(f);
    run(original, size);
    for (i = 0; i < MUTATIONS; i++) {
        memcpy(changed, original, size);
        n = size;
        for (k = 0; k <= (int)(next_random() % 4); k++)
            n = mutate(changed, n);
        run(changed, n);
    }
    return 0;
}

int main(int argc, char **argv)
{
    DIR *d = argc == 2 || argc == 3 ? opendir(argv[1]) : NULL;
    struct dirent *e;
    char path[4096];
    int files = 0;

    if (!d) {
        fprintf(stderr, "usage: %s DIR [SEED]\n", argv[0]);
        return 2;
    }
    if (argc == 3)
        state = (uint32_t)strtoul(argv[2], NULL, 10) | 1; /* never 0: that would stay so */
    while ((e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
        if (run_file(path) < 0)
            return 1;
        files++;
    }
    closedir(d);
    printf("%d inputs, %d mutations of each\n", files, MUTATIONS);
    return files == 0;
}
