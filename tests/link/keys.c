/* A program with so many keys of thread-specific data that libc allocates for their values: keys WHEN. They are made
 * `early`, before libmesh can have its own, or `late`, in main. Threads that have set one leave nothing behind. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../process_memory.h"

enum { KEYS = 40, THREADS = 1000, LEFT_MAX = 2 << 20 };

static pthread_key_t keys[KEYS];
static int early;

static void make_keys(void) {
  for (int i = 0; i < KEYS; i++) pthread_key_create(&keys[i], NULL);
}

/* Runs before any constructor, the allocator's own included. */
static void preinit(int argc, char **argv) {
  early = argc > 1 && strcmp(argv[1], "early") == 0;
  if (early) make_keys();
}

__attribute__((section(".preinit_array"), used)) static void (*preinit_entry)(int, char **) = preinit;

/* The last key is beyond those that libc has room for in each thread, so its value is the thread's first allocation. */
static void *set_key(void *value) {
  pthread_setspecific(keys[KEYS - 1], value);
  for (size_t size = 100; early && size < 1000; size += 100) free(malloc(size));
  return pthread_getspecific(keys[KEYS - 1]) == value ? value : NULL;
}

static void run_threads(int count) {
  for (int i = 0; i < count; i++) {
    pthread_t thread;
    void *result = NULL;
    if (pthread_create(&thread, NULL, set_key, &early) != 0 || pthread_join(thread, &result) != 0 || result == NULL) {
      fprintf(stderr, "a thread fails\n");
      exit(1);
    }
  }
}

int main(void) {
  if (!early) make_keys();
  run_threads(10);
  const size_t before = process_pss();
  run_threads(THREADS);
  const size_t after = process_pss();
  if (after <= before + LEFT_MAX) return 0;
  fprintf(stderr, "%d threads have left %zu bytes\n", THREADS, after - before);
  return 1;
}
