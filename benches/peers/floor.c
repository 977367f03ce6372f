/* The practical floor: what this machine does with the same files and nothing else.
 *   floor mean OUT FILE SAMPLES [FILE SAMPLES]..  the weighted mean of files of one layout, one thread
 *   floor cache OUT FILE..                        reads the files with two threads, writes OUT of one file's size
 *   floor triad                                   a = b + s c in memory, two threads
 * Integers, which such files hold before all floats, are the first file's. */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TILE = 1 << 16, INTEGERS = 160, MOST = 64, TRIAD = 1 << 26 };
struct file { const char *bytes; size_t length; double share; };
static struct file files[MOST];
static size_t count;
static float *a, *b, *c;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void fail(const char *what) { perror(what); exit(1); }

static void open_file(const char *path, double share) {
    struct stat s;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &s) || count == MOST) fail(path);
    char *bytes = mmap(NULL, s.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED) fail(path);
    files[count++] = (struct file){bytes, s.st_size, share};
    close(fd);
}

static void put(int fd, const void *bytes, size_t length) {
    if (write(fd, bytes, length) != (ssize_t)length) fail("write");
}

static int create(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) fail(path);
    return fd;
}

static void mean(const char *out) {
    static float sum[TILE];
    uint64_t header;
    double total = 0;
    for (size_t k = 0; k < count; k++) total += files[k].share;
    memcpy(&header, files[0].bytes, 8);
    size_t start = 8 + header + INTEGERS, length = (files[0].length - start) / 4;
    int fd = create(out);
    put(fd, files[0].bytes, start);
    for (size_t i = 0; i < length; i += TILE) {
        size_t n = length - i < TILE ? length - i : TILE;
        memset(sum, 0, sizeof sum);
        for (size_t k = 0; k < count; k++) {
            memcpy(&header, files[k].bytes, 8);
            const float *restrict x = (const float *)(files[k].bytes + 8 + header + INTEGERS) + i;
            float w = (float)(files[k].share / total);
            for (size_t j = 0; j < n; j++) sum[j] += w * x[j];
        }
        put(fd, sum, n * 4);
    }
    close(fd);
}

static void *read_half(void *half) {
    uint64_t sum = 0;
    for (size_t k = 0; k < count; k++) {
        size_t words = files[k].length / 16;
        const uint64_t *x = (const uint64_t *)files[k].bytes + (half ? words : 0);
        for (size_t i = 0; i < words; i++) sum ^= x[i];
    }
    return (void *)(uintptr_t)sum;
}

static void *triad_half(void *half) {
    size_t start = half ? TRIAD / 2 : 0;
    for (size_t i = start; i < start + TRIAD / 2; i++) a[i] = b[i] + 3.0f * c[i];
    return NULL;
}

static double both(void *(*work)(void *)) {
    pthread_t thread;
    void *first, *second;
    double begin = now();
    if (pthread_create(&thread, NULL, work, (void *)1)) fail("thread");
    first = work(NULL);
    pthread_join(thread, &second);
    double seconds = now() - begin;
    if (((uintptr_t)first ^ (uintptr_t)second) == 42) fprintf(stderr, " ");
    return seconds;
}

int main(int argc, char **argv) {
    if (argc > 4 && !strcmp(argv[1], "mean")) {
        for (int i = 3; i + 1 < argc; i += 2) open_file(argv[i], atof(argv[i + 1]));
        mean(argv[2]);
    } else if (argc > 3 && !strcmp(argv[1], "cache")) {
        double begin = now();
        for (int i = 3; i < argc; i++) open_file(argv[i], 0);
        double mapped = now() - begin, read = both(read_half), bytes = 0;
        char *copy = malloc(files[0].length);
        memcpy(copy, files[0].bytes, files[0].length);
        for (size_t k = 0; k < count; k++) bytes += files[k].length;
        begin = now();
        int fd = create(argv[2]);
        put(fd, copy, files[0].length);
        close(fd);
        printf("{\"map\": %f, \"read\": %f, \"write\": %f, \"bytes\": %.0f}\n", mapped, read, now() - begin, bytes);
    } else if (argc == 2 && !strcmp(argv[1], "triad")) {
        a = malloc(4l * TRIAD), b = malloc(4l * TRIAD), c = malloc(4l * TRIAD);
        for (size_t i = 0; i < TRIAD; i++) a[i] = 0, b[i] = i, c[i] = 1;
        double best = both(triad_half);
        for (int i = 0; i < 4; i++) { double s = both(triad_half); best = s < best ? s : best; }
        printf("{\"bytes_per_second\": %.0f}\n", 12.0 * TRIAD / best);
    } else {
        fprintf(stderr, "floor mean|cache|triad\n");
        return 2;
    }
}
